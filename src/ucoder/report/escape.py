"""Hostile text made visible and harmless, before HTML escaping.

Model text, program outputs and names from the disk can hold anything: control characters, lone
surrogates (which no UTF-8 file can hold), characters that reorder or hide their neighbours.
HTML escaping alone lets those through. Here each is written out as its escape, such as `\\x00`.
"""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible, or reordering its line
    "\ud800-\udfff\ufff9-\uffff"  # surrogates, interlinear marks, non-characters
    "\U000e0000-\U000e0fff"  # tags: invisible ASCII
    "]"
)


def visible(text: str) -> str:
    """The text with every unseen character written as its escape; encodes to UTF-8 without fail."""
    return _UNSEEN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clip(text: str, max_chars: int, max_lines: int = 1_000_000) -> str:
    """The start of a text, and how much was left out where it is longer."""
    lines = text.split("\n", max_lines)
    kept = "\n".join(lines[:max_lines])[:max_chars]
    left_out = len(text) - len(kept)
    return f"{kept} … ({left_out:,} more characters)" if left_out else text


def middle_clip(text: str, max_chars: int) -> str:
    """The start and the end of a text: outputs often differ at their ends."""
    if len(text) <= max_chars:
        return text
    tail = max_chars // 3
    return f"{text[: max_chars - tail - 1]}…{text[len(text) - tail :]}"

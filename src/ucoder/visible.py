"""Untrusted text made harmless for whoever looks at it, in a terminal or on a page.

Model text, program outputs and file names can hold control characters (a terminal obeys some),
lone surrogates (which UTF-8 cannot hold) and characters that reorder or hide their neighbours.
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
    """The text with every unseen character written as its escape; it always encodes to UTF-8."""
    return _UNSEEN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

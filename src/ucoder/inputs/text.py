"""Parsing a model's text, which is hostile input: nothing here raises, whatever the string."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from ucoder.records import Reason
from ucoder.texts import words

MAX_CHARS = 20_000
"""Longer texts are truncated before parsing: no genuine answer of these stages is that long."""

COLONS = ":\uff1a\ufe55"
"""What may follow a field's name: the colon, and those of Chinese and Japanese keyboards."""

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a text was refused: a reason for programs, and details for people."""

    reason: Reason
    detail: str


def between(text: str, start: str, end: str) -> str | None:
    """The text between the first `start` and the next `end`, or the end of the text.

    The end tag may be missing, because it is a stop string. None where `start` is missing.
    """
    text = text[:MAX_CHARS]
    at = text.find(start)
    if at < 0:
        return None
    body = text[at + len(start) :]
    return body.split(end, 1)[0].strip()


def without_fences(text: str) -> str:
    """The text without its Markdown fence lines, whether or not fences are nested."""
    return _FENCE.sub("", text).strip("\n")


def unparse(node: ast.AST) -> str | None:
    """The node's source, or None where it is nested too deeply."""
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError, MemoryError):
        return None


def normalised(text: str) -> str:
    """The words of a text, for finding duplicates: case, punctuation and spacing are ignored.

    A text without any word, such as a row of symbols, is itself.
    """
    return " ".join(words(text.replace("_", " "))) or text.strip()

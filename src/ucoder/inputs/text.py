"""Parsing a model's text, which is hostile input: nothing here raises, whatever the string."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from ucoder.records import Reason
from ucoder.texts import MAX_PROGRAM_CHARS, words

MAX_CHARS = 20_000
"""Of a text in which calls are searched for; what comes later is left out."""

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
    at = text.find(start)
    if at < 0:
        return None
    body = text[at + len(start) :].split(end, 1)[0]
    return body[:MAX_PROGRAM_CHARS].strip()  # no genuine answer is that long


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

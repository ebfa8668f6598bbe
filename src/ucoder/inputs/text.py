"""Reading a model's text: hostile input. Nothing here raises on any string whatsoever."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

from ucoder.records import Reason

MAX_CHARS = 20_000
"""Longer texts are cut before they are read: no real answer of these stages is that long."""

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a text was not understood, in a word for programs and a sentence for people."""

    reason: Reason
    detail: str


def between(text: str, start: str, end: str) -> str | None:
    """What stands between the first `start` and the `end` after it, or the text's own end.

    A missing end tag is no fault here: a stop string cuts it off. None where `start` is missing.
    """
    text = text[:MAX_CHARS]
    at = text.find(start)
    if at < 0:
        return None
    body = text[at + len(start) :]
    return body.split(end, 1)[0].strip()


def without_fences(text: str) -> str:
    """The text with Markdown code fences, nested or not, taken out line by line."""
    return _FENCE.sub("", text).strip("\n")


def parse_module(source: str) -> ast.Module | None:
    """The syntax tree, or None for anything that is no Python.

    Deep nesting, null bytes, lone surrogates and endless literals are refused, not raised; the
    model's dubious escapes do not warn.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def unparse(node: ast.AST) -> str | None:
    """The node's source, or None where it nests too deeply."""
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError, MemoryError):
        return None


def normalised(text: str) -> str:
    """The words of a text, for telling duplicates: case, punctuation and space do not count."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))

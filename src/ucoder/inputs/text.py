"""Parsing a model's text, which is hostile input: nothing here raises, whatever the string."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ucoder.records import Reason
from ucoder.texts import MAX_PROGRAM_CHARS, words

MAX_CHARS = 20_000
"""Of a text in which calls are searched for; what comes later is left out."""

COLONS = ":\uff1a\ufe55"
"""What may follow a field's name: the colon, and those of Chinese and Japanese keyboards."""

RUN_LENGTH = 3
"""Words in a row that two texts share by more than chance."""
COPIED_SHARE = 0.6
"""A text is copied if this share of its words is in runs that it shares with the prompt."""

_SENTENCE_END = re.compile(r"(?<=[.!?\u3002])\s+|\n")

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a text was refused: a reason for programs, and details for people."""

    reason: Reason
    detail: str


def between(text: str, start: str, end: str) -> str | None:
    """The text between the first `start` and the next `end`, or the end of the text.

    The end tag may be missing, because it is a stop string. Either tag with a slash, as in HTML,
    ends the text as well. None where `start` is missing.
    """
    at = text.find(start)
    if at < 0:
        return None
    body = text[at + len(start) :]
    for closing in (end, f"</{end[1:]}", f"</{start[1:]}"):
        body = body.split(closing, 1)[0]
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


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line ends one as well."""
    return [part for part in _SENTENCE_END.split(text) if part.strip()]


class PromptWording:
    """The words of a prompt's instructions, format and sample, to recognise what is copied of them.

    A small model fills a format with the format's own words, or repeats the sample that was to show
    the form. No list of phrases knows what a prompt will say tomorrow; so a text is compared with
    the prompt itself: it is copied if at least `COPIED_SHARE` of its words are in runs of
    `RUN_LENGTH` words or more that the prompt has too. A shorter text is copied if it is a line of
    the prompt, or the value of a field there. Dots alone, a placeholder, are copied as well.

    Args:
        prompt: What the model was given, without the topic or problem that it is about.
        told: That problem: words in a row that it has are not copied from the instructions.
    """

    def __init__(self, prompt: str, told: str = "") -> None:
        self._runs = set(_runs(prompt)).difference(_runs(told))
        parts = (part for line in prompt.splitlines() for part in (line, line.partition(":")[2]))
        self._lines = set(map(normalised, parts))

    def has(self, text: str) -> bool:
        """Whether a short field, or a sentence, is copied."""
        found = words(text)
        if len(found) < RUN_LENGTH:
            return set(text.strip()) <= set(". `") or normalised(text) in self._lines
        copied: set[int] = set()
        for at, run in enumerate(_runs(text)):
            if run in self._runs:
                copied.update(range(at, at + RUN_LENGTH))
        return len(copied) >= COPIED_SHARE * len(found)


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    found = words(text)
    return zip(*(found[start:] for start in range(RUN_LENGTH)), strict=False)

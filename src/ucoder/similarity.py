"""How similar two texts are in their words, and which of many texts is nearest.

The similarity of two texts is the Jaccard index of their words and pairs of neighbouring words: how
many they share, of those that either has. So it is 1 for the same words, and it asks for word order
as well as for vocabulary. Words are those of `ucoder.texts.words`, in any script.

`TextIndex` finds the nearest text exactly, by an index from words and pairs to texts. At the
paper's 16,867 problems that takes milliseconds a text, so an approximation such as MinHash, which
pays for corpora of millions, would only add misses. A paraphrase in other words is not found.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ucoder.texts import words

MAX_WORDS = 2_000
"""Words of a text that count; what comes later is left out."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The text of an index that is most similar to another.

    Attributes:
        position: Its position in the order of adding.
        similarity: Above 0, up to 1.
    """

    position: int
    similarity: float


def shingles(text: str) -> frozenset[str]:
    """The distinct words of a text and its distinct pairs of neighbouring words."""
    found = words(text.replace("_", " "))[:MAX_WORDS]
    return frozenset(found).union(f"{first} {second}" for first, second in pairwise(found))


class TextIndex:
    """Texts of which the nearest to another can be asked for."""

    def __init__(self) -> None:
        self._sizes = array("q")
        self._places: dict[str, array[int]] = {}

    def add(self, text: str) -> None:
        """Take up a text."""
        position, parts = len(self._sizes), shingles(text)
        self._sizes.append(len(parts))
        for part in parts:
            self._places.setdefault(part, array("q")).append(position)

    def nearest(self, text: str) -> Nearest | None:
        """The most similar text, the first of several; None where none shares a word."""
        parts = shingles(text)
        places = [np.array(self._places[part]) for part in parts if part in self._places]
        if not places:
            return None
        shared_T = np.bincount(np.concatenate(places), minlength=len(self._sizes))
        similarity_T = shared_T / (len(parts) + np.array(self._sizes) - shared_T)
        best = int(similarity_T.argmax())
        return Nearest(best, float(similarity_T[best]))

"""Finding problems of a run that are also tasks of a benchmark.

A model that is trained on a benchmark's task scores higher on it without having become better, so
problems that the run invented are compared with every prompt of every benchmark that it reports.

The rule. Two texts match where their words are the same; or where the words, and pairs of
neighbouring words, that they share close together make up at least 55% of the lighter text. A word
or pair weighs 1 where one prompt has it, less the more prompts have it, and 0 where all do, so that
"write a function that takes a list" proves little; and what is shared has to weigh at least 3.5.

Longer n-grams (13 words in Brown et al. 2020, 8 in Chowdhery et al. 2022) suit pages of text: an
MBPP prompt has a median of 13 words, and one changed word breaks most of its 8-grams. With 20 or
more false matches allowed, weighted words and pairs found at least as many edited prompts as plain
n-grams of 2 to 5 words and weighted n-grams of one length from 2 to 4; with five allowed, weighted
3-grams were as good. The limits 55% and 3.5 were chosen on the same data.
`benchmarks/contamination.py` measures the rule's rates.

A word is what `ucoder.texts.words` takes for one: in Chinese, Japanese and Thai, a character.

Limits. A paraphrase or a translation shares little and is not found, nor is a solution without its
text. A prompt of a few common words ("write a function to sort the given list") weighs less than
3.5: it is found where the texts are equal, not inside a longer one. Signatures, examples and names
with an underscore are not compared. Weights, and so matches near the limits, depend on which
benchmarks are compared.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import pairwise, zip_longest

import numpy as np
import numpy.typing as npt

from ucoder.evaluation.protocol import Task
from ucoder.records import Problem
from ucoder.texts import words as words_of

_CODE_LINE = re.compile(
    r"```|~~~|\.\.\.(?:\s|$)|@\w|assert\b.*[=(]|(?:async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[(:]"
    r"|import\s+[\w.]+(?:\s+as\s+\w+)?\s*(?:,|$)|from\s+[\w.]+\s+import\s"
    r"|(?:sample\s+)?(?:input|output)\s*\d*\s*[:\uff1a\ufe55]",
    re.IGNORECASE,
)
_CALL = re.compile(r"[A-Za-z_]\w*\(")
_QUOTES = re.compile("\"\"\"|'''")
_ANSWERS = ("==", "=>", "->", "➞", "→", " = ")
"""Separators of call and answer in an example such as `add(2, 3) == 5`."""


@dataclass(frozen=True, slots=True)
class ContaminationRule:
    """When two texts match; the defaults are measured, see the module's docstring."""

    min_overlap: float = 0.55  # least share, 0 to 1, of the lighter text's weight that is shared
    # Least weight that is shared, in words or pairs that a single prompt has.
    min_shared: float = 3.5
    # What is shared has to lie within this many lengths of the lighter text: by chance, a long page
    # holds most words of a short sentence.
    window: float = 2.0


class MatchKind(StrEnum):
    """What matched."""

    SAME_TEXT = "same_text"
    """The same words, but for code, case, punctuation and white space."""
    OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class Match:
    """A problem of the run that is also a task of a benchmark."""

    problem_id: str  # the run's problem
    benchmark: str
    task_id: str  # the benchmark's own
    kind: MatchKind
    # Share of the lighter text's weight that is shared, from `ContaminationRule.min_overlap` to 1.
    overlap: float
    shared: str  # the longest passage that both have, as normalised words, for people


def prose(text: str) -> str:
    """The lines of a text that are not code.

    Left out: code fences, quotes of docstrings, imports, signatures, assertions, doctests with
    their output, examples of a call and its answer, and lines that begin with "Input:" or
    "Output:".
    """
    return "".join(f"{line}\n" for line in _prose_lines(text))


def _prose_lines(text: str) -> Iterator[str]:
    in_doctest = False
    # Separates a docstring from its signature, and a doctest's output from what follows it.
    for line in _QUOTES.sub("\n", text).splitlines():
        content = line.strip()
        if content.startswith(">>>"):
            in_doctest = True
        elif in_doctest:  # its output ends at an empty line
            in_doctest = content != ""
        elif not _CODE_LINE.match(content) and not _is_example(content):
            yield line


def _is_example(content: str) -> bool:
    return _CALL.match(content) is not None and any(mark in content for mark in _ANSWERS)


def normalise(text: str) -> str:
    """A text's words in lower case, between single spaces; punctuation and `_` separate words."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    return [word for token in words_of(text) for word in token.split("_") if word]


def _passage(text: str) -> tuple[str, ...]:
    """The words that are compared: prose without names such as `is_prime`.

    A text that holds nothing else becomes one word, so that it matches only an equal text.
    """
    stripped = (token.strip("_") for token in words_of(prose(text)))
    words = tuple(word for word in stripped if word and "_" not in word)
    whole = normalise(text)
    return words or ((whole,) if whole else ())


def _terms(words: Sequence[str]) -> list[str]:
    """What is counted: every word, and every pair of neighbours, in order."""
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    return [term for both in zip_longest(words, pairs) for term in both if term]


@dataclass(frozen=True, slots=True)
class _Text:
    """Words ready to be compared; `weight` is that of their distinct terms."""

    words: tuple[str, ...]
    terms: list[str]
    weight: float


class Guard:
    """Compares problems with the prompts of benchmarks, by an index from terms to prompts."""

    def __init__(
        self,
        benchmarks: Iterable[tuple[str, Iterable[Task]]],
        rule: ContaminationRule | None = None,
    ) -> None:
        """Index the prompts of benchmarks, given as names and tasks; None is the default rule.

        A prompt that several benchmarks share (HumanEval and HumanEval+ do) is one text here, and
        a match with it is reported for each.
        """
        self.rule = rule or ContaminationRule()
        self._tasks: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for name, tasks in benchmarks:
            for task in tasks:
                words = _passage(task.text)
                if words:
                    self._tasks.setdefault(words, []).append((name, task.id))
        counts = Counter(term for words in self._tasks for term in set(_terms(words)))
        scale = math.log(max(2, len(self._tasks)))
        self._term_weights = {term: 1 - math.log(n) / scale for term, n in counts.items()}
        self._texts = [self._text(words) for words in self._tasks]
        self._weights_T = np.array([text.weight for text in self._texts], dtype=np.float64)
        self._index = self._make_index()

    def _make_index(self) -> dict[str, npt.NDArray[np.intp]]:
        places: dict[str, list[int]] = {}
        for number, text in enumerate(self._texts):
            for term in set(text.terms):
                places.setdefault(term, []).append(number)
        return {term: np.array(numbers, dtype=np.intp) for term, numbers in places.items()}

    def matches(self, problem: Problem) -> list[Match]:
        """Every task that a problem's description, statement or docstring matches, best first."""
        docstring = prose(problem.interface.source)
        return self.matching(problem.id, (problem.description, problem.statement, docstring))

    def matching(self, problem_id: str, texts: Iterable[str]) -> list[Match]:
        """The same for any texts; a task is listed once, for the text that matches it best."""
        best: dict[tuple[str, str], Match] = {}
        for words in dict.fromkeys(_passage(text) for text in texts):
            for other, kind, overlap in self._near(words):
                shared = _longest_shared(words, other)
                for name, task_id in self._tasks[other]:
                    match = Match(problem_id, name, task_id, kind, overlap, shared)
                    if (name, task_id) not in best or _rank(match) < _rank(best[name, task_id]):
                        best[name, task_id] = match
        return sorted(best.values(), key=_rank)

    def _near(self, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], MatchKind, float]]:
        """Prompts that match one text."""
        if words in self._tasks:
            yield words, MatchKind.SAME_TEXT, 1.0
        text = self._text(words)
        shared_T = np.zeros(len(self._texts))
        # Sorted, so that sums of floats do not depend on the order of hashes.
        for term in sorted(set(text.terms)):
            if term in self._index:
                shared_T[self._index[term]] += self._term_weights[term]
        needed_T = np.minimum(self._weights_T, text.weight) * self.rule.min_overlap
        needed_T = np.maximum(needed_T, self.rule.min_shared)
        for number in np.flatnonzero(shared_T >= needed_T - 1e-9):
            other = self._texts[number]
            if other.words == words:
                continue
            lighter, longer = sorted((text, other), key=lambda each: (each.weight, each.words))
            shared = self._shared_close(lighter, longer)
            overlap = min(1.0, shared / lighter.weight) if lighter.weight else 0.0
            if shared >= self.rule.min_shared and overlap >= self.rule.min_overlap:
                yield other.words, MatchKind.OVERLAP, overlap

    def _shared_close(self, lighter: _Text, longer: _Text) -> float:
        """The most weight of the lighter text's terms in one window of the other text."""
        wanted = set(lighter.terms)
        length = math.ceil(self.rule.window * len(lighter.terms))
        inside: Counter[str] = Counter()
        weight = most = 0.0
        for position, term in enumerate(longer.terms):
            if term in wanted:
                weight += 0.0 if inside[term] else self._weight(term)
                inside[term] += 1
            gone = longer.terms[position - length] if position >= length else None
            if gone in wanted and gone is not None:
                inside[gone] -= 1
                weight -= 0.0 if inside[gone] else self._weight(gone)
            most = max(most, weight)
        return most

    def _text(self, words: tuple[str, ...]) -> _Text:
        terms = _terms(words)
        return _Text(words, terms, math.fsum(self._weight(term) for term in set(terms)))

    def _weight(self, term: str) -> float:
        return self._term_weights.get(term, 1.0)


def _rank(match: Match) -> tuple[float, bool, str, str]:
    return -match.overlap, match.kind is not MatchKind.SAME_TEXT, match.benchmark, match.task_id


def _longest_shared(words: tuple[str, ...], other: tuple[str, ...]) -> str:
    found = SequenceMatcher(None, words, other, autojunk=False).find_longest_match()
    return " ".join(words[found.a : found.a + found.size])

"""What a plan assumes: the rows of `figures.yaml`, each a range that holds what was seen of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal, Self

import yaml

End = Literal["low", "likely", "high"]
ENDS: Final[tuple[End, ...]] = ("low", "likely", "high")
OPPOSITE: Final[Mapping[End, End]] = {"low": "high", "likely": "likely", "high": "low"}


@dataclass(frozen=True, slots=True)
class Range:
    """A number that is not known yet; finite, 0 <= low <= likely <= high.

    A value outside would be a surprise, as outside a 95% interval; no end is a promise.
    """

    low: float
    likely: float
    high: float

    def __post_init__(self) -> None:
        ends = (self.low, self.likely, self.high)
        if not all(map(math.isfinite, ends)) or not 0 <= self.low <= self.likely <= self.high:
            raise ValueError(
                f"low={self.low:g}, likely={self.likely:g}, high={self.high:g}: they must be "
                f"finite, in this order, and not below 0"
            )

    @classmethod
    def exactly(cls, value: float) -> Self:
        """A number that is known."""
        return cls(value, value, value)

    @classmethod
    def within(cls, likely: float, factor: float) -> Self:
        """A number known to within a factor, at least 1."""
        return cls(likely / factor, likely, likely * factor)

    def holds(self, value: float) -> bool:
        """Whether a value lies within, except for rounding."""
        return self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)


def total(ranges: Iterable[Range]) -> Range:
    """The sum, end by end."""
    known = list(ranges)
    low, likely, high = (sum(getattr(one, end) for one in known) for end in ENDS)
    return Range(low, likely, high)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """About a model: rows as in `figures.yaml`, or as a run has shown them (`source`)."""

    source: str
    rows: Mapping[str, Range]

    def at(self, end: End, n_problems: int) -> dict[str, float]:
        """Every row and figure at one end of its range; the low end means little work.

        Among few problems chance moves every mean of a row as well, by two standard errors of
        0.5 / sqrt(n): lengths of completions have a standard deviation of half their mean.
        """

        def row(name: str, end: End) -> float:
            chance = (1 + 1 / math.sqrt(n_problems)) ** (ENDS.index(end) - 1)
            value: float = getattr(self.rows[name], end) * chance
            return min(1.0, value) if words(name).startswith("share") else value

        found = {name: getattr(span, end) for name, span in FIGURES.items()}
        found |= {name: row(name, end) for name in self.rows}
        # A large share of attempts means many problems, but few attempts for as many of them.
        return {**found, "attempts_accepted": row("accepted", OPPOSITE[end])}


_FILE: Final[dict[str, Any]] = yaml.safe_load(
    (resources.files("ucoder.planning") / "figures.yaml").read_text("utf-8")
)
_ROWS: Final = _FILE["rows"]
MEASURED: Final = Assumptions(
    "runs of Qwen2.5-Coder-0.5B-Instruct", {name: Range(*row[:3]) for name, row in _ROWS.items()}
)
FIGURES: Final = {name: Range(*row[:3]) for name, row in _FILE["figures"].items()}
N_TASKS: Final[Mapping[str, int]] = _FILE["tasks"]
SHAPES: Final[Mapping[str, tuple[int, ...]]] = _FILE["shapes"]

DISTINCT_EXPONENT: Final = -0.12
"""Of the share of distinct programs in the number of candidates: 0.80 with 16 (our runs), 0.64 with
100 (CodeT's published samples of CodeGen-16B on HumanEval: 36% are duplicates)."""
CHARACTERS_PER_TOKEN: Final = 4.0
"""Of prompts and programs: 725 characters are 180 tokens of Qwen2.5-Coder's, 448 are 119."""


def words(name: str) -> str:
    """What a row is, in words."""
    prefix, _, benchmark = name.partition(".")
    return f"tokens of an answer to {benchmark}" if benchmark else str(_ROWS[prefix][3])

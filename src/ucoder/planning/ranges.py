"""A number that is not known yet: its likeliest value, and how far off it may well be.

Two rules carry ranges through a plan. Factors of a product are estimated apart from each other, so
their relative errors add in quadrature: three guesses within a factor of two make a product within
a factor of 3.3, not of 8. Terms of a sum mostly rest on the same guesses, so their ends add.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Range:
    """From low to high, with the likeliest value between; 0 <= low <= likely <= high.

    What lies outside would be a surprise, as outside a 95% interval; none of the ends is a promise.
    """

    low: float
    likely: float
    high: float

    def __post_init__(self) -> None:
        ends = (self.low, self.likely, self.high)
        if not all(math.isfinite(end) for end in ends) or not 0 <= ends[0] <= ends[1] <= ends[2]:
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

    def __mul__(self, other: Range | float) -> Range:
        other = _range(other)
        return _spread(
            self.likely * other.likely,
            math.hypot(self._down, other._down),
            math.hypot(self._up, other._up),
        )

    def __truediv__(self, other: Range | float) -> Range:
        other = _range(other)
        return _spread(
            self.likely / other.likely,
            math.hypot(self._down, other._up),
            math.hypot(self._up, other._down),
        )

    def __add__(self, other: Range | float) -> Range:
        other = _range(other)
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def map(self, function: Callable[[float], float]) -> Range:
        """Each end through a function that does not fall."""
        return Range(function(self.low), function(self.likely), function(self.high))

    def at_most(self, other: Range | float) -> Range:
        """The smaller of the two, end by end."""
        other = _range(other)
        return Range(
            min(self.low, other.low), min(self.likely, other.likely), min(self.high, other.high)
        )

    def at_least(self, other: Range | float) -> Range:
        """The larger of the two, end by end."""
        other = _range(other)
        return Range(
            max(self.low, other.low), max(self.likely, other.likely), max(self.high, other.high)
        )

    def holds(self, value: float) -> bool:
        """Whether a value lies within, but for rounding."""
        return self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)

    @property
    def _down(self) -> float:
        return _log_ratio(self.likely, self.low)

    @property
    def _up(self) -> float:
        return _log_ratio(self.high, self.likely)


NOTHING = Range.exactly(0)


def total(ranges: Iterable[Range]) -> Range:
    """The sum."""
    result = NOTHING
    for one in ranges:
        result = result + one
    return result


def _range(value: Range | float) -> Range:
    return value if isinstance(value, Range) else Range.exactly(value)


def _log_ratio(larger: float, smaller: float) -> float:
    if larger == smaller:
        return 0.0
    return math.log(larger / smaller) if smaller else math.inf


def _spread(likely: float, down: float, up: float) -> Range:
    if likely == 0:
        return NOTHING
    return Range(likely * math.exp(-down), likely, likely * math.exp(up))

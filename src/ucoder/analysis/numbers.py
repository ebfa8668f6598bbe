"""Tallies, distributions, and numbers as JSON.

An undefined number is NaN here and null in JSON, never 0: a mean over nothing is not zero.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ucoder.records import NAN


@dataclass(frozen=True, slots=True)
class Distribution:
    """A sample in a few numbers; all but `n` are NaN where they are undefined."""

    n: int  # how many values are defined
    mean: float
    sd: float  # sample standard deviation (n - 1); NaN for fewer than two values
    low: float
    q1: float  # first quartile, interpolated linearly
    median: float  # second quartile
    q3: float  # third quartile
    high: float


def describe(values: Iterable[float]) -> Distribution:
    """Describe a sample; values that are not finite are left out of it."""
    sample = sorted(value for value in values if math.isfinite(value))
    if not sample:
        return Distribution(0, NAN, NAN, NAN, NAN, NAN, NAN, NAN)
    if len(sample) == 1:
        only = sample[0]
        return Distribution(1, only, NAN, only, only, only, only, only)
    q1, median, q3 = statistics.quantiles(sample, n=4, method="inclusive")
    mean, sd = statistics.fmean(sample), statistics.stdev(sample)
    return Distribution(len(sample), mean, sd, sample[0], q1, median, q3, sample[-1])


def tally(names: Iterable[str]) -> dict[str, int]:
    """Count names, most frequent first and equal counts by name, so that the order is stable."""
    return in_order(Counter(str(name) for name in names))


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """The same counts, most frequent first; those of 0 are left out."""
    items = ((str(name), count) for name, count in counts.items() if count)
    return dict(sorted(items, key=lambda item: (-item[1], item[0])))


def share(part: float, whole: float) -> float:
    """Divide a part by its whole; NaN where there is no whole."""
    return part / whole if whole else NAN


def plain(value: Any) -> Any:
    """A value that `json.dumps(..., allow_nan=False)` takes: NaN and infinities become None."""
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value

"""What may be said of a mean over tasks: its 95% interval, by resampling the tasks.

Tasks are the sample, so they are what is resampled: everything that was drawn within a task
(seeds, subsets) is averaged before. Two selectors are compared on the same tasks, by the interval
of the mean difference. With few tasks, or where all give the same value, the percentile bootstrap
is too narrow; then only its width misleads, and n says how many there were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ucoder.consensus.votes import Floats
from ucoder.records import NAN

RESAMPLES: Final = 4_000
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over tasks with its 95% interval.

    Attributes:
        value: The mean; NaN where no task is known.
        low: Lower end, NaN likewise.
        high: Upper end.
        n: Tasks whose value is known.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.n == 0:
            return "unknown"
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def interval(values: Sequence[float] | Floats, seed: int = 0) -> Interval:
    """The mean of one value a task, with the percentile bootstrap's 95% interval.

    Args:
        values: One a task; NaN where it is unknown, such tasks are left out.
        seed: Of the resampling.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if known.size == 0:
        return Interval(NAN, NAN, NAN, 0)
    random = np.random.default_rng(seed)
    means = [
        known[random.integers(known.size, size=(_CHUNK, known.size))].mean(axis=1)
        for _ in range(RESAMPLES // _CHUNK)
    ]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Interval(float(known.mean()), float(low), float(high), known.size)


def difference(
    values: Sequence[float] | Floats, others: Sequence[float] | Floats, seed: int = 0
) -> Interval:
    """The mean of value - other over the same tasks, with its 95% interval.

    Args:
        values: One a task.
        others: The same tasks' in the same order.
        seed: Of the resampling.
    """
    return interval(np.asarray(values, np.float64) - np.asarray(others, np.float64), seed)


def mean(values: Sequence[float]) -> float:
    """The mean of those that are not NaN; NaN where none is left."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else NAN

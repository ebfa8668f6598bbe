"""Estimates from verdicts, with their uncertainty: pass@k, intervals, the sign test.

Tasks are the sample: an interval says how far a score could move on other tasks of the same kind.
The verdicts on several samples of a task depend on each other, so they become one value, and the
interval is Wilson's for as many independent tasks as these values are worth (`mean_interval`). With
one sample a task this is Wilson's interval itself. It has a width at 0% and at 100%, where a
bootstrap over tasks has none; `benchmarks/intervals.py` measures the coverage of both.
`comparison` compares two models on the same tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ucoder.errors import InvalidArgument
from ucoder.records import NAN

Z_95 = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution: two-sided 95%."""
_ADDED: Final = 0.5
"""Squared deviations that `mean_interval` adds to those of its tasks, in units of a whole task."""
RESAMPLES: Final = 4_000
"""Of the bootstrap. Another seed moves an end by about a tenth of the interval's half width."""
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over tasks with its 95% interval."""

    value: float  # the mean, NaN for n = 0
    low: float  # lower end of the interval, NaN for n = 0
    high: float  # upper end, NaN for n = 0
    n: int  # tasks whose value is known

    def __str__(self) -> str:
        if self.n == 0:
            return "unknown"
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k samples passes, estimated from n samples of which c passed.

    1 - C(n - c, k) / C(n, k), the mean over all subsets of k of the n samples: unbiased (Chen et
    al. 2021, equation 1), which 1 - (1 - c / n)^k is not. 0 <= c <= n and 1 <= k <= n.

    Raises:
        InvalidArgument: n is less than k, or k less than 1.
        ValueError: c is not in 0 to n.
    """
    if k < 1:
        raise InvalidArgument(f"k={k} is less than 1: pass@{k} is undefined; give a k of 1 or more")
    if n < k:
        raise InvalidArgument(
            f"n={n} samples is less than k={k}: pass@{k} is undefined; sample more or lower k"
        )
    if not 0 <= c <= n:
        raise ValueError(f"c={c} passed samples of n={n}; give 0 to n")
    subsets = math.comb(n, k)
    return (subsets - math.comb(n - c, k)) / subsets  # integers: exactly c / n for k = 1


def require_samples(n_samples: Mapping[str, int], ks: Sequence[int]) -> None:
    """Refuse a pass@k for which a task has too few samples; `n_samples` is by task.

    Raises:
        InvalidArgument: A task has n < k samples; the message names it.
    """
    few = min(n_samples, key=n_samples.__getitem__, default=None)
    k = max(ks, default=0)
    if few is not None and n_samples[few] < k:
        n_few = sum(n < k for n in n_samples.values())
        more = f" (and {n_few - 1} other tasks)" if n_few > 1 else ""
        raise InvalidArgument(
            f"n={n_samples[few]} samples is less than k={k}: pass@{k} is undefined for the task "
            f"{few}{more}; sample more, or lower k"
        )


def usual_ks(n: int) -> tuple[int, ...]:
    """The k of pass@k that are reported where none is asked for: 1, 10 and 100, up to n samples."""
    return tuple(k for k in (1, 10, 100) if k <= max(n, 1))


def wilson(passed: int, n: int) -> Interval:
    """A share of n tasks with the Wilson score interval at 95% (Wilson 1927).

    It stays within [0, 1] and keeps its coverage for few tasks and for shares near 0 and 1, where
    the normal approximation does not.
    """
    if n == 0:
        return Interval(NAN, NAN, NAN, 0)
    return Interval(passed / n, *_wilson_ends(passed / n, n), n)


def mean_interval(
    values: Sequence[float] | NDArray[np.float64], low: float = 0.0, high: float = 1.0
) -> Interval:
    """The mean of one value a task, all of them within low and high, with its 95% interval.

    For pass rates and pass@k of several samples a task, and with low=-1 for differences of two.
    It is Wilson's interval for n / deff tasks, where the design effect deff is the variance of the
    values as a share of the largest that their mean allows, which is that of verdicts 0 and 1. So
    it is used for clustered samples (Franco et al. 2019, "Comparative study of confidence
    intervals for proportions in complex sample surveys"). Tasks that all have the same value would
    make deff 0, however few they are; half a task's squared deviation is therefore added to both
    variances (for a difference, half a task for each of its rates). At the edges, as for values
    that are all 0 or 1, deff is 1.

    Draws within a task must be averaged before; NaN values are left out.

    Raises:
        ValueError: A value is not within low and high.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    n, width = known.size, high - low
    if n == 0:
        return Interval(NAN, NAN, NAN, 0)
    scaled = (known - low) / width
    if scaled.min() < -1e-9 or scaled.max() > 1 + 1e-9:
        raise ValueError(f"values from {known.min()} to {known.max()}; give {low} to {high}")
    share = float(np.clip(scaled.mean(), 0.0, 1.0))
    added = _ADDED / width
    deff = (float(((scaled - share) ** 2).sum()) + added) / (n * share * (1.0 - share) + added)
    mean = float(known.mean())
    ends = (low + width * end for end in _wilson_ends(share, n / deff))
    return Interval(mean, min(mean, next(ends)), max(mean, next(ends)), n)


def _wilson_ends(share: float, n: float) -> tuple[float, float]:
    """Wilson's interval of a share of n independent trials; n may be a fraction."""
    centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def sign_test(better: int, worse: int) -> float:
    """Two-sided p-value of McNemar's exact test, from the tasks on which two models differ.

    If the models were equal, each task that changed would be as likely to change either way. 1.0
    where none changed.
    """
    n = better + worse
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / (1 << n))  # integers: 2^n may overflow a float


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float64], seed: int = 0, n_resamples: int = RESAMPLES
) -> Interval:
    """The mean of one value a task, with the percentile bootstrap's 95% interval.

    For values without known bounds, such as counts; shares and their differences have
    `mean_interval`. Draws within a task (samples, seeds, subsets) must be averaged before; NaN
    values are left out. The same seed gives the same interval. With few tasks the interval is too
    narrow, and where all tasks have the same value it has no width.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if known.size == 0:
        return Interval(NAN, NAN, NAN, 0)
    random = np.random.default_rng(seed)
    means = [
        known[random.integers(known.size, size=(min(_CHUNK, n_resamples - at), known.size))]
        .mean(axis=1)
        for at in range(0, n_resamples, _CHUNK)
    ]  # fmt: skip
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Interval(float(known.mean()), float(low), float(high), known.size)

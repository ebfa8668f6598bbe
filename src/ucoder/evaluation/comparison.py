"""Whether two models differ, from their verdicts on the same tasks.

Tasks differ more than models do, so two models are compared task by task: only the tasks on which
their verdicts differ are evidence. Overlapping intervals do not show that two models are equal;
look at the interval of their difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np

from ucoder.evaluation.statistics import mean_interval, sign_test, wilson
from ucoder.records import NAN

_MAX_CELLS: Final = 100_000_000
"""Additions of the exact permutation test, about a second's worth; above it, signs are sampled."""
_PERMUTATIONS: Final = 20_000
_CHUNK_CELLS: Final = 2_000_000
_SEED: Final = 0

ALPHA: Final = 0.05
"""A difference is called one where the corrected p-value is below this."""


class Trials(NamedTuple):
    """One model's samples of one task: how many passed, of how many with a verdict."""

    passed: int
    n: int

    @property
    def rate(self) -> Fraction:
        """Passed / n, which has to be more than 0."""
        return Fraction(self.passed, self.n)


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A second model against a first, on the tasks that were run for both."""

    n: int  # tasks with a verdict for both models
    n_left_out: int  # tasks without a verdict for one of the two
    better: int  # tasks that the second passes more often
    worse: int  # tasks that it passes less often
    # Mean over tasks of its pass rate less the first's, in [-1, 1]; NaN for n = 0.
    difference: float
    low: float  # lower end of the 95% interval of the difference; NaN for n = 0
    high: float  # upper end; NaN for n = 0
    p: float  # two-sided p-value of no difference; NaN for n = 0
    # The same after Holm's correction for the number of comparisons; equal to `p` where this is the
    # only one.
    p_corrected: float

    @property
    def told_apart(self) -> bool:
        """Whether these tasks tell the two models apart, at the 5% level after correction."""
        return self.p_corrected < ALPHA  # False for NaN


def paired_test(
    first: Sequence[Trials], second: Sequence[Trials], n_left_out: int = 0
) -> PairedTest:
    """Compare two models' trials of the same tasks, in the same order, n > 0 each.

    With one sample a task, the p-value is that of McNemar's exact test and the interval is
    Newcombe's. With more, p is that of a permutation test that swaps the two models' results task
    by task, and the interval is `mean_interval` of the differences. Both intervals have a width
    even where no task changed. `n_left_out` is passed on to the result.

    Raises:
        ValueError: The two are not of equal length.
    """
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        return PairedTest(0, n_left_out, 0, 0, NAN, NAN, NAN, NAN, NAN)
    differences = [now.rate - then.rate for then, now in pairs]
    better = sum(d > 0 for d in differences)
    worse = sum(d < 0 for d in differences)
    value = float(sum(differences) / len(pairs))
    if all(then.n == now.n == 1 for then, now in pairs):
        both = sum(then.passed and now.passed for then, now in pairs)
        low, high = difference_interval(both, better, worse, len(pairs) - both - better - worse)
        p = sign_test(better, worse)
    else:
        found = mean_interval([float(d) for d in differences], low=-1.0)
        low, high, p = found.low, found.high, sign_flip_test(differences)
    return PairedTest(len(pairs), n_left_out, better, worse, value, low, high, p, p)


def sign_flip_test(differences: Sequence[Fraction], seed: int = _SEED) -> float:
    """Two-sided p-value of a permutation test on per-task differences of pass rates.

    If the models were equal, a task's two results could be swapped, so every choice of signs would
    be equally likely; p is the share of choices whose sum is at least as far from 0. Pass rates of
    n samples are multiples of 1/n, so the sums of all 2^tasks choices are counted exactly, by
    convolving one task after the other. With one sample a task this is `sign_test`. Where unequal
    numbers of samples make the steps too fine to count, 20,000 choices are drawn from `seed`, and
    the observed one counts as one of them, so p is never 0 (Phipson and Smyth 2010).
    """
    changed = [d for d in differences if d]
    if not changed:
        return 1.0
    step = math.lcm(*(d.denominator for d in changed))
    sizes = [abs(int(d * step)) for d in changed]
    observed = abs(int(sum(changed) * step))
    if (2 * sum(sizes) + 1) * len(sizes) <= _MAX_CELLS:
        return _counted(sizes, observed)
    return _drawn([float(d) for d in changed], seed)


def _counted(sizes: Sequence[int], observed: int) -> float:
    total = sum(sizes)
    chances = np.zeros(2 * total + 1)  # of the sum, from -total to total
    chances[total] = 1.0
    for size in sizes:
        up, down = np.roll(chances, size), np.roll(chances, -size)  # never wraps around
        chances = 0.5 * (up + down)
    sums = np.abs(np.arange(-total, total + 1))
    return min(1.0, float(chances[sums >= observed].sum()))


def _drawn(changed: Sequence[float], seed: int) -> float:
    random = np.random.default_rng(seed)
    values = np.asarray(changed)
    least = abs(values.sum()) - 1e-9  # float sums depend on the order
    as_far = 0
    chunk = max(1, _CHUNK_CELLS // values.size)
    for at in range(0, _PERMUTATIONS, chunk):
        shape = (min(chunk, _PERMUTATIONS - at), values.size)
        signs = 2.0 * random.integers(2, size=shape) - 1.0
        as_far += int((np.abs(signs @ values) >= least).sum())
    return (1 + as_far) / (1 + _PERMUTATIONS)


def difference_interval(both: int, better: int, worse: int, neither: int) -> tuple[float, float]:
    """The 95% interval of a difference of two shares of the same tasks.

    Newcombe's method 10 (1998, "Improved confidence intervals for the difference between binomial
    proportions based on paired data"): combines the Wilson intervals of the two shares with their
    correlation. Unlike a bootstrap, it has a width even where no task changed. The arguments count
    the tasks that both models pass, only the second (better), only the first (worse), and neither.

    Returns:
        Its ends, in [-1, 1]; NaN if all four counts are 0.
    """
    n = both + better + worse + neither
    if n == 0:
        return NAN, NAN
    now, then = wilson(both + better, n), wilson(both + worse, n)
    phi = _correlation(both, better, worse, neither)
    difference = (better - worse) / n

    def reach(of_now: float, of_then: float) -> float:
        return math.sqrt(max(0.0, of_now**2 - 2 * phi * of_now * of_then + of_then**2))

    return (
        max(-1.0, difference - reach(now.value - now.low, then.high - then.value)),
        min(1.0, difference + reach(now.high - now.value, then.value - then.low)),
    )


def _correlation(both: int, better: int, worse: int, neither: int) -> float:
    """Phi of the two models' verdicts, with the continuity correction of the method."""
    product = (both + better) * (both + worse) * (better + neither) * (worse + neither)
    if product == 0:
        return 0.0
    numerator: float = both * neither - better * worse
    if numerator > 0:
        numerator = max(numerator - (both + better + worse + neither) / 2, 0.0)
    return numerator / math.sqrt(product)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979), in the same order; NaN is not counted.

    Of many comparisons between equal models, one in twenty has p < 0.05 by chance alone. After the
    correction, the chance that any of them is wrongly called a difference stays below 5%, however
    the comparisons depend on each other.
    """
    order = sorted((p, at) for at, p in enumerate(p_values) if not math.isnan(p))
    corrected = [NAN] * len(p_values)
    largest = 0.0
    for rank, (p, at) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[at] = largest
    return corrected

"""What may be said from a number of verdicts: estimates with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution: two-sided 95%."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with a 95% interval.

    Attributes:
        passed: How many passed.
        n: Of how many that were run.
        value: passed / n, NaN for n = 0.
        low: Lower end of the interval, NaN for n = 0.
        high: Upper end.
    """

    passed: int
    n: int
    value: float
    low: float
    high: float


def wilson(passed: int, n: int) -> Estimate:
    """The Wilson score interval at 95% (Wilson 1927).

    It keeps to [0, 1] and stays honest for few tasks and for shares near 0 and 1, where the
    textbook interval does not. It treats tasks as a sample of the tasks that might have been
    asked.
    """
    if n == 0:
        return Estimate(0, 0, math.nan, math.nan, math.nan)
    share = passed / n
    centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    return Estimate(passed, n, share, max(0.0, centre - half), min(1.0, centre + half))


def sign_test(better: int, worse: int) -> float:
    """Two-sided exact p-value that two models differ, from the tasks on which they do.

    McNemar's exact test: under no difference each of the tasks that changed was as likely to
    change either way. 1.0 where none changed.
    """
    n = better + worse
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / float(2**n))

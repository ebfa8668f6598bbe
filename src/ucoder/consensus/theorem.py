"""Theorem 2.4 (consensus convergence), and how far it holds where correctness is known.

The theorem: n candidates are independent; at least k of them are correct with probability at least
1 - delta; two incorrect ones agree on one test with probability at most p < 1. If the number of
tests |T| >= log(n / k) / -log p, then the largest cluster holds correct candidates only, with
probability at least

    1 - delta - n^2 * p^|T|

Its assumptions, and where they fail:

- Tests are independent: two incorrect programs that agree on one test are no more likely to agree
  on the next. In practice both may share one misunderstanding and agree on all tests. This is where
  the bound fails first, and `Observation.orders_of_magnitude` says by how much.
- Incorrect candidates are independent of each other. But one model wrote them all.
- Correct candidates agree on every test, so that k of them form one cluster. Problems with several
  correct answers violate this, and so do invalid inputs.

Therefore the bound is reported beside the observed rate, never in place of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ucoder.consensus.votes import Bools, Floats, Ints, numbered
from ucoder.errors import InvalidArgument
from ucoder.records import NAN

_SLACK: Final = 1e-9
"""Relative tolerance: 1000 * 0.1 ** 3 is slightly more than 1 in floating point."""


def bound(n: int, k: int, p: float, delta: float, n_tests: int) -> float:
    """Theorem 2.4: a lower bound of the probability that the largest cluster is all correct.

    Args:
        n: Candidates, at least 1.
        k: Lower limit of the correct ones, 1 to n.
        p: Probability that two incorrect candidates agree on one test, 0 <= p < 1.
        delta: Probability of fewer than k correct candidates, 0 to 1.
        n_tests: |T|, at least 0.

    Returns:
        The value of the formula. A bound of 0 or below is trivially true; how far below shows how
        much is missing. NaN where |T| < log(n / k) / -log p, as the theorem then does not apply.

    Raises:
        InvalidArgument: An argument is out of its range.
    """
    _check(n, k, p, n_tests)
    if not 0.0 <= delta <= 1.0:
        raise InvalidArgument(f"delta={delta} is not a probability; give 0 to 1")
    # The condition |T| >= log(n / k) / -log p, solved for k.
    if n * p**n_tests > k * (1.0 + _SLACK):
        return NAN
    return 1.0 - delta - n**2 * p**n_tests


def least_k(n: int, p: float, n_tests: int) -> int:
    """The smallest k for which the theorem applies with this many tests.

    The bound depends on k only through delta, which grows with k, so the smallest k is the best.

    Raises:
        InvalidArgument: An argument is out of its range.
    """
    _check(n, n, p, n_tests)
    return max(1, math.ceil(n * p**n_tests / (1.0 + _SLACK / 2)))


@dataclass(frozen=True, slots=True)
class Observation:
    """One problem for which it is known which candidates are correct.

    Attributes:
        n: Candidates.
        n_tests: |T|.
        n_correct: Correct candidates.
        p: Share of pairs of distinct incorrect candidates, and of tests, on which both agree; NaN
            with fewer than two incorrect candidates, or no test.
        joint: Share of these pairs that agree on every test; NaN where p is.
        is_pure: Whether the largest cluster holds correct candidates only; all of them, where
            several are equally large.
    """

    n: int
    n_tests: int
    n_correct: int
    p: float
    joint: float
    is_pure: bool

    @property
    def orders_of_magnitude(self) -> float:
        """log10(joint / p^|T|): how far independence over tests understates joint agreement.

        0 where tests are independent; -inf where no pair agrees on every test although some agree
        on one (with few pairs this is compatible with independence); NaN where p is 0 or undefined.
        """
        if math.isnan(self.p) or self.p == 0.0:
            return NAN
        joint = math.log10(self.joint) if self.joint > 0.0 else -math.inf
        return joint - self.n_tests * math.log10(self.p)


def observe(answers_PT: Ints, weights_P: Ints, correct_P: Bools) -> Observation:
    """Measure what the theorem assumes, and what it asserts, on one problem.

    Two candidates agree on a test where their codes are equal, also if both are bottom, because
    that is what a signature compares (definition 2.1). Pairs are of distinct candidates, even of
    the same program: the theorem is about candidates, not programs.

    Args:
        answers_PT: As in `Votes`.
        weights_P: As in `Votes`.
        correct_P: Which programs are correct, by the benchmark's own tests.

    Raises:
        InvalidArgument: The shapes of the arrays do not match.
    """
    P, T = answers_PT.shape
    if weights_P.shape != (P,) or correct_P.shape != (P,):
        raise InvalidArgument(
            f"{P} programs, but weights_P has shape {weights_P.shape} and correct_P has shape "
            f"{correct_P.shape}; give one entry of each a program"
        )
    clusters_P = numbered(answers_PT)
    sizes_C = np.bincount(clusters_P, weights_P)
    wrong_C = np.bincount(clusters_P, weights_P * ~correct_P)
    wrong_PT, wrong_weights_P = answers_PT[~correct_P], weights_P[~correct_P]
    agreements_T = np.array([_agreement(wrong_PT[:, at], wrong_weights_P) for at in range(T)])
    return Observation(
        n=int(weights_P.sum()),
        n_tests=T,
        n_correct=int(weights_P[correct_P].sum()),
        p=float(agreements_T.mean()) if T else NAN,
        joint=_agreement(clusters_P[~correct_P], wrong_weights_P) if T else NAN,
        is_pure=bool(P) and not wrong_C[sizes_C == sizes_C.max()].any(),
    )


@dataclass(frozen=True, slots=True)
class TheoremEstimate:
    """The theorem's quantities over a set of problems, its bound, and what was observed.

    Attributes:
        n_problems: With at least one candidate and one test.
        n: Largest number of candidates of a problem. With `n_tests` it gives the smallest bound.
        n_tests: Smallest number of tests of a problem.
        p: Mean over problems of `Observation.p`.
        p_largest: Their maximum. The theorem asks for an upper limit; where two incorrect programs
            always agree, p = 1 and it does not apply.
        k: The smallest k for which the theorem applies at `p`.
        delta: Share of the problems with fewer than k correct candidates.
        bound: For these values; NaN where p is 1 or undefined.
        observed: Share of the problems whose largest cluster holds correct candidates only.
        joint: Mean over problems of `Observation.joint`.
        joint_if_independent: Mean over problems of p^|T|, each with its own p.
        orders_of_magnitude: Median over problems of log10(joint / p^|T|): by how much independence
            understates the agreement of incorrect programs.
    """

    n_problems: int
    n: int
    n_tests: int
    p: float
    p_largest: float
    k: int
    delta: float
    bound: float
    observed: float
    joint: float
    joint_if_independent: float
    orders_of_magnitude: float


def estimate(observations: Iterable[Observation]) -> TheoremEstimate:
    """Estimate p, k and delta over problems, and compare the bound with the observed rate.

    Raises:
        InvalidArgument: No problem has a candidate and a test.
    """
    seen = [o for o in observations if o.n and o.n_tests]
    if not seen:
        raise InvalidArgument("no problem has a candidate and a test: there is nothing to estimate")
    n, n_tests = max(o.n for o in seen), min(o.n_tests for o in seen)
    with_pairs = [o for o in seen if not math.isnan(o.p)]
    p = _mean([o.p for o in with_pairs])
    k = least_k(n, p, n_tests) if p < 1.0 else n
    delta = sum(o.n_correct < k for o in seen) / len(seen)
    orders = [o.orders_of_magnitude for o in with_pairs if o.p > 0.0]
    return TheoremEstimate(
        n_problems=len(seen),
        n=n,
        n_tests=n_tests,
        p=p,
        p_largest=max((o.p for o in with_pairs), default=NAN),
        k=k,
        delta=delta,
        bound=bound(n, k, p, delta, n_tests) if p < 1.0 else NAN,
        observed=sum(o.is_pure for o in seen) / len(seen),
        joint=_mean([o.joint for o in with_pairs]),
        joint_if_independent=_mean([o.p**o.n_tests for o in with_pairs]),
        orders_of_magnitude=float(np.median(orders)) if orders else NAN,
    )


def _agreement(codes_P: Ints, weights_P: Ints) -> float:
    """The share of pairs of distinct candidates with equal codes; NaN if there is no pair."""
    n = int(weights_P.sum())
    if n < 2:
        return NAN
    sizes: Floats = np.bincount(numbered(codes_P), weights_P).astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / (n * (n - 1)))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else NAN


def _check(n: int, k: int, p: float, n_tests: int) -> None:
    if n < 1:
        raise InvalidArgument(f"n={n} candidates; the theorem needs at least 1")
    if not 1 <= k <= n:
        raise InvalidArgument(f"k={k} correct candidates of n={n}; give 1 to {n}")
    if not 0.0 <= p < 1.0:
        raise InvalidArgument(
            f"p={p} is not in 0 <= p < 1; where two incorrect candidates always agree, the theorem "
            f"does not apply"
        )
    if n_tests < 0:
        raise InvalidArgument(f"n_tests={n_tests} is negative; give the number of tests, 0 or more")

"""Theorem 2.4 (consensus convergence), and what of it holds where the truth is known.

The theorem: n candidates are independent; at least k of them are correct with probability at least
1 - delta; two incorrect ones agree on one test with probability at most p < 1. If the number of
tests |T| >= log(n / k) / -log p, then the largest cluster holds correct candidates only, with
probability at least

    1 - delta - n^2 * p^|T|

Its assumptions, for a reader who wants to lean on it:

- Tests are independent: two wrong programs that agree on one test agree on the next no more often.
  In practice the two may be one misunderstanding in two spellings, and agree on all of them. This
  is where the bound fails first, and `Observation.orders_of_magnitude` says by how much.
- Wrong candidates are independent of each other. One model wrote them all.
- Correct candidates agree on every test, so that k of them make one cluster. Problems with several
  right answers break it, and so do inputs that the problem does not allow.

Therefore the bound stands beside the observed rate, never in place of it.
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
"""Relative: 1000 * 0.1 ** 3 is a little more than 1 in floating point, and 1 is meant."""


def tests_needed(n: int, k: int, p: float) -> int:
    """The fewest tests for which theorem 2.4 speaks: the least |T| with n * p^|T| <= k.

    That is |T| >= log(n / k) / -log p, solved for whole numbers.

    Args:
        n: Candidates, at least 1.
        k: How many of them are correct at least, 1 to n.
        p: How likely two incorrect candidates agree on one test, 0 <= p < 1.

    Raises:
        InvalidArgument: An argument is out of its range.
    """
    _check(n, k, p)
    n_tests = 0 if p == 0.0 else max(0, math.floor(math.log(n / k) / -math.log(p)) - 1)
    while not _speaks(n, k, p, n_tests):
        n_tests += 1
    return n_tests


def bound(n: int, k: int, p: float, delta: float, n_tests: int) -> float:
    """Theorem 2.4: a lower bound of the probability that the largest cluster is all correct.

    The number is given as the formula has it. At 0 or below it says nothing, as any probability is
    that large; how far below shows what it would take. NaN where the theorem's condition on
    the number of tests is not met: then it makes no statement, not even an empty one.

    Args:
        n: As in `tests_needed`, like k and p.
        k: See there.
        p: See there.
        delta: Probability of fewer than k correct candidates, 0 to 1.
        n_tests: |T|, at least 0.

    Raises:
        InvalidArgument: An argument is out of its range.
    """
    _check(n, k, p)
    if not 0.0 <= delta <= 1.0:
        raise InvalidArgument(f"delta={delta} is no probability; give 0 to 1")
    if n_tests < 0:
        raise InvalidArgument(f"n_tests={n_tests} is negative; give the number of tests, 0 or more")
    if not _speaks(n, k, p, n_tests):
        return NAN
    return 1.0 - delta - n**2 * p**n_tests


def least_k(n: int, p: float, n_tests: int) -> int:
    """The fewest correct candidates for which the theorem speaks with so many tests.

    The bound does not depend on k but for delta, which grows with it: the least is the best.

    Raises:
        InvalidArgument: An argument is out of its range.
    """
    _check(n, n, p)
    if n_tests < 0:
        raise InvalidArgument(f"n_tests={n_tests} is negative; give the number of tests, 0 or more")
    return max(1, math.ceil(n * p**n_tests / (1.0 + _SLACK / 2)))


@dataclass(frozen=True, slots=True)
class Observation:
    """One problem whose truth is known.

    Attributes:
        n: Candidates.
        n_tests: |T|.
        n_correct: Correct candidates.
        p: How often two distinct incorrect candidates agree on one test, over their pairs and the
            tests; NaN with fewer than two incorrect ones, or no test.
        joint: How often they agree on every test, over their pairs; NaN likewise.
        is_pure: Whether the largest cluster holds correct candidates only. Where several are
            equally large, each must.
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

        0 where it holds; -inf where no pair agrees on every test although some agree on one, which
        few pairs cannot tell from independence; NaN where either is undefined or p = 0.
        """
        if math.isnan(self.p) or self.p == 0.0:
            return NAN
        joint = math.log10(self.joint) if self.joint > 0.0 else -math.inf
        return joint - self.n_tests * math.log10(self.p)


def observe(answers_PT: Ints, weights_P: Ints, correct_P: Bools) -> Observation:
    """Measure what the theorem assumes, and what it promises, on one problem.

    Two candidates agree on a test where their codes are equal, bottom with bottom too: that is what
    a signature compares (definition 2.1). Pairs are of distinct candidates, of one program or not:
    the theorem draws candidates, not programs.

    Args:
        answers_PT: As in `Votes`.
        weights_P: As in `Votes`.
        correct_P: Which programs are correct, by the benchmark's own tests.

    Raises:
        InvalidArgument: The arrays do not belong together.
    """
    P, T = answers_PT.shape
    if weights_P.shape != (P,) or correct_P.shape != (P,):
        raise InvalidArgument(
            f"{P} programs have {weights_P.shape} weights and {correct_P.shape} truths; "
            f"give one of each a program"
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
class Estimate:
    """The theorem's quantities over a set of problems, its bound, and what was observed.

    Attributes:
        n_problems: With at least one candidate and one test.
        n: Most candidates of a problem. This, and the fewest tests, make the bound smallest.
        n_tests: Fewest tests of a problem.
        p: Mean of the problems' agreement on one test.
        p_largest: The largest of them. The theorem wants an upper limit; with p = 1, two wrong
            programs that always agree, it says nothing at all.
        k: The fewest correct candidates for which the theorem speaks, at `p`.
        delta: Share of the problems with fewer than k correct candidates.
        bound: At these; 0 or less says nothing, NaN: there is none, because p is 1 or undefined.
        observed: Share of the problems whose largest cluster holds correct candidates only.
        joint: Mean agreement of two incorrect candidates on all tests.
        joint_if_independent: The mean of what p^|T| says it is, each problem with its own p.
        orders_of_magnitude: Median over problems of log10(joint / p^|T|): by how much the
            assumption understates that wrong programs agree.
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


def estimate(observations: Iterable[Observation]) -> Estimate:
    """Estimate p, k and delta over problems, and set the bound beside the observed rate.

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
    return Estimate(
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
    """The share of the pairs of distinct candidates with equal codes; NaN without a pair."""
    n = int(weights_P.sum())
    if n < 2:
        return NAN
    sizes: Floats = np.bincount(numbered(codes_P), weights_P).astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / (n * (n - 1)))


def _speaks(n: int, k: int, p: float, n_tests: int) -> bool:
    """The theorem's condition |T| >= log(n / k) / -log p, in the form n * p^|T| <= k."""
    return n * p**n_tests <= k * (1.0 + _SLACK)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else NAN


def _check(n: int, k: int, p: float) -> None:
    if n < 1:
        raise InvalidArgument(f"n={n} candidates; the theorem needs at least 1")
    if not 1 <= k <= n:
        raise InvalidArgument(f"k={k} correct candidates of n={n}; give 1 to {n}")
    if not 0.0 <= p < 1.0:
        raise InvalidArgument(
            f"p={p} is not in 0 <= p < 1; where two incorrect candidates always agree, the theorem "
            f"says nothing"
        )

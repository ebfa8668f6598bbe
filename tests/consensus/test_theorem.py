"""Theorem 2.4 by hand, and its estimates on data that satisfy or violate its assumptions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.consensus.theorem import Observation, bound, estimate, least_k, observe
from ucoder.errors import InvalidArgument


@pytest.mark.parametrize(
    ("n", "k", "p", "expected"),
    [(128, 8, 0.5, 4), (128, 7, 0.5, 5), (1000, 1, 0.1, 3), (9, 9, 0.9, 0), (9, 8, 0.0, 1)],
)
def test_the_theorem_applies_from_log_n_over_k_by_minus_log_p_tests_on(
    n: int, k: int, p: float, expected: int
) -> None:
    applies = [not math.isnan(bound(n, k, p, 0.0, n_tests)) for n_tests in range(expected + 3)]
    assert applies == [False] * expected + [True] * 3


def test_the_bound_is_the_formula() -> None:
    assert bound(10, 2, 0.1, 0.05, 3) == pytest.approx(1 - 0.05 - 100 * 0.001)
    assert bound(10, 10, 0.0, 0.0, 1) == 1.0


def test_a_negative_bound_is_not_clipped_and_too_few_tests_give_nan() -> None:
    assert bound(8, 1, 0.5, 0.0, 3) == pytest.approx(1 - 64 / 8)
    assert math.isnan(bound(8, 1, 0.5, 0.0, 2))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0, 1, 0.5, 0.0, 9), "n=0"),
        ((8, 0, 0.5, 0.0, 9), "k=0"),
        ((8, 9, 0.5, 0.0, 9), "k=9"),
        ((8, 1, 1.0, 0.0, 9), "p=1.0"),
        ((8, 1, math.nan, 0.0, 9), "p=nan"),
        ((8, 1, 0.5, 1.5, 9), "delta=1.5"),
        ((8, 1, 0.5, 0.0, -1), "n_tests=-1"),
    ],
)
def test_arguments_out_of_range_are_refused(
    arguments: tuple[int, int, float, float, int], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=named):
        bound(*arguments)


@given(st.integers(1, 500), st.floats(0.0, 0.999), st.integers(0, 300))
def test_least_k_is_the_smallest_k_for_which_the_theorem_applies(
    n: int, p: float, n_tests: int
) -> None:
    k = least_k(n, p, n_tests)
    assert 1 <= k <= n
    assert not math.isnan(bound(n, k, p, 0.0, n_tests))
    assert k == 1 or math.isnan(bound(n, k - 1, p, 0.0, n_tests))


def test_p_and_joint_are_shares_of_pairs_of_incorrect_candidates() -> None:
    # Wrong: 1 1 twice and 1 2; of three pairs all agree on the first test, one on the second.
    seen = observe(
        np.array([[1, 1], [1, 2], [5, 5]], dtype=np.int32),
        np.array([2, 1, 3], dtype=np.int32),
        np.array([False, False, True]),
    )
    assert seen == Observation(6, 2, 3, pytest.approx(2 / 3), pytest.approx(1 / 3), True)
    assert seen.orders_of_magnitude == pytest.approx(math.log10((1 / 3) / (4 / 9)))


def test_a_largest_cluster_that_ties_with_a_wrong_one_is_not_pure() -> None:
    answers = np.array([[1], [2], [3]], dtype=np.int32)
    weights = np.array([2, 2, 1], dtype=np.int32)
    assert not observe(answers, weights, np.array([True, False, True])).is_pure
    assert observe(answers, weights, np.array([True, True, False])).is_pure


def test_a_cluster_of_a_correct_and_an_incorrect_program_is_not_pure() -> None:
    answers = np.array([[1], [1], [2]], dtype=np.int32)
    seen = observe(answers, np.array([5, 1, 1], dtype=np.int32), np.array([True, False, False]))
    assert not seen.is_pure


def test_fewer_than_two_wrong_candidates_leave_p_undefined() -> None:
    answers = np.array([[1], [2]], dtype=np.int32)
    seen = observe(answers, np.array([5, 1], dtype=np.int32), np.array([True, False]))
    assert math.isnan(seen.p)
    assert math.isnan(seen.orders_of_magnitude)
    alone = estimate([seen])
    assert math.isnan(alone.p)
    assert math.isnan(alone.bound)
    assert alone.observed == 1.0


def test_arrays_whose_shapes_do_not_match_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="2 programs"):
        observe(
            np.zeros((2, 1), dtype=np.int32), np.ones(3, dtype=np.int32), np.array([True, False])
        )
    with pytest.raises(InvalidArgument, match="nothing to estimate"):
        estimate([])


def wrong_programs(rng: np.random.Generator, n_tests: int, *, correlated: bool) -> Observation:
    """40 wrong programs with one of two answers a test, and 20 right ones.

    Correlated: each has one of two misunderstandings, and p is the same.
    """
    n_wrong = 40
    if correlated:
        wrong = np.tile(rng.integers(0, 2, size=(n_wrong, 1)), (1, n_tests))
    else:
        wrong = rng.integers(0, 2, size=(n_wrong, n_tests))
    answers = np.vstack([wrong, np.full((1, n_tests), 2)]).astype(np.int32)
    weights = np.array([1] * n_wrong + [20], dtype=np.int32)
    return observe(answers, weights, np.array([False] * n_wrong + [True]))


def test_for_independent_incorrect_programs_joint_agreement_is_p_to_the_number_of_tests() -> None:
    rng = np.random.default_rng(0)
    found = estimate([wrong_programs(rng, 4, correlated=False) for _ in range(30)])
    assert found.p == pytest.approx(0.5, abs=0.02)
    assert abs(found.orders_of_magnitude) < 0.2
    assert found.joint == pytest.approx(found.joint_if_independent, rel=0.3)
    assert found.observed == 1.0


def test_for_correlated_incorrect_programs_the_bound_exceeds_the_observed_rate() -> None:
    rng = np.random.default_rng(0)
    found = estimate([wrong_programs(rng, 30, correlated=True) for _ in range(30)])
    assert found.p == pytest.approx(0.5, abs=0.05)
    # p^|T| = 2^-30 or 10^-9; in truth every second pair agrees on everything.
    assert found.orders_of_magnitude == pytest.approx(29 * math.log10(2), abs=0.3)
    assert found.bound > 0.99
    assert found.observed < 0.5


def test_k_and_delta_come_from_the_counts_of_correct_candidates() -> None:
    # 8 * 0.5^2 = 2 right ones are asked for; one problem of two has them.
    few = Observation(8, 2, 1, 0.5, 0.5, False)
    enough = Observation(8, 2, 2, 0.5, 0.25, True)
    found = estimate([few, enough])
    assert (found.k, found.delta) == (2, 0.5)
    assert found.bound == pytest.approx(1 - 0.5 - 64 / 4)
    assert found.observed == 0.5

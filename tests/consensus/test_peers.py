"""What others published, on cases computed by hand from their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ucoder.consensus.selectors.peers import entropy_of
from ucoder.records import Reason

from .cases import ON_PURPOSE, RAISED, case

NAN = pytest.approx(math.nan, nan_ok=True)


def test_codet_is_the_root_of_solutions_times_tests() -> None:
    # Tests: f(0) = 1, three times; f(0) = 9; f(1) = 2. b and e pass the same, in 4 + 5 candidates.
    problem = case(
        {"a": [1, 2], "b": [1, 5], "c": [9, 5], "d": [7, 7], "e": [1, 6]},
        n={"a": 4, "b": 4, "e": 5, "d": 50},
        predictions=[{"1": 3, "9": 1}, {"2": 1}],
    )
    assert problem.rank("codet") == {
        "a": 2.0 * 4, "b": 3.0 * 3, "c": 1.0 * 1, "d": NAN, "e": 3.0 * 3
    }  # fmt: skip
    assert problem.ranking("codet").n_reliable == 14


def test_codet_draws_among_its_best_and_among_all_where_no_test_is_passed() -> None:
    assert case({"a": [1]}).ranking("codet").is_lottery
    nothing = case({"a": [1], "b": [3], "c": [RAISED]}, predictions=[{"2": 5}])
    assert nothing.rank("codet") == {"a": 0.0, "b": 0.0, "c": NAN}
    assert case({"a": [1], "b": [RAISED]}).rank("codet") == {"a": 0.0, "b": NAN}


def test_soft_risk_counts_shares_and_hard_risk_all_or_nothing() -> None:
    problem = case({"a": [1, 1, 1], "b": [1, 1, 2], "c": [3, 1, 2], "d": [1, 4, 2]}, n={"a": 2})
    soft = problem.rank("mbr_soft")
    assert soft["a"] == pytest.approx((2 + 2 / 3 + 1 / 3 + 1 / 3) / 5)
    assert soft["b"] == pytest.approx((2 * 2 / 3 + 1 + 2 / 3 + 2 / 3) / 5)
    assert problem.chosen("mbr_soft") == "b"
    assert problem.rank("mbr_hard") == {"a": 0.4, "b": 0.2, "c": 0.2, "d": 0.2}
    assert problem.chosen("mbr_hard") == "a"


@pytest.mark.parametrize("failure", [RAISED, ON_PURPOSE])
def test_under_execution_risk_a_failure_agrees_with_nothing(failure: object) -> None:
    problem = case({"a": [1, failure], "b": [1, 2]}, n={"a": 9})
    assert problem.rank("mbr_hard") == {"a": 0.0, "b": 0.1}
    assert problem.rank("mbr_soft") == {"a": 0.5, "b": pytest.approx((9 / 2 + 1) / 10)}


def test_srank_is_overlap_times_size_and_pass_rate() -> None:
    # Four predictions; k is constant and is not counted. Sizes count programs: 2, 1, 1 of 4.
    problem = case(
        {"a1": [1, 2], "a2": [1, 2], "b": [1, 4], "c": [3, 4], "k": [2, 2]},
        n={"a1": 5, "b": 3, "k": 9},
        predictions=[{"1": 2, "3": 1}, {"2": 1}],
    )
    v_a, v_b, v_c = 2 / 4 * 3 / 4, 1 / 4 * 2 / 4, 1 / 4 * 1 / 4
    scores = problem.rank("srank")
    assert scores["a1"] == scores["a2"] == pytest.approx(v_a + v_b / 2)
    assert scores["b"] == pytest.approx(v_a / 2 + v_b + v_c / 2)
    assert scores["c"] == pytest.approx(v_b / 2 + v_c)
    assert scores["k"] == 0.0
    assert problem.ranking("srank").is_lottery


def test_srank_without_predictions_goes_by_size_alone() -> None:
    problem = case({"a": [1, 2], "b": [1, 3], "c": [4, 5]})
    assert problem.rank("srank") == {
        "a": pytest.approx(1 / 3 + 1 / 6), "b": pytest.approx(1 / 2), "c": pytest.approx(1 / 3)
    }  # fmt: skip


def test_srank_chooses_among_constants_where_there_is_nothing_else() -> None:
    problem = case({"a": [1, 1], "b": [2, 2]}, predictions=[{"1": 1}])
    assert problem.rank("srank") == {"a": 0.0, "b": 0.0}
    # With a single input no program is constant.
    assert case({"a": [1]}).rank("srank") == {"a": 1.0}


def test_conself_scores_by_the_share_of_equal_outputs() -> None:
    problem = case({"a": [1, 1], "b": [1, 2]}, n={"a": 9})
    assert entropy_of(np.array([9.0, 1.0])) == pytest.approx(0.469 / 3.3219, abs=1e-4)
    assert problem.rank("conself") == {"a": pytest.approx(0.95), "b": pytest.approx(0.55)}
    assert problem.chosen("conself") == "a"


def test_conself_abstains_where_behaviours_are_diverse() -> None:
    # 3 and 1 of 4: 0.811 bits of 2.
    problem = case({"a": [1], "b": [2]}, n={"a": 3})
    assert entropy_of(np.array([3.0, 1.0])) == pytest.approx(0.4056, abs=1e-4)
    assert problem.ranking("conself").reason is Reason.NO_CONSENSUS
    assert problem.chosen("conself") is None
    assert case({"a": [1]}, n={"a": 3}).chosen("conself") == "a"
    assert case({"a": [1]}).chosen("conself") is None


@pytest.mark.parametrize(("n_crashing", "chosen"), [(7, "a"), (8, None)])
def test_conself_drops_all_error_candidates_and_abstains_at_80_percent(
    n_crashing: int, chosen: str | None
) -> None:
    problem = case(
        {"a": [1, RAISED], "x": [RAISED, RAISED]}, n={"a": 10 - n_crashing, "x": n_crashing}
    )
    assert problem.chosen("conself") == chosen


def test_a_share_among_those_that_return_ignores_those_that_fail() -> None:
    problem = case({"a": [1, 5], "b": [1, RAISED]}, n={"a": 9, "b": 1})
    assert problem.rank("conself") == {"a": 1.0, "b": 0.5}

"""The four arms of table 3 by hand, and their draws: repeatable, and fair."""

from __future__ import annotations

import math

import pytest

from ucoder.consensus.selectors.ranking import waiting_times
from ucoder.records import Reason

from .cases import RAISED, case

NAN = pytest.approx(math.nan, nan_ok=True)


def test_random_gives_equal_chances_to_the_reliable_and_none_to_others() -> None:
    # e: 1, 4/5 = rho, 3/5.
    problem = case(
        {"a": [1, 2, 3, 4, 5], "b": [9, 9, 9, 9, RAISED], "c": [1, 2, 3, RAISED, RAISED]},
        n={"a": 2, "b": 1, "c": 7},
    )
    assert problem.rank("random") == {"a": 1.0, "b": 1.0, "c": NAN}
    assert problem.ranking("random").is_lottery
    assert problem.ranking("random").n_reliable == 3


def test_cluster_is_the_largest_one_whatever_its_success_and_size() -> None:
    # a and b are one cluster of 3 with e = 1/2; c has e = 1 and 2 candidates.
    problem = case({"a": [1, RAISED], "b": [1, RAISED], "c": [1, 2]}, n={"a": 2, "b": 1, "c": 2})
    assert problem.rank("cluster", tau=100) == {"a": 3.0, "b": 3.0, "c": 2.0}
    assert problem.chosen("cluster", tau=100) in {"a", "b"}
    assert problem.chosen("consensus", tau=1) == "c"


def test_low_perplexity_asks_for_reliability_and_for_nothing_else() -> None:
    problem = case(
        {"a": [1, 1], "b": [2, 2], "c": [1, RAISED], "d": [3, 3]},
        n={"a": 5},
        perplexity={"a": 1.5, "b": 1.25, "c": 1.0, "d": math.nan},
    )
    assert problem.rank("low_perplexity") == {
        "a": pytest.approx(1 / 1.5), "b": pytest.approx(0.8), "c": NAN, "d": 0.0
    }  # fmt: skip
    assert problem.chosen("low_perplexity") == "b"


def test_success_rate_takes_more_than_half_not_half() -> None:
    problem = case({"a": [1, RAISED], "b": [1, 2], "c": [RAISED, RAISED]})
    assert problem.rank("success_rate") == {"a": NAN, "b": 1.0, "c": NAN}
    assert problem.rank("success_rate", raising_may_win=True)["c"] == NAN


@pytest.mark.parametrize("arm", ["random", "low_perplexity", "success_rate"])
def test_an_arm_without_a_successful_candidate_gives_the_reason(arm: str) -> None:
    ranking = case({"a": [RAISED, RAISED, 1]}).ranking(arm)
    assert ranking.reason is Reason.NO_RELIABLE_CANDIDATE
    assert ranking.n_reliable == 0


def test_a_draw_is_fair_to_candidates_not_to_programs() -> None:
    # 3 candidates against 1: 2,000 draws among programs of other names have a deviation of 1%.
    n_draws = 2_000
    won = 0
    for at in range(n_draws):
        many, one = f"many{at}", f"one{at}"
        won += case({many: [1], one: [2]}, n={many: 3}).chosen("random") == many
    assert abs(won / n_draws - 0.75) < 0.03


def test_a_draw_depends_on_the_programs_and_not_on_their_answers() -> None:
    names = [f"p{at}" for at in range(6)]
    first = case({name: [at] for at, name in enumerate(names)})
    other = case({name: [0] for name in reversed(names)})
    assert waiting_times(first.votes).tolist() == waiting_times(other.votes).tolist()
    more = case({name: [0] for name in [*names, "q"]})
    assert waiting_times(more.votes).tolist()[:6] != waiting_times(first.votes).tolist()


def test_a_draw_does_not_prefer_the_successful_or_the_fluent() -> None:
    # Ties of other selectors go to the highest e(r), the lowest f(r), the first id: here all `a`.
    winners = {
        case(
            {f"a{at}": [1] * 9 + [2], f"b{at}": [1] * 9 + [RAISED]},
            perplexity={f"a{at}": 1.0, f"b{at}": 2.0},
        ).chosen("random")[0]  # type: ignore[index]
        for at in range(40)
    }
    assert winners == {"a", "b"}

import math

import pytest

from ucoder.analysis.scores import model_scores, paired
from ucoder.records import Score


def scores(index, verdicts):
    return [
        Score("humaneval", index, f"HumanEval/{at}", passed, "", "", 10)
        for at, passed in enumerate(verdicts)
    ]


def test_the_interval_is_wilsons_by_hand():
    # 9 of 20: centre (0.45 + 3.8415 / 40) / (1 + 3.8415 / 20) = 0.4581, half width 0.1999
    (only,) = model_scores({("humaneval", 0): scores(0, [True] * 9 + [False] * 11)})
    assert (only.passed, only.n_run, only.value) == (9, 20, 0.45)
    assert (only.low, only.high) == (
        pytest.approx(0.2582, abs=1e-4),
        pytest.approx(0.6579, abs=1e-4),
    )
    assert only.paired is None


def test_a_task_that_was_not_run_is_neither_right_nor_wrong():
    (only,) = model_scores({("humaneval", 0): scores(0, [True, False, None])})
    assert (only.n_tasks, only.n_run, only.value) == (3, 2, 0.5)


def test_without_a_verdict_the_score_is_undefined():
    (only,) = model_scores({("humaneval", 0): scores(0, [None])})
    assert math.isnan(only.value) and math.isnan(only.low)


def test_models_are_compared_on_the_tasks_that_both_ran():
    before = scores(0, [True, True, False, False, False, False, None])
    after = scores(1, [True, False, True, True, True, None, True])
    pair = paired(before, after)
    assert (pair.n, pair.better, pair.worse) == (5, 3, 1)
    assert pair.difference == pytest.approx(2 / 5)
    assert pair.p == pytest.approx(2 * (1 + 4) / 16)  # sign test of 1 in 4
    assert not pair.told_apart


def test_eight_gained_and_none_lost_tell_models_apart():
    pair = paired(scores(0, [False] * 8), scores(1, [True] * 8))
    assert pair.p == pytest.approx(2 / 256)
    assert pair.told_apart


def test_without_a_common_task_the_comparison_is_undefined():
    pair = paired(scores(0, [None]), scores(1, [True]))
    assert pair.n == 0
    assert math.isnan(pair.p) and math.isnan(pair.difference)
    assert not pair.told_apart


def test_without_scores_of_the_first_model_nothing_is_compared():
    (only,) = model_scores({("humaneval", 1): scores(1, [True])})
    assert only.paired is None

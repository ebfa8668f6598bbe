import math
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from ucoder.analysis.scores import compare, model_scores
from ucoder.cli.viewing import _score, _scores_table
from ucoder.errors import InvalidArgument
from ucoder.evaluation.records import GradeReason, Score
from ucoder.report.words import change, evidence, interval, verdict

REASONS = {
    True: GradeReason.PASSED,
    False: GradeReason.WRONG_OUTPUT,
    None: GradeReason.SANDBOX_FAILED,
}


def scores(index, verdicts, benchmark="humaneval"):
    """One sample a task for a verdict, several for a tuple of them."""
    return [
        Score(benchmark, index, f"HumanEval/{at}", sample, passed, REASONS[passed], "")
        for at, task in enumerate(verdicts)
        for sample, passed in enumerate(task if isinstance(task, tuple) else (task,))
    ]


def test_the_interval_is_wilsons_by_hand():
    # 9 of 20: centre (0.45 + 3.8415 / 40) / (1 + 3.8415 / 20) = 0.4581, half width 0.1999
    (only,) = model_scores({("humaneval", 0): scores(0, [True] * 9 + [False] * 11)})
    assert (only.passed, only.n_run, only.n_samples, only.value) == (9, 20, 20, 0.45)
    assert (only.low, only.high) == (
        pytest.approx(0.2582, abs=1e-4),
        pytest.approx(0.6579, abs=1e-4),
    )
    assert only.paired is None and only.previous is None


def test_a_task_that_was_not_run_is_neither_right_nor_wrong_and_its_reason_is_counted():
    (only,) = model_scores({("humaneval", 0): scores(0, [True, False, None])})
    assert (only.n_tasks, only.n_run, only.value) == (3, 2, 0.5)
    assert only.not_run == {"sandbox_failed": 1}
    assert only.failures == {"wrong_output": 1}


def test_without_a_verdict_the_score_is_undefined():
    (only,) = model_scores({("humaneval", 0): scores(0, [None])})
    assert math.isnan(only.value) and math.isnan(only.low)
    assert only.not_run == {"sandbox_failed": 1}


def test_pass_at_1_of_several_samples_is_the_mean_over_tasks():
    # 1 of 2, 2 of 2, and 0 of the 1 that was run: not 3 of 5
    verdicts = [(True, False), (True, True), (False, None)]
    (only,) = model_scores({("humaneval", 0): scores(0, verdicts)})
    assert only.value == pytest.approx((0.5 + 1 + 0) / 3)
    assert (only.n_run, only.n_samples, only.passed) == (3, 5, 3)
    assert only.low < only.value < only.high


def test_pass_at_k_leaves_out_tasks_with_too_few_verdicts():
    verdicts = [(True, False, False), (False, False, False), (True, None, None)]
    (only,) = model_scores({("humaneval", 0): scores(0, verdicts)}, ks=(1, 2))
    one, two = only.pass_at
    assert (one.k, one.n, one.value) == (1, 3, pytest.approx((1 / 3 + 0 + 1) / 3))
    assert one.value == only.value
    # of three pairs of the first task two hold its passing sample
    assert (two.k, two.n, two.value) == (2, 2, pytest.approx((2 / 3 + 0) / 2))


def test_pass_at_k_of_fewer_samples_is_refused():
    with pytest.raises(InvalidArgument, match="n=1 samples is less than k=10"):
        model_scores({("humaneval", 0): scores(0, [True, False])}, ks=(10,))


@pytest.mark.parametrize("few", [(True,), (None,), (False,)])
def test_one_task_with_too_few_samples_for_pass_at_k_is_refused_by_name(few):
    with pytest.raises(InvalidArgument, match="undefined for the task HumanEval/1;"):
        model_scores({("humaneval", 0): scores(0, [(True, True), few])}, ks=(1, 2))


@pytest.mark.parametrize("verdicts", [[(False,) * 4] * 16, [(True,) * 4] * 11, [(True, True)]])
def test_a_score_of_none_or_all_has_an_interval_with_a_width(verdicts):
    (only,) = model_scores({("humaneval", 0): scores(0, verdicts)}, ks=(1, 2))
    assert only.value in (0, 1) and only.high - only.low > 0.15
    assert all(at.high - at.low > 0.15 for at in only.pass_at)


def test_models_are_compared_on_the_tasks_that_both_ran():
    before = scores(0, [True, True, False, False, False, False, None])
    after = scores(1, [True, False, True, True, True, None, True])
    pair = compare(before, after)
    assert (pair.n, pair.n_left_out, pair.better, pair.worse) == (5, 2, 3, 1)
    assert pair.difference == pytest.approx(2 / 5)
    assert pair.low < pair.difference < pair.high
    assert pair.p == pair.p_corrected == pytest.approx(2 * (1 + 4) / 16)  # sign test of 1 in 4
    assert not pair.told_apart


def test_tasks_are_joined_by_their_ids_and_not_by_their_place():
    before = scores(0, [True, False, False, True])
    assert compare(before, before[::-1]).better == 0
    pair = compare(before, before[2:])
    assert (pair.n, pair.n_left_out) == (2, 2)


def test_several_samples_are_compared_by_their_rates():
    # differences 1/2, 1/2, -1/2 and 0: of 8 signs 2 * 1 reach 3/2 and 2 * 3 reach 1/2
    before = scores(0, [(True, False), (False, False), (True, False), (True, True)])
    after = scores(1, [(True, True), (True, False), (False, False), (True, True)])
    pair = compare(before, after)
    assert (pair.n, pair.better, pair.worse) == (4, 2, 1)
    assert (pair.difference, pair.p) == (pytest.approx(1 / 8), 1.0)


def test_eight_gained_and_none_lost_tell_models_apart():
    pair = compare(scores(0, [False] * 8), scores(1, [True] * 8))
    assert pair.p == pytest.approx(2 / 256)
    assert pair.told_apart


def test_without_a_common_task_the_comparison_is_undefined():
    pair = compare(scores(0, [None]), scores(1, [True]))
    assert (pair.n, pair.n_left_out) == (0, 1)
    assert math.isnan(pair.p) and math.isnan(pair.difference) and math.isnan(pair.low)
    assert not pair.told_apart


def test_without_scores_of_the_first_model_nothing_is_compared():
    (only,) = model_scores({("humaneval", 1): scores(1, [True])})
    assert only.paired is None and only.previous is None


def test_each_model_is_compared_with_the_first_and_with_the_one_before():
    tables = {
        ("humaneval", 0): scores(0, [False] * 4),
        ("humaneval", 1): scores(1, [True, True, False, False]),
        ("humaneval", 2): scores(2, [True, False, False, False]),
    }
    first, second, third = model_scores(tables)
    assert first.paired is None
    assert second.previous == second.paired
    assert third.paired is not None and third.previous is not None
    assert (third.paired.better, third.paired.worse) == (1, 0)
    assert (third.previous.better, third.previous.worse) == (0, 1)


def test_a_difference_among_many_comparisons_has_to_be_larger():
    # 6 gained of 6: p = 2 / 64 = 0.031 alone; with a second comparison that shows nothing, twice it
    gained = (scores(0, [False] * 6), scores(1, [True] * 6))
    equal = (scores(0, [True], "mbpp"), scores(1, [True], "mbpp"))
    alone = model_scores({("humaneval", 0): gained[0], ("humaneval", 1): gained[1]})[1].paired
    among = model_scores(
        {
            ("humaneval", 0): gained[0], ("humaneval", 1): gained[1],
            ("mbpp", 0): equal[0], ("mbpp", 1): equal[1],
        }
    )[1].paired  # fmt: skip
    assert alone is not None and among is not None
    assert (alone.p, alone.p_corrected) == (0.03125, 0.03125) and alone.told_apart
    assert (among.p, among.p_corrected) == (0.03125, 0.0625) and not among.told_apart


def test_a_score_without_a_verdict_is_shown_without_a_number():
    tables = {("humaneval", index): scores(index, [None, None]) for index in (0, 1)}
    first, second = model_scores(tables)
    shown = _score(first), interval(first), change(second.paired), evidence(second.paired)
    assert "2 of 2 tasks not run" in shown[0]
    assert not any("nan" in text.lower() for text in (*shown, verdict(second.paired)))
    out = Console(file=StringIO(), width=200)
    summary = SimpleNamespace(scores=(first, second))
    out.print(_scores_table(summary))
    assert "no task was run for both" in out.file.getvalue()
    assert "nan" not in out.file.getvalue().lower()

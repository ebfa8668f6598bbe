import math

import pytest

from ucoder.analysis.scores import ModelScore
from ucoder.evaluation.comparison import PairedTest
from ucoder.evaluation.registry import title_of
from ucoder.report.words import (
    change,
    comparisons,
    duration,
    evidence,
    number,
    percent,
    plural,
    points,
    short_comparison,
    verdict,
)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(math.nan, "–"), (None, "–"), (1.26, "1.3 s"), (59.4, "59 s"), (59.9, "1 min 00 s"),
     (605, "10 min 05 s"), (3661, "1 h 01 min")],
)  # fmt: skip
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_undefined_numbers_are_a_dash_and_never_zero():
    assert number(math.nan) == percent(math.nan) == points(math.nan) == number(None) == "–"


def test_numbers():
    assert number(12345) == "12,345"
    assert number(0.5, 1) == "0.5"
    assert percent(0.4567, 1) == "45.7%"
    assert points(-0.105) == "−10.5"
    assert plural(1, "problem") == "1 problem"
    assert plural(2000, "problem") == "2,000 problems"


def pair_of(better, worse, p, n=20, corrected=None):
    difference = (better - worse) / n if n else math.nan
    reach = 0.2 if n else math.nan
    return PairedTest(
        n, 0, better, worse, difference, difference - reach, difference + reach, p,
        p if corrected is None else corrected,
    )  # fmt: skip


def score(pair, index=1, previous=None, name="humaneval"):
    return ModelScore(
        name, index, 20, 20, 20, 9, 0.45, 0.26, 0.66, (), {}, {}, pair, previous
    )  # fmt: skip


def test_a_difference_is_claimed_only_where_the_tasks_show_one():
    assert verdict(pair_of(3, 1, 0.625)) == "no difference can be told"
    assert verdict(pair_of(9, 0, 0.004)) == "better"
    assert verdict(pair_of(0, 9, 0.004)) == "worse"
    assert verdict(pair_of(9, 0, 0.004, corrected=0.08)) == "no difference can be told"
    assert short_comparison(score(pair_of(3, 1, 0.625))) == "no difference can be told (p = 0.62)"
    assert short_comparison(score(pair_of(0, 9, 0.004))) == "worse than before (p = 0.004)"


def test_a_difference_comes_with_its_interval_and_evidence():
    assert change(pair_of(3, 1, 0.625)) == "+10.0 [−10.0, +30.0]"
    assert evidence(pair_of(3, 1, 0.625)) == "3 up, 1 down of 20 tasks; p = 0.62"
    assert evidence(pair_of(9, 0, 0.0001, corrected=0.04)) == (
        "9 up, 0 down of 20 tasks; p < 0.001, corrected 0.04"
    )


def test_without_common_tasks_nothing_is_said():
    nothing = pair_of(0, 0, math.nan, 0)
    assert (verdict(nothing), change(nothing), evidence(nothing)) == (
        "no task was run for both", "–", "",
    )  # fmt: skip
    assert short_comparison(score(nothing)) == "nothing to compare with"


def test_several_comparisons_are_said_to_be_several():
    one = [score(None, 0), score(pair_of(3, 1, 0.625))]
    assert comparisons([score(None, 0)]) == ""
    assert "by chance alone" not in comparisons(one)
    several = comparisons([*one, score(pair_of(3, 1, 0.6), 2, pair_of(1, 1, 1.0))])
    assert "2 comparisons with M0 and 1 with the model before" in several
    assert "one in twenty" in several and "Holm" in several


def test_benchmarks_are_called_as_their_authors_do_and_others_by_their_name():
    assert title_of("humaneval+") == "HumanEval+"
    assert title_of("bigcodebench-complete-hard") == "BigCodeBench-Complete (Hard)"
    assert title_of("my-own") == "my-own"

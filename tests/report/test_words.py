import math

import pytest

from ucoder.analysis.scores import ModelScore, Paired
from ucoder.report.words import (
    comparison,
    duration,
    number,
    percent,
    plural,
    points,
    short_comparison,
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


def score(better, worse, p, n=20):
    pair = Paired(n, better, worse, (better - worse) / n if n else math.nan, p)
    return ModelScore("humaneval", 1, n, n, 9, 0.45, 0.26, 0.66, 0, pair)


def test_a_difference_is_claimed_only_where_the_tasks_show_one():
    assert comparison(score(3, 1, 0.625)).startswith("No difference from M0 can be told.")
    assert comparison(score(9, 0, 0.004)).startswith("Better than M0.")
    assert comparison(score(0, 9, 0.004)).startswith("Worse than M0.")
    assert short_comparison(score(3, 1, 0.625)) == "no difference can be told (p = 0.62)"
    assert short_comparison(score(0, 9, 0.004)) == "worse than before (p = 0.004)"


def test_without_common_tasks_nothing_is_said():
    assert comparison(score(0, 0, math.nan, 0)) == (
        "No task was run for both models, so nothing can be said."
    )
    assert short_comparison(score(0, 0, math.nan, 0)) == "nothing to compare with"

import math

import pytest

from ucoder.analysis.costs import stage_costs
from ucoder.runs.journal import StageTime


def test_stages_come_in_the_papers_order_whenever_they_ran():
    times = [
        StageTime("humaneval M0", 0, 40.0, True),
        StageTime("problems", 0, 60.0, True),
        StageTime("solutions", 0, 100.0, True),
        StageTime("solutions", 1, 50.0, False),
        StageTime("humaneval M1", 1, 30.0, True),
    ]
    costs = stage_costs(times, {"problems": 300, "solutions": 600, "evaluation": 100})
    assert [(c.stage, c.seconds, c.tokens) for c in costs] == [
        ("problems", 60.0, 300),
        ("solutions", 150.0, 600),
        ("evaluation", 70.0, 100),
    ]
    assert [c.tokens_share for c in costs] == pytest.approx([0.3, 0.6, 0.1])
    assert [c.finished for c in costs] == [True, False, True]


def test_what_was_not_timed_or_not_sampled_is_undefined():
    ratings, training = stage_costs([StageTime("consolidation", 0, 5.0, True)], {"ratings": 20})
    assert math.isnan(ratings.seconds) and ratings.finished is None
    assert training.tokens is None and math.isnan(training.tokens_share)


def test_a_stage_of_another_name_is_kept_where_it_ran():
    times = [StageTime(name, 0, 1.0, True) for name in ("problems", "conversion", "solutions")]
    assert [c.stage for c in stage_costs(times, {})] == ["problems", "conversion", "solutions"]


def test_nothing_costs_nothing_and_is_not_listed():
    assert stage_costs([], {"problems": 0}) == ()

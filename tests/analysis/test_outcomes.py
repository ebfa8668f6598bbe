"""What became of every problem, whatever stage ended it."""

import json

import pytest

from ucoder.analysis.ballots import take_ballot
from ucoder.analysis.outcomes import problem_details, problem_outcomes, with_reasons
from ucoder.consensus.selection import rule_of
from ucoder.errors import RunError

from .synthetic import build


def test_a_problem_has_the_outcome_of_the_stage_that_ended_it(finished):
    assert {
        each.problem.interface.name: each.outcome for each in problem_outcomes(finished, 0)
    } == {
        "count_vowels": "selected",
        "roman_to_int": "selected",
        "flatten": "selected",
        "median_of": "no_consensus",
        "day_of_year": "no_informative_input",
        "merge_intervals": "too_few_inputs",
    }


@pytest.mark.parametrize(("upto", "n"), [("attempts", 6), ("suites", 5), ("candidates", 5)])
def test_a_problem_that_stage_5_has_not_decided_is_not_there_yet(tmp_path, upto, n):
    outcomes = [each.outcome for each in problem_outcomes(build(tmp_path / "run", upto), 0)]
    assert outcomes.count("not_yet") == n


@pytest.mark.parametrize("iteration", [1, 5, -1])
def test_an_iteration_that_has_not_begun_is_refused(finished, iteration):
    with pytest.raises(RunError, match=f"no iteration {iteration}; .* have begun: 0"):
        problem_outcomes(finished, iteration)


def test_reasons_filter_problems_and_refused_attempts(finished):
    problems, attempts = with_reasons(finished, 0, ["no_consensus", "low_rating"])
    assert [each.problem.interface.name for each in problems] == ["median_of"]
    assert [attempt.reason for attempt in attempts] == ["low_rating"]
    assert with_reasons(finished, 0, ["selected"])[1] == []
    with pytest.raises(RunError, match="reason lowrating; these occur: selected, no_consensus"):
        with_reasons(finished, 0, ["lowrating"])


def test_the_details_of_a_problem_are_json_whatever_became_of_it(finished):
    rule = rule_of(finished.config.solutions)
    for each in problem_outcomes(finished, 0):
        case = take_ballot(finished, 0, each.problem)
        values = json.loads(json.dumps(problem_details(each, case, rule), allow_nan=False))
        assert values["outcome"] == each.outcome
        assert bool(values["explanation"]) is (each.selection is not None)
        chosen = [cluster["selected"] for cluster in values["clusters"]]
        assert chosen.count(True) == (each.outcome == "selected")

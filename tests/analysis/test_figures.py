import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.analysis.figures import Quality, perplexity_groups, qualities, rank_correlation
from ucoder.consensus.selectors import Rule
from ucoder.execution.outcomes import ProgramStatus

from .synthetic import COUNT_VOWELS, FLATTEN, PARSE_DATE, candidates_of, executions_of, suite_of

RULE = Rule(inputs="all")


def points(*pairs):
    return [Quality("p", str(at), f, e) for at, (f, e) in enumerate(pairs)]


def test_success_is_measured_over_the_kept_inputs():
    # flatten(7) runs in 2 of 7 candidates, 29%: kept at a support of 20%, dropped at one of 30%.
    loose = qualities(
        candidates_of(FLATTEN), executions_of(FLATTEN), suite_of(FLATTEN).inputs, RULE
    )
    strict = qualities(
        candidates_of(FLATTEN),
        executions_of(FLATTEN),
        suite_of(FLATTEN).inputs,
        replace(RULE, min_input_support=0.3),
    )
    assert [point.success for point in loose] == [pytest.approx(5 / 6)] * 5 + [1.0] * 2
    assert {point.success for point in strict} == {1.0}


def test_candidates_without_a_program_have_no_quality():
    assert (
        len(
            qualities(
                candidates_of(COUNT_VOWELS),
                executions_of(COUNT_VOWELS),
                suite_of(COUNT_VOWELS).inputs,
                RULE,
            )
        )
        == 7
    )


def test_without_a_kept_input_success_is_undefined_and_left_out():
    assert (
        qualities(
            candidates_of(PARSE_DATE), executions_of(PARSE_DATE), suite_of(PARSE_DATE).inputs, RULE
        )
        == []
    )


def test_a_sandbox_failure_is_not_a_failure_of_the_program():
    first, *others = executions_of(COUNT_VOWELS)
    failed = replace(first, status=ProgramStatus.SANDBOX_FAILED)
    found = qualities(
        candidates_of(COUNT_VOWELS), [failed, *others], suite_of(COUNT_VOWELS).inputs, RULE
    )
    assert len(found) == 3
    assert {point.success for point in found} == {1.0}


def test_programs_that_were_not_run_yet_are_left_out():
    assert qualities(candidates_of(COUNT_VOWELS), [], suite_of(COUNT_VOWELS).inputs, RULE) == []


def test_unknown_log_probabilities_are_left_out():
    unknown = [replace(c, sum_logprob=math.nan) for c in candidates_of(COUNT_VOWELS)]
    assert (
        qualities(unknown, executions_of(COUNT_VOWELS), suite_of(COUNT_VOWELS).inputs, RULE) == []
    )


def test_quartiles_by_hand():
    sample = points((1.4, 0.0), (1.0, 1.0), (1.2, 0.5), (1.1, 1.0), (1.3, 0.5),
                    (1.5, 0.0), (1.6, 0.25), (1.7, 0.25))  # fmt: skip
    found = perplexity_groups(sample)
    assert [(b.low, b.high, b.n) for b in found] == [
        (1.0, 1.1, 2), (1.2, 1.3, 2), (1.4, 1.5, 2), (1.6, 1.7, 2),
    ]  # fmt: skip
    assert [b.success for b in found] == [1.0, 0.5, 0.0, 0.25]
    assert found[0].perplexity == pytest.approx(1.05)


@given(st.integers(0, 50), st.integers(1, 8))
def test_bins_hold_every_candidate_once(n_points, n_bins):
    found = perplexity_groups(points(*((1 + at / 10, 0.5) for at in range(n_points))), n_bins)
    assert sum(b.n for b in found) == n_points
    assert all(b.n > 0 for b in found)


def test_rank_correlation_by_hand():
    assert rank_correlation(points((1.0, 1.0), (1.1, 0.6), (1.2, 0.5))) == pytest.approx(-1)
    # ranks 1 2 3 4 against 4 2.5 2.5 1: covariance -4.5, variances 5 and 4.5
    tied = points((1.0, 1.0), (1.1, 0.5), (1.2, 0.5), (1.3, 0.0))
    assert rank_correlation(tied) == pytest.approx(-4.5 / math.sqrt(5 * 4.5))


def test_rank_correlation_is_undefined_where_nothing_varies():
    assert math.isnan(rank_correlation(points((1.0, 1.0), (1.1, 1.0), (1.2, 1.0))))
    assert math.isnan(rank_correlation(points((1.0, 1.0), (1.1, 0.5))))

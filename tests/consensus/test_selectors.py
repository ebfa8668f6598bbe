"""What must hold for every selector, whatever its rule."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.config import SelectorName
from ucoder.consensus.selection import ranked_programs
from ucoder.consensus.selectors import SELECTORS, Rule, selector_named
from ucoder.errors import ConfigError
from ucoder.execution.outcomes import ProgramStatus
from ucoder.records import Execution, Reason

from .cases import ON_PURPOSE, RAISED, SANDBOX, Case, case, execution

EVERY = pytest.mark.parametrize("selector", list(SELECTORS))
SIGNATURES = ("consensus", "consensus_pass_fail", "cluster", "mbr_hard")

ANSWERS = st.sampled_from([1, 2, 0.5, True, [1, 2], RAISED, ON_PURPOSE])
PREDICTED = st.dictionaries(st.sampled_from(["1", "2", "True"]), st.integers(1, 3), max_size=2)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n_inputs = draw(st.integers(0, 5))
    programs = [f"p{at}" for at in range(draw(st.integers(0, 7)))]
    rows = st.lists(ANSWERS, min_size=n_inputs, max_size=n_inputs)
    return case(
        {program: draw(rows) for program in programs},
        {program: draw(st.integers(1, 4)) for program in programs},
        {program: draw(st.sampled_from([1.0, 1.1, 2.0, math.nan])) for program in programs},
        draw(st.lists(PREDICTED, min_size=n_inputs, max_size=n_inputs)),
    )


@st.composite
def thresholds(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "rho": draw(st.sampled_from([0.0, 0.5, 0.8])),
        "tau": draw(st.integers(1, 3)),
        "min_input_support": draw(st.sampled_from([0.0, 0.2])),
    }


def outcome(problem: Case, rule: Rule) -> str:
    """A selection as text: NaN equals itself there."""
    return repr(problem.select(rule).selection)


def chosen_program(problem: Case, rule: Rule) -> str | None:
    wanted = problem.select(rule).selection.candidate_id
    return next((c.program_id for c in problem.candidates if c.id == wanted), None)


def on_inputs(problem: Case, order: list[int]) -> Case:
    executions = {
        program: replace(done, outcomes=tuple(done.outcomes[at] for at in order))
        for program, done in problem.executions.items()
    }
    return Case(problem.candidates, executions, tuple(problem.inputs[at] for at in order))


def with_program(problem: Case, done: Execution, n: int) -> Case:
    """The problem with n more candidates of one more program."""
    template = case({"x": [1]}).candidates[0]
    more = [
        replace(template, id=f"more{at}", index=1_000 + at, program_id=done.program_id)
        for at in range(n)
    ]
    executions = {**problem.executions, done.program_id: done}
    return Case((*problem.candidates, *more), executions, problem.inputs)


def test_the_configuration_knows_exactly_the_selectors_that_there_are() -> None:
    assert get_args(SelectorName) == tuple(SELECTORS)


def test_an_unknown_selector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'best' is unknown; known: consensus, "):
        selector_named("best")


@given(cases(), thresholds(), st.randoms(use_true_random=False))
def test_permuting_candidates_or_inputs_changes_nothing(
    problem: Case, limits: dict[str, Any], random_: random.Random
) -> None:
    candidates = tuple(random_.sample(problem.candidates, len(problem.candidates)))
    shuffled = Case(candidates, problem.executions, problem.inputs)
    order = random_.sample(range(len(problem.inputs)), len(problem.inputs))
    permuted = on_inputs(problem, order)
    for selector in SELECTORS:
        rule = Rule(selector, **limits)
        before = outcome(problem, rule)
        assert outcome(shuffled, rule) == before, selector
        assert outcome(permuted, rule) == before, selector


@given(cases(), thresholds(), st.data())
def test_duplicating_an_input_changes_nothing_for_signature_rules(
    problem: Case, limits: dict[str, Any], data: st.DataObject
) -> None:
    order = list(range(len(problem.inputs)))
    if order:
        order.append(data.draw(st.sampled_from(order)))
    duplicated = on_inputs(problem, order)
    for selector in SIGNATURES:
        rule = Rule(selector, **limits)
        assert chosen_program(duplicated, rule) == chosen_program(problem, rule), selector


@given(cases(), thresholds(), st.integers(1, 9), st.booleans(), st.data())
def test_a_sandbox_failure_is_never_a_vote(
    problem: Case, limits: dict[str, Any], n: int, whole: bool, data: st.DataObject
) -> None:
    n_inputs = len(problem.inputs)
    row = data.draw(st.lists(ANSWERS, min_size=n_inputs, max_size=n_inputs))
    if row and not whole:
        row[data.draw(st.integers(0, n_inputs - 1))] = SANDBOX
        broken = execution("broken", row)
    else:
        broken = execution("broken", row, ProgramStatus.SANDBOX_FAILED)
    crowd = with_program(problem, broken, n)
    for selector in SELECTORS:
        rule = Rule(selector, **limits)
        before = problem.select(rule).selection
        after = crowd.select(rule).selection
        assert after.n_sandbox_failures == n
        restored = replace(
            after, n_candidates=before.n_candidates, n_wanted=before.n_wanted, n_sandbox_failures=0
        )
        assert repr(restored) == repr(before), selector


@given(cases(), st.integers(1, 30), st.sampled_from([RAISED, ON_PURPOSE]))
def test_programs_that_all_raise_never_win(problem: Case, n: int, failure: object) -> None:
    crowd = with_program(problem, execution("raising", [failure] * len(problem.inputs)), n)
    for selector in SELECTORS:
        rule = Rule(selector, rho=0.0, tau=1, min_input_support=0.0)
        selection = crowd.select(rule).selection
        assert selection.candidate_id is None or selection.success > 0, selector
        assert chosen_program(crowd, rule) != "raising", selector


@pytest.mark.parametrize("selector", ["consensus", "agreement", "cluster", "random", "mbr_soft"])
def test_programs_that_all_raise_win_where_the_configuration_says_so(selector: str) -> None:
    problem = case({"a": [RAISED, RAISED]}, n={"a": 3})
    limits = {"rho": 0.0, "tau": 1}
    assert problem.chosen(selector, **limits) is None
    assert problem.chosen(selector, raising_may_win=True, **limits) == "a"


@given(cases(), thresholds(), st.booleans())
def test_scores_are_finite_or_nan_and_there_is_a_winner_or_a_reason(
    problem: Case, limits: dict[str, Any], raising_may_win: bool
) -> None:
    votes = problem.votes
    for selector, rank in SELECTORS.items():
        ranking = rank(votes, Rule(selector, raising_may_win=raising_may_win, **limits))
        assert ranking.scores_P.shape == (len(votes.programs),)
        assert not np.isinf(ranking.scores_P).any(), selector
        assert ranking.reason is not None or ranked_programs(votes, ranking), selector
        assert 0 <= ranking.n_reliable <= votes.n


@EVERY
def test_without_candidates_or_inputs_the_reason_is_given(selector: str) -> None:
    assert case({}).ranking(selector).reason is Reason.NO_CANDIDATE
    assert case({"a": []}).ranking(selector).reason is Reason.NO_INFORMATIVE_INPUT

"""Section 2.3, on cases computed by hand, and what must never change a selection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.config import SolutionsConfig
from ucoder.consensus.inputs import kept_inputs
from ucoder.consensus.selection import Ballot, counting, rule_of, select
from ucoder.consensus.selectors import ON_OWN_INPUTS, SELECTORS, Rule
from ucoder.consensus.votes import votes_of
from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.records import (
    Candidate,
    Execution,
    FinishReason,
    InputOrigin,
    Prediction,
    Reason,
    TestInput,
)  # fmt: skip

from .cases import case

RAISED = Outcome(OutcomeKind.RAISED, "ValueError: no")
SANDBOX = Outcome(OutcomeKind.SANDBOX_FAILED)


def returned(*values: object) -> tuple[Outcome, ...]:
    return tuple(
        value if isinstance(value, Outcome) else Outcome(OutcomeKind.RETURNED, repr(value))
        for value in values
    )


def execution(
    program_id: str, *values: object, status: ProgramStatus = ProgramStatus.LOADED
) -> Execution:
    return Execution("p", 0, program_id, status, "", returned(*values), math.nan, math.nan)


def candidate(
    index: int, program_id: str, perplexity: float = 1.1, reason: Reason | None = None
) -> Candidate:
    return Candidate(
        id=f"c{index}", problem_id="p", iteration=0, index=index, completion="", program="x",
        program_id="" if reason else program_id, n_tokens=10,
        sum_logprob=-10 * math.log(perplexity), finish_reason=FinishReason.STOP, reason=reason,
    )  # fmt: skip


def vote(
    candidates: Sequence[Candidate], executions: Sequence[Execution], rule: Rule | None = None
) -> Ballot:
    inputs = inputs_for(executions)
    return select("p", 0, candidates, {e.program_id: e for e in executions}, inputs, rule or Rule())


def inputs_for(executions: Sequence[Execution], *predicted: str | None) -> tuple[TestInput, ...]:
    n_inputs = len(executions[0].outcomes) if executions else 0
    return tuple(
        TestInput(f"({at},)", InputOrigin.MODEL, (Prediction(text, 1),) if text else ())
        for at, text in zip_longest(range(n_inputs), predicted)
    )


def test_the_largest_cluster_wins_and_its_most_fluent_member_is_selected() -> None:
    executions = [execution("a", 1, 2), execution("b", 1, 2), execution("c", 9, 9)]
    candidates = [
        candidate(0, "a", 1.3), candidate(1, "b", 1.2), candidate(2, "a", 1.4),
        candidate(3, "c", 1.0), candidate(4, "c", 1.0),
    ]  # fmt: skip
    selection = vote(candidates, executions).selection
    assert selection.candidate_id == "c1"
    assert selection.cluster_sizes == (3, 2)
    assert selection.perplexity == pytest.approx(1.2)


def test_success_comes_before_perplexity() -> None:
    # rho=0.5 keeps both; `b` returns on all four inputs and `a` on three.
    rule = Rule(rho=0.5, tau=1, min_input_support=0.0)
    executions = [execution("a", 1, 2, 3, RAISED), execution("b", 1, 2, 3, 4)]
    ballot = vote([candidate(0, "a", 1.0), candidate(1, "b", 2.0)], executions, rule)
    assert ballot.selection.candidate_id == "c1"


def test_tied_clusters_break_by_lowest_perplexity_then_by_program_id() -> None:
    executions = [execution("a", 1), execution("b", 2)]
    rule = Rule(tau=2)
    first = [
        candidate(0, "a", 1.5), candidate(1, "a", 1.5),
        candidate(2, "b", 1.2), candidate(3, "b", 1.5),
    ]  # fmt: skip
    assert vote(first, executions, rule).selection.candidate_id == "c2"
    even = [candidate(0, "b"), candidate(1, "a"), candidate(2, "a"), candidate(3, "b")]
    assert vote(even, executions, rule).selection.candidate_id == "c1"


def test_no_cluster_of_tau_means_nothing_selected() -> None:
    executions = [execution("a", 1), execution("b", 2), execution("c", 3)]
    selection = vote([candidate(i, p) for i, p in enumerate("aabbc")], executions).selection
    assert selection.candidate_id is None
    assert selection.reason is Reason.NO_CONSENSUS
    assert math.isnan(selection.success)


def test_unreliable_candidates_are_dropped_before_clustering() -> None:
    # e(r) = 3/4 < rho = 0.8 for program a, in spite of its majority.
    executions = [execution("a", 1, 2, 3, RAISED), execution("b", 1, 2, 3, 4)]
    candidates = [candidate(i, "a") for i in range(5)] + [candidate(5 + i, "b") for i in range(3)]
    selection = vote(candidates, executions).selection
    assert selection.n_reliable == 3
    assert selection.candidate_id == "c5"


def test_a_cluster_of_programs_that_all_raise_never_wins() -> None:
    executions = [execution("a", RAISED, RAISED), execution("b", 1, 2)]
    candidates = [candidate(i, "a") for i in range(9)] + [candidate(9 + i, "b") for i in range(3)]
    assert vote(candidates, executions).selection.candidate_id == "c9"
    alone = vote([candidate(i, "a") for i in range(9)], executions[:1]).selection
    assert alone.reason is Reason.NO_INFORMATIVE_INPUT


def test_sandbox_failure_is_not_a_vote_and_not_a_wrong_answer() -> None:
    executions = [execution("a", 1, SANDBOX), execution("b", 1, 2)]
    candidates = [candidate(i, "a") for i in range(9)] + [candidate(9 + i, "b") for i in range(3)]
    selection = vote(candidates, executions).selection
    assert selection.n_sandbox_failures == 9
    assert selection.candidate_id == "c9"
    assert selection.cluster_sizes == (3,)


def test_an_input_that_hardly_any_candidate_can_run_is_dropped_before_e() -> None:
    executions = [execution("a", 1, RAISED), execution("b", 1, 5)]
    candidates = [candidate(i, "a") for i in range(9)] + [candidate(9, "b")]
    ballot = vote(candidates, executions)
    assert ballot.kept == (0,)
    assert ballot.selection.n_kept_inputs == 1
    assert ballot.successes["c0"] == 1.0
    assert vote(candidates, executions, Rule(min_input_support=0.0)).selection.n_reliable == 1


def test_programs_that_do_not_load_count_neither_as_voters_nor_in_support() -> None:
    broken = execution("a", RAISED, status=ProgramStatus.DOES_NOT_COMPILE)
    candidates = [candidate(i, "a") for i in range(50)]
    candidates += [candidate(50 + i, "b") for i in range(3)]
    ballot = vote(candidates, [broken, execution("b", 1)])
    assert ballot.kept == (0,)
    assert ballot.selection.candidate_id == "c50"


def test_refused_candidates_are_counted_and_have_no_vote() -> None:
    candidates = [candidate(0, "", reason=Reason.NO_CODE)] + [candidate(i, "a") for i in (1, 2, 3)]
    selection = vote(candidates, [execution("a", 1)]).selection
    assert (selection.n_candidates, selection.n_reliable) == (4, 3)
    none = vote([candidate(0, "", reason=Reason.NO_CODE)], []).selection
    assert none.reason is Reason.NO_CANDIDATE


def test_undefined_perplexity_comes_last() -> None:
    odd = Candidate("c0", "p", 0, 0, "", "x", "a", 0, 0.0, FinishReason.STOP, None)
    assert math.isnan(odd.perplexity)
    selection = vote([odd, candidate(1, "a", 9.0), candidate(2, "a", 8.0)], [execution("a", 1)])
    assert selection.selection.candidate_id == "c2"


def test_pass_fail_signature_is_definition_2_1_to_the_letter() -> None:
    # Outputs differ, but a and b pass and fail the same predictions; the last input has none.
    executions = [
        execution("a", 1, 5, RAISED, 4), execution("b", 1, 6, 7, 8), execution("c", 1, 2, 3, 4),
    ]  # fmt: skip
    candidates = [candidate(i, p) for i, p in enumerate("abc")]
    inputs = inputs_for(executions, "1", "2", "3")
    rule = Rule("consensus_pass_fail", rho=0.5, tau=2)
    by_program = {e.program_id: e for e in executions}
    ballot = select("p", 0, candidates, by_program, inputs, rule)
    assert ballot.selection.score == 2
    assert ballot.selection.candidate_id == "c1"


def test_success_without_inputs_is_undefined() -> None:
    votes = votes_of([candidate(0, "a")], {"a": execution("a")}, ())
    assert math.isnan(votes.success_P[0])
    assert kept_inputs(votes_of([], {}, ()), 0.2) == ()


values = st.sampled_from([1, 2, RAISED])
pools = st.integers(1, 5).flatmap(
    lambda m: st.lists(
        st.tuples(st.lists(values, min_size=m, max_size=m), st.floats(1.0, 3.0)),
        min_size=1,
        max_size=12,
    )
)


@given(pools, st.randoms())
def test_permuting_candidates_or_inputs_changes_nothing(pool: list, random_) -> None:  # type: ignore[no-untyped-def,type-arg]
    executions = [execution(f"p{i}", *outputs) for i, (outputs, _) in enumerate(pool)]
    candidates = [candidate(i, f"p{i}", perplexity) for i, (_, perplexity) in enumerate(pool)]
    rule = Rule(tau=1)
    before = vote(candidates, executions, rule).selection

    shuffled = random_.sample(candidates, len(candidates))
    assert vote(shuffled, executions, rule).selection == before

    order = random_.sample(range(len(pool[0][0])), len(pool[0][0]))
    permuted = {
        e.program_id: execution(e.program_id, *(e.outcomes[at] for at in order)) for e in executions
    }
    inputs = inputs_for(executions)
    suite = [inputs[at] for at in order]
    assert select("p", 0, candidates, permuted, suite, rule).selection == before


@given(pools)
def test_the_winner_returns_on_at_least_rho_of_the_kept_inputs(pool: list) -> None:  # type: ignore[type-arg]
    executions = [execution(f"p{i}", *outputs) for i, (outputs, _) in enumerate(pool)]
    candidates = [candidate(i, f"p{i}", perplexity) for i, (_, perplexity) in enumerate(pool)]
    selection = vote(candidates, executions, Rule(tau=1)).selection
    if selection.candidate_id is not None:
        assert selection.success >= 0.8
        assert sum(selection.cluster_sizes) == selection.n_reliable


UNASKED = (InputOrigin.BOUNDARY, InputOrigin.MUTATION)


def split_by_an_unasked_input(origin: InputOrigin) -> tuple[list[Candidate], Any, list[TestInput]]:
    """Two right programs that differ on one input, and a wrong one that more candidates wrote."""
    rows = {"a": [1, 4, 9, -1], "b": [1, 4, 9, 0], "wrong": [1, 2, 3, 0]}
    made = case(rows, {"a": 2, "b": 2, "wrong": 3})
    inputs = [*made.inputs[:3], replace(made.inputs[3], origin=origin)]
    return list(made.candidates), made.executions, inputs


@pytest.mark.parametrize("origin", UNASKED)
@pytest.mark.parametrize(
    ("selector", "inputs", "winner", "n_kept"),
    [("consensus", "selector", "a", 3), ("consensus", "own", "a", 3),
     ("consensus", "all", "wrong", 4), ("agreement", "own", "a", 3),
     ("agreement", "selector", "wrong", 4)],
)  # fmt: skip
def test_an_input_that_nobody_asked_for_splits_no_cluster_of_a_rule_on_own_inputs(
    origin: InputOrigin, selector: str, inputs: str, winner: str, n_kept: int
) -> None:
    rule = Rule(selector, tau=2, inputs=inputs)
    selection = select("p", 0, *split_by_an_unasked_input(origin), rule).selection
    candidates, _, _ = split_by_an_unasked_input(origin)
    (program,) = (c.program_id for c in candidates if c.id == selection.candidate_id)
    assert (program, selection.n_kept_inputs) == (winner, n_kept)


def test_a_search_asks_for_its_distinguishing_inputs() -> None:
    votes = votes_of(*split_by_an_unasked_input(InputOrigin.DISTINGUISHING))
    assert len(counting(votes, Rule(inputs="own")).inputs) == 4


def test_with_hardly_an_own_input_all_count() -> None:
    candidates, executions, inputs = split_by_an_unasked_input(InputOrigin.BOUNDARY)
    few = [inputs[0], *(replace(one, origin=InputOrigin.MUTATION) for one in inputs[1:])]
    assert len(counting(votes_of(candidates, executions, few), Rule(inputs="own")).inputs) == 4


def test_a_rule_on_own_inputs_is_one_that_a_configuration_can_name() -> None:
    assert set(SELECTORS) >= ON_OWN_INPUTS
    assert rule_of(SolutionsConfig(inputs="own")).inputs == "own"

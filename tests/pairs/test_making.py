"""Pairs from records: what they teach, which are kept, and what is known of those left out."""

from __future__ import annotations

import dataclasses

import pytest

from ucoder.evaluation.contamination import Match, MatchKind
from ucoder.execution.outcomes import Outcome, OutcomeKind
from ucoder.pairs.making import Pairs, make_pairs
from ucoder.records import Difficulty, Evidence, ExampleKind, Reason
from ucoder.runs import Run

from . import cases
from .cases import RAISED
from .conftest import ALIKE, Given, MakeRun, problems_of

NEGATED = (-4, 0, -2, -6)
SURE = Given({"a": ALIKE, "b": NEGATED}, {"a": 11, "b": 1}, greedy="a")
UNSURE = Given({"a": ALIKE, "b": NEGATED}, {"a": 7, "b": 5}, greedy="b")
SCATTERED = Given(
    {"a": ALIKE, **{name: (at, at, at, at) for at, name in enumerate("bcdefghi", start=7)}},
    {"a": 4}, greedy="b",
)  # fmt: skip


def pairs_of(run: Run) -> Pairs:
    return make_pairs(run, 0, problems_of(run))


def test_a_pair_is_replayed_where_the_greedy_answer_behaves_like_the_selected_one(
    make_run: MakeRun,
) -> None:
    run = make_run({"p1": SURE, "p2": UNSURE}, "consolidation.changed_weight=3")
    found = {e.problem_id: (e.kind, e.weight) for e in pairs_of(run).examples}
    assert found == {"p1": (ExampleKind.REPLAYED, 1.0), "p2": (ExampleKind.CHANGED, 3.0)}


def test_without_a_greedy_answer_every_pair_counts_as_changed(make_run: MakeRun) -> None:
    run = make_run({"p1": dataclasses.replace(SURE, greedy=None)})
    pairs = pairs_of(run)
    assert [e.kind for e in pairs.examples] == [ExampleKind.CHANGED]
    assert [c.difficulty for c in pairs.choices] == [Difficulty.EASY]


def test_a_greedy_answer_that_does_not_run_behaves_differently(make_run: MakeRun) -> None:
    given = Given({"a": ALIKE, "x": (RAISED,) * 4}, {"a": 9, "x": 0}, greedy="x")
    assert pairs_of(make_run({"p1": given})).examples[0].kind is ExampleKind.CHANGED


def test_a_share_of_the_replayed_pairs_is_kept_by_the_seed(make_run: MakeRun) -> None:
    run = make_run({f"p{at}": SURE for at in range(8)} | {"q": UNSURE}, "consolidation.replay=0.25")
    pairs = pairs_of(run)
    assert [e.kind for e in pairs.examples].count(ExampleKind.REPLAYED) == 2
    assert [e.kind for e in pairs.examples].count(ExampleKind.CHANGED) == 1
    assert [c.reason for c in pairs.choices].count(Reason.ALREADY_KNOWN) == 6
    assert pairs == pairs_of(run)


def test_difficulty_follows_from_agreement_and_the_greedy_answer(make_run: MakeRun) -> None:
    wrong_greedy = dataclasses.replace(SURE, greedy="b")
    run = make_run({"p1": SURE, "p2": UNSURE, "p3": SCATTERED, "p4": wrong_greedy})
    choices = pairs_of(run).choices
    assert [c.difficulty for c in choices] == [
        Difficulty.EASY, Difficulty.MEDIUM, Difficulty.HARD, Difficulty.MEDIUM
    ]  # fmt: skip
    assert [round(c.agreeing, 3) for c in choices] == [0.917, 0.583, 0.333, 0.917]


def test_pairs_beyond_the_share_of_their_difficulty_are_left_out(make_run: MakeRun) -> None:
    problems = {f"p{at}": SURE for at in range(6)} | {"q1": UNSURE, "q2": UNSURE}
    target = "consolidation.difficulty.target={easy: 0.25, medium: 0.75, hard: 0}"
    pairs = pairs_of(make_run(problems, target))
    left_out = [c for c in pairs.choices if c.reason is Reason.ENOUGH_OF_ITS_DIFFICULTY]
    assert {c.difficulty for c in left_out} == {Difficulty.EASY}
    assert (len(pairs.examples), len(left_out)) == (4, 4)


def test_no_more_pairs_are_kept_than_were_asked_for(make_run: MakeRun) -> None:
    pairs = pairs_of(make_run({f"p{at}": SURE for at in range(5)}, "consolidation.n_pairs=3"))
    assert len(pairs.examples) == 3
    assert [c.reason for c in pairs.choices].count(Reason.ENOUGH_PAIRS) == 2


def test_a_contradicted_example_costs_the_problem_its_place_under_reject(
    make_run: MakeRun,
) -> None:
    wrong = dataclasses.replace(SURE, output="5")
    pairs = pairs_of(make_run({"p1": wrong, "p2": SURE}, "consolidation.examples=reject"))
    assert [e.problem_id for e in pairs.examples] == ["p2"]
    assert [c.reason for c in pairs.choices] == [Reason.CONTRADICTED_EXAMPLE, None]


def test_a_corrected_example_stands_in_the_prompt(make_run: MakeRun) -> None:
    wrong = dataclasses.replace(SURE, output="5")
    pairs = pairs_of(make_run({"p1": wrong}, "consolidation.examples=correct"))
    assert "Output: 4" in pairs.examples[0].prompt and "Output: 5" not in pairs.examples[0].prompt
    assert pairs.preferences[0].prompt == pairs.examples[0].prompt
    assert pairs.choices[0].evidence is Evidence.CORRECTED


def test_a_corrected_docstring_stands_before_the_chosen_and_the_rejected_program(
    make_run: MakeRun,
) -> None:
    run = make_run({"p1": SURE}, "consolidation.examples=correct", "solutions.prefill=signature")
    (attempt,) = run.attempts.rows()
    problem = cases.problem(docstring="Twice.\n\n    >>> double(2)\n    5\n    ")
    problem = dataclasses.replace(problem, id="p1")
    run.attempts.put("000000", [dataclasses.replace(attempt, problem=problem)])
    bodies = [one.program.removeprefix(f"{cases.HEAD}\n") for one in run.candidates(0).rows()]
    candidates = [
        dataclasses.replace(
            one, completion=body.rstrip("\n"), program=problem.interface.source + body
        )
        for one, body in zip(run.candidates(0).rows(), bodies, strict=True)
    ]
    run.candidates(0).put("p1", candidates)
    (pair,) = pairs_of(run).preferences
    assert "    4\n" in pair.prefill and "    5\n" not in pair.prefill
    assert (pair.chosen, pair.rejected) == ("    return a\n```", "    return b\n```")


def test_contaminated_problems_are_on_record_and_not_trained_on(make_run: MakeRun) -> None:
    run = make_run({"p1": SURE, "p2": SURE})
    run.matches.put(
        "matches", [Match("p1", "humaneval", "HumanEval/0", MatchKind.OVERLAP, 0.9, "")]
    )
    pairs = pairs_of(run)
    assert [e.problem_id for e in pairs.examples] == ["p2"]
    assert pairs.choices[0].reason is Reason.CONTAMINATED


def test_a_preference_pair_shows_the_largest_rival_and_the_simplest_difference(
    make_run: MakeRun,
) -> None:
    rows = {"a": ALIKE, "b": (4, 0, 2, 99), "c": (4, 0, 2, RAISED), "d": NEGATED}
    (pair,) = pairs_of(make_run({"p1": Given(rows, {"a": 6, "b": 3, "c": 1, "d": 2})})).preferences
    assert "return a" in pair.chosen and "return b" in pair.rejected
    assert (pair.arguments, pair.chosen_outcome, pair.rejected_outcome) == ("(3,)", "6", "99")


def test_an_exception_may_be_the_difference(make_run: MakeRun) -> None:
    (pair,) = pairs_of(
        make_run({"p1": Given({"a": ALIKE, "c": (4, 0, 2, RAISED)}, {"a": 6, "c": 4})})
    ).preferences
    assert pair.rejected_outcome == "raised: ValueError: no"


def test_programs_that_differ_in_time_alone_are_no_preference_pair(make_run: MakeRun) -> None:
    late = Outcome(OutcomeKind.TIMED_OUT)
    run = make_run({"p1": Given({"a": ALIKE, "c": (4, 0, 2, late)}, {"a": 6, "c": 4})})
    assert not pairs_of(run).preferences


def test_without_a_rival_there_is_no_preference_pair(make_run: MakeRun) -> None:
    pairs = pairs_of(make_run({"p1": Given({"a": ALIKE}, {"a": 6})}))
    assert pairs.examples and not pairs.preferences


def test_the_rejected_program_is_the_one_of_closest_length(make_run: MakeRun) -> None:
    rows = {"aaaa": ALIKE, "b": NEGATED, "bbb": NEGATED, "bbbbbbbbb": NEGATED}
    (pair,) = pairs_of(make_run({"p1": Given(rows, {"aaaa": 8})})).preferences
    assert pair.rejected.rstrip("`\n").endswith("return bbb")


LONG = "a if x else a"


@pytest.mark.parametrize(
    ("rule", "chosen"), [("perplexity", LONG), ("shortest", "b"), ("maintainable", "b")]
)
def test_another_member_of_the_winning_cluster_may_stand_for_it(
    make_run: MakeRun, rule: str, chosen: str
) -> None:
    given = Given({LONG: ALIKE, "b": ALIKE, "c": NEGATED}, {LONG: 4, "b": 4, "c": 2})
    pairs = pairs_of(make_run({"p1": given}, f"consolidation.choose={rule}"))
    assert pairs.examples[0].completion.rstrip("`\n").endswith(f"return {chosen}")
    choice = pairs.choices[0]
    assert choice.chosen_by == rule
    is_mean = choice.measure == pytest.approx(choice.cluster_measure)
    assert is_mean is (rule == "perplexity")

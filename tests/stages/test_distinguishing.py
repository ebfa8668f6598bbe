"""Inputs are found on which agreeing programs differ: once a run, and the same after a kill."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ucoder.analysis.ballots import take_ballot
from ucoder.config import SolutionsConfig, parse_config
from ucoder.consensus.selectors import Rule
from ucoder.consensus.votes import votes_of
from ucoder.engines.protocol import Completion
from ucoder.errors import FileError
from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.inputs.distinguishing import (
    MAX_OF_SECOND,
    MAX_PROGRAMS,
    fewest_distinguishing,
    has_distinguishing_inputs,
    programs_to_tell_apart,
    seek_inputs,
)
from ucoder.pipeline import run_pipeline
from ucoder.programs import Executions
from ucoder.records import (
    NAN,
    Candidate,
    Execution,
    FinishReason,
    InputOrigin,
    Problem,
    TestInput,
)
from ucoder.runs import Run
from ucoder.stages.solutions import make_candidate, probe_solutions

RIGHT = "def magnitude(x):\n    return abs(x)\n"
NAIVE = "def magnitude(x):\n    return x\n"
SAME = "def magnitude(x):\n    return max(x, -x)\n"
SEARCHING = SolutionsConfig(n=12, distinguishing_inputs=32)


def votes(answers: dict[str, tuple[int, list[int | None]]]) -> Any:
    """Votes from programs: (candidates, answers by input); None is a call that fails."""
    names = [name for name, (n, _) in answers.items() for _ in range(n)]
    candidates = [
        Candidate(f"c{at}", "p", 0, at, "", "x", name, 1, -1.0, FinishReason.STOP, None)
        for at, name in enumerate(names)
    ]
    executions = {
        name: Execution("p", 0, name, ProgramStatus.LOADED, "", tuple(
            Outcome(OutcomeKind.RAISED, "KeyError: 1") if value is None
            else Outcome(OutcomeKind.RETURNED, repr(value)) for value in row
        ), NAN, NAN)
        for name, (_, row) in answers.items()
    }  # fmt: skip
    n_inputs = len(next(iter(answers.values()))[1])
    inputs = [TestInput(f"({at},)", InputOrigin.DISTINGUISHING) for at in range(n_inputs)]
    return votes_of(candidates, executions, inputs)


def test_programs_of_the_two_largest_clusters_are_tried() -> None:
    counted = votes({"a": (1, [1]), "b": (3, [2]), "c": (2, [2]), "d": (2, [3]), "e": (2, [3])})
    names = [counted.programs[at] for at in programs_to_tell_apart(counted)]
    assert names == ["b", "c", "d", "e"]


def test_at_most_MAX_PROGRAMS_programs_are_tried() -> None:
    first = {f"a{at:02}": (1, [1]) for at in range(30)}
    second = {f"b{at:02}": (1, [2]) for at in range(20)}
    counted = votes({**first, **second})
    names = [counted.programs[at] for at in programs_to_tell_apart(counted)]
    assert len(names) == MAX_PROGRAMS
    assert sum(name.startswith("b") for name in names) == MAX_OF_SECOND


def test_an_input_on_which_one_program_fails_and_the_other_answers_is_not_distinguishing() -> None:
    assert fewest_distinguishing(votes({"a": (1, [1, 1]), "b": (1, [1, None])})) == ()


def test_the_fewest_distinguishing_inputs_are_chosen() -> None:
    counted = votes({"a": (1, [1, 1, 5]), "b": (1, [1, 2, 6]), "c": (1, [1, 2, 7])})
    assert [test_input.arguments for test_input in fewest_distinguishing(counted)] == ["(2,)"]


async def test_a_cluster_of_programs_that_agree_on_the_suite_is_split(
    problem, suite, engine_of, executor
) -> None:
    engine = await engine_of([RIGHT, SAME, NAIVE])
    plain = SolutionsConfig(n=12)
    before = await probe_solutions(problem, suite, engine, executor, plain, 0, 0)
    assert before.suite == suite
    assert before.ballot.selection.cluster_sizes == (12,)

    after = await probe_solutions(problem, suite, engine, executor, SEARCHING, 0, 0)
    new = after.suite.inputs[len(suite.inputs) :]
    assert after.suite.inputs[: len(suite.inputs)] == suite.inputs
    assert new and all(i.origin is InputOrigin.DISTINGUISHING for i in new)
    assert not {i.arguments for i in new} & {i.arguments for i in suite.inputs}
    assert all(len(e.outcomes) == len(after.suite.inputs) for e in after.executions)
    assert len(after.ballot.selection.cluster_sizes) == 2
    assert after.ballot.selection.n_inputs == len(after.suite.inputs)


async def test_an_input_of_the_suite_that_does_not_count_is_not_found_again(
    problem, suite, executor
):
    # On -1, where only two of twelve answer, RIGHT and NAIVE differ; it is in the suite already.
    suite = replace(suite, inputs=(*suite.inputs, TestInput("(-1,)", InputOrigin.MODEL)))
    timid = [f"def magnitude(x):\n    return {{abs(x) + {k}: x}}[x + {k}]\n" for k in range(5)]
    texts = [RIGHT, NAIVE, *timid, *timid]
    completions = [Completion(text, 9, FinishReason.STOP, -1.0) for text in texts]
    candidates = [make_candidate(problem, 0, at, c) for at, c in enumerate(completions)]
    running = Executions(problem, suite.inputs, executor)
    for candidate in candidates:
        running.start(candidate)
    new = await seek_inputs(
        suite, candidates, await running.results(), running.probe,
        n=64, rule=Rule(), seed=1,
    )  # fmt: skip
    assert new and not {i.arguments for i in new} & {i.arguments for i in suite.inputs}


@pytest.mark.parametrize("answers", [[RIGHT], [RIGHT, SAME], ["no program"]])
async def test_the_suite_is_unchanged_where_no_input_distinguishes_programs(
    problem, suite, engine_of, executor, answers
) -> None:
    engine = await engine_of(answers)
    pool = await probe_solutions(problem, suite, engine, executor, SEARCHING, 0, 0)
    assert pool.suite is suite


async def test_a_suite_is_extended_once_and_never_in_later_iterations(
    problem, suite, engine_of, executor
) -> None:
    engine = await engine_of([RIGHT, SAME, NAIVE])
    first = await probe_solutions(problem, suite, engine, executor, SEARCHING, 0, 0)
    again = await probe_solutions(problem, first.suite, engine, executor, SEARCHING, 0, 0)
    assert has_distinguishing_inputs(first.suite) and again.suite is first.suite
    assert again.candidates == first.candidates
    assert repr(again.ballot) == repr(first.ballot)
    later = await probe_solutions(problem, suite, engine, executor, SEARCHING, 0, 1)
    assert later.suite is suite


# A whole run, cut between any two writes.

SCRIPT = {
    "rules": [
        {"when": ["Invent one new"], "answers": [
            " Magnitude\nDescription: Return how far the given whole number is from zero.\n"
            "Function Signature: def magnitude(x: int) -> int:\nExample:\nInput: magnitude(4)\n"
            "Output: 4\nHint: None.\n<PROBLEM_END>"]},
        {"when": ["Rate the quality"], "answers": [" 8\nSummary: Clear.\n<RATING_END>"]},
        {"when": ["Write the interface"], "answers": [
            'How far.\n\n    Returns:\n        the answer\n    """\n<SKELETON_END>']},
        {"when": ["test cases"], "answers": [
            "1) == 1\nassert magnitude(2) == 2\nassert magnitude(9) == 9\n```"]},
        {"when": ["Write a Python function"], "answers": [RIGHT, SAME, NAIVE]},
    ]
}  # fmt: skip


def carry_on(path: Path) -> Run:
    run = Run.open(path)
    asyncio.run(run_pipeline(run))
    return run


def records(run: Run) -> dict[str, list[str]]:
    """Stages 4 and 5 of both iterations, without what a clock measured; NaN equals its text."""
    tables: dict[str, list[Any]] = {"suites": run.suites.rows()}
    for t in (0, 1):
        tables[f"candidates {t}"] = run.candidates(t).rows()
        tables[f"executions {t}"] = [
            replace(e, cpu_s=0.0, wall_s=0.0) for e in run.executions(t).rows()
        ]
        tables[f"selections {t}"] = run.selections(t).rows()
    return {name: sorted(map(repr, rows)) for name, rows in tables.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distinguishing")
    (folder / "script.yaml").write_text(yaml.safe_dump(SCRIPT))
    values = {
        "model": "scripted",
        "engine": {"provider": "scripted", "script": str(folder / "script.yaml")},
        "problems": {"n": 1, "max_attempts": 4, "topics": "listed"},
        "test_inputs": {"n": 4, "n_completions": 1},
        "solutions": {"n": 48, "distinguishing_inputs": 32, "stopping": {"max_regret": 0.02}},
        "consolidation": {"provider": "scripted", "iterations": 2, "micro_batch_size": 4},
        "evaluation": {"benchmarks": []},
    }
    Run.create(folder / "run", parse_config(values))
    carry_on(folder / "run")
    return folder / "run"


def the_problem(run: Run) -> Problem:
    (problem,) = [a.problem for a in run.attempts.rows() if a.problem is not None]
    return problem


def test_every_iteration_runs_on_the_suite_that_iteration_0_extended(finished: Path) -> None:
    run = Run.open(finished)
    (suite,) = run.suites.rows()
    assert has_distinguishing_inputs(suite)
    for t in (0, 1):
        case = take_ballot(run, t, the_problem(run))
        assert case is not None and len(case.ballot.clusters) == 2
        # The ballot that is taken again is the one that was stored, what stopping said included.
        assert repr(case.ballot.selection) == repr(run.selections(t).rows()[0])
        assert case.ballot.selection.n_wanted == 48


def restore_suite(path: Path) -> None:
    """Put back the suite that stage 4 wrote."""
    run = Run.open(path)
    (suite,) = run.suites.rows()
    given = tuple(i for i in suite.inputs if i.origin is not InputOrigin.DISTINGUISHING)
    run.suites.put(suite.problem_id, [replace(suite, inputs=given)])


@pytest.mark.parametrize("written", range(4))
def test_a_run_killed_between_two_writes_ends_with_the_records_of_an_undisturbed_run(
    finished: Path, tmp_path: Path, written: int
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    whole = records(Run.open(finished))
    tables = path / "tables"
    for t in (0, 1):
        order = ["candidates", "executions", "selections"]
        for name in order[max(0, written - 1) if t == 0 else 0 :]:
            shutil.rmtree(tables / name / f"iteration-{t}")
    if not written:
        restore_suite(path)
    shutil.rmtree(tables / "checkpoints")
    assert records(carry_on(path)) == whole


def test_the_extended_suite_is_written_before_candidates_and_executions(
    finished: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    for name in ("candidates", "executions", "selections", "checkpoints"):
        shutil.rmtree(path / "tables" / name)
    restore_suite(path)
    (path / "tables" / "candidates").write_text("no folder can be made here")
    with pytest.raises(FileError):
        carry_on(path)
    assert Run.open(path).suites.rows() == Run.open(finished).suites.rows()
    (path / "tables" / "candidates").unlink()
    assert records(carry_on(path)) == records(Run.open(finished))


def test_a_lost_suite_is_rebuilt_with_the_same_distinguishing_inputs(
    finished: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    shutil.rmtree(path / "tables" / "suites")
    assert records(carry_on(path)) == records(Run.open(finished))

"""A problem that a benchmark asks as well is not trained on, unless one wants it so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder import load_config, run_pipeline, summarise
from ucoder.cli.exporting import export_examples
from ucoder.errors import NothingToDo, RunError
from ucoder.evaluation.benchmarks import known_answers
from ucoder.evaluation.contamination import Match, MatchKind
from ucoder.runs import Run

OWN_BENCHMARK = """
from ucoder.engines.protocol import Prompt
from ucoder.evaluation.grading import by_tests
from ucoder.evaluation.protocol import Benchmark, Dataset, Task

TEXT = "Return the sum of the two integers that are given as arguments to it."

async def grader(setting):
    return by_tests(setting, "sums", lambda task: "assert plus(1, 2) == 3")

BENCHMARK = Benchmark(
    name="sums", title="Sums",
    load=lambda path: Dataset((Task("Sums/0", TEXT, "plus", {}),), "own", "0"),
    prompt=lambda task: Prompt(task.text), program=lambda task, text, is_chat: text, grader=grader,
)
"""


def run_against(tmp_path: Path, *overrides: str) -> tuple[Run, str]:
    own = tmp_path / "own.py"
    own.write_text(OWN_BENCHMARK)
    path = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "ucoder", "run", "scripted", "-o", str(path),
         "consolidation.iterations=1", "evaluation.benchmarks=[]", "evaluation.n_tasks=null",
         f"evaluation.contamination.benchmarks=[{own}]", *overrides],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Run.open(path), done.stdout


@pytest.mark.parametrize("exclude", [True, False])
def test_a_problem_of_a_benchmark_is_trained_on_only_if_asked_for(
    tmp_path: Path, exclude: bool
) -> None:
    run, said = run_against(tmp_path, f"evaluation.contamination.exclude={str(exclude).lower()}")
    (match,) = run.matches.rows()
    assert (match.benchmark, match.task_id) == ("sums", "Sums/0")
    accepted = {a.problem.title: a.problem.id for a in run.attempts.rows() if a.problem}
    assert match.problem_id == accepted["Add Two Integers"]
    trained_on = {example.problem_id for example in run.examples(0).rows()}
    selected = {s.problem_id for s in run.selections(0).rows() if s.candidate_id is not None}
    assert trained_on == selected and (match.problem_id in selected) is not exclude
    # Nothing is sampled for a problem that is left out, which stays on record with the reason.
    (suite,) = run.suites.get(match.problem_id)
    assert suite.reason == ("contaminated" if exclude else None)
    assert (suite.n_tokens == 0) is exclude
    assert bool(run.candidates(0).get(match.problem_id)) is not exclude
    summary = summarise(run)
    assert summary.missing == () and summary.input_space.given_up.get("contaminated", 0) == exclude
    fate = "left out of training" if exclude else "kept all the same"
    assert fate in " ".join(said.split())


async def finished(path: Path, source: object, *overrides: str) -> Run:
    settings = [
        f"problems.source={source}", "evaluation.benchmarks=[]", "solutions.n=8",
        "consolidation={provider: none, iterations: 1}", *overrides,
    ]  # fmt: skip
    run = Run.create(path, load_config("scripted", settings))
    await run_pipeline(run)
    return Run.open(path)


async def test_export_and_training_leave_the_same_problems_out(tmp_path: Path) -> None:
    mine = {"statement": "Add up the two.", "signature": "def add_two(a: int, b: int) -> int"}
    (tmp_path / "own.jsonl").write_text(json.dumps(mine))
    run = await finished(tmp_path / "run", tmp_path / "own.jsonl")
    output = tmp_path / "pairs.jsonl"
    assert export_examples(run.path, output, None) == len(run.examples(0).rows()) == 1
    (pair,) = run.examples(0).rows()
    match = Match(pair.problem_id, "sums", "0", MatchKind.SAME_TEXT, 1.0, "")
    run.matches.put("matches", [match])
    with pytest.raises(NothingToDo, match="no selected solution"):
        export_examples(run.path, output, None, replace=True)


async def test_nothing_is_exported_before_problems_were_compared(tmp_path: Path) -> None:
    mine = {"statement": "Add up the two.", "signature": "def add_two(a: int, b: int) -> int"}
    (tmp_path / "own.jsonl").write_text(json.dumps(mine))
    run = await finished(tmp_path / "run", tmp_path / "own.jsonl")
    (run.path / "tables" / "matches" / "matches.parquet").unlink()
    with pytest.raises(RunError, match="have not been compared with benchmarks"):
        export_examples(run.path, tmp_path / "pairs.jsonl", None)


async def test_a_known_answer_is_never_trained_on_even_where_no_benchmark_is_compared(
    tmp_path: Path,
) -> None:
    task = known_answers.load().tasks[0]
    mine = [
        {"id": "known", "statement": task.text, "interface": task.fields["interface"]},
        {"statement": "Add up the two.", "signature": "def add_two(a: int, b: int) -> int"},
    ]
    (tmp_path / "own.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in mine))
    run = await finished(tmp_path / "run", tmp_path / "own.jsonl")
    known, other = (a.problem.id for a in run.attempts.rows() if a.problem)
    assert (known, "known-answers") in {(m.problem_id, m.benchmark) for m in run.matches.rows()}
    assert [example.problem_id for example in run.examples(0).rows()] == [other]
    assert not run.candidates(0).get(known)


async def test_a_run_on_known_answers_samples_them_and_makes_no_pair(tmp_path: Path) -> None:
    run = await finished(tmp_path / "run", "known-answers", "problems.n=2")
    assert len(run.suites.keys()) == 2
    assert not any(suite.reason == "contaminated" for suite in run.suites.rows())
    assert not run.examples(0).keys() and summarise(run).missing == ()
    with pytest.raises(NothingToDo):
        export_examples(run.path, tmp_path / "pairs.jsonl", None)

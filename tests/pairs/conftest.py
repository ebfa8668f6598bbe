"""Runs whose stage 5 is given: what candidates return, and what the greedy answer returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from ucoder.config import load_config
from ucoder.consensus.selection import rule_of, select
from ucoder.records import Attempt, Candidate, Execution, Problem
from ucoder.runs import Run

from . import cases

ALIKE = (4, 0, 2, 6)
"""What doubles of the suite's inputs are."""


@dataclasses.dataclass(frozen=True)
class Given:
    """One problem's stage 5: rows by program, candidates by program, the greedy program."""

    rows: Mapping[str, Sequence[object]]
    n: Mapping[str, int]
    greedy: str | None = None
    output: str | None = "4"


class MakeRun(Protocol):
    def __call__(self, problems: Mapping[str, Given], *overrides: str) -> Run: ...


def problems_of(run: Run) -> list[Problem]:
    return [attempt.problem for attempt in run.attempts.rows() if attempt.problem is not None]


def _attempt(index: int, problem: Problem) -> Attempt:
    return Attempt(index, 0, "area", "topic", problem, None, "", "", "", "", 0, 0, 0)


def _store(run: Run, problem: Problem, given: Given) -> None:
    suite = dataclasses.replace(cases.suite(), problem_id=problem.id)
    run.suites.put(problem.id, [suite])
    candidates, executions = cases.pool(given.rows, given.n, problem.id)
    voting: list[Candidate] = [c for c in candidates if given.n.get(_name(c), 1)]
    by_program: dict[str, Execution] = {e.program_id: e for e in executions}
    ballot = select(
        problem.id, 0, voting, by_program, suite.inputs, rule_of(run.config.solutions)
    )  # fmt: skip
    run.candidates(0).put(problem.id, voting)
    run.executions(0).put(problem.id, executions)
    run.selections(0).put(problem.id, [ballot.selection])
    if given.greedy is not None:
        answer = dataclasses.replace(voting[0], id="greedy", program_id=f"program-{given.greedy}")
        run.greedy(0).put(problem.id, [answer])


def _name(candidate: Candidate) -> str:
    return candidate.program_id.removeprefix("program-")


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run that has come to the end of stage 5."""

    def make(problems: Mapping[str, Given], *overrides: str) -> Run:
        config = load_config("scripted", ["solutions.n=12", *overrides])
        run = Run.create(tmp_path / "run", config)
        for index, (name, given) in enumerate(problems.items()):
            problem = dataclasses.replace(cases.problem(output=given.output), id=name)
            run.attempts.put(f"{index:06d}", [_attempt(index, problem)])
            _store(run, problem, given)
        run.matches.put("matches", [])
        return run

    return make

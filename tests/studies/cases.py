"""Executed tasks made by hand: what each program answers, its candidates, and which are right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.records import (
    Candidate,
    Execution,
    FinishReason,
    InputOrigin,
    Reason,
    TestInput,
)
from ucoder.studies.pools import ExecutedTask
from ucoder.studies.tasks import StudyTask, task_of

SOURCE = "def f(x):\n    return x"


def pool(
    answers: Mapping[str, Sequence[object]],
    n: Mapping[str, int],
    right: Sequence[str] | None = (),
    *,
    n_refused: int = 0,
    n_own: int | None = None,
    task_id: str = "t/0",
    n_tokens: int = 10,
) -> ExecutedTask:
    """A pool.

    Args:
        answers: By program, what it returns for each input; None raises.
        n: Candidates of each program.
        right: The right programs; None where the truth is unknown.
        n_refused: Candidates without a program, at the end.
        n_own: How many of the inputs the model wrote; all where None.
        task_id: The task's.
        n_tokens: Of each candidate.
    """
    programs = [program for program in answers for _ in range(n[program])]
    candidates = [
        _candidate(task_id, at, program, n_tokens)
        for at, program in enumerate([*programs, *[""] * n_refused])
    ]
    n_inputs = len(next(iter(answers.values())))
    return ExecutedTask(
        task_id=task_id,
        entry_point="f",
        inputs=tuple(
            TestInput(f"({at},)", InputOrigin.MODEL if at < own else InputOrigin.MUTATION)
            for own in [n_inputs if n_own is None else n_own]
            for at in range(n_inputs)
        ),
        candidates=tuple(candidates),
        executions=tuple(
            Execution(task_id, 0, program, ProgramStatus.LOADED, "",
                      tuple(_outcome(value) for value in row), math.nan, math.nan)
            for program, row in answers.items()
        ),
        correct=() if right is None else tuple(p in right for p in answers),
    )  # fmt: skip


def task(
    answers: Mapping[str, Sequence[object]],
    n: Mapping[str, int],
    right: Sequence[str] = (),
    **more: int,
) -> StudyTask:
    """The pool, coded."""
    return task_of(pool(answers, n, right, **more))  # type: ignore[arg-type]


def _outcome(value: object) -> Outcome:
    if value is None:
        return Outcome(OutcomeKind.RAISED, "IndexError: list index out of range")
    return Outcome(OutcomeKind.RETURNED, repr(value))


def _candidate(task_id: str, index: int, program: str, n_tokens: int) -> Candidate:
    return Candidate(
        id=f"{task_id}-{index}", problem_id=task_id, iteration=0, index=index, completion="",
        program=SOURCE if program else "", program_id=program, n_tokens=n_tokens,
        sum_logprob=-1.0, finish_reason=FinishReason.STOP,
        reason=None if program else Reason.NO_CODE,
    )  # fmt: skip

"""How an executed task is stored: one record, in which equal outcomes are written once.

A task of 100 programs and 200 inputs has 20,000 outcomes and a tenth as many different ones.
Storing each of these once, with its number in the place of every call that came to it, makes
reading several times as fast, and equal outcomes are one object in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ucoder.execution.outcomes import Outcome, ProgramStatus
from ucoder.records import Candidate, Execution, TestInput


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the truth script says of one program; None where the sandbox failed on it."""

    program_id: str
    correct: bool | None


@dataclass(frozen=True, slots=True)
class PackedExecution:
    """An `Execution` without its outcomes; `at` gives their numbers in the shard's list."""

    program_id: str
    status: ProgramStatus
    detail: str
    at: tuple[int, ...]
    cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Shard:
    """The stored form of one executed task; see `pools.Pool` for what the fields mean.

    Attributes:
        outcomes: The different outcomes of the task.
        executions: One a distinct program, pointing into `outcomes`.
    """

    task_id: str
    entry_point: str
    inputs: tuple[TestInput, ...]
    candidates: tuple[Candidate, ...]
    outcomes: tuple[Outcome, ...]
    executions: tuple[PackedExecution, ...]
    verdicts: tuple[Verdict, ...]


def pack(executions: Sequence[Execution]) -> tuple[tuple[Outcome, ...], list[PackedExecution]]:
    """Number the different outcomes, and write executions down with those numbers."""
    numbers: dict[Outcome, int] = {}
    packed = [
        PackedExecution(
            execution.program_id,
            execution.status,
            execution.detail,
            tuple(numbers.setdefault(o, len(numbers)) for o in execution.outcomes),
            execution.cpu_s,
            execution.wall_s,
        )
        for execution in executions
    ]
    return tuple(numbers), packed


def unpack(shard: Shard) -> Iterator[Execution]:
    """The executions of a shard, as they were packed.

    Raises:
        IndexError: The shard contradicts itself.
    """
    for packed in shard.executions:
        yield Execution(
            problem_id=shard.task_id,
            iteration=0,
            program_id=packed.program_id,
            status=packed.status,
            detail=packed.detail,
            outcomes=tuple(shard.outcomes[number] for number in packed.at),
            cpu_s=packed.cpu_s,
            wall_s=packed.wall_s,
        )

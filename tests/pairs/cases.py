"""A problem whose candidates are given by what they return."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.records import (
    Candidate,
    Execution,
    FinishReason,
    InputOrigin,
    Interface,
    Parameter,
    Problem,
    TestInput,
    TestSuite,
)

HEAD = "def double(x: int) -> int:"
RAISED = Outcome(OutcomeKind.RAISED, "ValueError: no")


def problem(docstring: str = "Twice the number.", description: str = "Return twice x.",
            output: str | None = "4", call: str = "double(2)") -> Problem:  # fmt: skip
    """`double(x)`, with an example unless its output is None."""
    parts = ["Title: Double", f"Description: {description}"]
    if output is not None:
        parts.append(f"Example:\nInput: {call}\nOutput: {output}")
    parts.append("Hint: Add.")
    source = f'{HEAD}\n    """{docstring}"""\n'
    interface = Interface("double", (Parameter("x", "int"),), "int", source)
    example = "" if output is None else f"{call} == {output}"
    return Problem("p" * 16, "area", "topic", "Double", description, "\n".join(parts), example,
                   8.0, "", interface)  # fmt: skip


def suite(n: int = 4, origin: InputOrigin = InputOrigin.EXAMPLE) -> TestSuite:
    """The inputs 2, 0, 1, 3, and so on; the first is the example's."""
    numbers = [2, 0, 1, *range(3, n)][:n]
    inputs = [TestInput("(2,)", origin)]
    inputs += [TestInput(f"({x},)", InputOrigin.MODEL) for x in numbers[1:]]
    return TestSuite("p" * 16, tuple(inputs), (), None, 1)


def candidate(index: int, program: str, *, f: float = 1.1, problem_id: str = "p" * 16) -> Candidate:
    return Candidate(
        id=f"c{index}-{problem_id[:1]}", problem_id=problem_id, iteration=0, index=index,
        completion=f"{program}", program=program, program_id=f"id-{program}"[:16].strip(),
        n_tokens=10, sum_logprob=-10 * math.log(f), finish_reason=FinishReason.STOP, reason=None,
    )  # fmt: skip


def execution(of: Candidate, row: Sequence[object]) -> Execution:
    outcomes = tuple(
        value if isinstance(value, Outcome) else Outcome(OutcomeKind.RETURNED, repr(value))
        for value in row
    )
    return Execution(of.problem_id, 0, of.program_id, ProgramStatus.LOADED, "", outcomes,
                     0.1, 0.1)  # fmt: skip


def with_program(of: Candidate, program_id: str) -> Candidate:
    return dataclasses.replace(of, program_id=program_id)


def pool(
    rows: Mapping[str, Sequence[object]], n: Mapping[str, int], problem_id: str = "p" * 16
) -> tuple[list[Candidate], list[Execution]]:
    """Candidates by program, `n` of each, and the programs' executions."""
    candidates: list[Candidate] = []
    executions = []
    for name, row in rows.items():
        program = f"{HEAD}\n    return {name}\n"
        for _ in range(n.get(name, 1) or 1):  # the greedy program may be nobody else's
            one = candidate(len(candidates), program, problem_id=problem_id)
            candidates.append(with_program(one, f"program-{name}"))
        executions.append(execution(candidates[-1], row))
    return candidates, executions

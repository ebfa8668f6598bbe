"""A problem's distinct programs, each run once on all of its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ucoder.execution.protocol import Executor
from ucoder.records import Candidate, Execution, Problem, TestInput


class Executions:
    """Runs programs while others are sampled.

    Args:
        problem: Whose programs they are.
        inputs: What each is called with.
        executor: Where they run.
    """

    def __init__(self, problem: Problem, inputs: Sequence[TestInput], executor: Executor) -> None:
        self._problem = problem
        self._inputs = inputs
        self._executor = executor
        self._first: dict[str, Candidate] = {}
        self._tasks: dict[str, asyncio.Task[Execution]] = {}

    def begin(self, candidate: Candidate) -> None:
        """Run a candidate's program, unless it has none or an equal one runs already."""
        if candidate.reason is None and candidate.program_id not in self._tasks:
            self._first[candidate.program_id] = candidate
            self._tasks[candidate.program_id] = asyncio.create_task(
                _execute(candidate, self._problem, self._inputs, self._executor)
            )

    def begin_again(self, inputs: Sequence[TestInput]) -> None:
        """Run every program again, and all that follow, on these inputs.

        Whole rather than on what is new: so an execution is one run of the program on one suite,
        under one time limit, whether or not the suite grew under way.
        """
        self.cancel()
        self._inputs = inputs
        self._tasks.clear()
        for candidate in self._first.values():
            self.begin(candidate)

    async def results(self) -> dict[str, Execution]:
        """The executions by program id, as soon as all that began are there.

        Raises:
            SandboxClosed: The executor was left.
        """
        return {program_id: await task for program_id, task in self._tasks.items()}

    def cancel(self) -> None:
        """End what still runs."""
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

"""One engine and one executor beside this process: a laptop, or one replica of many."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Self

from ucoder.attempts import attempt_problem
from ucoder.config import RunConfig
from ucoder.engines.protocol import Completion, Engine, EngineInfo, Request
from ucoder.execution.protocol import Executor
from ucoder.records import LOST, Attempt, Problem, TestSuite
from ucoder.scale.protocol import Solved, WrittenInputs
from ucoder.stages.problems import Topic
from ucoder.stages.solutions import probe_solutions
from ucoder.stages.test_inputs import probe_inputs


class LocalScheduler:
    """Runs every task on one engine and one executor; see `Scheduler`.

    Generation and execution overlap because each task is a coroutine: while some wait for the
    engine's batch, the programs of others run.

    Args:
        engine: Not yet entered.
        executor: Not yet entered.
        config: Of the run.
    """

    def __init__(self, engine: Engine, executor: Executor, config: RunConfig) -> None:
        self._engine = engine
        self._executor = executor
        self._config = config
        self._open = AsyncExitStack()

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return self._engine.info

    @property
    def executor(self) -> str:
        """See `Scheduler.executor`."""
        return self._executor.name

    @property
    def max_concurrency(self) -> int:
        """See `Scheduler.max_concurrency`."""
        return self._config.max_concurrency

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # The executor first: it costs nothing, and says at once where programs cannot run.
            await stack.enter_async_context(self._executor)
            await stack.enter_async_context(self._engine)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        return await self._engine.sample(request)

    async def attempt(self, index: int, topic: Topic) -> Attempt:
        """See `Scheduler.attempt`."""
        return await attempt_problem(index, topic, self._engine, self._config)

    async def write_inputs(self, problem: Problem) -> WrittenInputs:
        """See `Scheduler.write_inputs`."""
        config = self._config
        suite = await probe_inputs(problem, self._engine, config.test_inputs, config.seed)
        n_lost = sum(count.count for count in suite.refused if count.reason in LOST)
        return WrittenInputs([suite], suite.reason, n_lost)

    async def solve(self, problem: Problem, suite: TestSuite, iteration: int) -> Solved:
        """See `Scheduler.solve`."""
        pool = await probe_solutions(
            problem, suite, self._engine, self._executor,
            self._config.solutions, self._config.seed, iteration,
        )  # fmt: skip
        greedy = [] if pool.greedy is None else [pool.greedy]
        return Solved(
            suite=None if pool.suite == suite else [pool.suite],
            candidates=pool.candidates,
            executions=pool.executions,
            selection=[pool.ballot.selection],
            greedy=greedy or None,
            n_lost=sum(answer.reason in LOST for answer in (*pool.candidates, *greedy)),
        )

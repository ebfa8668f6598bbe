"""What the pipeline asks of a scheduler: the journey of one problem through one stage.

A journey is a function of the configuration, the model and what it is given, wherever and whenever
it runs: seeds come from the run's seed and the problem. So it may be begun twice, and whoever does
it changes nothing.

What will be stored comes as shards, ready to be written: making them is work, and a driver that
feeds a cluster has none to spare. The driver alone writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ucoder.engines.protocol import Engine
from ucoder.records import Attempt, Problem, Reason
from ucoder.stages.problems import Topic


@dataclass(frozen=True, slots=True)
class WrittenInputs:
    """Stage 4 of a problem.

    Attributes:
        shard: Its `TestSuite`.
        reason: Why the problem cannot go on, None where it can.
    """

    shard: bytes
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Solved:
    """Stage 5 of a problem, a shard a table.

    Attributes:
        suite: The longer `TestSuite` where inputs were found that separate, None where it is as
            it was.
        candidates: Its `Candidate`s.
        executions: Its `Execution`s.
        selection: Its `Selection`.
    """

    suite: bytes | None
    candidates: bytes
    executions: bytes
    selection: bytes


class Scheduler(Engine, Protocol):
    """Does journeys, as many at a time as there is room for; an async context manager.

    It is an engine as well: what it samples is sampled wherever there is room.
    """

    @property
    def executor(self) -> str:
        """The name of the provider that runs programs."""
        ...

    @property
    def max_concurrency(self) -> int:
        """Journeys that are worth beginning before others have ended."""
        ...

    async def attempt(self, index: int, topic: Topic) -> Attempt:
        """Stages 1 to 3.

        Args:
            index: Of the attempt, in the run's order.
            topic: What the model is asked about.

        Raises:
            EngineError: The engine broke, or cannot serve a request.
        """
        ...

    async def write_inputs(self, problem: Problem) -> WrittenInputs:
        """Stage 4.

        Raises:
            EngineError: As above.
        """
        ...

    async def solve(self, problem: Problem, suite: bytes, iteration: int) -> Solved:
        """Stage 5.

        Args:
            problem: Which.
            suite: The shard of its `TestSuite`.
            iteration: t, of the model that the engines hold.

        Raises:
            EngineError: As above.
            SandboxError: Programs cannot be run.
        """
        ...

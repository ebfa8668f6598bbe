"""What the pipeline asks of a scheduler: one task of one problem, and the parts of one machine.

A task is a function of the configuration, the model and what it is given, wherever and whenever it
runs: seeds come from the run's seed and the problem. So it may be started twice, and running it
changes nothing outside. Only the driver writes to the run.

Results are records. A scheduler whose replicas are other machines may return them encoded
(`Shard`), because the driver that feeds a cluster has no time to encode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ucoder.config import RunConfig
from ucoder.engines.protocol import Engine
from ucoder.models import Model
from ucoder.records import (
    Attempt,
    Candidate,
    Execution,
    Problem,
    Reason,
    Selection,
    TestSuite,
)
from ucoder.runs.tables import Shard
from ucoder.stages.problems import Topic
from ucoder.training.protocol import Trainer


@dataclass(frozen=True, slots=True)
class WrittenInputs:
    """Stage 4 of a problem.

    Attributes:
        suite: Its `TestSuite`.
        reason: Why the problem cannot go on, None where it can.
        n_lost: Completions that were lost (`FinishReason.lost`).
    """

    suite: Sequence[TestSuite] | Shard
    reason: Reason | None
    n_lost: int = 0


@dataclass(frozen=True, slots=True)
class Solved:
    """Stage 5 of a problem.

    Attributes:
        suite: The longer `TestSuite` where distinguishing inputs were found, else None.
        candidates: Its candidates, in the order of sampling.
        executions: One for each distinct program, the greedy answer's among them.
        selection: What consensus made of them.
        greedy: The answer at temperature 0 (`SolutionsConfig.greedy`); None where it is not asked
            for.
        n_lost: Completions that were lost (`FinishReason.lost`).
    """

    suite: Sequence[TestSuite] | Shard | None
    candidates: Sequence[Candidate] | Shard
    executions: Sequence[Execution] | Shard
    selection: Sequence[Selection] | Shard
    greedy: Sequence[Candidate] | Shard | None = None
    n_lost: int = 0


class Scheduler(Engine, Protocol):
    """Runs tasks, as many side by side as there is room for; an async context manager.

    It is an engine as well: `sample` runs wherever there is room.
    """

    @property
    def executor(self) -> str:
        """The name of the provider that runs programs."""
        ...

    @property
    def max_concurrency(self) -> int:
        """Tasks that are worth starting before others have ended."""
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
            EngineError: The engine broke, or cannot serve a request.
        """
        ...

    async def solve(self, problem: Problem, suite: TestSuite, iteration: int) -> Solved:
        """Stage 5.

        Args:
            problem: Which.
            suite: Its inputs.
            iteration: t, of the model that the engines hold.

        Raises:
            EngineError: The engine broke, or cannot serve a request.
            SandboxError: Programs cannot be run.
        """
        ...


class LocalParts(Protocol):
    """The parts of one machine, as a replica or a training node makes them for itself."""

    def model(self, name_or_path: str) -> Model:
        """The model that a name or path stands for."""
        ...

    def local_scheduler(
        self, model: Model, exports: Path | None = None
    ) -> AbstractAsyncContextManager[Scheduler]:
        """One engine and one executor on this machine, not yet entered."""
        ...

    def local_trainer(self) -> Trainer:
        """The trainer that works on this machine."""
        ...


MakeParts = Callable[[RunConfig], LocalParts]
"""Makes a machine's parts. It crosses to other machines by its name, so it must be importable
there: a class at the top level of a module, such as `ucoder.components.Components`."""

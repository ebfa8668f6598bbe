"""What runs in an actor: a scheduler for one machine, and what is checked before it is used."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ucoder.config import RunConfig
from ucoder.engines.protocol import EngineInfo
from ucoder.errors import ClusterError, UcoderError
from ucoder.models import Model
from ucoder.records import Candidate, Execution, Problem, Selection, TestSuite
from ucoder.runs.directory import commit, versions
from ucoder.runs.tables import Shard
from ucoder.scale.protocol import MakeParts, Scheduler, Solved, WrittenInputs


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a replica is for; the driver's own, which every node must be able to repeat.

    Attributes:
        make_parts: Makes the parts of the replica's machine.
        config: Of the run.
        model: As the driver resolved it.
        exports: Where a converted form of it is kept; the node's model cache where None.
        versions: What must be the same on every node, from `versions_here`.
    """

    make_parts: MakeParts
    config: RunConfig
    model: Model
    exports: Path | None
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Opened:
    """A replica that is ready.

    Attributes:
        info: Of its engine.
        executor: The provider that runs its programs.
        process_id: Of the actor.
    """

    info: EngineInfo
    executor: str
    process_id: int


@dataclass(frozen=True, slots=True)
class Failure:
    """One of our errors on its way back: Ray would wrap it in one of its own."""

    error: UcoderError


class Replica:
    """One engine and one executor on a node: the class of an actor whose methods run side by side.

    What it returns is encoded here, for the driver to write.
    """

    def __init__(self) -> None:
        self._scheduler: Scheduler | None = None
        self._open = AsyncExitStack()

    async def open(self, assignment: Assignment) -> Opened | Failure:
        """Check this node against the driver's, and start the engine and the executor."""
        try:
            model = checked_model(assignment)
            parts = assignment.make_parts(assignment.config)
            scheduler = await self._open.enter_async_context(
                parts.local_scheduler(model, assignment.exports)
            )
        except UcoderError as error:
            return Failure(error)
        self._scheduler = scheduler
        return Opened(scheduler.info, scheduler.executor, os.getpid())

    async def run(self, task: str, *arguments: Any) -> Any:
        """A method of `Scheduler`, by its name; our own errors come back as a `Failure`."""
        assert self._scheduler is not None, "open comes first"
        tasks: dict[str, Callable[..., Awaitable[Any]]] = {
            "sample": self._scheduler.sample,
            "attempt": self._scheduler.attempt,
            "write_inputs": self._write_inputs,
            "solve": self._solve,
        }
        try:
            return await tasks[task](*arguments)
        except UcoderError as error:
            return Failure(error)

    async def close(self) -> None:
        """End the engine and the executor, and be sure that their memory is free."""
        await self._open.aclose()

    async def _write_inputs(self, problem: Problem) -> WrittenInputs:
        assert self._scheduler is not None
        written = await self._scheduler.write_inputs(problem)
        return replace(written, suite=Shard.of(TestSuite, written.suite))

    async def _solve(self, problem: Problem, suite: TestSuite, iteration: int) -> Solved:
        assert self._scheduler is not None
        solved = await self._scheduler.solve(problem, suite, iteration)
        return Solved(
            suite=None if solved.suite is None else Shard.of(TestSuite, solved.suite),
            candidates=Shard.of(Candidate, solved.candidates),
            executions=Shard.of(Execution, solved.executions),
            selection=Shard.of(Selection, solved.selection),
            greedy=None if solved.greedy is None else Shard.of(Candidate, solved.greedy),
            n_lost=solved.n_lost,
        )


def versions_here() -> dict[str, str]:
    """What must be the same on every node; the engine's own version is compared by `EngineInfo`."""
    shared = ("python", "ucoder", "pyarrow", "ray")
    found = {name: version for name, version in versions().items() if name in shared}
    return {**found, "commit": commit()}


def checked_model(assignment: Assignment) -> Model:
    """The model as this node has it: the same bytes and under the same versions as the driver's.

    Raises:
        ClusterError: Something differs; the message says what.
        ModelError: The model cannot be had here.
    """
    here = versions_here()
    differing = [
        f"{name} {here.get(name) or 'absent'} instead of {version or 'absent'}"
        for name, version in assignment.versions.items()
        if here.get(name) != version
    ]
    if differing:
        raise ClusterError(
            f"other versions than the driver's: {', '.join(differing)}. Install the same on every "
            f"node: numbers of one run must not come from different programs"
        )
    expected = assignment.model
    try:
        found = assignment.make_parts(assignment.config).model(expected.name)
    except UcoderError as error:
        raise ClusterError(
            f"{error}. A run's own checkpoints are read from its folder, which must lie on a file "
            f"system that every node sees under the same path"
        ) from error
    if found.sha256 != expected.sha256:
        raise ClusterError(
            f"{expected.name} is another model here: sha256 {found.sha256[:16]} instead of "
            f"{expected.sha256[:16]}; remove it from this node's cache, or give one path that "
            f"every node sees"
        )
    return replace(found, origin=expected.origin, licence=expected.licence)

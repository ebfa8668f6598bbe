"""What runs in an actor: a scheduler for one machine, and what is checked before it is used."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ucoder.config import RunConfig
from ucoder.engines.protocol import EngineInfo
from ucoder.errors import ClusterError, UcoderError
from ucoder.models import Model
from ucoder.runs.directory import commit, versions
from ucoder.scale.local import LocalScheduler

if TYPE_CHECKING:
    from ucoder.components import Components

MakeComponents = Callable[[RunConfig], "Components"]
"""A components's class: crosses to other nodes by its name, so it must be importable there."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a replica is for; the driver's own, to be equal to on every node.

    Attributes:
        make_components: Makes the replica's components.
        config: Of the run.
        checkpoint: The model, as the driver resolved it.
        exports: Where a converted form of it is kept; the node's model cache where None.
        versions: What must be the same on every node, from `versions_here`.
    """

    make_components: MakeComponents
    config: RunConfig
    checkpoint: Model
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
    """An error of ours, on its way back: Ray would wrap it in one of its own."""

    error: UcoderError


class Replica:
    """One engine and one executor on a node; an actor's class, whose methods run side by side."""

    def __init__(self) -> None:
        self._scheduler: LocalScheduler | None = None

    async def open(self, assignment: Assignment) -> Opened | Failure:
        """Check this node against the driver's, and start the engine and the executor."""
        try:
            checkpoint = checked_model(assignment)
            components = assignment.make_components(assignment.config)
            scheduler = components.local_scheduler(checkpoint, assignment.exports)
            self._scheduler = await scheduler.__aenter__()
        except UcoderError as error:
            return Failure(error)
        return Opened(scheduler.info, scheduler.executor, os.getpid())

    async def run(self, journey: str, *arguments: Any) -> Any:
        """A method of `Scheduler`, by its name; errors of ours come back as a `Failure`."""
        assert self._scheduler is not None, "open comes first"
        try:
            return await getattr(self._scheduler, journey)(*arguments)
        except UcoderError as error:
            return Failure(error)

    async def close(self) -> None:
        """End the engine and the executor, and be sure that their memory is free."""
        if self._scheduler is not None:
            await self._scheduler.__aexit__()


def versions_here() -> dict[str, str]:
    """What must be the same on every node; the engine's own version is compared by `EngineInfo`."""
    shared = ("python", "ucoder", "pyarrow", "ray")
    found = {name: version for name, version in versions().items() if name in shared}
    return {**found, "commit": commit()}


def checked_model(assignment: Assignment) -> Model:
    """The model as this node has it, the same bytes and under the same versions as the driver's.

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
    expected = assignment.checkpoint
    components = assignment.make_components(assignment.config)
    try:
        found = components.model(expected.name)
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

"""Replicas on a Ray cluster: tasks go to the replica that is free, and lost tasks run again.

A replica is an actor with an engine and an executor of its own. The driver starts one wherever a
node has room, also on nodes that join while the run is under way, and gives each as many tasks side
by side as the configuration's `max_concurrency` says. So no more than these are in flight: the
object store holds their answers and nothing else.

A task is a function of what it is given. When an actor, its engine, its node or the connection is
lost, its tasks are given to other replicas, and a replica is started again where there is room.
Tasks in flight are the only thing that is lost: the driver writes what is finished, at once, and it
alone writes. A driver that is killed takes its actors with it, and is resumed like any other run.

Nodes are asked for their versions and for the model's checksum before they are used. One that
differs is left out, with a message; where none is left, the run ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ucoder.config import RunConfig, ScaleConfig
from ucoder.engines.protocol import Completion, EngineInfo, Request
from ucoder.errors import ClusterError, EngineLost
from ucoder.models import Model
from ucoder.progress import Progress
from ucoder.records import Attempt, Problem, TestSuite
from ucoder.runtime import cancel, require
from ucoder.scale.protocol import MakeParts, Solved, WrittenInputs
from ucoder.scale.replica import Assignment, Failure, Opened, Replica, versions_here
from ucoder.stages.topics import Topic

POLL_S = 2.0
"""Between two looks at which nodes there are."""

CLOSE_S = 60.0
"""How long replicas may take to end by themselves."""

MAX_RETRIES = 16
"""A task on which this many replicas were lost is taken for the cause of the losses."""

MAX_FAILED_STARTS = 3
"""A node on which this many replicas were lost before they were ready is left out."""

_UNLIMITED_REPLICAS = 64
"""Replicas to keep busy where the configuration gives no number."""


@dataclass(eq=False, slots=True)
class _Place:
    """A replica that works: its actor, its node, and how many more tasks it can take."""

    actor: Any
    node_id: str
    address: str
    free: int


class RayScheduler:
    """Spreads tasks over a cluster; see `Scheduler`.

    Args:
        make_parts: Makes the parts of each replica's machine.
        config: Of the run.
        model: The model.
        exports: Where a converted form of it is kept; each node's model cache where None.
        progress: Told which replicas come and go.
    """

    def __init__(
        self,
        make_parts: MakeParts,
        config: RunConfig,
        model: Model,
        exports: Path | None,
        progress: Progress,
    ) -> None:
        # A node's own working folder is another: paths must not depend on it.
        if model.path.is_dir() and Path(model.name).is_dir():
            model = replace(model, name=str(model.path.resolve()))
        exports = exports.resolve() if exports else None
        self._assignment = Assignment(make_parts, config, model, exports, versions_here())
        self._config = config
        self._progress = progress
        self._places: list[_Place] = []
        self._permits = asyncio.Semaphore(0)  # free places, some perhaps of lost replicas
        self._starting: dict[asyncio.Task[None], str] = {}
        self._failed_starts: Counter[str] = Counter()
        self._refused: dict[str, str] = {}
        self._supervisor: asyncio.Task[None] | None = None
        self._first: asyncio.Future[Opened] | None = None
        self._failure: BaseException | None = None

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`; every replica's is the same."""
        return self._opened.info

    @property
    def executor(self) -> str:
        """See `Scheduler.executor`."""
        return self._opened.executor

    @property
    def max_concurrency(self) -> int:
        """See `Scheduler.max_concurrency`: enough for every replica that may come."""
        return self._config.max_concurrency * (self._config.scale.n_replicas or _UNLIMITED_REPLICAS)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(connect, self._config.scale)
        self._first = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise())
        self._supervisor.add_done_callback(self._fail)
        try:
            await self._first
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await cancel([task for task in (self._supervisor, *self._starting) if task])
        if self._places:
            # Killed, an engine would take some seconds to give the memory back that training needs.
            closing = [asyncio.wrap_future(p.actor.close.remote().future()) for p in self._places]
            closed = asyncio.gather(*closing, return_exceptions=True)  # the lost are closed as well
            await asyncio.wait([closed], timeout=CLOSE_S)
        for place in list(self._places):
            self._end(place)

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        completions: list[Completion] = await self._run("sample", request)
        return completions

    async def attempt(self, index: int, topic: Topic) -> Attempt:
        """See `Scheduler.attempt`."""
        attempt: Attempt = await self._run("attempt", index, topic)
        return attempt

    async def write_inputs(self, problem: Problem) -> WrittenInputs:
        """See `Scheduler.write_inputs`."""
        written: WrittenInputs = await self._run("write_inputs", problem)
        return written

    async def solve(self, problem: Problem, suite: TestSuite, iteration: int) -> Solved:
        """See `Scheduler.solve`."""
        solved: Solved = await self._run("solve", problem, suite, iteration)
        return solved

    @property
    def _opened(self) -> Opened:
        assert self._first is not None, "the scheduler was not entered"
        return self._first.result()

    async def _run(self, task: str, *arguments: Any) -> Any:
        """Run a task on one replica after another until one finishes it.

        Raises:
            ClusterError: Replica after replica was lost on it, or no node can be used any more.
        """
        lost: Exception | None = None
        for _ in range(MAX_RETRIES):
            place = await self._take()
            try:
                answer = await _answer(place.actor.run.remote(task, *arguments))
                if isinstance(answer, Failure):
                    raise answer.error
            except retryable_errors() as error:
                lost = error
                self._lose(place, error)
            else:
                return answer
            finally:
                self._give_back(place)
        raise ClusterError(
            f"{MAX_RETRIES} replicas were lost on the same {task}; the last: {_in_short(lost)}. "
            f"If nodes are not being taken away, it is what ends them: too little memory, perhaps"
        )

    async def _take(self) -> _Place:
        """A free place, of the replica with the most of them.

        Raises:
            ClusterError: No node can be used any more.
        """
        while True:
            await self._permits.acquire()
            if self._failure is not None:
                self._permits.release()  # for the next one who waits
                raise self._failure
            if free := [place for place in self._places if place.free]:
                place = max(free, key=lambda place: place.free)
                place.free -= 1
                return place
            # The permit was for a replica that is lost by now.

    def _give_back(self, place: _Place) -> None:
        if place in self._places:
            place.free += 1
            self._permits.release()

    def _lose(self, place: _Place, why: Exception) -> None:
        """Forget a replica; only the first task that finds it lost reports it."""
        if place in self._places:
            n_flying = self._config.max_concurrency - place.free
            self._end(place)
            self._progress.message(
                f"a replica on {place.address} was lost ({_in_short(why)}); the {n_flying} "
                f"problems that it was on are done again"
            )

    def _end(self, place: _Place) -> None:
        import ray

        self._places.remove(place)
        ray.kill(place.actor)

    def _fail(self, task: asyncio.Task[None]) -> None:
        """An error of the supervisor, or of a start, ends the run."""
        if task.cancelled() or (failure := task.exception()) is None:
            return
        assert self._first is not None
        self._failure = failure
        self._permits.release()
        if not self._first.done():
            self._first.set_exception(failure)

    # Replicas come and go.

    async def _supervise(self) -> None:
        """Start replicas wherever there is room, as long as the run wants any.

        Raises:
            ClusterError: No node can be used, and none is being tried.
        """
        import ray

        while True:
            nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
            self._forget_dead_nodes({node["NodeID"] for node in nodes})
            for node in nodes:
                for _ in range(self._room_on(node)):
                    start = self._start(node["NodeID"], node["NodeManagerAddress"])
                    task = asyncio.create_task(start)
                    self._starting[task] = node["NodeID"]
                    task.add_done_callback(self._starting.pop)
                    task.add_done_callback(self._fail)
            if not self._places and not self._starting:
                self._refuse_hopeless(nodes)
            await asyncio.sleep(POLL_S)

    def _forget_dead_nodes(self, alive: set[str]) -> None:
        for place in [place for place in self._places if place.node_id not in alive]:
            self._lose(place, ClusterError("its node left"))

    def _room_on(self, node: dict[str, Any]) -> int:
        """How many more replicas to start on a node."""
        node_id, has, scale = node["NodeID"], node["Resources"], self._config.scale
        if node_id in self._refused:
            return 0
        room: int = int(has.get("CPU", 0) // scale.cpus_per_replica)
        if scale.gpus_per_replica:
            room = min(room, int(has.get("GPU", 0) // scale.gpus_per_replica))
        room -= sum(place.node_id == node_id for place in self._places)
        room -= list(self._starting.values()).count(node_id)
        if scale.n_replicas is not None:
            room = min(room, scale.n_replicas - len(self._places) - len(self._starting))
        return max(0, room)

    def _refuse_hopeless(self, nodes: list[dict[str, Any]]) -> None:
        """Say why no replica can be had, where waiting would not help."""
        if self._refused:
            reasons = "\n".join(self._refused.values())
            raise ClusterError(f"no node of the cluster can be used:\n{reasons}")
        scale = self._config.scale
        assert self._first is not None
        if not self._first.done():
            raise ClusterError(
                f"no node of the cluster has room for a replica of {scale.cpus_per_replica:g} CPUs "
                f"and {scale.gpus_per_replica:g} GPUs ({len(nodes)} nodes); lower "
                f"scale.cpus_per_replica or scale.gpus_per_replica, or add nodes"
            )
        # Every node has left: others may join.

    async def _start(self, node_id: str, address: str) -> None:
        """Start one replica on a node; a failure is counted, or excludes the node."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        scale = self._config.scale
        remote: Any = ray.remote(Replica)
        actor = remote.options(
            num_cpus=scale.cpus_per_replica,
            num_gpus=scale.gpus_per_replica,
            max_concurrency=2 * self._config.max_concurrency + 8,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        ).remote()
        try:
            opened = await _answer(actor.open.remote(self._assignment))
        except BaseException as error:
            ray.kill(actor)
            if not isinstance(error, retryable_errors()):
                raise
            self._failed_starts[node_id] += 1
            if self._failed_starts[node_id] >= MAX_FAILED_STARTS:
                self._refuse(node_id, address, f"replicas end before they start: {error}")
            return
        if isinstance(opened, Failure):
            ray.kill(actor)
            self._refuse(node_id, address, str(opened.error))
            return
        self._welcome(_Place(actor, node_id, address, self._config.max_concurrency), opened)

    def _welcome(self, place: _Place, opened: Opened) -> None:
        assert self._first is not None
        if not self._first.done():
            self._first.set_result(opened)
        elif opened.info != self.info:
            import ray

            ray.kill(place.actor)
            why = f"its engine is another: {opened.info} instead of {self.info}"
            self._refuse(place.node_id, place.address, why)
            return
        self._failed_starts.pop(place.node_id, None)
        self._places.append(place)
        for _ in range(place.free):
            self._permits.release()
        self._progress.message(
            f"replica on {place.address} is ready (process {opened.process_id}); "
            f"{len(self._places)} work"
        )

    def _refuse(self, node_id: str, address: str, why: str) -> None:
        """Leave a node out from now on."""
        if node_id not in self._refused:
            self._refused[node_id] = f"node {address} is not used: {why}"
            self._progress.message(self._refused[node_id])


def connect(scale: ScaleConfig) -> None:
    """Join the cluster that the configuration names, once a process.

    Raises:
        MissingDependency: Ray is not installed.
        ClusterError: There is no such cluster.
    """
    require("scale: ray", "ray", extra="ray")
    import ray

    if ray.is_initialized():
        return
    host, _, port = scale.address.rpartition(":")
    try:
        if host and port.isdigit():
            # Ray would knock for minutes, and say so each time.
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=scale.address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"scale.address={scale.address}: no Ray cluster can be joined there ({error}). Start "
            f"one with `ray start --head`, name another, or set scale.address=local"
        ) from error


def retryable_errors() -> tuple[type[Exception], ...]:
    """What is raised when an actor, its engine, its node or its answer is gone."""
    from ray import exceptions

    return (
        exceptions.RayActorError,
        exceptions.ObjectLostError,
        exceptions.NodeDiedError,
        exceptions.WorkerCrashedError,
        exceptions.ActorUnschedulableError,
        exceptions.OutOfMemoryError,
        EngineLost,
    )


async def _answer(reference: Any) -> Any:
    """Wait for an actor's answer; cancelling the wait cancels the task in the actor."""
    import ray

    try:
        return await reference
    except asyncio.CancelledError:
        ray.cancel(reference)
        raise


def _in_short(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if error else ""

"""Stage 6 on a node of a Ray cluster: the trainer of one machine, in an actor with its GPUs.

The run's folder must lie on a file system that every node sees: the trainer reads M(t) there,
keeps its checkpoints there, and leaves M(t+1) there. So a training whose node is lost goes on
elsewhere from its last checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ucoder.config import RunConfig
from ucoder.errors import ClusterError, UcoderError
from ucoder.progress import Progress
from ucoder.scale.protocol import MakeParts
from ucoder.scale.ray import connect, retryable_errors
from ucoder.scale.replica import Failure
from ucoder.training.protocol import TrainingJob, TrainingResult

MAX_RETRIES = 8
"""Nodes that may be lost during one training."""

_POLL_S = 1.0


class TrainingActor:
    """A trainer on a node; an actor's class, whose methods run side by side."""

    def __init__(self) -> None:
        self._step = (0, 0)

    async def train(
        self, make_parts: MakeParts, config: RunConfig, job: TrainingJob
    ) -> TrainingResult | Failure:
        """See `Trainer.train`; errors of ours come back as a `Failure`."""
        try:
            return await make_parts(config).local_trainer().train(job, self._on_step)
        except UcoderError as error:
            return Failure(error)

    async def step(self) -> tuple[int, int]:
        """The optimiser steps done and those to do; (0, 0) before the first."""
        return self._step

    def _on_step(self, done: int, total: int) -> None:
        self._step = (done, total)


class RayTrainer:
    """Trains on whichever node has the GPUs that the configuration wants; see `Trainer`.

    Args:
        make_parts: Makes the parts of the node's machine.
        config: Of the run.
        progress: Told when a node is lost.
    """

    def __init__(self, make_parts: MakeParts, config: RunConfig, progress: Progress) -> None:
        self._make_parts = make_parts
        self._config = config
        self._progress = progress

    async def train(self, job: TrainingJob, on_step: Callable[[int, int], None]) -> TrainingResult:
        """See `Trainer.train`.

        Raises:
            TrainingError: It failed.
            ClusterError: Node after node was lost.
        """
        await asyncio.to_thread(connect, self._config.scale)
        metrics_dir = job.metrics_dir.resolve() if job.metrics_dir else None
        job = replace(
            job, model=job.model.resolve(), output=job.output.resolve(), metrics_dir=metrics_dir
        )
        for _ in range(MAX_RETRIES):
            try:
                result = await self._train_once(job, on_step)
            except retryable_errors() as error:
                self._progress.message(f"the node that trains was lost, and training goes on "
                                       f"elsewhere from its last checkpoint ({error})")  # fmt: skip
                continue
            if isinstance(result, Failure):
                raise result.error
            return result
        raise ClusterError(f"{MAX_RETRIES} nodes were lost during one training; resume the run")

    async def _train_once(
        self, job: TrainingJob, on_step: Callable[[int, int], None]
    ) -> TrainingResult | Failure:
        import ray

        remote: Any = ray.remote(TrainingActor)
        scale = self._config.scale
        actor = remote.options(num_cpus=scale.training_cpus, num_gpus=scale.training_gpus).remote()
        try:
            result: asyncio.Future[TrainingResult | Failure] = asyncio.wrap_future(
                actor.train.remote(self._make_parts, self._config, job).future()
            )
            said = (0, 0)
            while not (await asyncio.wait([result], timeout=_POLL_S))[0]:
                step = await actor.step.remote()
                if step != said:
                    on_step(*step)
                    said = step
            return await result
        finally:
            ray.kill(actor)

"""A trainer that changes nothing: its checkpoint is a note of what it was given. For tests."""

from __future__ import annotations

import json
from collections.abc import Callable

from ucoder.records import NAN, digest
from ucoder.training.protocol import (
    TrainingJob,
    TrainingResult,
    fresh_folder,
    publish,
    published,
)


class ScriptedTrainer:
    """Writes down the examples' identities as the new checkpoint; see `Trainer`."""

    async def train(self, job: TrainingJob, on_step: Callable[[int, int], None]) -> TrainingResult:
        """See `Trainer.train`."""
        if (result := published(job.output)) is not None:
            return result
        partial = fresh_folder(job.output.with_name(f"{job.output.name}.partial"))
        note = {
            "model": job.model.name,
            "examples": digest(*(e.prompt + e.completion for e in job.examples)),
            "seed": job.seed,
        }
        (partial / "scripted.json").write_text(json.dumps(note), "utf-8")
        result = TrainingResult(len(job.examples), 0, 1, NAN)
        publish(partial, job.output, result)
        on_step(1, 1)
        return result

"""What the pipeline asks of a trainer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from ucoder.config import ConsolidationConfig
from ucoder.records import Example


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One fine-tuning.

    Attributes:
        model: Folder of M(t), a transformers checkpoint.
        is_chat: Whether examples go through its chat template.
        examples: The pairs (q, r*).
        output: Folder that will hold M(t+1); it must not exist.
        config: Hyperparameters.
        seed: Of the order of examples and of the adapter's start.
        metrics_dir: Where TensorBoard's event files go; None keeps none.
    """

    model: Path
    is_chat: bool
    examples: Sequence[Example]
    output: Path
    config: ConsolidationConfig
    seed: int
    metrics_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came of it.

    Attributes:
        n_examples: Trained on.
        n_left_out: Longer than `max_length`.
        n_steps: Optimiser steps.
        loss: Mean training loss, NaN where none is reported.
    """

    n_examples: int
    n_left_out: int
    n_steps: int
    loss: float


class Trainer(Protocol):
    """Fine-tunes.

    Interrupted and asked again for the same output, it goes on where it was; asked for an output
    that is there, it says what it said then.
    """

    async def train(self, job: TrainingJob, on_step: Callable[[int, int], None]) -> TrainingResult:
        """Train, and leave a whole checkpoint at `job.output`.

        Args:
            job: What to train.
            on_step: Told the optimiser steps done and those to do.

        Raises:
            TrainingError: It failed; no output was left.
        """
        ...


_RESULT = "ucoder_training.json"


def publish(partial: Path, output: Path, result: TrainingResult) -> None:
    """Make a finished checkpoint appear whole, with what came of its training inside."""
    (partial / _RESULT).write_text(json.dumps(asdict(result)), "utf-8")
    partial.rename(output)


def published(output: Path) -> TrainingResult | None:
    """What came of a training whose checkpoint is there; None where there is none."""
    if not output.exists():
        return None
    return TrainingResult(**json.loads((output / _RESULT).read_text("utf-8")))


def fresh_folder(path: Path) -> Path:
    """An empty folder, whatever a killed process left there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path

"""The interface of a trainer, and a scripted trainer for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from ucoder.config import ConsolidationConfig
from ucoder.files import replacing
from ucoder.records import NAN, Example, PreferencePair, digest


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One fine-tuning.

    Attributes:
        model: Folder of M(t), a transformers checkpoint.
        is_chat: Whether prompts go through its chat template, as in sampling.
        examples: The pairs (q, r*); SFT learns them.
        output: Folder that will hold M(t+1); it must not exist.
        config: Hyperparameters.
        seed: Of the order of examples and the initial adapter.
        metrics_dir: Folder for TensorBoard's event files; None writes none.
        preferences: Chosen and rejected completions; DPO learns them, and SFT needs none.
    """

    model: Path
    is_chat: bool
    examples: Sequence[Example]
    output: Path
    config: ConsolidationConfig
    seed: int
    metrics_dir: Path | None = None
    preferences: Sequence[PreferencePair] = ()


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The outcome of a fine-tuning.

    Attributes:
        n_examples: Examples trained on, or preference pairs.
        n_left_out: Those longer than `max_length` or the model's context.
        n_steps: Optimiser steps.
        loss: Mean training loss; NaN where none is reported.
        first_loss: That of the first step, before anything was learnt; NaN likewise.
        first_accuracy: Share of the completions' tokens that the model ranked first then.
    """

    n_examples: int
    n_left_out: int
    n_steps: int
    loss: float
    first_loss: float = NAN
    first_accuracy: float = NAN


class Trainer(Protocol):
    """Fine-tunes models.

    Called again with the same output after an interruption, it resumes; called with an output that
    exists, it returns the result of that training.
    """

    async def train(self, job: TrainingJob, on_step: Callable[[int, int], None]) -> TrainingResult:
        """Train, and write a complete checkpoint to `job.output`.

        Args:
            job: What to train.
            on_step: Called with the number of optimiser steps done and their total.

        Raises:
            TrainingError: Training failed; no output was written.
            MissingDependency: A package is not installed.
            DiskFull: No space is left for the checkpoint.
        """
        ...


_RESULT = "ucoder_training.json"


def save_result(folder: Path, result: TrainingResult) -> None:
    """Store the outcome of a training inside its checkpoint."""
    (folder / _RESULT).write_text(json.dumps(asdict(result)), "utf-8")


def saved_result(output: Path) -> TrainingResult | None:
    """The outcome of a finished training; None where its checkpoint does not exist."""
    if not output.exists():
        return None
    return TrainingResult(**json.loads((output / _RESULT).read_text("utf-8")))


class ScriptedTrainer:
    """A trainer for tests: its checkpoint is only a digest of the job."""

    async def train(self, job: TrainingJob, on_step: Callable[[int, int], None]) -> TrainingResult:
        """See `Trainer.train`."""
        if (result := saved_result(job.output)) is not None:
            return result
        note = {
            "model": job.model.name,
            "examples": digest(*(e.prompt + e.prefill + e.completion for e in job.examples)),
            "seed": job.seed,
        }
        result = TrainingResult(len(job.examples), 0, 1, NAN)
        with replacing(job.output) as folder:
            folder.mkdir()
            (folder / "scripted.json").write_text(json.dumps(note), "utf-8")
            save_result(folder, result)
        on_step(1, 1)
        return result

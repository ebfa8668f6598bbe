"""Small trainings for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ucoder.config import ConsolidationConfig, LoraConfig
from ucoder.records import Example, PreferencePair
from ucoder.training import sft, worker
from ucoder.training.protocol import TrainingJob

LORA = LoraConfig(rank=4, alpha=8.0)
# Ten examples in batches of four: the last batch of an epoch is short.
EXAMPLES = [
    Example(
        "p", f"c{i}", 0, f"Add {i}.", f"def {'abcdefghij'[i] * (2 * i + 1)}(x):\n```", "```python\n"
    )
    for i in range(10)
]
PAIRS = [
    PreferencePair(
        "p", 0, one.prompt, one.prefill, one.completion, f"raise {one.prompt}\n```",
        one.candidate_id, "r", "1", "1", "raised",
    )
    for one in EXAMPLES[:8]
]  # fmt: skip
TOO_LONG = Example("p", "long", 0, "Too long. " * 60, "x")


def job(
    model: Path, output: Path, examples: list[Example] = EXAMPLES, **settings: Any
) -> TrainingJob:
    """A training of the tiny model: six optimiser steps, if nothing else is said."""
    config = ConsolidationConfig.model_validate({
        "epochs": 2, "batch_size": 4, "micro_batch_size": 2, "learning_rate": 1e-3,
        "max_length": 200, "n_processes": 1, **settings,
    })  # fmt: skip
    metrics = output.parent / "metrics"
    pairs = PAIRS if config.objective == "dpo" else ()
    return TrainingJob(model, True, examples, output, config, 1, metrics, pairs)


def train_here(asked: TrainingJob, **replaced: Any) -> dict[str, Any]:
    """Train in this process, which has its libraries loaded already; returns the result.

    Args:
        asked: What to train. Its output folder is written, without the record of the result.
        replaced: Values of the job's file to replace.
    """
    work = asked.output.parent / f"{asked.output.name}.training"
    work.mkdir(parents=True)
    sft._write_job(asked, work, asked.output)
    sent: list[dict[str, Any]] = []
    written = json.loads((work / "job.json").read_text("utf-8"))
    before, worker.send = worker.send, lambda **values: sent.append(values)
    try:
        worker.run_rank({**written, "metrics_dir": None, **replaced})
    finally:
        worker.send = before
    result: dict[str, Any] = sent[-1]["result"]
    return result


def losses(metrics_dir: Path) -> list[float]:
    """The loss of every step, read back from TensorBoard's files (the last one, if twice)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(metrics_dir))
    events.Reload()
    of_steps = {scalar.step: scalar.value for scalar in events.Scalars("train/loss")}
    assert sorted(of_steps) == list(range(1, len(of_steps) + 1))
    return [of_steps[step] for step in sorted(of_steps)]


def weights(checkpoint: Path) -> dict[str, Any]:
    """All tensors of a checkpoint, in float32."""
    from safetensors.torch import load_file

    state = load_file(checkpoint / "model.safetensors")
    return {name: tensor.float() for name, tensor in state.items()}

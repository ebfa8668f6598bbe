"""Small trainings for these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ucoder.config import ConsolidationConfig, LoraConfig
from ucoder.records import Example
from ucoder.training.protocol import TrainingJob

LORA = LoraConfig(rank=4, alpha=8.0)
# Ten examples in batches of four: the last batch of an epoch is short.
EXAMPLES = [
    Example(
        "p", f"c{i}", 0, f"Add {i}.", f"def {'abcdefghij'[i] * (2 * i + 1)}(x):\n```", "```python\n"
    )
    for i in range(10)
]
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
    return TrainingJob(model, True, examples, output, config, 1, metrics)


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

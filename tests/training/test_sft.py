"""Stage 6 with the real trainer on a tiny real model."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from ucoder.config import ConsolidationConfig, LoraConfig
from ucoder.errors import TrainingError
from ucoder.models import resolve
from ucoder.records import Example
from ucoder.training.protocol import TrainingJob
from ucoder.training.sft import TRLTrainer

EXAMPLES = [
    Example("p", f"c{i}", 0, f"Add {i}.", f"```python\ndef f(x):\n    return x + {i}\n```")
    for i in range(6)
] + [Example("p", "long", 0, "Too long. " * 60, "x")]


def job(model: Path, output: Path, lora: LoraConfig | None, epochs: float = 2) -> TrainingJob:
    config = ConsolidationConfig(
        epochs=epochs, batch_size=4, micro_batch_size=2, learning_rate=1e-2, max_length=200,
        lora=lora,
    )  # fmt: skip
    return TrainingJob(model, True, EXAMPLES, output, config, seed=1)


@pytest.mark.parametrize("lora", [LoraConfig(rank=4, alpha=8.0), None], ids=["lora", "full"])
async def test_training_leaves_a_whole_other_model(
    tiny_checkpoint: Path, tmp_path: Path, lora: LoraConfig | None
) -> None:
    steps: list[tuple[int, int]] = []
    output = tmp_path / "iteration-0"
    result = await TRLTrainer().train(
        job(tiny_checkpoint, output, lora), lambda done, total: steps.append((done, total))
    )
    assert (result.n_examples, result.n_left_out, result.n_steps) == (6, 1, 4)
    assert math.isfinite(result.loss)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    trained, before = resolve(str(output)), resolve(str(tiny_checkpoint))
    assert trained.sha256 != before.sha256
    assert trained.is_chat
    assert [p.name for p in tmp_path.iterdir()] == ["iteration-0"]
    # Asked again, it says what it said then.
    again = await TRLTrainer().train(job(tiny_checkpoint, output, lora), lambda *_: None)
    assert again == result


async def test_a_failed_training_is_our_error_and_leaves_no_model(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    nothing = dataclasses.replace(
        job(tiny_checkpoint, tmp_path / "out", LoraConfig()), examples=EXAMPLES[-1:]
    )
    with pytest.raises(TrainingError, match="all 1 examples are longer than max_length=200"):
        await TRLTrainer().train(nothing, lambda *_: None)
    assert not (tmp_path / "out").exists()

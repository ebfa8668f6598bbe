"""Stage 6 with the real trainer on a tiny real model, in one process."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path

import pytest

from ucoder.config import LoraConfig
from ucoder.errors import MissingDependency, TrainingError
from ucoder.models import resolve
from ucoder.training.sft import TRLTrainer

from .jobs import EXAMPLES, LORA, TOO_LONG, job, losses


@pytest.mark.parametrize("lora", [LORA, None], ids=["lora", "full"])
async def test_training_writes_a_complete_trained_model_and_the_loss_of_every_step(
    tiny_checkpoint: Path, tmp_path: Path, lora: LoraConfig | None
) -> None:
    steps: list[tuple[int, int]] = []
    output = tmp_path / "iteration-0"
    asked = job(
        tiny_checkpoint, output, [*EXAMPLES[:6], TOO_LONG], learning_rate=1e-2, lora=lora
    )  # fmt: skip
    result = await TRLTrainer().train(asked, lambda done, total: steps.append((done, total)))
    assert (result.n_examples, result.n_left_out, result.n_steps) == (6, 1, 4)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    trained, before = resolve(str(output)), resolve(str(tiny_checkpoint))
    assert trained.sha256 != before.sha256
    assert trained.is_chat
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iteration-0", "metrics"]
    of_steps = losses(tmp_path / "metrics")
    assert len(of_steps) == 4
    assert math.isclose(sum(of_steps) / 4, result.loss, rel_tol=1e-3)
    # Called again, it returns the same result.
    again = await TRLTrainer().train(asked, lambda *_: None)
    assert again == result


async def test_a_model_with_settings_that_cannot_be_saved_is_trained_all_the_same(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_checkpoint, base)
    settings = {"temperature": 0.9, "top_p": 0.6, "eos_token_id": [256, 7]}
    (base / "generation_config.json").write_text(json.dumps(settings))
    await TRLTrainer().train(job(base, tmp_path / "out", EXAMPLES[:4], epochs=1), lambda *_: None)
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert written["eos_token_id"] == [256, 7]
    assert "temperature" not in written and "top_p" not in written


async def test_packed_examples_take_fewer_steps(tiny_checkpoint: Path, tmp_path: Path) -> None:
    asked = job(tiny_checkpoint, tmp_path / "out", packing=True, micro_batch_size=1)
    result = await TRLTrainer().train(asked, lambda *_: None)
    # Two of about 60 tokens fit in 200 and a third does too: ten examples in four rows or five.
    assert result.n_examples == 10
    assert result.n_steps < 6


async def test_a_failed_training_raises_TrainingError_and_leaves_no_model(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    nothing = job(tiny_checkpoint, tmp_path / "out", [TOO_LONG])
    with pytest.raises(TrainingError, match="all 1 examples are longer than max_length=200"):
        await TRLTrainer().train(nothing, lambda *_: None)
    assert not (tmp_path / "out").exists()


async def test_a_missing_package_is_reported_before_training_starts(tmp_path: Path) -> None:
    for name in ("wandb", "mlflow", "trackio", "deepspeed"):
        if importlib.util.find_spec(name) is not None:
            continue
        wanted = {"strategy": name} if name == "deepspeed" else {"metrics": [name]}
        asked = job(tmp_path / "no-model", tmp_path / "out", n_processes=2, **wanted)
        with pytest.raises(MissingDependency, match=rf"needs {name}, .* \"ucoder\[{name}\]\""):
            await TRLTrainer().train(asked, lambda *_: None)
    assert list(tmp_path.iterdir()) == []

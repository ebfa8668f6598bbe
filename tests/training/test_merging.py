"""What was learnt is in the saved model: nothing is rounded away, and generation ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ucoder.config import ConsolidationConfig
from ucoder.training.protocol import TrainingJob

from .jobs import LORA, job, train_here, weights

SMALL_RATE = 1e-5
"""At this rate an update is smaller than the distance between two bfloat16 numbers."""


def _train(asked: TrainingJob) -> Path:
    train_here(asked)
    return asked.output


def _logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(torch.arange(200)[None]).logits


def _load(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _share_changed(before: Any, after: Any) -> float:
    return float((before != after).float().mean())


def test_a_saved_model_is_its_base_and_adapter_to_the_precision_of_float32(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel

    asked = job(tiny_checkpoint, tmp_path / "out", lora=LORA, epochs=1, learning_rate=SMALL_RATE)
    output = _train(asked)
    adapted = PeftModel.from_pretrained(_load(tiny_checkpoint), output / "adapter")
    unmerged = _logits(adapted)
    merged = _logits(adapted.merge_and_unload())
    loaded = _logits(_load(output))
    torch.testing.assert_close(merged, unmerged)
    torch.testing.assert_close(loaded, merged, rtol=0, atol=0)
    # What was learnt is far above that tolerance.
    learnt = (unmerged - _logits(_load(tiny_checkpoint))).abs().max()
    assert learnt > 20 * (merged - unmerged).abs().max()


def test_every_weight_that_an_adapter_targets_changes_where_bfloat16_would_lose_most(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    import torch

    asked = job(tiny_checkpoint, tmp_path / "out", lora=LORA, epochs=1, learning_rate=SMALL_RATE)
    before, after = weights(tiny_checkpoint), weights(_train(asked))
    targeted = [name for name in before if "_proj.weight" in name]
    assert len(targeted) == 2 * 7
    for name in targeted:
        assert _share_changed(before[name], after[name]) > 0.99
        rounded = after[name].to(torch.bfloat16).float()
        assert _share_changed(before[name], rounded) < 0.5
    for name in before.keys() - set(targeted):
        assert torch.equal(before[name], after[name])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [LORA, None], ids=["lora", "full"])
def test_a_model_is_saved_in_the_precision_that_is_asked_for(
    tiny_checkpoint: Path, tmp_path: Path, precision: str, lora: Any
) -> None:
    from safetensors.torch import load_file

    asked = job(tiny_checkpoint, tmp_path / "out", lora=lora, epochs=1, save_precision=precision)
    output = _train(asked)
    kinds = {str(tensor.dtype) for tensor in load_file(output / "model.safetensors").values()}
    assert kinds == {f"torch.{precision}"}
    assert json.loads((output / "config.json").read_text())["dtype"] == precision
    assert (output / "adapter").is_dir() == (lora is not None)


def test_training_goes_on_from_what_the_iteration_before_it_learnt(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """An adapter that is trained for M2 is added to M1 as it was saved, not to its bfloat16."""
    settings: dict[str, Any] = {"lora": LORA, "epochs": 1, "learning_rate": SMALL_RATE}
    first = _train(job(tiny_checkpoint, tmp_path / "first", **settings))
    second = _train(job(first, tmp_path / "second", **settings))
    base, once, twice = weights(tiny_checkpoint), weights(first), weights(second)
    name = "model.layers.0.mlp.up_proj.weight"
    step, total = (once[name] - base[name]).norm(), (twice[name] - base[name]).norm()
    assert total > 1.2 * step


def test_the_same_seed_draws_the_same_start_of_an_adapter(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    import torch

    def start(seed: int) -> dict[str, Any]:
        torch.rand(seed + 3)  # whatever was drawn before
        trainer = _trainer(tiny_checkpoint, tmp_path, seed)
        return {n: p.data for n, p in trainer.model.named_parameters() if "lora_A" in n}

    first, again, other = start(5), start(5), start(6)
    assert len(first) == 2 * 7
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def _trainer(model: Path, folder: Path, seed: int) -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer

    from ucoder.training.recipe import adapter, arguments
    from ucoder.training.trainers import balanced_trainer

    config = ConsolidationConfig.model_validate({"lora": LORA.model_dump(), "metrics": ()})
    about = {"seed": seed, "metrics_dir": None, "run_name": "r", "trainer_dir": str(folder)}
    row = {"input_ids": [1, 2], "labels": [-100, 2], "token_weights": [1.0, 1.0]}
    return balanced_trainer(
        "sft",
        model=_load(model),
        args=arguments(config, about, gpu=False),
        train_dataset=Dataset.from_list([row]),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=adapter(config),
    )


@pytest.mark.parametrize(
    ("named", "saved"),
    [({"eos_token_id": 7}, 7), ({"eos_token_id": [9, 7]}, [9, 7]), ({"eos_token_id": None}, 256)],
)
def test_the_saved_model_ends_at_the_token_that_was_trained(
    tiny_checkpoint: Path, tmp_path: Path, named: dict[str, Any], saved: Any
) -> None:
    """The tokenizer's end token is 256; TRL would write it over the model's."""
    base = tmp_path / "base"
    shutil.copytree(tiny_checkpoint, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, **named}))
    (base / "generation_config.json").write_text(json.dumps(named))
    output = _train(job(base, tmp_path / "out", lora=LORA, epochs=1))
    assert json.loads((output / "generation_config.json").read_text())["eos_token_id"] == saved

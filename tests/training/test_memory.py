"""The formula of training memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ucoder.config import ConsolidationConfig
from ucoder.training.memory import ModelShape, training_memory

# Qwen2.5-Coder-7B: 28 query and 4 key-value heads of 128.
SEVEN = ModelShape(7_615_616_512, 3_584, 18_944, 512, 28, 152_064)


def _settings(**settings: object) -> ConsolidationConfig:
    return ConsolidationConfig.model_validate(settings)


def test_full_training_on_one_process_keeps_sixteen_bytes_a_parameter_and_a_bfloat16_copy() -> None:
    memory = training_memory(SEVEN, _settings(), 1)
    states = memory.weights + memory.gradients + memory.optimiser
    assert states == 16 * 7_615_616_512
    assert memory.copies == 2 * 7_615_616_512


def test_activations_and_logits_agree_with_a_computation_by_hand() -> None:
    # Four examples of 2,048 tokens, checkpointed: 28 inputs of 4 x 3,584 bytes a token, and one
    # layer's 34 x 3,584 + 8 x 18,944 = 273,408.
    memory = training_memory(SEVEN, _settings(micro_batch_size=4, max_length=2048), 8)
    assert memory.activations == 8_192 * (28 * 4 * 3_584 + 273_408)
    # A tile of 4,096 x 32,768 in bfloat16, and the float32 gradient of the head.
    assert memory.logits == 2 * 4_096 * 32_768 + 4 * 152_064 * 3_584


def test_a_preference_pair_takes_the_activations_of_two_examples() -> None:
    pairs = training_memory(SEVEN, _settings(objective="dpo", micro_batch_size=2), 8)
    assert pairs == training_memory(SEVEN, _settings(micro_batch_size=4), 8)


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed"])
def test_fsdp_and_deepspeed_divide_the_states_and_ddp_does_not(strategy: str) -> None:
    one, eight = (training_memory(SEVEN, _settings(strategy=strategy), n) for n in (1, 8))
    assert eight.weights * 8 == one.weights
    assert eight.optimiser * 8 == one.optimiser
    assert eight.activations == one.activations
    whole = training_memory(SEVEN, _settings(strategy="ddp"), 8)
    assert whole.weights == one.weights
    assert whole.total > one.total  # the buckets


def test_lora_stores_the_base_in_two_bytes_a_parameter_and_trains_the_adapter_only() -> None:
    # The count that PEFT prints for this model at rank 16.
    trained = SEVEN.adapter_parameters(16)
    assert trained == 40_370_176
    memory = training_memory(SEVEN, _settings(lora={"rank": 16}), 1)
    assert memory.weights == 2 * 7_615_616_512 + 4 * trained
    assert memory.gradients + memory.optimiser == 12 * trained


def test_the_shape_of_a_checkpoint_is_read_from_its_config(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    shape = ModelShape.of(tiny_checkpoint)
    assert (shape.hidden_size, shape.key_value_size, shape.n_layers) == (64, 32, 2)
    from safetensors import safe_open

    with safe_open(tiny_checkpoint / "model.safetensors", "pt") as file:
        n = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    assert shape.n_parameters == pytest.approx(n, rel=0.01)  # all but norms and biases
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba", "hidden_size": 64}))
    with pytest.raises(KeyError):
        ModelShape.of(tmp_path)

"""The training configuration as the libraries read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ucoder.config import load_config


def test_packed_examples_do_not_attend_to_each_other(tiny_checkpoint: Path) -> None:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import pack_dataset
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from ucoder.training.recipe import check_packing

    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32)
    check_packing(model)
    examples = [[5, 6, 7, 8, 9], [10, 11, 12], [13, 14, 15, 16]]
    rows = Dataset.from_dict({"input_ids": examples, "labels": examples})
    packed = list(pack_dataset(rows, 8, "bfd"))
    assert len(packed) == 2
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(packed)
    inputs = {key: batch[key] for key in ("input_ids", "position_ids")}
    with torch.no_grad():
        together = model(**inputs, use_cache=False).logits[0]  # no cache, as in training
        for row in examples:
            start = batch["input_ids"][0].tolist().index(row[0])
            alone = model(input_ids=torch.tensor([row])).logits[0]
            torch.testing.assert_close(together[start : start + len(row)], alone)

        # A model whose attention ignores positions is refused.
        model.config._attn_implementation = "paged|sdpa"
        with pytest.raises(SystemExit, match=r"set consolidation\.packing to false"):
            check_packing(model)


@pytest.mark.parametrize("packing", [False, True])
def test_the_loss_is_on_the_answer_and_its_end_and_on_nothing_else(
    tiny_checkpoint: Path, tmp_path: Path, packing: bool
) -> None:

    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ucoder.training.recipe import arguments
    from ucoder.training.rendering import example_rows
    from ucoder.training.trainers import balanced_trainer

    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    # As Qwen3's: a finished answer would begin with a section that a prompt does not have.
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}<think></think>{% endif %}"
        "{{ m['content'] }};{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
    )
    job = {"is_chat": True, "seed": 0, "metrics_dir": None, "run_name": "r"}
    example = {"prompt": "Add.", "prefill": "```\n", "completion": "x = 1\n```", "weight": 1.0}
    rows = example_rows(tokenizer, [example], is_chat=True, end=256)
    config = load_config("demo").consolidation.model_copy(update={"packing": packing, "lora": None})
    trainer = balanced_trainer(
        "sft",
        model=AutoModelForCausalLM.from_pretrained(tiny_checkpoint),
        args=arguments(config, {**job, "trainer_dir": str(tmp_path)}, gpu=False),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    (prepared,) = list(trainer.train_dataset)
    learnt = [token for token in prepared["labels"] if token != -100]
    assert tokenizer.decode(prepared["input_ids"]) == "Add.;A:```\nx = 1\n```<|end|>"
    assert tokenizer.decode(learnt) == "x = 1\n```<|end|>"


def test_the_deepspeed_configuration_is_zero_3_as_accelerate_reads_it(tmp_path: Path) -> None:
    from accelerate.utils.deepspeed import HfDeepSpeedConfig

    from ucoder.training.recipe import deepspeed_settings

    file = tmp_path / "deepspeed.json"
    file.write_text(json.dumps(deepspeed_settings()))
    read = HfDeepSpeedConfig(str(file))
    assert read.is_zero3() and not read.is_offload()
    # Without it the trained weights could not be saved as one checkpoint.
    assert read.is_true("zero_optimization.stage3_gather_16bit_weights_on_model_save")


@pytest.mark.parametrize("size", ["7b", "14b", "32b"])
def test_the_papers_presets_have_the_papers_recipe(size: str) -> None:
    config = load_config(f"paper-{size}")
    assert config.model == f"Qwen/Qwen2.5-Coder-{size.upper()}"
    recipe = config.consolidation
    assert (recipe.epochs, recipe.learning_rate, recipe.schedule) == (3, 5e-6, "cosine")
    assert (recipe.batch_size, recipe.lora, recipe.strategy) == (128, None, "fsdp")
    assert config.solutions.n == 128

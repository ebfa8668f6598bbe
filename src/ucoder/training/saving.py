"""The trained model as a transformers checkpoint in bfloat16, adapter merged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ucoder.config import ConsolidationConfig
from ucoder.training.recipe import adapter

_TOKENIZER_FILES = ("tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json",
                    "vocab*", "merges.txt", "generation_config.json")  # fmt: skip


def save(trainer: Any, job: dict[str, Any], config: ConsolidationConfig) -> None:
    """Gather the model, merge its adapter, and write it from the first rank.

    All ranks call it, because shards are gathered from all of them; the first one needs memory for
    the whole model.
    """
    import torch

    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if sharded:
        trained = _gathered(trainer, job, config)
    else:
        trained = trainer.accelerator.unwrap_model(trainer.model)
    if not trainer.is_world_process_zero():
        return
    if config.lora:
        trained = trained.merge_and_unload()
    output = Path(job["output"])
    trained.to(torch.bfloat16).save_pretrained(output)
    for pattern in _TOKENIZER_FILES:
        for file in Path(job["model"]).glob(pattern):
            shutil.copy(file, output / file.name)


def _gathered(trainer: Any, job: dict[str, Any], config: ConsolidationConfig) -> Any:
    """A fresh copy of the model with the trained weights put in; None on all but the first rank."""
    state = _trained_state(trainer)
    if not trainer.is_world_process_zero():
        return None
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # which would split this copy among the ranks again
    whole = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16)
    if config.lora:
        whole = get_peft_model(whole, adapter(config))
    missing, unexpected = whole.load_state_dict(state, strict=False)
    if unexpected or (missing and not config.lora):
        raise RuntimeError(f"gathered weights do not fit the model: {missing=} {unexpected=}")
    return whole


def _trained_state(trainer: Any) -> dict[str, Any]:
    """The weights that were trained, on the first rank; empty or meaningless on the others."""
    if trainer.is_deepspeed_enabled:
        state: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        return state
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    gathered: dict[str, Any] = get_model_state_dict(trainer.model, options=options)
    return gathered

"""Which of the trainer's checkpoints to resume from, and writing the trained model at the end.

A process may be killed while it writes a checkpoint. So a checkpoint is used only if it has a mark,
which is written once every rank has written its part; the previous one is kept until then.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ucoder.config import ConsolidationConfig
from ucoder.records import digest
from ucoder.training.recipe import adapter

_MARK = "ucoder_mark.json"
_TOKENIZER_FILES = ("tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json",
                    "vocab*", "merges.txt", "generation_config.json")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """The training that wrote a checkpoint; only the same training resumes from it.

    Attributes:
        job: Digest of examples, settings and seed; not of paths, so that a run may be moved.
        n_processes: The number of ranks, each of which has written a part.
    """

    job: str
    n_processes: int

    @classmethod
    def of(cls, job: dict[str, Any], n_processes: int) -> Self:
        """The mark of a job's checkpoints."""
        what = {key: job[key] for key in ("is_chat", "examples", "config", "seed")}
        return cls(digest(json.dumps(what, sort_keys=True)), n_processes)


def last_whole(trainer_dir: Path, mark: Mark) -> Path | None:
    """The latest complete checkpoint of the same training; None where there is none."""
    whole = [folder for folder in trainer_dir.glob("checkpoint-*") if _mark_of(folder) == mark]
    return max(whole, key=lambda folder: int(folder.name.split("-")[-1]), default=None)


def _mark_of(folder: Path) -> Mark | None:
    try:
        return Mark(**json.loads((folder / _MARK).read_text("utf-8")))
    except (FileNotFoundError, ValueError):  # killed before or while it was written
        return None


def checkpoint_marker(mark: Mark) -> Any:
    """A callback that marks a checkpoint once all ranks have written it, and deletes the others."""
    from accelerate import PartialState
    from transformers import TrainerCallback

    class CheckpointMarker(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            PartialState().wait_for_everyone()
            if not state.is_world_process_zero:
                return
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / _MARK).write_text(json.dumps(asdict(mark)), "utf-8")
            for other in Path(args.output_dir).glob("checkpoint-*"):
                if other != folder:
                    shutil.rmtree(other)

    return CheckpointMarker()


def save(trainer: Any, job: dict[str, Any], config: ConsolidationConfig) -> None:
    """Write the trained model as a transformers checkpoint in bfloat16, its adapter merged.

    All ranks must call it, because shards are gathered from all of them. The first rank writes, and
    needs memory for the whole model.
    """
    import torch

    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
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
    """A new copy of the model with the trained weights, on the first rank; None on the others."""
    state = _trained_state(trainer)
    if not trainer.is_world_process_zero():
        return None
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # otherwise this copy would be sharded as well
    whole = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16)
    if config.lora:
        whole = get_peft_model(whole, adapter(config))
    missing, unexpected = whole.load_state_dict(state, strict=False)
    if unexpected or (missing and not config.lora):
        raise RuntimeError(f"gathered weights do not fit the model: {missing=} {unexpected=}")
    return whole


def _trained_state(trainer: Any) -> dict[str, Any]:
    """The trained weights, on the first rank; not to be used on the others."""
    if trainer.is_deepspeed_enabled:
        state: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        return state
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    gathered: dict[str, Any] = get_model_state_dict(trainer.model, options=options)
    return gathered

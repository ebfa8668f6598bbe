"""Which of the trainer's checkpoints to resume from, and writing the trained model at the end.

A process may be killed while it writes a checkpoint. So a checkpoint is used only if it has a mark,
which is written once every rank has written its part; the previous one is kept until then.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ucoder.config import ConsolidationConfig
from ucoder.engines.protocol import Prompt, prompt_tokens
from ucoder.engines.transformers import end_tokens
from ucoder.records import digest
from ucoder.training.recipe import adapter

ADAPTER = "adapter"
"""The folder of a checkpoint that holds its LoRA adapter as PEFT writes it."""
_MARK = "ucoder_mark.json"
_TOKENIZER_FILES = ("tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json",
                    "vocab*", "merges.txt", "*.model", "*.tiktoken")  # fmt: skip
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_SAMPLE = Prompt("Add two numbers.", "def add(a, b):\n    return a + b\n")


@dataclass(frozen=True, slots=True)
class Mark:
    """The training that wrote a checkpoint; only the same training resumes from it.

    Attributes:
        job: Digest of examples, preference pairs, settings and seed; not of paths, so that a run
            may be moved.
        n_processes: The number of ranks, each of which has written a part.
    """

    job: str
    n_processes: int

    @classmethod
    def of(cls, job: dict[str, Any], n_processes: int) -> Self:
        """The mark of a job's checkpoints."""
        what = {key: job[key] for key in ("is_chat", "examples", "preferences", "config", "seed")}
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


def prepare(model: Any, tokenizer: Any, job: dict[str, Any], end: int) -> Any:
    """Write all of the trained model but its weights, before the training.

    What cannot be written is known then, and not after the work is done. A setting that
    transformers loads but refuses to save, such as a temperature without sampling in
    `generation_config.json`, is left out; the token ids are kept.

    Args:
        model: As it was loaded; it gets a generation configuration that can be saved.
        tokenizer: Its tokenizer, which goes into checkpoints.
        job: What will be trained.
        end: The token that examples end with, at which generation ends from now on; the tokens at
            which it ended before stay.

    Returns:
        The generation configuration of the trained model, for `save`.

    Raises:
        SystemExit: A part cannot be written; the message says which, and what to do.
    """
    from transformers import AutoTokenizer, GenerationConfig

    source, output = Path(job["model"]), Path(job["output"])
    make_generation: Any = GenerationConfig
    generation = copy.deepcopy(model.generation_config)
    if end not in (ends := end_tokens(model)):
        generation.eos_token_id = sorted({*ends, end}) if ends else end
    try:
        output.mkdir(parents=True, exist_ok=True)
        for pattern in _TOKENIZER_FILES:
            for file in filter(Path.is_file, source.glob(pattern)):
                shutil.copy(file, output / file.name)
        try:
            generation.save_pretrained(output)
        except ValueError:
            ids = {name: getattr(generation, name) for name in _TOKEN_IDS}
            generation = make_generation(**ids)
            generation.save_pretrained(output)
        copy.deepcopy(model.config).save_pretrained(output)
        with tempfile.TemporaryDirectory(dir=output.parent) as checkpoint:
            tokenizer.save_pretrained(checkpoint)
        copy_of_it = AutoTokenizer.from_pretrained(output)
        before, after = (
            prompt_tokens(one, _SAMPLE, job["is_chat"]) for one in (tokenizer, copy_of_it)
        )
    except Exception as error:  # tokenizers and configurations raise whatever they like
        raise SystemExit(
            f"the trained model could not be saved, so it is not trained: the tokenizer or a "
            f"configuration file of {source} cannot be written to {output}: {error}"
        ) from error
    if before != after:
        raise SystemExit(
            f"the tokenizer of {source} cannot be saved: its copy in {output} gives other tokens. "
            f"Load and save it with transformers (AutoTokenizer, save_pretrained), and give that"
        )
    model.generation_config = copy.deepcopy(generation)  # the trainer's checkpoints hold it too
    return generation


def check_space(
    trainer: Any, job: dict[str, Any], config: ConsolidationConfig, n_kept: int
) -> None:
    """Refuse a training for whose checkpoints or whose model the disk surely lacks the room.

    A checkpoint has 12 bytes for each trained parameter, the weight and AdamW's two moments in
    float32, and the one before it is kept until it is complete; the model has 4 for each in
    float32 and 2 in bfloat16.

    Args:
        trainer: Ready to train.
        job: What it will train.
        config: How.
        n_kept: Checkpoints that are there already, one of which is replaced.

    Raises:
        SystemExit: There is too little space.
    """
    sizes = [
        (getattr(one, "ds_numel", one.numel()), one.requires_grad)  # a count that DeepSpeed hides
        for one in trainer.model.parameters()
    ]
    checkpoint = 12 * sum(n for n, is_trained in sizes if is_trained)
    n_checkpoints = 1 if config.checkpoint_steps or config.epochs <= 1 else 2
    model = (4 if config.save_precision == "float32" else 2) * sum(n for n, _ in sizes)
    need = max(n_checkpoints * checkpoint, checkpoint + model) - n_kept * checkpoint
    free = shutil.disk_usage(Path(job["output"])).free
    if free < need:
        raise SystemExit(
            f"training needs {need / 2**20:,.0f} MiB for checkpoints and the model, and "
            f"{job['output']} has {free / 2**20:,.0f} MiB free; make room there and resume"
        )


def save(trainer: Any, job: dict[str, Any], config: ConsolidationConfig, generation: Any) -> None:
    """Write the trained model as a transformers checkpoint, and its adapter beside it.

    An adapter is merged into M(t) as its checkpoint holds it, in float32, whatever precision the
    training computed in: an update of a weight is mostly smaller than the distance between two
    bfloat16 numbers, and would be rounded away. For the same reason the result is saved in float32,
    unless `save_precision` asks for the smaller file.

    All ranks must call it, because shards are gathered from all of them. The first rank writes, and
    needs memory for the whole model in float32.

    Args:
        trainer: It has trained.
        job: What it trained.
        config: How.
        generation: What `prepare` returned.
    """
    import torch

    trained = _in_float32(trainer, job, config)
    if not trainer.is_world_process_zero():
        return
    if config.lora:
        folder = Path(job["output"]) / ADAPTER
        trained.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's form, not filled in
        trained = trained.merge_and_unload()
    trained.generation_config = generation  # the trainer has added the tokenizer's end token
    trained.to(getattr(torch, config.save_precision)).save_pretrained(job["output"])


def _in_float32(trainer: Any, job: dict[str, Any], config: ConsolidationConfig) -> Any:
    """The trained model in float32, its adapter not merged yet; None on all but the first rank."""
    is_sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if not is_sharded and not config.lora:
        return trainer.accelerator.unwrap_model(trainer.model)
    state = _trained_state(trainer, is_sharded)
    if not trainer.is_world_process_zero():
        return None
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # otherwise this copy would be sharded as well
    whole = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    if config.lora:
        whole = get_peft_model(whole, adapter(config))
    trained = {name for name, one in whole.named_parameters() if one.requires_grad}
    if config.lora:  # the base stays as its checkpoint holds it, whatever it was trained in
        state = {name: values for name, values in state.items() if name in trained}
    missing, unexpected = whole.load_state_dict(state, strict=False)
    if unexpected or trained & {*missing}:
        raise RuntimeError(f"gathered weights do not fit the model: {missing=} {unexpected=}")
    return whole


def _trained_state(trainer: Any, is_sharded: bool) -> dict[str, Any]:
    """The trained weights, on the first rank; not to be used on the others."""
    if not is_sharded:
        model = trainer.accelerator.unwrap_model(trainer.model)
        return {name: one.data for name, one in model.named_parameters() if one.requires_grad}
    if trainer.is_deepspeed_enabled:
        state: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        return state
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    gathered: dict[str, Any] = get_model_state_dict(trainer.model, options=options)
    return gathered

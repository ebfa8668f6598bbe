"""The training process: `python -m ucoder.training.worker JOB.json`.

Prints one JSON object a line: steps while it trains, the result at the end. Loss is taken over
completions only. With LoRA the base stays in bfloat16 and only the adapter is trained, then
merged; without, the weights are trained in float32 under bfloat16 autocast, because updates of
5e-6 would be lost in bfloat16 weights.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

from ucoder.config import ConsolidationConfig
from ucoder.packages import hide_broken_torchvision
from ucoder.processes import die_with_parent

_TOKENIZER_FILES = ("tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json",
                    "vocab*", "merges.txt", "generation_config.json")  # fmt: skip


def main(job_path: Path) -> None:
    """Train as the job says."""
    die_with_parent()
    job = json.loads(job_path.read_text("utf-8"))
    config = ConsolidationConfig.model_validate(job["config"])
    hide_broken_torchvision()
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import SFTTrainer

    set_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    rows = [_row(example, job["is_chat"]) for example in job["examples"]]
    kept = [row for row in rows if _n_tokens(row, tokenizer) <= config.max_length]
    if not kept:
        raise SystemExit(
            f"all {len(rows)} examples are longer than max_length={config.max_length}; raise it"
        )
    dtype = torch.bfloat16 if config.lora else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype)
    trainer = SFTTrainer(
        model=model,
        args=_arguments(config, job, torch.cuda.is_available()),
        train_dataset=Dataset.from_list(kept),
        processing_class=tokenizer,
        peft_config=_lora(config),
        callbacks=[_reporter()],
    )
    checkpoints = sorted(Path(job["trainer_dir"]).glob("checkpoint-*"))
    outcome = trainer.train(resume_from_checkpoint=bool(checkpoints))
    trained: Any = trainer.model
    if config.lora:
        trained = trained.merge_and_unload()
    output = Path(job["output"])
    trained.to(torch.bfloat16).save_pretrained(output)
    for pattern in _TOKENIZER_FILES:
        for file in Path(job["model"]).glob(pattern):
            shutil.copy(file, output / file.name)
    loss = float(outcome.training_loss)
    _say(result={
        "n_examples": len(kept),
        "n_left_out": len(rows) - len(kept),
        "n_steps": int(outcome.global_step),
        "loss": loss if math.isfinite(loss) else math.nan,
    })  # fmt: skip


def _row(example: dict[str, str], is_chat: bool) -> dict[str, Any]:
    if not is_chat:
        return {"prompt": f"{example['prompt']}\n\n", "completion": example["completion"]}
    return {
        "prompt": [{"role": "user", "content": example["prompt"]}],
        "completion": [{"role": "assistant", "content": example["completion"]}],
    }


def _n_tokens(row: dict[str, Any], tokenizer: Any) -> int:
    if isinstance(row["prompt"], str):
        return len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) + 1
    messages = row["prompt"] + row["completion"]
    return len(tokenizer(tokenizer.apply_chat_template(messages, tokenize=False))["input_ids"])


def _arguments(config: ConsolidationConfig, job: dict[str, Any], gpu: bool) -> Any:
    from trl import SFTConfig

    return SFTConfig(
        output_dir=job["trainer_dir"],
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // config.micro_batch_size,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_ratio=config.warmup_ratio,
        optim="adamw_torch",
        completion_only_loss=True,
        max_length=config.max_length,
        bf16=True,
        use_cpu=not gpu,
        # On a CPU memory is plentiful and recomputing costs a third of the time.
        gradient_checkpointing=gpu,
        seed=job["seed"],
        data_seed=job["seed"],
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=1,
        disable_tqdm=True,
        report_to=[],
        dataloader_pin_memory=gpu,
    )


def _lora(config: ConsolidationConfig) -> Any:
    if config.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _reporter() -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):  # type: ignore[misc]
        """Says each optimiser step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            _say(step=state.global_step, total=state.max_steps)

    return Reporter()


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""One training process: the launcher itself, or `python -m ucoder.training.worker JOB.json`.

The first rank prints one JSON object a line: its steps, and the result at the end. The other ranks
print nothing; the output of their libraries goes to their logs. The loss covers completions only.
With LoRA the base stays in bfloat16 and only the adapter is trained, then merged. Without LoRA the
weights are trained in float32 under bfloat16 autocast, because updates of 5e-6 would be lost in
bfloat16 weights. A processor without bfloat16 instructions computes in float32 in both cases.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from ucoder.config import ConsolidationConfig
from ucoder.runtime import die_with_parent


def log_file(log_dir: Path, rank: int) -> Path:
    """The file for the output of a rank's libraries."""
    return log_dir / f"rank-{rank}.log"


def error_file(log_dir: Path, rank: int) -> Path:
    """The file in which a failing rank writes when and why it failed."""
    return log_dir / f"rank-{rank}.error"


def send(**values: Any) -> None:
    """Print a message to the pipeline, as one line of JSON."""
    print(json.dumps(values), flush=True)


def run_rank(job: dict[str, Any]) -> None:
    """Train a job as one rank, or alone; torch's environment variables say which rank."""
    config = ConsolidationConfig.model_validate(job["config"])
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    from ucoder.training.checkpoints import Mark, checkpoint_marker, last_whole, save
    from ucoder.training.recipe import adapter, arguments, balanced_trainer, check_packing

    if job["metrics_dir"] is not None:
        os.environ["TENSORBOARD_LOGGING_DIR"] = job["metrics_dir"]  # the only way to set it
    # First, because this joins the ranks: one of them then reads the weights for all.
    settings = arguments(config, job, torch.cuda.is_available())
    set_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    rows = [_row(example, job["is_chat"]) for example in job["examples"]]
    kept = [row for row in rows if _n_tokens(row, tokenizer) <= config.max_length]
    if not kept:
        raise SystemExit(
            f"all {len(rows)} examples are longer than max_length={config.max_length}; raise it"
        )
    dtype = torch.bfloat16 if config.lora and settings.bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype)
    if config.packing:
        check_packing(model)
    mark = Mark.of(job, settings.world_size)
    trainer = balanced_trainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(kept),
        processing_class=tokenizer,
        peft_config=adapter(config),
        callbacks=[_reporter(), checkpoint_marker(mark)],
    )
    resume = last_whole(Path(job["trainer_dir"]), mark)
    outcome = trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    save(trainer, job, config)
    loss = float(outcome.training_loss)
    if trainer.is_world_process_zero():
        send(result={
            "n_examples": len(kept),
            "n_left_out": len(rows) - len(kept),
            "n_steps": int(outcome.global_step),
            "loss": loss if math.isfinite(loss) else math.nan,
        })  # fmt: skip
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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


def _reporter() -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):  # type: ignore[misc]
        """Sends a message after each optimiser step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if state.is_world_process_zero:
                send(step=state.global_step, total=state.max_steps)

    return Reporter()


def _main(job_path: Path) -> None:
    """Train as one rank of several."""
    die_with_parent()
    job = json.loads(job_path.read_text("utf-8"))
    rank, log_dir = int(os.environ["RANK"]), Path(job["log_dir"])
    log = os.open(log_file(log_dir, rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, sys.stderr.fileno())
    if rank:
        os.dup2(log, sys.stdout.fileno())
    try:
        run_rank(job)
    except BaseException as error:
        reason = str(error) if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        report = json.dumps({"time_s": time.time(), "error": reason})
        error_file(log_dir, rank).write_text(report, "utf-8")
        raise


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

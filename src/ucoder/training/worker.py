"""One training process: the launcher itself, or `python -m ucoder.training.worker JOB.json`.

The first rank prints one JSON object a line: its steps, and the result at the end. The other ranks
print nothing; the output of their libraries goes to their logs. The loss covers completions only.
With LoRA the base is read in bfloat16 and only the adapter is trained, in float32; at the end it is
merged into the base as its checkpoint holds it. Without LoRA the weights are trained in float32
under bfloat16 autocast, because updates of 5e-6 would be lost in bfloat16 weights. A processor
without bfloat16 instructions computes in float32 in both cases.
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
from ucoder.engines.transformers import end_tokens
from ucoder.runtime import die_with_parent
from ucoder.training.rendering import end_token, example_rows, preference_rows, sequences


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

    from ucoder.training.checkpoints import (
        Mark,
        check_space,
        checkpoint_marker,
        last_whole,
        prepare,
        save,
    )
    from ucoder.training.recipe import adapter, arguments, check_packing, check_weights
    from ucoder.training.trainers import balanced_trainer

    if job["metrics_dir"] is not None:
        os.environ["TENSORBOARD_LOGGING_DIR"] = job["metrics_dir"]  # the only way to set it
    # First, because this joins the ranks: one of them then reads the weights for all.
    settings = arguments(config, job, torch.cuda.is_available())
    set_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    dtype = torch.bfloat16 if config.lora and settings.bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype)
    check_weights(model)
    if config.packing:
        check_packing(model)
    try:
        end = end_token(tokenizer, end_tokens(model), job["is_chat"])
        rows = _rows(config, job, tokenizer, end)
    except ValueError as error:
        raise SystemExit(f"{job['model']} cannot be trained: {error}") from error
    kept = _fitting(rows, config.max_length, model)
    generation = prepare(model, tokenizer, job, end) if settings.process_index == 0 else None
    mark = Mark.of(job, settings.world_size)
    trainer = balanced_trainer(
        config.objective,
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(kept),
        processing_class=tokenizer,
        peft_config=adapter(config),
        callbacks=[_reporter(), checkpoint_marker(mark)],
    )
    resume = last_whole(Path(job["trainer_dir"]), mark)
    if trainer.is_world_process_zero():
        check_space(trainer, job, config, n_kept=int(resume is not None))
    outcome = trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    save(trainer, job, config, generation)
    loss = float(outcome.training_loss)
    if trainer.is_world_process_zero():
        send(result={
            "n_examples": len(kept),
            "n_left_out": len(rows) - len(kept),
            "n_steps": int(outcome.global_step),
            "loss": loss if math.isfinite(loss) else math.nan,
            **_first_step(trainer.state.log_history),
        })  # fmt: skip
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        _leave()


def _leave() -> None:
    """End this rank, whose work is done, without freeing what it holds.

    DDP's reducer holds its process group. Freed by Python, it waits for gloo's threads while it
    holds the interpreter's lock, and where one of them waits for that lock, the rank never ends.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _rows(
    config: ConsolidationConfig, job: dict[str, Any], tokenizer: Any, end: int
) -> list[dict[str, list[Any]]]:
    """What the objective is computed on, as the tokens that `balanced_trainer` takes."""
    if config.objective == "dpo":
        return preference_rows(tokenizer, job["preferences"], job["is_chat"], end)
    return example_rows(tokenizer, job["examples"], job["is_chat"], end)


def _fitting(
    rows: list[dict[str, list[Any]]], max_length: int, model: Any
) -> list[dict[str, list[Any]]]:
    """The examples or pairs that are short enough for the configuration and for the model."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = min(max_length, context or max_length)
    kept = [row for row in rows if max(map(len, sequences(row))) <= longest]
    if not kept:
        limit = f"max_length={max_length}; raise it" if longest == max_length else (
            f"the model's context of {longest} tokens; take a model with a longer one"
        )  # fmt: skip
        raise SystemExit(f"all {len(rows)} examples are longer than {limit}")
    n_known = model.get_input_embeddings().num_embeddings
    if (highest := max(max(tokens) for row in kept for tokens in sequences(row))) >= n_known:
        raise SystemExit(
            f"the tokenizer writes token {highest}, and the model knows tokens 0 to {n_known - 1} "
            f"only: they do not belong together; give a model with its own tokenizer"
        )
    return kept


def _first_step(log_history: list[dict[str, float]]) -> dict[str, float]:
    """Loss and token accuracy before anything was learnt; resuming keeps the log of earlier steps.

    A loss that is small from the start says that the model would have written the same anyway.
    """
    first = next((entry for entry in log_history if "loss" in entry), {})
    found = {
        "first_loss": first.get("loss", math.nan),
        "first_accuracy": first.get("mean_token_accuracy", math.nan),
    }
    return {name: value if math.isfinite(value) else math.nan for name, value in found.items()}


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

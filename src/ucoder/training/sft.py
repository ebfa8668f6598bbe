"""TRL's trainers and PEFT, in processes of their own: one, or one a GPU.

Separate processes return all their memory when they end, and a crash of one (mostly for lack of
memory) is a `TrainingError` instead of the end of the run. Their checkpoints are TRL's; training
resumes from the last complete one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from ucoder.config import ConsolidationConfig
from ucoder.errors import TrainingError
from ucoder.files import cause_in, file_error, publish
from ucoder.runtime import end_process, require, start_process
from ucoder.training.protocol import TrainingJob, TrainingResult, save_result, saved_result

_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LIBRARIES = ("ACCELERATE_", "FSDP_", "TORCHELASTIC_", "PET_")


class TRLTrainer:
    """Runs `ucoder.training.launcher` and follows its progress; implements `Trainer`."""

    async def train(self, job: TrainingJob, on_step: Callable[[int, int], None]) -> TrainingResult:
        """See `Trainer.train`."""
        if (result := saved_result(job.output)) is not None:
            return result
        require_packages(job.config)
        if job.config.objective == "dpo" and not job.preferences:
            raise TrainingError(
                "consolidation.objective=dpo learns from preference pairs, and there are none; "
                "set it to sft to learn from the selected programs alone"
            )
        work = job.output.with_name(f"{job.output.name}.training")
        merged = work / "merged"
        try:
            work.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(merged, ignore_errors=True)  # of an earlier attempt that was killed
            _write_job(job, work, merged)
        except OSError as error:
            raise TrainingError(
                f"nothing can be written to {work}, where the model is trained: {error}; make the "
                f"folder writable, or make room, and resume"
            ) from error
        result = await self._run(work, on_step)
        save_result(merged, result)
        publish(merged, job.output)
        shutil.rmtree(work)
        return result

    async def _run(self, work: Path, on_step: Callable[[int, int], None]) -> TrainingResult:
        log = work / "train.log"
        with log.open("ab") as errors:
            process = await start_process(
                sys.executable, "-m", "ucoder.training.launcher", str(work / "job.json"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=_environment(),
            )  # fmt: skip
            try:
                result, failure = await _follow(process, on_step)
                status = await process.wait()
            finally:
                if process.returncode is None:
                    await end_process(process)
        if failure is not None:
            if cause := cause_in(failure):
                raise file_error(cause, work)
            raise TrainingError(f"training failed: {failure}")
        if status != 0 or result is None:
            tail = log.read_text("utf-8", "replace").strip().splitlines()[-3:]
            how = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            hint = "; it may have run out of memory: lower micro_batch_size" * (status == -9)
            raise TrainingError(f"training {how}{hint}. {' | '.join(tail)} (log: {log})")
        return result


def require_packages(config: ConsolidationConfig) -> None:
    """Check that the packages that training with these settings needs are installed.

    Raises:
        MissingDependency: A package is missing; the message has the install command.
    """
    require("training", "torch", "trl", "peft", "datasets", "accelerate", extra="train")
    if config.strategy == "deepspeed" and config.n_processes != 1:
        require("strategy=deepspeed", "deepspeed", extra="deepspeed")
    for name in config.metrics:
        extra = "train" if name == "tensorboard" else name
        require(f"metrics={name}", name, extra=extra)


def _environment() -> dict[str, str]:
    """The environment, without variables that an outer launcher set for its own processes."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _RANKS and not name.startswith(_LIBRARIES)
    }
    return {**kept, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def _write_job(job: TrainingJob, work: Path, merged: Path) -> None:
    values = {
        "model": str(job.model.resolve()),
        "is_chat": job.is_chat,
        "examples": [asdict(example) for example in job.examples],
        "preferences": [asdict(pair) for pair in job.preferences],
        "output": str(merged.resolve()),
        "run_name": job.output.name,
        "trainer_dir": str((work / "trainer").resolve()),
        "log_dir": str(work.resolve()),
        "metrics_dir": str(job.metrics_dir.resolve()) if job.metrics_dir else None,
        "config": job.config.model_dump(mode="json"),
        "seed": job.seed,
    }
    (work / "job.json").write_text(json.dumps(values), "utf-8")


async def _follow(
    process: asyncio.subprocess.Process, on_step: Callable[[int, int], None]
) -> tuple[TrainingResult | None, str | None]:
    """Read the process's messages, such as `{"step": 3, "total": 9}`, until it ends.

    Returns:
        The result and the failure, as far as the process reported them.
    """
    result, failure = None, None
    assert process.stdout is not None
    async for line in process.stdout:
        try:
            message = json.loads(line)
        except ValueError:
            continue  # printed by a library
        if isinstance(message, dict) and "step" in message:
            on_step(message["step"], message["total"])
        elif isinstance(message, dict) and "result" in message:
            result = TrainingResult(**message["result"])
        elif isinstance(message, dict) and "failure" in message:
            failure = str(message["failure"])
    return result, failure

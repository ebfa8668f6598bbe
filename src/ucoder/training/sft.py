"""TRL's SFTTrainer and PEFT, in a process of its own.

A process of its own gives its memory back when it is done, and a crash of it (out of memory,
mostly) is an error of ours instead of the end of the run. Its checkpoints are TRL's; asked again
after an interruption it resumes from the last one.
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

from ucoder.errors import TrainingError
from ucoder.packages import require
from ucoder.training.protocol import TrainingJob, TrainingResult, publish, published


class TRLTrainer:
    """Runs `ucoder.training.worker` and follows its progress; see `Trainer`."""

    async def train(self, job: TrainingJob, on_step: Callable[[int, int], None]) -> TrainingResult:
        """See `Trainer.train`."""
        if (result := published(job.output)) is not None:
            return result
        require("training", "torch", "trl", "peft", "datasets", extra="train")
        work = job.output.with_name(f"{job.output.name}.training")
        work.mkdir(parents=True, exist_ok=True)
        merged = work / "merged"
        shutil.rmtree(merged, ignore_errors=True)  # of an earlier try that was killed
        _write_job(job, work, merged)
        result = await self._run(work, on_step)
        publish(merged, job.output, result)
        shutil.rmtree(work)
        return result

    async def _run(self, work: Path, on_step: Callable[[int, int], None]) -> TrainingResult:
        log = work / "train.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "ucoder.training.worker", str(work / "job.json"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
            )  # fmt: skip
            try:
                result = await _follow(process, on_step)
                status = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if status != 0 or result is None:
            tail = log.read_text("utf-8", "replace").strip().splitlines()[-3:]
            how = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            hint = "; it may have run out of memory: lower micro_batch_size" * (status == -9)
            raise TrainingError(f"training {how}{hint}. {' | '.join(tail)} (log: {log})")
        return result


def _write_job(job: TrainingJob, work: Path, merged: Path) -> None:
    values = {
        "model": str(job.model.resolve()),
        "is_chat": job.is_chat,
        "examples": [asdict(example) for example in job.examples],
        "output": str(merged.resolve()),
        "trainer_dir": str((work / "trainer").resolve()),
        "config": job.config.model_dump(mode="json"),
        "seed": job.seed,
    }
    (work / "job.json").write_text(json.dumps(values), "utf-8")


async def _follow(
    process: asyncio.subprocess.Process, on_step: Callable[[int, int], None]
) -> TrainingResult | None:
    """Read the worker's lines: `{"step": 3, "total": 9}` while it works, then its result."""
    result = None
    assert process.stdout is not None
    async for line in process.stdout:
        try:
            said = json.loads(line)
        except ValueError:
            continue  # a library printed something of its own
        if isinstance(said, dict) and "step" in said:
            on_step(said["step"], said["total"])
        elif isinstance(said, dict) and "result" in said:
            result = TrainingResult(**said["result"])
    return result

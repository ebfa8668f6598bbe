"""Stage 6 with two processes trains like one, and resumes after a process or all are killed."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ucoder.errors import TrainingError
from ucoder.training.protocol import TrainingJob
from ucoder.training.sft import TRLTrainer

from .jobs import LORA, job, losses, weights

LONG: dict[str, Any] = {"epochs": 8, "checkpoint_steps": 3}  # 24 steps
TRAIN = """
import asyncio, pickle, sys
from ucoder.training.sft import TRLTrainer
with open(sys.argv[1], "rb") as file:
    job = pickle.load(file)
asyncio.run(TRLTrainer().train(job, lambda done, total: print(done, flush=True)))
"""


@pytest.fixture(scope="module")
def alone(
    tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], TrainingJob]:
    """The training by one process that the others are compared with, for an objective."""

    @cache
    def train(objective: str) -> TrainingJob:
        output = tmp_path_factory.mktemp("alone") / "out"
        asked = job(tiny_checkpoint, output, objective=objective, **LONG)
        asyncio.run(TRLTrainer().train(asked, lambda *_: None))
        return asked

    return train


def _processes(of: TrainingJob, rank: int | None = None) -> list[int]:
    """Live processes of a training, or those with a rank."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text()
            environment = (folder / "environ").read_text().split("\0")
        except (OSError, UnicodeDecodeError):  # it has just ended, or is not ours
            continue
        if f"{of.output}.training" in command and (rank is None or f"RANK={rank}" in environment):
            found.append(int(folder.name))
    return found


def _assert_all_end(of: TrainingJob) -> None:
    deadline = time.monotonic() + 60
    while _processes(of):
        assert time.monotonic() < deadline, "ranks outlived their training"
        time.sleep(0.05)


def _assert_same_training(one: TrainingJob, other: TrainingJob) -> None:
    """Sums in another order and weights rounded at other places move both by a little."""
    assert losses(_metrics(other)) == pytest.approx(losses(_metrics(one)), abs=0.02)
    before, expected, got = weights(one.model), weights(one.output), weights(other.output)
    assert got.keys() == expected.keys()
    moved = sum((expected[name] - before[name]).abs().sum() for name in before)
    apart = sum((expected[name] - got[name]).abs().sum() for name in before)
    assert apart < 0.05 * moved


def _metrics(of: TrainingJob) -> Path:
    assert of.metrics_dir is not None
    return of.metrics_dir


def test_a_killed_rank_raises_TrainingError_and_sharded_training_resumes(
    alone: Callable[[str], TrainingJob], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    asked = job(tiny_checkpoint, tmp_path / "out", n_processes=2, strategy="fsdp", **LONG)

    def kill_second_rank(done: int, total: int) -> None:
        assert total == 24
        if done == 5:
            (pid,) = _processes(asked, rank=1)
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(TrainingError, match="rank 1 of 2 was killed by signal 9; it may have run"):
        asyncio.run(TRLTrainer().train(asked, kill_second_rank))
    _assert_all_end(asked)
    assert not asked.output.exists()

    steps: list[int] = []
    result = asyncio.run(TRLTrainer().train(asked, lambda done, _: steps.append(done)))
    assert steps == list(range(4, 25))  # from the checkpoint of step 3
    assert result.n_steps == 24
    assert [p.name for p in tmp_path.iterdir() if p != asked.metrics_dir] == ["out"]
    _assert_same_training(alone("sft"), asked)


@pytest.mark.parametrize(("objective", "n_steps"), [("sft", 24), ("dpo", 16)])
def test_killing_the_trainer_ends_all_ranks_and_training_resumes(
    alone: Callable[[str], TrainingJob],
    tiny_checkpoint: Path,
    tmp_path: Path,
    objective: str,
    n_steps: int,
) -> None:
    wanted = {**LONG, "objective": objective}
    asked = job(tiny_checkpoint, tmp_path / "out", n_processes=2, strategy="ddp", **wanted)
    (tmp_path / "job.pickle").write_bytes(pickle.dumps(asked))
    command = [sys.executable, "-c", TRAIN, str(tmp_path / "job.pickle")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pipeline:
        assert pipeline.stdout is not None
        for line in pipeline.stdout:
            if line.strip() == "8":
                assert len(_processes(asked)) >= 3
                pipeline.kill()
    _assert_all_end(asked)

    steps: list[int] = []
    result = asyncio.run(TRLTrainer().train(asked, lambda done, _: steps.append(done)))
    assert steps == list(range(7, n_steps + 1))
    assert result.n_steps == n_steps
    _assert_same_training(alone(objective), asked)


async def test_a_sharded_adapter_is_gathered_and_merged(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    one = job(tiny_checkpoint, tmp_path / "one" / "out", lora=LORA)
    sharded = job(
        tiny_checkpoint, tmp_path / "sharded" / "out", lora=LORA, n_processes=2,
        gradient_checkpointing=True,
    )  # fmt: skip
    for asked in (one, sharded):
        asked.output.parent.mkdir()
        await TRLTrainer().train(asked, lambda *_: None)
    _assert_same_training(one, sharded)
    assert (sharded.output / "adapter" / "adapter_model.safetensors").is_file()


async def test_the_error_names_the_failed_rank_and_its_reason(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_checkpoint.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"not a model")
    asked = job(broken, tmp_path / "out", n_processes=2, strategy="ddp")
    with pytest.raises(TrainingError, match=r"rank [01] of 2 failed\. .*(?i:safetensor|header)"):
        await TRLTrainer().train(asked, lambda *_: None)
    _assert_all_end(asked)

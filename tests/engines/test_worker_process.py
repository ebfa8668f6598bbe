"""An engine's worker ends: where its start is cancelled, and where its children do not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from ucoder import runtime
from ucoder.engines import worker_process
from ucoder.engines.worker_process import EngineProcess, WorkerEnded
from ucoder.runtime import end_process, start_process

SLEEPING = "import time\ntime.sleep(1000)\n"
DESERTED = """
import subprocess, sys
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
open(__file__ + ".child", "w").write(str(child.pid))
print('{"ready": true}', flush=True)
sys.stdin.read()
"""


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def worker(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> EngineProcess:
    (folder / "a_worker_of_a_test.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
    return EngineProcess("a_worker_of_a_test", {}, "lower nothing")


async def test_a_worker_whose_start_is_cancelled_at_any_moment_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n_turns in range(16):
        engine = worker(tmp_path, monkeypatch, SLEEPING)
        starting = asyncio.create_task(engine.start())
        for _ in range(n_turns):
            await asyncio.sleep(0)
        starting.cancel()
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        assert engine._process is None or not is_alive(engine._process.pid)
    started = await start_process(sys.executable, "-c", SLEEPING)
    await end_process(started)
    assert started.returncode == -signal.SIGKILL


async def test_leaving_waits_only_so_long_for_a_child_that_holds_the_workers_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "DEATH_S", 0.2)
    engine = worker(tmp_path, monkeypatch, DESERTED)
    await engine.start()
    (pid,) = tmp_path.glob("*.child")
    child = int(pid.read_text())
    try:
        await engine.stop()
        assert is_alive(child)  # it left the worker's session, so it was not killed with it
    finally:
        os.kill(child, signal.SIGKILL)
        monkeypatch.undo()
        await engine.stop()


async def test_a_process_that_is_killed_is_waited_for_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "DEATH_S", 0.2)
    started = await start_process(
        "sh", "-c", "setsid sleep 1000 & echo $!", stdout=asyncio.subprocess.PIPE
    )
    assert started.stdout is not None
    child = int(await started.stdout.readline())
    try:
        await end_process(started)
        assert is_alive(child)
    finally:
        os.kill(child, signal.SIGKILL)
        await started.communicate()  # until nobody holds the pipe: the loop must not end before


async def test_a_worker_that_ends_before_it_is_ready_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WorkerEnded, match="no weights"):
        await worker(tmp_path, monkeypatch, "raise ValueError('no weights')").start()

"""Ctrl-C and SIGTERM end a command at any moment: nothing is left, and the next command is told."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Starts ucoder, sends signals once it printed a text or started a child, and reports what is left
# of it. A process of its own, because it adopts what ucoder would leave behind.
WATCHER = r"""
import json, os, signal, subprocess, sys, time
from pathlib import Path
from ucoder.execution.child import descendants

when, number, n_signals, arguments = json.loads(sys.argv[1])
descendants.adopt_orphans()
with open("out", "wb") as out, open("err", "wb") as err:
    process = subprocess.Popen(
        [sys.executable, "-m", "ucoder", *arguments], stdout=out, stderr=err
    )
children = set()
while process.poll() is None:
    children = set(descendants.find()) - {process.pid}
    if children if when == "a child" else when in Path("out").read_text():
        for _ in range(n_signals):
            process.send_signal(number)
            time.sleep(0.05)
        break
    time.sleep(0.002)
status = process.wait(60)
deadline = time.monotonic() + 10
while (left := descendants.find()) and time.monotonic() < deadline:
    try:
        os.waitpid(-1, os.WNOHANG)  # those that ended and were adopted
    except ChildProcessError:
        break
    time.sleep(0.01)
files = [Path(f"/proc/{pid}/cmdline") for pid in left]
commands = [file.read_text() for file in files if file.exists()]
descendants.kill_all()
print(json.dumps([status, Path("out").read_text(), Path("err").read_text(), commands]))
"""


def interrupted(
    folder: Path, *arguments: str, when: str, number: int = 2, n_signals: int = 1
) -> tuple[int, str]:
    """The status and standard error of a command that was sent signals; it left nothing behind."""
    asked = json.dumps([when, number, n_signals, arguments])
    done = subprocess.run(
        [sys.executable, "-c", WATCHER, asked], capture_output=True, text=True, cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: Any = json.loads(done.stdout)
    status, out, err, left = said
    assert left == []
    for text in (out, err):
        assert "Event loop is closed" not in text and "Traceback" not in text, text
        assert "Aborted" not in text
    return status, err


def next_command(err: str) -> list[str]:
    """What the last line of standard error says to type."""
    *_, hint = err.strip().splitlines()
    assert hint.startswith("stopped; what is finished is on disk. Go on with: ucoder ")
    return shlex.split(hint.partition("Go on with: ")[2])[1:]


STAGES = ("run: ", "problems", "test_inputs", "humaneval M0", "solutions 0", "consolidation 0",
          "humaneval M1", "solutions 1")  # fmt: skip


@pytest.mark.parametrize(("stage", "number"), [*zip(STAGES, itertools.cycle((2, 15)))])
def test_a_run_that_was_interrupted_in_a_stage_goes_on_with_the_command_it_names(
    tmp_path: Path, stage: str, number: int
) -> None:
    arguments = (
        "run",
        "scripted",
        "problems.n=2",
        "evaluation.n_tasks=1",
        "-o",
        "my runs/it's [a/b]",
    )
    status, err = interrupted(tmp_path, *arguments, when=stage, number=number)
    assert status == 128 + number
    go_on = next_command(err)
    assert go_on == ["resume", "my runs/it's [a/b]"]
    done = subprocess.run(
        [sys.executable, "-m", "ucoder", *go_on], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("provider", ["bubblewrap", "landlock", "unsafe-process"])
def test_no_process_is_left_where_a_sandbox_was_starting(tmp_path: Path, provider: str) -> None:
    command = ("doctor", "execution", "--provider", provider)
    for _ in range(3):
        status, err = interrupted(tmp_path, *command, when="a child")
        assert status == 130
        assert next_command(err) == list(command)


def test_a_command_that_made_nothing_yet_is_named_as_it_was_typed(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    command = ("eval", "a model", "-b", "stuck.py", "--set", "seed=1")
    _, err = interrupted(tmp_path, *command, when="loading")
    assert next_command(err) == list(command)


STUCK = """
import subprocess, time
print("loading", flush=True)
while True:
    try:
        subprocess.run(["sh", "-c", "setsid sleep 600 & sleep 600"])
    except BaseException:  # as a library may, whose every loop catches everything
        time.sleep(600)
"""


@pytest.mark.parametrize(("number", "n_signals"), [(2, 1), (2, 2), (15, 1), (15, 3)])
def test_work_that_listens_to_nobody_is_ended_with_all_its_processes(
    tmp_path: Path, number: int, n_signals: int
) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    command = ("eval", "scripted", "-b", "stuck.py")
    status, err = interrupted(
        tmp_path, *command, when="loading", number=number, n_signals=n_signals
    )
    assert status == 128 + number
    assert next_command(err) == list(command)


def test_an_engine_that_is_sampling_is_ended(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text("{delay_s: 600, rules: []}")
    command = ("run", "scripted", "engine.script=slow.yaml", "-o", "run")
    status, err = interrupted(tmp_path, *command, when="problems")
    assert (status, next_command(err)) == (130, ["resume", "run"])


def test_eval_goes_on_with_what_it_kept(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text("{delay_s: 600, rules: []}")
    command = ["eval", "scripted", "--engine", "scripted", "--set", "engine.script=slow.yaml",
               "-b", "humaneval", "--n-tasks", "3", "-o", "results"]  # fmt: skip
    status, err = interrupted(tmp_path, *command, when="humaneval M0")
    assert (status, next_command(err)) == (130, command)

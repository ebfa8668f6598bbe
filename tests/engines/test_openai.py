"""The engine for OpenAI's protocol on a server that people use: llama.cpp's, with a real model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ucoder.config import ServerConfig
from ucoder.engines.conformance import CHECKS, PROMPT, WARM, Scorer, check_logprobs
from ucoder.engines.openai import OpenAIEngine
from ucoder.engines.openai_requests import PrefillMode
from ucoder.engines.protocol import Prompt, Request, SamplingParams
from ucoder.errors import EngineError
from ucoder.models import Model
from ucoder.models.cache import default_cache_dir
from ucoder.models.catalog import load_catalog
from ucoder.models.download import fetch

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.model

# The server lives until its standard input ends, as it does when the tests end.
SERVE = """
import sys
import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 4096
params.n_parallel = 4
params.warmup = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def serving() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    weights = fetch(load_catalog().models["smollm2-135m-instruct"], default_cache_dir())
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(weights)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        said = next((line for line in server.stdout if line.startswith("listening")), "")
        assert said, "llama.cpp did not start"
        try:
            yield said.split()[1] + "/v1", server
        finally:
            server.kill()


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[str]:
    with serving() as (url, _):
        yield url


@pytest.mark.parametrize("renders", ["here", "there"])
async def test_llama_cpp_conforms(
    renders: str, llama_cpp: str, small_model: Model, teacher: Scorer
) -> None:
    checkpoint = small_model.path if renders == "here" else None
    async with OpenAIEngine(
        ServerConfig(url=llama_cpp), is_chat=True, checkpoint=checkpoint
    ) as engine:
        found = engine.capabilities
        assert (found.prefill_mode is PrefillMode.RENDERED) == (renders == "here")
        assert found.repeats_prefill == (renders == "there")
        assert found.max_n == 4  # its slots
        assert found.raw_logprobs and found.seeds and found.top_k and found.max_stops == 16
        assert engine.info.version.startswith("llama.cpp")
        assert engine.info.precision == "Q4_1"
        for check in CHECKS:
            await check(engine)
        if renders == "here":
            # It multiplies by 8-bit activations; processed ones would be 0.2 off and more.
            assert await check_logprobs(engine, teacher, 0.1)


async def test_a_prompt_longer_than_the_context_is_refused_with_the_servers_words(
    llama_cpp: str, small_model: Model
) -> None:
    async with OpenAIEngine(
        ServerConfig(url=llama_cpp), is_chat=True, checkpoint=small_model.path
    ) as engine:
        with pytest.raises(EngineError, match="context"):
            await engine.sample(
                Request(Prompt("word " * 3000), 1, SamplingParams(max_tokens=4), seed=1)
            )
        assert await engine.sample(Request(PROMPT, 1, SamplingParams(max_tokens=4), seed=1))


async def test_a_server_that_dies_is_an_error_not_a_hang(small_model: Model) -> None:
    with serving() as (url, server):
        config = ServerConfig(url=url, max_retries=1)
        engine = OpenAIEngine(config, is_chat=True, checkpoint=small_model.path)
        async with engine:
            server.kill()
            with pytest.raises(EngineError, match="after 2 tries"):
                await engine.sample(WARM)

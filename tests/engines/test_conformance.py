"""Every engine keeps the same promises: the real ones on a real model."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ucoder.engines.conformance import CHECKS, Check, Scorer, check_logprobs
from ucoder.engines.openvino import OpenVINOEngine
from ucoder.engines.protocol import (
    Engine,
    Prompt,
    Request,
    SamplingParams,
    prompt_tokens,
    render,
    render_plain,
)
from ucoder.engines.scripted import Script, ScriptedEngine
from ucoder.engines.transformers import TransformersEngine
from ucoder.errors import ConfigError, EngineError, MissingDependency, RequestRefused
from ucoder.models import Model

WORDS = {
    "rules": [
        {"when": [], "answers": [f"{x} b) -> int: return {x} + b # twice {x}" for x in "aef"]}
    ]
}


@pytest.fixture(params=["scripted", "openvino", "transformers"])
def make_engine(request: pytest.FixtureRequest) -> Callable[[], Engine]:
    if request.param == "scripted":
        return lambda: ScriptedEngine(Script.model_validate(WORDS))
    model: Model = request.getfixturevalue("small_model")
    if request.param == "openvino":
        export: Path = request.getfixturevalue("small_export")
        return lambda: OpenVINOEngine(export, is_chat=True, max_sequences=32, cache_gib=1)
    return lambda: TransformersEngine(model.path, is_chat=True, device="cpu")


@pytest.mark.model
async def test_engine_conforms(make_engine: Callable[[], Engine]) -> None:
    async with make_engine() as engine:
        failures = {}
        for check in CHECKS:
            failures[check.__name__] = await _failure(check, engine)
    assert {name: why for name, why in failures.items() if why} == {}


async def _failure(check: Check, engine: Engine) -> str:
    try:
        await check(engine)
    except AssertionError as error:
        return str(error) or "failed"
    return ""


@pytest.mark.model
@pytest.mark.parametrize("provider", ["openvino", "transformers"])
async def test_log_probabilities_equal_a_teacher_forced_pass(
    provider: str, small_model: Model, small_export: Path, teacher: Scorer
) -> None:
    engine: Engine
    if provider == "openvino":
        engine = OpenVINOEngine(small_export, is_chat=True, max_sequences=32, cache_gib=1)
    else:
        engine = TransformersEngine(
            small_model.path, is_chat=True, device="cpu", precision="float32"
        )
    async with engine:
        # int8 weights differ from float32 ones; processed log-probabilities are 0.2 off and more.
        tolerance = 0.1 if provider == "openvino" else 0.002
        differences = await check_logprobs(engine, teacher, tolerance)
    assert differences


@pytest.mark.model
async def test_prompts_of_many_problems_share_the_batch(small_export: Path) -> None:
    async with OpenVINOEngine(small_export, is_chat=True, max_sequences=32, cache_gib=1) as engine:
        requests = [
            Request(Prompt(f"Count to {i}."), 2, SamplingParams(max_tokens=8), seed=i)
            for i in range(40)
        ]
        answers = await asyncio.gather(*map(engine.sample, requests))
    assert [len(answer) for answer in answers] == [2] * 40


@pytest.mark.model
@pytest.mark.parametrize("provider", ["openvino", "transformers"])
async def test_a_prompt_that_cannot_be_encoded_is_refused_alone(
    provider: str, small_model: Model, small_export: Path
) -> None:
    engine: Engine = OpenVINOEngine(small_export, is_chat=True, max_sequences=4, cache_gib=1)
    if provider == "transformers":
        engine = TransformersEngine(small_model.path, is_chat=True, device="cpu")
    sampling = SamplingParams(max_tokens=4)
    async with engine:
        with pytest.raises(RequestRefused):
            await engine.sample(Request(Prompt("half a pair: \ud800"), 1, sampling, seed=1))
        assert await engine.sample(Request(Prompt("Count to 9."), 1, sampling, seed=1))


@pytest.mark.model
async def test_a_base_model_continues_plain_text(small_model: Model, small_export: Path) -> None:
    prompt = Prompt("ignored", plain="1 2 3 4 5 6 7 8 9 10 11 12")
    request = Request(prompt, 1, SamplingParams(temperature=0.0, max_tokens=6), seed=0)
    async with OpenVINOEngine(small_export, is_chat=False, max_sequences=4, cache_gib=1) as ours:
        (first,) = await ours.sample(request)
    async with TransformersEngine(small_model.path, is_chat=False, device="cpu") as reference:
        (second,) = await reference.sample(request)
    assert first.text.split()[0] == second.text.split()[0] == "13"


@pytest.mark.model
async def test_a_dead_worker_is_an_error_not_a_hang(small_export: Path) -> None:
    engine = OpenVINOEngine(small_export, is_chat=True, max_sequences=32, cache_gib=1)
    async with engine:
        waiting = asyncio.create_task(
            engine.sample(Request(Prompt("Count."), 8, SamplingParams(max_tokens=2000), seed=1))
        )
        await asyncio.sleep(0.3)
        assert engine._worker is not None
        engine._worker.kill()
        with pytest.raises(EngineError, match="OpenVINO broke"):
            await waiting
        with pytest.raises(EngineError, match="not running"):
            await engine.sample(Request(Prompt("Again."), 1, SamplingParams(), seed=1))


async def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="could not load"):
        async with OpenVINOEngine(tmp_path, is_chat=True):
            pass
    with pytest.raises(EngineError, match="could not load"):
        async with TransformersEngine(tmp_path, is_chat=True):
            pass


async def test_a_missing_package_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install \"ucoder\[cpu\]\""):
        async with OpenVINOEngine(tmp_path, is_chat=True):
            pass


OPENVINO_TOKENS = """
import sys, json
from ucoder.engines.openvino_worker import _load_tokenizer
from ucoder.engines.protocol import Prompt, prompt_tokens
tokenizer = _load_tokenizer(sys.argv[1])
tokens = [prompt_tokens(tokenizer, Prompt("Do it. ", "def "), is_chat) for is_chat in (True, False)]
print(json.dumps(tokens))
assert sys.modules["torch"] is None
"""


def test_openvino_asks_with_the_tokens_that_training_begins_with(tiny_checkpoint: Path) -> None:
    pytest.importorskip("openvino_genai")
    from transformers import AutoTokenizer

    command = [sys.executable, "-c", OPENVINO_TOKENS, str(tiny_checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    prompt = Prompt("Do it. ", "def ")
    assert json.loads(done.stdout) == [
        prompt_tokens(tokenizer, prompt, is_chat) for is_chat in (True, False)
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError])
def test_a_chat_template_that_refuses_a_prompt_refuses_that_request_alone(
    capsys: pytest.CaptureFixture[str], error: type[Exception]
) -> None:
    pytest.importorskip("openvino_genai")
    from ucoder.engines.openvino_worker import OpenVINOWorker

    class Refusing:
        def apply_chat_template(self, *arguments: object, **options: object) -> str:
            raise error("no such role")

    worker: Any = object.__new__(OpenVINOWorker)
    worker._prompt_tokenizer, worker._is_chat = Refusing(), True
    request = Request(Prompt("Do it."), 1, SamplingParams(), seed=0)
    worker._accept({"number": 7, "request": asdict(request)})
    answer = json.loads(capsys.readouterr().out)
    assert answer["number"] == 7 and "no such role" in answer["error"]


def test_base_models_get_plain_prompts() -> None:
    assert render(None, Prompt("Do it.", "def "), is_chat=False) == "Do it.\n\ndef "
    assert render_plain(Prompt("Do it.", "def ", plain="def f():")) == "def f():"


def test_an_invalid_script_is_refused(tmp_path: Path) -> None:
    from ucoder.engines.scripted import load_script

    bad: Any = tmp_path / "script.yaml"
    bad.write_text("rules: [{when: [a]}]")
    with pytest.raises(ConfigError, match="is not a valid script"):
        load_script(bad)

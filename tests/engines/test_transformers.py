"""transformers with continuous batching: the engine's promises, and what only it has to meet."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ucoder.engines.conformance import CHECKS, check_logprobs
from ucoder.engines.protocol import Completion, Prompt, Request, SamplingParams, render
from ucoder.engines.transformers import TransformersEngine
from ucoder.engines.transformers_batch import Draw, draw
from ucoder.engines.transformers_continuous import ContinuousTransformersEngine
from ucoder.errors import EngineError
from ucoder.models import Model
from ucoder.records import FinishReason

# The tiny model is random: its text means nothing, and float32 keeps rounding out of the way.
PROMPTS = ("a", "Sort a list of numbers.", "x" * 90, "Reverse the words of a sentence, please.")
ENDLESS = Request(Prompt("a"), 6, SamplingParams(1.0, 1.0, max_tokens=240), seed=1)


def engine(folder: Path, max_sequences: int = 8) -> ContinuousTransformersEngine:
    return ContinuousTransformersEngine(
        folder, is_chat=True, device="cpu", precision="float32", max_sequences=max_sequences
    )


def greedy(user: str, max_tokens: int = 12, **settings: Any) -> Request:
    return Request(
        Prompt(user), 1, SamplingParams(temperature=0.0, max_tokens=max_tokens, **settings), 0
    )


def model_of(entered: ContinuousTransformersEngine) -> Any:
    assert entered._loop is not None
    return entered._loop._model


@pytest.mark.model
async def test_the_engine_conforms(small_model: Model) -> None:
    continuous = ContinuousTransformersEngine(
        small_model.path, is_chat=True, device="cpu", max_sequences=32
    )
    async with continuous:
        for check in CHECKS:
            await check(continuous)


@pytest.mark.model
async def test_log_probabilities_are_raw_under_any_settings(small_model: Model) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(small_model.path)
    teacher = AutoModelForCausalLM.from_pretrained(small_model.path, dtype=torch.float32).eval()

    def score(prompt: Prompt, text: str) -> tuple[int, float]:
        start = tokenizer(render(tokenizer, prompt, is_chat=True), add_special_tokens=False)
        ids = start["input_ids"] + tokenizer(text, add_special_tokens=False)["input_ids"]
        n_tokens = len(ids) - len(start["input_ids"])
        with torch.inference_mode():
            logits = teacher(torch.tensor([ids])).logits[0, -n_tokens - 1 : -1]
        chosen = torch.tensor(ids[-n_tokens:])[:, None]
        return n_tokens, float(torch.log_softmax(logits, dim=-1).gather(1, chosen).sum())

    async with engine(small_model.path, max_sequences=32) as continuous:
        assert await check_logprobs(continuous, score, tolerance=0.002)


async def test_a_request_gives_the_same_completions_alone_and_beside_others(
    tiny_checkpoint: Path,
) -> None:
    """Prompts and settings of every kind, more rows than fit: each as if it were alone."""
    requests = [greedy(user, 5 + 7 * i) for i, user in enumerate(PROMPTS)]
    warm = [
        SamplingParams(0.7, 1.0, 9),
        SamplingParams(1.0, 0.5, 20),
        SamplingParams(1.3, 0.9, 15, top_k=4),
    ]
    requests += [Request(Prompt(PROMPTS[i]), 5, s, seed=i) for i, s in enumerate(warm)]
    async with engine(tiny_checkpoint) as continuous:
        together = await asyncio.gather(*map(continuous.sample, requests))
        alone = [await continuous.sample(request) for request in requests]
    for one, other in zip(together, alone, strict=True):
        assert [c.text for c in one] == [c.text for c in other]
        assert [c.sum_logprob for c in one] == pytest.approx([c.sum_logprob for c in other], 1e-3)


@pytest.mark.parametrize("family", ["tiny_checkpoint", "sliding_checkpoint"])
async def test_greedy_answers_are_those_of_generate(
    family: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(family)
    requests = [greedy(user, 6 + 9 * i) for i, user in enumerate(PROMPTS)]
    async with engine(folder, max_sequences=3) as continuous:
        ours = await asyncio.gather(*map(continuous.sample, requests))
    reference = TransformersEngine(folder, is_chat=True, device="cpu", precision="float32")
    async with reference:
        theirs = [await reference.sample(request) for request in requests]
    for (one,), (other,) in zip(ours, theirs, strict=True):
        assert replace(one, sum_logprob=0.0) == replace(other, sum_logprob=0.0)
        assert one.sum_logprob == pytest.approx(other.sum_logprob, rel=1e-3)


@pytest.fixture(scope="module")
def sliding_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Gemma 3: every other layer sees the last eight tokens only."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    folder = with_tokenizer_of(tiny_checkpoint, tmp_path_factory.mktemp("sliding"))
    config = Gemma3TextConfig(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, sliding_window=8,
        layer_types=["sliding_attention", "full_attention"], max_position_embeddings=256,
        bos_token_id=None, eos_token_id=256, pad_token_id=256,
    )  # fmt: skip
    torch.manual_seed(0)
    Gemma3ForCausalLM(config).save_pretrained(folder)
    return folder


async def test_a_model_with_a_recurrent_state_is_refused(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    folder = with_tokenizer_of(tiny_checkpoint, tmp_path)
    config = MambaConfig(vocab_size=257, hidden_size=16, state_size=4, num_hidden_layers=1)
    MambaForCausalLM(config).save_pretrained(folder)
    with pytest.raises(EngineError, match=r"MambaForCausalLM.*engine.batching=static"):
        async with engine(folder):
            pass


def with_tokenizer_of(checkpoint: Path, folder: Path) -> Path:
    for file in checkpoint.iterdir():
        if "token" in file.name or "template" in file.name:
            shutil.copy(file, folder)
    return folder


async def test_a_stop_string_ends_its_row_only(tiny_checkpoint: Path) -> None:
    async with engine(tiny_checkpoint) as continuous:
        (whole,) = await continuous.sample(greedy(PROMPTS[1], 40))
        stop = whole.text[10:12]
        (short,), (long,) = await asyncio.gather(
            continuous.sample(greedy(PROMPTS[1], 40, stop=(stop, "never said"))),
            continuous.sample(greedy(PROMPTS[1], 40)),
        )
    assert short.text == whole.text[: whole.text.find(stop)]
    assert short.finish_reason is FinishReason.STOP
    assert short.n_tokens < long.n_tokens == 40
    assert long.text == whole.text


async def test_more_completions_than_rows_are_all_drawn(tiny_checkpoint: Path) -> None:
    async with engine(tiny_checkpoint, max_sequences=3) as continuous:
        answer = await continuous.sample(
            Request(Prompt("a"), 10, SamplingParams(max_tokens=6), seed=3)
        )
    assert len(answer) == 10
    assert len({completion.text for completion in answer}) > 1


async def test_out_of_memory_halves_the_batch(
    tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that holds three rows: the model itself refuses more, as a GPU would."""
    requests = [Request(Prompt(user), 4, SamplingParams(max_tokens=8), 5) for user in PROMPTS]
    async with engine(tiny_checkpoint) as continuous:
        expected = await asyncio.gather(*map(continuous.sample, requests))
    async with engine(tiny_checkpoint) as continuous:
        model_of(continuous).register_forward_pre_hook(refuse_more_rows_than(3), with_kwargs=True)
        with caplog.at_level(logging.WARNING):
            answers = await asyncio.gather(*map(continuous.sample, requests))
    assert texts(answers) == texts(expected)
    warned = [record.getMessage() for record in caplog.records]
    assert ["at most 4" in warned[0], "at most 2" in warned[1], len(warned)] == [True, True, 2]


async def test_an_error_is_raised_when_not_even_one_row_fits(tiny_checkpoint: Path) -> None:
    async with engine(tiny_checkpoint) as continuous:
        model_of(continuous).register_forward_pre_hook(refuse_more_rows_than(0), with_kwargs=True)
        with pytest.raises(EngineError, match="out of memory on request"):
            await continuous.sample(greedy("a"))


def refuse_more_rows_than(limit: int) -> Callable[..., None]:
    import torch

    def hook(_module: Any, _args: Any, inputs: dict[str, Any]) -> None:
        if len(inputs["input_ids"]) > limit:
            raise torch.OutOfMemoryError("out of memory on request")

    return hook


async def test_a_cancelled_request_frees_its_rows(tiny_checkpoint: Path) -> None:
    async with engine(tiny_checkpoint, max_sequences=2) as continuous:
        gate = Gate(continuous)
        task = asyncio.create_task(continuous.sample(ENDLESS))
        await gate.reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gate.opened.set()
        (answer,) = await continuous.sample(greedy("Sort.", 4))
    assert task.cancelled()
    assert answer.n_tokens <= 4
    # The prompt that was read, one step, and then those of the other request only.
    assert len(gate.shapes) <= 2 + 4


async def test_a_cancelled_request_of_the_static_engine_has_stopped_before_the_next_begins(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most, begun = 0, 0, threading.Event()
    generate = TransformersEngine._batch

    def watched(self: TransformersEngine, *arguments: Any) -> list[Completion]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        begun.set()
        try:
            return generate(self, *arguments)
        finally:
            running -= 1

    monkeypatch.setattr(TransformersEngine, "_batch", watched)
    async with TransformersEngine(tiny_checkpoint, is_chat=True, max_sequences=1) as static:
        # A thousand batches: it would not end by itself.
        first = asyncio.create_task(static.sample(replace(ENDLESS, n=1000)))
        await asyncio.to_thread(begun.wait)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled() and running == 0
        assert len(await static.sample(replace(ENDLESS, n=2))) == 2
    assert most == 1


async def test_leaving_with_requests_in_flight_fails_them(tiny_checkpoint: Path) -> None:
    continuous = engine(tiny_checkpoint, max_sequences=2)
    async with continuous:
        gate = Gate(continuous)
        tasks = [asyncio.create_task(continuous.sample(ENDLESS)) for _ in range(3)]
        await gate.reached.wait()
        gate.opened.set()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, EngineError), outcome
        assert "was left" in str(outcome)
    with pytest.raises(EngineError, match="not entered"):
        await continuous.sample(greedy("a"))


async def test_many_long_prompts_take_several_forward_passes(tiny_checkpoint: Path) -> None:
    requests = [greedy(f"{i} " + "z" * (200 + i), 2) for i in range(48)]
    async with engine(tiny_checkpoint, max_sequences=64) as continuous:
        gate = Gate(continuous)
        first = asyncio.create_task(continuous.sample(greedy("a", 2)))
        await gate.reached.wait()
        tasks = [asyncio.create_task(continuous.sample(request)) for request in requests]
        await asyncio.sleep(0)  # all are in before the first continues
        gate.opened.set()
        together = await asyncio.gather(first, *tasks)
        read = [rows * columns for rows, columns in gate.shapes if columns > 1]
        assert len(read) == 2  # 48 prompts of 200 tokens and more; the first has only one token
        assert max(read) <= 8192
        alone = [await continuous.sample(request) for request in requests[::16]]
    assert texts(together[1::16]) == texts(alone)


class Gate:
    """Sees the (rows, columns) of the model's forward passes, and holds the first until opened."""

    def __init__(self, entered: ContinuousTransformersEngine) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.reached = asyncio.Event()
        self.opened = threading.Event()
        self._loop = asyncio.get_running_loop()
        model_of(entered).register_forward_pre_hook(self._pass, with_kwargs=True)

    def _pass(self, _module: Any, _args: Any, inputs: dict[str, Any]) -> None:
        self.shapes.append(tuple(inputs["input_ids"].shape))
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self.opened.wait(timeout=60)


async def test_a_prompt_longer_than_the_context_is_refused_alone(tiny_checkpoint: Path) -> None:
    async with engine(tiny_checkpoint) as continuous:
        long, (short,), (cut,) = await asyncio.gather(
            continuous.sample(greedy("y" * 300)),
            continuous.sample(greedy("y")),
            continuous.sample(greedy("y" * 250, 100)),
            return_exceptions=True,
        )
    assert isinstance(long, EngineError)
    assert "300 tokens" in str(long)
    assert isinstance(short, Completion)
    assert isinstance(cut, Completion)
    assert cut.n_tokens <= 6  # what the context of 256 has left


async def test_nan_logits_are_an_error(tiny_checkpoint: Path) -> None:
    import torch

    async with engine(tiny_checkpoint) as continuous:
        with torch.inference_mode():
            model_of(continuous).lm_head.weight.mul_(float("nan"))
        with pytest.raises(EngineError, match="not numbers"):
            await continuous.sample(greedy("a"))


def test_each_row_is_drawn_by_its_own_settings() -> None:
    """The distribution of many draws, against temperature, top-k and top-p by hand."""
    import torch

    probs = [0.5, 0.3, 0.15, 0.05]
    logits = torch.log(torch.tensor([probs]))
    expected = {
        SamplingParams(1.0, 1.0): probs,
        SamplingParams(0.5, 1.0): [p * p / 0.365 for p in probs],
        SamplingParams(1.0, 1.0, top_k=2): [0.625, 0.375, 0, 0],
        # 0.5 alone is less than 0.75, and with 0.3 it is not; after top-k of 2, 0.5 is 0.625.
        SamplingParams(1.0, 0.75): [0.625, 0.375, 0, 0],
        SamplingParams(1.0, 0.6, top_k=2): [1.0, 0, 0, 0],
        SamplingParams(0.0): [1.0, 0, 0, 0],
    }
    source = Random(0)
    rows = [Draw(sampling, source) for sampling in expected for _ in range(4000)]
    tokens, logprobs = draw(logits.repeat(len(rows), 1), rows)
    raw = [logits[0, token].item() for token in tokens]
    assert logprobs == pytest.approx(raw, abs=1e-6)
    for i, shares in enumerate(expected.values()):
        drawn = tokens[4000 * i : 4000 * (i + 1)]
        found = [drawn.count(token) / 4000 for token in range(4)]
        assert found == pytest.approx(shares, abs=0.04), i
        assert [share == 0 for share in found] == [share == 0 for share in shares]


def texts(answers: list[list[Completion]]) -> list[list[str]]:
    return [[completion.text for completion in answer] for answer in answers]

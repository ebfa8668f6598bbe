"""What one request's faults cost: its own completions, with a reason, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ucoder.config import ServerConfig
from ucoder.engines.openai import OpenAIEngine
from ucoder.engines.openai_requests import Malformed, read_answer
from ucoder.engines.protocol import Engine, EngineInfo, Prompt, Request, SamplingParams, render
from ucoder.engines.resilient import ResilientEngine
from ucoder.errors import EngineError, EngineLost, RequestRefused
from ucoder.records import LOST, FinishReason, Reason, perplexity

from .serving import Answer, Fault, serving

PLAIN = SamplingParams(temperature=1.0, top_p=1.0, max_tokens=64)
GOOD = Request(Prompt("Rate the quality of this problem.", "Score:"), 3, PLAIN, seed=1)
BAD = Request(Prompt("Rate the quality of what cannot be answered.", "Score:"), 3, PLAIN, seed=1)


@asynccontextmanager
async def sampling_from(fault: Fault) -> AsyncIterator[ResilientEngine]:
    with serving(fault) as url:
        server = ServerConfig(url=url, max_retries=1)
        async with ResilientEngine(OpenAIEngine(server, is_chat=True)) as engine:
            yield engine


def on_bad_prompts(change: Callable[[dict[str, Any]], Answer]) -> Fault:
    return lambda prompt, value: change(value) if "cannot be answered" in prompt else (200, value)


def first(**fields: Any) -> Callable[[dict[str, Any]], Answer]:
    """The first choice has other fields."""

    def change(value: dict[str, Any]) -> Answer:
        value["choices"][0] |= fields
        return 200, value

    return change


def said(status: int, message: Any) -> Callable[[dict[str, Any]], Answer]:
    return lambda value: (status, {"error": {"message": message}})


FILTER, UNFINISHED = Reason.CONTENT_FILTER, Reason.UNFINISHED
NO_COMPLETION, REFUSED = Reason.NO_COMPLETION, Reason.REQUEST_REFUSED

OF_ONE_COMPLETION = {
    "content_filter": (first(finish_reason="content_filter"), FILTER),
    "content_filter without content": (first(finish_reason="content_filter", message={}), FILTER),
    "content_filter with null content": (
        first(finish_reason="content_filter", message={"content": None}), FILTER,
    ),
    "SAFETY": (first(finish_reason="SAFETY"), FILTER),
    "abort": (first(finish_reason="abort"), UNFINISHED),
    "null": (first(finish_reason=None), UNFINISHED),
    "tool_calls": (first(finish_reason="tool_calls", message={"content": None}), UNFINISHED),
    "a word nobody knows": (first(finish_reason="tired"), UNFINISHED),
    "an empty word": (first(finish_reason=""), UNFINISHED),
    "an object": (first(finish_reason={"type": "stop"}), UNFINISHED),
    "content is a number": (first(message={"content": 7}), NO_COMPLETION),
    "content is an object": (first(message={"content": {"text": "x"}}), NO_COMPLETION),
    "no message": (first(message=None), NO_COMPLETION),
    "one choice is no object": (
        lambda v: (200, {**v, "choices": ["?", *v["choices"][1:]]}), NO_COMPLETION,
    ),
    "one choice fewer": (lambda v: (200, {**v, "choices": v["choices"][1:]}), NO_COMPLETION),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), OF_ONE_COMPLETION.values(), ids=OF_ONE_COMPLETION)
async def test_a_completion_that_did_not_end_as_it_should_is_lost_and_the_others_are_kept(
    change: Callable[[dict[str, Any]], Answer], reason: Reason
) -> None:
    async with sampling_from(on_bad_prompts(change)) as engine:
        whole = await engine.sample(GOOD)
        completions = await engine.sample(BAD)
    assert not any(completion.finish_reason.lost for completion in whole)
    assert len(completions) == 3
    lost = [completion for completion in completions if completion.finish_reason.lost]
    assert [completion.finish_reason.lost for completion in lost] == [reason]
    assert lost[0].detail
    kept = [c.text for c in completions if not c.finish_reason.lost]
    assert kept == [c.text for c in whole][:2]


OF_ONE_REQUEST = {
    "a prompt that is too long": said(400, "maximum context length is 4096 tokens"),
    "a content policy": said(400, "The response was filtered: content management policy"),
    "a moderation's 403": said(403, "Your input was flagged"),
    "too large": said(413, "Payload Too Large"),
    "unprocessable": said(422, "inputs must have less than 1024 tokens"),
    "legal reasons": said(451, None),
    "a fault inside": said(500, "CUDA error"),
    "a worker that dies of it": lambda value: None,
    "invalid JSON": lambda value: (200, b"<html>\xff"),
    "an error as success": lambda value: (200, {"error": "too long"}),
    "no choices": lambda value: (200, {"choices": [], "usage": None}),
    "choices are null": lambda value: (200, {"choices": None}),
}


@pytest.mark.parametrize("change", OF_ONE_REQUEST.values(), ids=OF_ONE_REQUEST)
async def test_a_request_that_is_refused_loses_its_completions_and_later_ones_are_served(
    change: Callable[[dict[str, Any]], Answer],
) -> None:
    async with sampling_from(on_bad_prompts(change)) as engine:
        # Whether these settings were served before or not.
        for _ in range(2):
            completions = await engine.sample(BAD)
            assert [c.finish_reason for c in completions] == [FinishReason.REQUEST_REFUSED] * 3
            assert all("127.0.0.1" in c.detail and c.n_tokens == 0 for c in completions)
            assert not any(c.finish_reason.lost for c in await engine.sample(GOOD))


OF_EVERY_REQUEST = {
    "the key": (401, {"error": "invalid key"}),
    "no permission": (403, {"error": "no access to this model"}),
    "no such model": (404, {"error": "the model does not exist"}),
    "no such model, said otherwise": (400, {"error": "Model Not Exist"}),
    "no money": (402, {"error": "insufficient balance"}),
    "a setting": (400, {"error": "max_tokens is too large"}),
    "a server that stays busy": (503, {"error": "loading"}),
    "a server that stays broken": (500, {"error": "CUDA error"}),
}


@pytest.mark.parametrize("answer", OF_EVERY_REQUEST.values(), ids=OF_EVERY_REQUEST)
async def test_what_concerns_every_request_is_an_error(answer: Answer) -> None:
    broken = False
    async with sampling_from(lambda prompt, value: answer if broken else (200, value)) as engine:
        assert await engine.sample(GOOD)
        broken = True
        for _ in range(2):
            with pytest.raises(EngineError, match=str(answer and answer[0])):
                await engine.sample(BAD)


async def test_a_server_that_cannot_be_reached_any_more_is_an_error() -> None:
    with serving() as url:
        server = ServerConfig(url=url, max_retries=1)
        engine = ResilientEngine(OpenAIEngine(server, is_chat=True))
        await engine.__aenter__()
    try:
        with pytest.raises(EngineError, match=r"after 2 tries.*cannot be reached"):
            await engine.sample(GOOD)
    finally:
        await engine.__aexit__()


async def test_a_server_whose_every_completion_ends_for_no_reason_is_refused_at_the_start() -> None:
    with pytest.raises(EngineError, match="the server ended it as None"):
        async with sampling_from(lambda prompt, value: first(finish_reason=None)(value)):
            pass


@pytest.mark.parametrize(
    "logprob", [-math.inf, math.nan, None, -3.4e38, -9999.0, math.inf, 0.5, "-0.5", [], True]
)
async def test_a_log_probability_that_cannot_be_one_is_unknown_and_the_completion_is_kept(
    logprob: Any,
) -> None:
    def change(value: dict[str, Any]) -> Answer:
        value["choices"][1]["logprobs"]["content"][-1]["logprob"] = logprob
        return 200, value

    async with sampling_from(on_bad_prompts(change)) as engine:
        completions = await engine.sample(BAD)
    assert not any(completion.finish_reason.lost for completion in completions)
    assert [math.isnan(c.sum_logprob) for c in completions] == [False, True, False]
    assert len({completion.n_tokens for completion in completions}) == 1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}], "a"),
        (["a", {"type": "output_text", "text": "b"}, {"type": "image_url"}, None, 3], "ab"),
        ([], ""),
        (None, ""),
    ],
)
async def test_content_in_parts_is_their_text_and_null_is_the_empty_text(
    content: Any, text: str
) -> None:
    async with sampling_from(on_bad_prompts(first(message={"content": content}))) as engine:
        completions = await engine.sample(BAD)
    assert completions[0].text == text
    assert not completions[0].finish_reason.lost


async def test_an_answer_without_usage_or_lists_of_tokens_is_kept() -> None:
    def change(value: dict[str, Any]) -> Answer:
        del value["usage"]
        value["choices"][0]["logprobs"] = None
        value["choices"][1]["logprobs"] = {"content": [None, {"token": 3}]}
        return 200, value

    async with sampling_from(on_bad_prompts(change)) as engine:
        completions = await engine.sample(BAD)
    assert [math.isnan(c.sum_logprob) for c in completions] == [True, True, False]
    assert not any(c.finish_reason.lost for c in completions) and all(
        c.n_tokens > 0 for c in completions
    )


async def test_completions_of_parts_that_were_served_are_kept_where_one_part_is_refused() -> None:
    n_asked = 0

    def every_other(value: dict[str, Any]) -> Answer:
        nonlocal n_asked
        n_asked += 1
        return (200, value) if n_asked % 2 else (400, {"error": "not this one"})

    def one_a_request(prompt: str, value: dict[str, Any]) -> Answer:
        for choice in value["choices"]:
            choice["logprobs"] = None  # so that each completion is a request of its own
        return on_bad_prompts(every_other)(prompt, value)

    async with sampling_from(one_a_request) as engine:
        reasons = [completion.finish_reason.lost for completion in await engine.sample(BAD)]
    assert sorted(map(str, reasons)) == ["None", "None", "request_refused"]


class Picky:
    """An engine that is not a server: it refuses some prompts, as a local one that is too long."""

    info = EngineInfo("picky", "1", "none", honours_seeds=True, is_chat=True)

    def __init__(self, error: EngineError, refuses: Callable[[Request], bool]) -> None:
        self._error, self._refuses = error, refuses
        self.asked: list[Request] = []

    async def __aenter__(self) -> Picky:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def sample(self, request: Request) -> list[Any]:
        self.asked.append(request)
        if self._refuses(request):
            raise self._error
        return []


async def test_a_setting_that_no_prompt_can_have_is_an_error() -> None:
    too_long = RequestRefused("64 tokens do not fit the cache; raise engine.cache_gib")
    picky = Picky(too_long, lambda request: request.sampling.max_tokens >= 64)
    engine: Engine = ResilientEngine(picky)
    short = Request(Prompt("x"), 3, SamplingParams(max_tokens=8), seed=1)
    await engine.sample(short)
    with pytest.raises(EngineError, match=r"raise engine\.cache_gib.*concerns every request"):
        await engine.sample(GOOD)
    # The control request is asked once; everything after it fails with the same words.
    n_asked = len(picky.asked)
    with pytest.raises(EngineError, match=r"raise engine\.cache_gib"):
        await engine.sample(GOOD)
    assert len(picky.asked) == n_asked + 1


async def test_an_engine_that_is_lost_is_not_asked_again() -> None:
    picky = Picky(EngineLost("its process ended"), lambda request: True)
    with pytest.raises(EngineLost):
        await ResilientEngine(picky).sample(GOOD)
    assert len(picky.asked) == 1


def test_a_chat_template_that_refuses_a_prompt_refuses_that_request_alone() -> None:
    class Template:
        def apply_chat_template(self, *_: Any, **__: Any) -> str:
            raise KeyError("conversation roles must alternate")

    with pytest.raises(RequestRefused, match="roles must alternate"):
        render(Template(), GOOD.prompt, is_chat=True)


@pytest.mark.parametrize("value", [{}, [], None, "x", {"choices": [[]]}, {"choices": {"0": 1}}])
def test_an_answer_without_any_completion_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed, match="without a completion"):
        read_answer(value, 1)


def test_more_choices_than_asked_for_are_left_out() -> None:
    value = {"choices": [{"text": text, "finish_reason": "eos"} for text in "abc"]}
    assert [choice.text for choice in read_answer(json.loads(json.dumps(value)), 2).choices] == [
        "a", "b",
    ]  # fmt: skip


def test_every_way_of_losing_a_completion_is_a_reason() -> None:
    assert {reason.value for reason in LOST} == {
        finish.value for finish in FinishReason if finish.lost
    }
    assert FinishReason.STOP.lost is None and FinishReason.LENGTH.lost is None


def test_a_perplexity_from_an_infinite_log_probability_is_undefined() -> None:
    assert math.isnan(perplexity(3, -math.inf)) and math.isnan(perplexity(3, math.nan))

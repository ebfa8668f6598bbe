"""Stop strings that are part of a program do not cut it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ucoder.engines.continuing import MAX_CONTINUATIONS, sample_whole
from ucoder.engines.protocol import Completion, Prompt, Request, SamplingParams, cut_at_stop
from ucoder.engines.scripted import Script, ScriptedEngine
from ucoder.records import FinishReason
from ucoder.texts import ends_in_string

FENCE = "\n```"
PROMPT = Prompt("Write it.", "```python\n")
REQUEST = Request(PROMPT, 3, SamplingParams(max_tokens=200, stop=(FENCE,)), seed=1)


class CountingEngine(ScriptedEngine):
    """Counts requests; with `is_mute`, it does not say which stop string ended an answer."""

    def __init__(self, answers: Sequence[str], is_mute: bool = False) -> None:
        super().__init__(Script.model_validate({"rules": [{"when": [], "answers": answers}]}))
        self.requests: list[Request] = []
        self._is_mute = is_mute

    async def sample(self, request: Request) -> list[Completion]:
        self.requests.append(request)
        drawn = await super().sample(request)
        return [replace(one, stop=None) for one in drawn] if self._is_mute else drawn


def is_early(text: str, stop: str) -> bool:
    return ends_in_string(text + "\n")


PLAIN = "def f(x):\n    return x\n```\nIt works."
DOCSTRING = 'def f(x):\n    """Doc:\n```\nf(1)\n```\n    """\n    return x'
AFTER = "\n```\nThat was it."


async def test_an_answer_without_a_fence_in_a_string_costs_no_further_request() -> None:
    async with CountingEngine([PLAIN]) as engine:
        completions = await sample_whole(engine, REQUEST, is_early)
        assert completions == await engine.sample(REQUEST)
    assert len(engine.requests) == 2


@pytest.mark.parametrize("is_mute", [False, True])
async def test_an_answer_goes_on_after_a_fence_in_its_docstring(is_mute: bool) -> None:
    async with CountingEngine([DOCSTRING + AFTER], is_mute) as engine:
        completions = await sample_whole(engine, REQUEST, is_early)
    assert [one.text for one in completions] == [DOCSTRING] * 3
    assert {one.finish_reason for one in completions} == {FinishReason.STOP}
    rest = engine.requests[1:]
    assert len(rest) == 6  # two fences in each of three
    assert len({request.seed for request in engine.requests}) == 7
    assert {request.prompt.user for request in rest} == {PROMPT.user}
    assert all(request.prompt.prefill.endswith(FENCE) for request in rest)


async def test_tokens_and_log_probabilities_of_all_parts_are_added() -> None:
    async with CountingEngine([DOCSTRING + AFTER]) as engine:
        (whole, *_) = await sample_whole(engine, REQUEST, is_early)
        parts = [(await engine.sample(replace(one, n=1)))[0] for one in engine.requests[:1]]
    assert whole.n_tokens > parts[0].n_tokens
    assert math.isclose(whole.sum_logprob, -0.1 * whole.n_tokens)


async def test_a_base_models_prompt_is_continued_as_well() -> None:
    request = replace(REQUEST, n=1, prompt=Prompt("", "", plain="# Write it.\n"))
    async with CountingEngine([DOCSTRING + AFTER]) as engine:
        (whole,) = await sample_whole(engine, request, is_early)
    assert whole.text == DOCSTRING
    assert engine.requests[1].prompt.plain == '# Write it.\ndef f(x):\n    """Doc:\n```'


async def test_an_answer_never_costs_more_tokens_than_were_allowed() -> None:
    request = replace(REQUEST, n=1, sampling=SamplingParams(max_tokens=6, stop=(FENCE,)))
    async with CountingEngine([DOCSTRING + AFTER]) as engine:
        (whole,) = await sample_whole(engine, request, is_early)
    assert whole.n_tokens <= 6
    assert whole.finish_reason is FinishReason.LENGTH


async def test_an_answer_that_stops_again_and_again_counts_as_cut_off() -> None:
    async with CountingEngine(['"""' + "\n```" * 90]) as engine:
        (whole,) = await sample_whole(engine, replace(REQUEST, n=1), is_early)
    assert len(engine.requests) == MAX_CONTINUATIONS + 1
    assert whole.finish_reason is FinishReason.LENGTH


async def test_an_answer_that_ends_by_itself_in_a_string_is_left_as_it_is() -> None:
    async with CountingEngine(['def f(x):\n    """Doc']) as engine:
        (whole,) = await sample_whole(engine, replace(REQUEST, n=1), is_early)
    assert whole.text == 'def f(x):\n    """Doc'
    assert len(engine.requests) == 1


def test_the_first_stop_string_of_a_text_is_told_and_the_longer_one_of_two() -> None:
    assert cut_at_stop("a\nb\nc", ("\nc", "\nb")) == ("a", "\nb")
    assert cut_at_stop("a\n```\n", ("\n```", "\n```\n")) == ("a", "\n```\n")
    assert cut_at_stop("a", ("b",)) == ("a", "")

"""What every engine promises, as checks for any provider.

Each check takes an entered engine and raises AssertionError with what it saw. A new provider is
tested by

    for check in CHECKS:
        await check(engine)

and, if a teacher-forced pass over the same weights is available, by `check_logprobs`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from ucoder.engines.protocol import Completion, Engine, Prompt, Request, SamplingParams
from ucoder.records import FinishReason

Check = Callable[[Engine], Awaitable[None]]
Scorer = Callable[[Prompt, str], tuple[int, float]]
"""(prompt, completion text) -> (tokens of the text, sum of their raw log-probabilities)."""

PROMPT = Prompt("Write a Python function `add(a, b)` that adds two numbers.", "```python\ndef add(")
WARM = Request(PROMPT, 4, SamplingParams(temperature=0.9, top_p=0.95, max_tokens=24), seed=7)
GREEDY = Request(PROMPT, 1, SamplingParams(temperature=0.0, max_tokens=24), seed=0)


async def check_returns_n_completions(engine: Engine) -> None:
    """A request for n completions gets n, each with tokens and a log-probability."""
    completions = await engine.sample(WARM)
    assert len(completions) == WARM.n
    for completion in completions:
        assert 0 < completion.n_tokens <= WARM.sampling.max_tokens, completion
        assert math.isnan(completion.sum_logprob) or completion.sum_logprob <= 0, completion


async def check_length_limit(engine: Engine) -> None:
    """A completion that reaches the limit says so, and has exactly that number of tokens."""
    (completion,) = await engine.sample(_greedy(max_tokens=3))
    assert completion.finish_reason is FinishReason.LENGTH, completion
    assert completion.n_tokens == 3, completion


async def check_prefill_is_continued(engine: Engine) -> None:
    """The prefill is not repeated."""
    (completion,) = await engine.sample(GREEDY)
    assert not completion.text.startswith(PROMPT.prefill), completion
    assert completion.text, completion


async def check_stop_strings_end_and_are_cut(engine: Engine) -> None:
    """A stop string ends the completion and is not in its text."""
    whole = (await engine.sample(GREEDY))[0].text
    stop = whole[len(whole) // 2 :][:3]
    (completion,) = await engine.sample(_greedy(stop=(stop,)))
    assert completion.text == whole[: whole.find(stop)], (whole, stop, completion)
    assert completion.finish_reason is FinishReason.STOP, completion


async def check_greedy_is_deterministic(engine: Engine) -> None:
    """Temperature 0: the same text again, for every completion and whatever the seed."""
    several = await engine.sample(replace(GREEDY, n=3, seed=1))
    again = await engine.sample(replace(GREEDY, seed=99))
    assert len({completion.text for completion in [*several, *again]}) == 1, several


async def check_seeds_matter(engine: Engine) -> None:
    """Completions of a request differ, and another seed gives others."""
    first = [completion.text for completion in await engine.sample(WARM)]
    other = [completion.text for completion in await engine.sample(replace(WARM, seed=8))]
    assert len(set(first)) > 1, first
    assert first != other


async def check_seeds_are_honoured(engine: Engine) -> None:
    """The same request gives the same completions, alone or beside others."""
    if not engine.info.honours_seeds:
        return
    alone = await engine.sample(WARM)
    company = [replace(WARM, seed=seed, n=2) for seed in (11, 12, 13)]
    beside, *_ = await asyncio.gather(*map(engine.sample, [WARM, *company]))
    assert _texts(beside) == _texts(alone)
    *_, last = await asyncio.gather(*map(engine.sample, [*company, WARM]))
    assert _texts(last) == _texts(alone)


async def check_cancelling_leaves_the_engine_serving(engine: Engine) -> None:
    """A cancelled request does not disturb the next one."""
    before = await engine.sample(GREEDY)
    long = replace(WARM, n=8, sampling=replace(WARM.sampling, max_tokens=200))
    task = asyncio.create_task(engine.sample(long))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert _texts(await engine.sample(GREEDY)) == _texts(before)


CHECKS: tuple[Check, ...] = (
    check_returns_n_completions,
    check_length_limit,
    check_prefill_is_continued,
    check_stop_strings_end_and_are_cut,
    check_greedy_is_deterministic,
    check_seeds_matter,
    check_seeds_are_honoured,
    check_cancelling_leaves_the_engine_serving,
)


async def check_logprobs(engine: Engine, score: Scorer, tolerance: float) -> list[float]:
    """`sum_logprob` is that of a teacher-forced pass: raw, whatever the sampling settings.

    At temperature 1 without a nucleus it must be known. At a low temperature and with a narrow
    nucleus, where processed log-probabilities are far from the raw ones, it must be raw or NaN.

    Args:
        engine: Entered.
        score: The teacher-forced pass.
        tolerance: Largest mean difference per token, in nats: engines round differently.

    Returns:
        The differences per token, of the completions whose text the tokenizer cuts into as many
        tokens as were sampled; the others cannot be compared.
    """
    plain = SamplingParams(temperature=1.0, top_p=1.0, max_tokens=32)
    narrow = SamplingParams(temperature=0.6, top_p=0.7, max_tokens=32, top_k=8)
    differences: list[float] = []
    for sampling in (plain, narrow):
        completions: list[Completion] = []
        for seed in range(4):
            completions += await engine.sample(Request(PROMPT, 4, sampling, seed))
        known = [c for c in completions if not math.isnan(c.sum_logprob)]
        assert len(known) in (0, len(completions)), "raw for some, unknown for others"
        assert known or sampling is not plain, "no log-probabilities at temperature 1"
        found = _differences(known, score)
        assert len(found) >= len(known) // 3, "too few completions can be compared"
        mean = sum(found) / len(found) if found else 0.0
        assert mean <= tolerance, f"{mean:.3f} nats a token off, more than {tolerance}"
        differences += found
    return differences


def _differences(completions: list[Completion], score: Scorer) -> list[float]:
    scored = [(completion, *score(PROMPT, completion.text)) for completion in completions]
    return [abs(c.sum_logprob - expected) / n for c, n, expected in scored if n == c.n_tokens]


def _greedy(**settings: Any) -> Request:
    return replace(GREEDY, sampling=replace(GREEDY.sampling, **settings))


def _texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]

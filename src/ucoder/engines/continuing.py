"""Sampling past a stop string that is part of the answer.

Stop strings end an answer where its program ends, and save the tokens after it. But a docstring may
hold a fence on a line of its own. Where a stop string ended an answer too early, the rest is
sampled with the answer so far as its prefill, under the same stop strings and within the same
number of tokens. The stop string was sampled too, so the distribution stays the model's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from ucoder.engines.protocol import Completion, Engine, Prompt, Request
from ucoder.records import FinishReason
from ucoder.runtime import cancel
from ucoder.seeds import derive_seed

MAX_CONTINUATIONS = 16
"""Of one completion; one that needs more counts as cut off."""


async def sample_whole(
    engine: Engine, request: Request, is_early: Callable[[str, str], bool]
) -> list[Completion]:
    """Draw the completions of a request, each up to where its program ends.

    Args:
        engine: What samples.
        request: As for `Engine.sample`.
        is_early: Whether a completion's text is unfinished at the stop string, its second argument.

    Raises:
        EngineError: See `Engine.sample`.
    """
    completions = await engine.sample(request)
    tasks = [
        asyncio.create_task(_whole(engine, request, number, completion, is_early))
        for number, completion in enumerate(completions)
    ]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await cancel(tasks)


async def _whole(
    engine: Engine,
    request: Request,
    number: int,
    whole: Completion,
    is_early: Callable[[str, str], bool],
) -> Completion:
    prompt, sampling = request.prompt, request.sampling
    for times in range(MAX_CONTINUATIONS + 1):
        stop = _stop_of(whole, sampling.stop)
        if not stop or not is_early(whole.text, stop):
            return whole
        left = sampling.max_tokens - whole.n_tokens
        if left <= 0 or times == MAX_CONTINUATIONS:
            break
        text = whole.text + stop
        plain = None if prompt.plain is None else prompt.plain + text
        begun = Prompt(prompt.user, prompt.prefill + text, plain)
        seed = derive_seed(request.seed, "continued", number, times)
        (more,) = await engine.sample(Request(begun, 1, replace(sampling, max_tokens=left), seed))
        whole = replace(
            more,
            text=text + more.text,
            n_tokens=whole.n_tokens + more.n_tokens,
            sum_logprob=whole.sum_logprob + more.sum_logprob,
        )
    return replace(whole, finish_reason=FinishReason.LENGTH)


def _stop_of(completion: Completion, stops: tuple[str, ...]) -> str:
    """The stop string that ended a completion; a fence where the engine cannot tell."""
    if completion.finish_reason is not FinishReason.STOP:
        return ""
    if completion.stop is not None:
        return completion.stop
    return next((stop for stop in stops if "```" in stop), "")

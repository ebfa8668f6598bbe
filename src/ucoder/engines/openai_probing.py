"""Finds out what a server can do, by some twenty small requests when the engine is entered.

Servers ignore fields that they do not know, so each finding rests on the answer, not on a field
being accepted. The model may be weak or random; only the test that a prefill is continued over
`chat/completions` needs one that can count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile

from ucoder.engines.openai_requests import Capabilities, PrefillMode, ServedModel
from ucoder.engines.protocol import Prompt, SamplingParams, cut_at_stop, render
from ucoder.errors import EngineError, RequestRefused

_COUNT = Prompt(
    "Count from 1 to 12. Write only the numbers, with a space between them.", "1 2 3 4 5 6"
)
_NEXT = re.compile(r"\s*7")
_OPEN = Prompt("Tell a story about an animal that you make up.", "Once upon a time, in a")

# Greedy for every server, among them those that refuse temperature 0.
_COLD = SamplingParams(temperature=0.01, top_p=1.0, max_tokens=12)
_WARM = SamplingParams(temperature=1.0, top_p=1.0, max_tokens=12)
_HOT = SamplingParams(temperature=1.5, top_p=1.0, max_tokens=12)

_EXTRAS = tuple(
    # The first is what most call "all tokens", the second what a few do. The two penalties are
    # one, by the names of vLLM and of llama.cpp.
    (("top_k", all_tokens), ("min_p", 0.0), ("repetition_penalty", 1.0), ("repeat_penalty", 1.0))
    for all_tokens in (-1, 0)
)
_GREEDY = ((("temperature", 0.0),), (("temperature", 1.0), ("top_k", 1)))
_MANY = (64, 32, 16, 8, 4, 2)
_RAW_TOLERANCE = 0.02
"""Nats a token between two runs of one prompt; a temperature of 0.3 changes tenths."""
_MIN_SHARED = 3
_N_STOPS = (16, 4, 1)
"""The protocol allows four, and some servers more."""


@dataclass(frozen=True, slots=True)
class Prober:
    """Asks a server small questions about one of its models."""

    served: ServedModel

    async def find_out(self) -> Capabilities:
        """Every field of `Capabilities`.

        Raises:
            EngineError: The server lacks what is indispensable: a way to continue a prefill, a
                count of tokens, or completions that differ.
        """
        found = await self._prefill_mode()
        found = await self._extras(found)
        found = replace(found, greedy=await self._greedy(found))
        found = await self._logprobs(found)
        found = await self._seeds(found)
        found = replace(found, max_stops=await self._max_stops(found))
        return replace(found, max_n=await self._max_n(found))

    async def _prefill_mode(self) -> Capabilities:
        tried = []
        for way in self._ways():
            found = Capabilities(way)
            try:
                answer = await self.served.ask(_COUNT, replace(_COLD, max_tokens=4), found)
                if answer.choices[0].finish_reason.lost:
                    raise _Unsuited(answer.choices[0].detail)
                if way is PrefillMode.RENDERED and answer.prompt_tokens is not None:
                    cuts_start = await self._cuts_start(answer.prompt_tokens)
                    return replace(found, cuts_start=cuts_start)
                return replace(found, repeats_prefill=_repeats_prefill(answer.choices[0].text))
            except (RequestRefused, _Unsuited) as error:
                tried.append(f"{way}: {error}")
        raise self._unusable(
            f"it does not go on with a prefill. Tried: {'; '.join(tried)}. What works: a server "
            f"with /completions, and as the engine's checkpoint the model that it serves."
        )

    def _ways(self) -> Iterator[PrefillMode]:
        if self.served.tokenizer is not None or not self.served.is_chat:
            yield PrefillMode.RENDERED
        if self.served.is_chat:
            yield PrefillMode.CONTINUED
            yield PrefillMode.TRAILING

    async def _cuts_start(self, counted: int) -> int:
        """See `Capabilities.cuts_start`.

        A server that counts other tokens than the tokenizer wraps the prompt into a template of its
        own, or serves another model.
        """
        tokenizer = self.served.tokenizer
        if tokenizer is None:
            return 0  # a base model's plain text: nothing to compare with
        text = render(tokenizer, _COUNT, self.served.is_chat)
        expected = len(tokenizer(text, add_special_tokens=not self.served.is_chat)["input_ids"])
        start = tokenizer.bos_token or ""
        cuts_start = 0
        if counted == expected + 1 and start and text.startswith(start):
            cuts_start = len(start)
            found = Capabilities(PrefillMode.RENDERED, cuts_start)
            answer = await self.served.ask(_COUNT, replace(_COLD, max_tokens=4), found)
            counted = answer.prompt_tokens or 0
        if counted != expected:
            raise _Unsuited(
                f"the prompt has {expected} tokens here and {counted} there: the server changes "
                f"it, or serves another model than the local checkpoint"
            )
        return cuts_start

    async def _extras(self, found: Capabilities) -> Capabilities:
        for extras in _EXTRAS:
            trial = replace(found, extras=extras)
            with suppress(RequestRefused):
                hot = [await self._text(trial, replace(_HOT, top_k=1)) for _ in range(2)]
                for seed in range(2):  # a cold answer may still take the second of two near words
                    cold = await self._text(trial, _COLD, seed)
                    if all(_alike(cold, text) for text in hot):
                        return replace(trial, top_k=True)
                return replace(trial, top_k=False)
        return found

    async def _greedy(self, found: Capabilities) -> tuple[tuple[str, float], ...] | None:
        for fields in _GREEDY if found.top_k else _GREEDY[:1]:
            trial = replace(found, greedy=fields)
            with suppress(RequestRefused):
                sampling = replace(_COLD, temperature=0.0)
                first, again = [await self._text(trial, sampling) for _ in range(2)]
                if _alike(first, again):
                    return fields
        return None

    async def _logprobs(self, found: Capabilities) -> Capabilities:
        trial = replace(found, logprobs=True)
        try:
            answer = await self.served.ask(_OPEN, _WARM, trial)
        except RequestRefused:
            answer = await self.served.ask(_OPEN, _WARM, found)
        if answer.choices[0].tokens:
            return replace(trial, raw_logprobs=await self._raw_logprobs(trial))
        if answer.completion_tokens is None:
            raise self._unusable(
                "it returns neither log-probabilities nor `usage.completion_tokens`, so the tokens "
                "of a completion cannot be counted"
            )
        return found

    async def _raw_logprobs(self, found: Capabilities) -> bool:
        """Whether a low temperature and a nucleus of one token leave log-probabilities alone."""
        if found.greedy is None:
            return False
        plain = (await self.served.ask(_OPEN, replace(_COLD, temperature=0.0), found)).choices[0]
        narrow = replace(_COLD, temperature=0.3, top_p=0.01, top_k=int(found.top_k))
        narrowed = (await self.served.ask(_OPEN, narrow, found)).choices[0]
        pairs = zip(plain.tokens, narrowed.tokens, strict=False)
        # After a near tie two greedy runs go on differently: only what they share is compared.
        shared = list(takewhile(lambda pair: pair[0].text == pair[1].text, pairs))
        if len(shared) < _MIN_SHARED:
            return False
        known = -sum(token.logprob for token, _ in shared) / len(shared)
        difference = sum(abs(a.logprob - b.logprob) for a, b in shared) / len(shared)
        # A model that is sure of every token proves nothing, nor do log-probabilities that were
        # processed in both runs.
        return known > _RAW_TOLERANCE > difference

    async def _seeds(self, found: Capabilities) -> Capabilities:
        trial = replace(found, seeds=True)
        try:
            first, again, other = [await self._text(trial, _HOT, seed) for seed in (1, 1, 2)]
        except RequestRefused:
            trial, again = found, ""
            first, other = [await self._text(trial, _HOT) for _ in range(2)]
        if first == other:
            raise self._unusable(
                f"at temperature {_HOT.temperature:g} it answers the same twice ({first!r}); let "
                f"it sample, and without a seed of its own"
            )
        return replace(trial, repeats_seeds=first == again)

    async def _max_stops(self, found: Capabilities) -> int:
        whole = await self._text(found, _COLD)
        stop = whole[len(whole) // 3 :][:3]
        before, _ = cut_at_stop(whole, (stop,))
        for n in _N_STOPS:
            stops = (stop, *(f"<no such end {i}>" for i in range(1, n)))
            trial = replace(found, max_stops=n)
            with suppress(RequestRefused):
                text = await self._text(trial, replace(_COLD, stop=stops))
                return n if stop and text in (before, f"{before}{stop}") else 0
        return 0

    async def _max_n(self, found: Capabilities) -> int:
        if not found.logprobs:
            return 1  # `usage` counts the tokens of all completions together
        for n in _MANY:
            with suppress(RequestRefused):
                choices = (await self.served.ask(_OPEN, _HOT, found, n=n)).choices
                if len({choice.text for choice in choices}) > 1 and all(c.tokens for c in choices):
                    return n
        return 1

    def _unusable(self, why: str) -> EngineError:
        return EngineError(f"{self.served.client.address} cannot be used: {why}")

    async def _text(self, found: Capabilities, sampling: SamplingParams, seed: int = 0) -> str:
        return (await self.served.ask(_OPEN, sampling, found, seed=seed)).choices[0].text


class _Unsuited(Exception):
    """The server does not support this way to continue a prefill."""


def _repeats_prefill(text: str) -> bool:
    """See `Capabilities.repeats_prefill`.

    An answer has four tokens at most: one that starts with the longer prefill repeats it, and one
    that starts to count again does not get that far.
    """
    repeats = text.startswith(_COUNT.prefill)
    if not _NEXT.match(text[len(_COUNT.prefill) :] if repeats else text):
        raise _Unsuited(f"after {_COUNT.prefill!r} it wrote {text[:100]!r}")
    return repeats


def _alike(first: str, second: str) -> bool:
    """Whether two greedy answers agree, up to a near tie that was rounded differently."""
    shared = list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
    return len(shared) >= max(len(first), len(second)) / 2

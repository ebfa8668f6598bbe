"""The engine as stages see it: one way to ask a model for text, whatever samples it.

What every provider promises and `ucoder.engines.conformance` checks:

- `sample` returns exactly n completions, each without the prompt, the prefill and the stop
  string that ended it. A completion may be lost: its finish reason and detail say why.
- `sum_logprob` is the sum of the sampled tokens' raw log-probabilities: temperature 1, before
  top-p. Perplexity follows from it without a second pass. An engine that does not know the raw
  values under some sampling settings answers NaN there; at temperature 1, top-p 1 and without
  top-k every engine knows them.
- Temperature 0 is greedy: every completion of the request is the same.
- With `honours_seeds`, a request's completions depend on the request alone: not on what else is
  in the batch, nor on order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol, Self

from ucoder.errors import RequestRefused
from ucoder.records import NAN, FinishReason


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked.

    Attributes:
        user: The request, in words.
        prefill: The start of the assistant's answer, which keeps the model to a format;
            completions continue it and do not repeat it.
        plain: What a base model, which has no chat template, gets instead of both; None: the
            request as a paragraph, then the prefill.
    """

    user: str
    prefill: str = ""
    plain: str | None = None


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How completions are drawn.

    Attributes:
        temperature: 0 (greedy) to 2.
        top_p: Nucleus, above 0 and up to 1.
        top_k: Only the k likeliest tokens are drawn from; 0: all of them.
        max_tokens: Longest completion.
        stop: Strings that end a completion; they are cut off its text.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 384
    stop: tuple[str, ...] = ()
    top_k: int = 0

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    @property
    def is_raw(self) -> bool:
        """Whether tokens are drawn from the model's own distribution, neither warped nor cut."""
        return self.temperature == 1 and self.top_p == 1 and self.top_k == 0


@dataclass(frozen=True, slots=True)
class Request:
    """n completions of one prompt, drawn with one seed (0 to 2**31 - 1)."""

    prompt: Prompt
    n: int
    sampling: SamplingParams
    seed: int


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer.

    Attributes:
        text: What the model wrote after the prefill, without the stop string.
        n_tokens: Tokens sampled, among them those of the stop.
        finish_reason: Why it ended.
        sum_logprob: Sum of the raw log-probabilities of these tokens, in nats; NaN where the
            engine does not know them.
        detail: Why it was lost, in words; "" where it was not (`FinishReason.lost`).
        stop: The stop string that ended it, "" if none did; None where the engine cannot tell.
    """

    text: str
    n_tokens: int
    finish_reason: FinishReason
    sum_logprob: float
    detail: str = ""
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the manifest keeps about an engine.

    Attributes:
        provider: Its name in the configuration.
        version: Of the library behind it.
        precision: Of the weights as they run, such as `int8`.
        honours_seeds: Whether a request's completions depend on the request alone.
        is_chat: Whether prompts go through a chat template.
        served: A server's name for the model; "" where the weights are on this machine.
    """

    provider: str
    version: str
    precision: str
    honours_seeds: bool
    is_chat: bool
    served: str = ""


class Engine(Protocol):
    """Samples completions; an async context manager, whose exit gives the memory back.

    `sample` may be awaited from many tasks at once: their prompts share the batch. Cancelling
    the awaiting task drops the request.
    """

    @property
    def info(self) -> EngineInfo:
        """Provider, version and guarantees of this engine."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def sample(self, request: Request) -> list[Completion]:
        """Draw the completions of one request.

        Raises:
            RequestRefused: This request cannot be served (a prompt longer than the context, say);
                `ucoder.engines.resilient` makes lost completions of it.
            EngineError: The engine broke: an EngineLost where another one could serve the request.
        """
        ...


def lost_completions(n: int, reason: FinishReason, detail: str) -> list[Completion]:
    """What stands for n completions of which nothing came."""
    return [Completion("", 0, reason, NAN, detail)] * n


def render_plain(prompt: Prompt) -> str:
    """What a base model gets; see `Prompt.plain`."""
    return f"{prompt.user}\n\n{prompt.prefill}" if prompt.plain is None else prompt.plain


def render(tokenizer: Any, prompt: Prompt, is_chat: bool) -> str:
    """The text that a model should continue, by its `transformers` tokenizer's template.

    Raises:
        RequestRefused: The template, which is a program of the checkpoint's, refuses the prompt.
    """
    if not is_chat:
        return render_plain(prompt)
    turns = [{"role": "user", "content": prompt.user}]
    try:
        return chat_text(tokenizer, turns, add_generation_prompt=True) + prompt.prefill
    except Exception as error:  # the template can raise anything
        raise RequestRefused(f"the chat template cannot take the prompt: {error}") from error


def chat_text(tokenizer: Any, turns: list[dict[str, str]], **options: Any) -> str:
    """A conversation by the tokenizer's template, the same on every day.

    Templates that name today's date get a fixed one, which such templates write themselves where
    they know none: a run that goes on tomorrow must ask what it asked today.
    """

    def strftime_now(form: str) -> str:
        return date(2024, 7, 26).strftime(form)

    text: str = tokenizer.apply_chat_template(
        turns, tokenize=False, strftime_now=strftime_now, **options
    )
    return text


def prompt_tokens(tokenizer: Any, prompt: Prompt, is_chat: bool) -> list[int]:
    """The tokens of `render`: what a model is sampled from, and what training begins with."""
    return tokens_of(tokenizer, render(tokenizer, prompt, is_chat), is_chat)


def tokens_of(tokenizer: Any, text: str, is_chat: bool) -> list[int]:
    """The tokens of a rendered text.

    A chat template writes the special tokens itself; those of a base model's text are added here,
    except for one that ends it (`add_eos_token`), which nothing could follow.
    """
    tokens = list(tokenizer(text, add_special_tokens=not is_chat)["input_ids"])
    if not is_chat and len(tokens) > 1 and tokens[-1] == tokenizer.eos_token_id:
        tokens.pop()
    return tokens


def cut_at_stop(text: str, stop: Iterable[str]) -> tuple[str, str]:
    """The text before its first stop string, and that string: "" if the text holds none."""
    found = [(at, -len(string), string) for string in stop if (at := text.find(string)) >= 0]
    at, _, first = min(found, default=(len(text), 0, ""))
    return text[:at], first

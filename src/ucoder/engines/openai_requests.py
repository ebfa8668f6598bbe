"""What a server can do, how a request is written for it, and how its answer is read.

The protocol leaves much open, and servers differ in more: in defaults that narrow the distribution
(min-p and top-k of llama.cpp, those of a checkpoint's generation configuration in vLLM), and in
fields that they silently ignore. `Capabilities` holds what `openai_probing` found out; everything
that a request needs beyond the protocol follows from it. Answers are untrusted: every field is
checked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from ucoder.engines.protocol import Prompt, SamplingParams, render
from ucoder.errors import EngineError
from ucoder.records import FinishReason

if TYPE_CHECKING:
    from ucoder.engines.openai_client import ServerClient


class Refused(EngineError):
    """The server understood the request and will never serve it (4xx, 501)."""


class Malformed(EngineError):
    """The server's answer does not follow the protocol."""


class PrefillMode(StrEnum):
    """How a prefill reaches the model."""

    RENDERED = "completions, prompt rendered here"
    """`completions`, with text from the model's own template and tokenizer: the most exact way."""
    CONTINUED = "chat, continue_final_message"
    """`chat/completions` of vLLM and SGLang, told to continue the last message."""
    TRAILING = "chat, trailing assistant message"
    """`chat/completions` of llama.cpp and Ollama, which continue it by themselves."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one server with one model was found to do.

    Attributes:
        prefill_mode: How prefills reach the model.
        cuts_start: Length of the rendered prompt's start that the server adds itself (the token
            that begins every text), in characters; they are not sent.
        repeats_prefill: Its answers start with the prefill, which is cut off.
        extras: Fields beyond the protocol that it accepts, and that turn off what would narrow
            the distribution by default.
        top_k: It can draw from the k likeliest tokens.
        greedy: The fields that make it greedy; None: it cannot be.
        logprobs: It lists the sampled tokens with their log-probabilities.
        raw_logprobs: These are raw under every sampling setting, not only at temperature 1
            without top-p and top-k.
        max_n: Completions that it draws for one request; more take several requests.
        seeds: It accepts a seed.
        repeats_seeds: The same request, alone, gave the same answer again.
        max_stops: Stop strings that it accepts in one request; text is cut here at the others.
    """

    prefill_mode: PrefillMode
    cuts_start: int = 0
    repeats_prefill: bool = False
    extras: tuple[tuple[str, float], ...] = ()
    top_k: bool = False
    greedy: tuple[tuple[str, float], ...] | None = None
    logprobs: bool = False
    raw_logprobs: bool = False
    max_n: int = 1
    seeds: bool = False
    repeats_seeds: bool = False
    max_stops: int = 0

    def has_raw_logprobs(self, sampling: SamplingParams) -> bool:
        """Whether log-probabilities under these settings are the raw ones."""
        return self.logprobs and (self.raw_logprobs or sampling.is_raw)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of a server, and how to ask it for completions.

    Args:
        client: Sends the requests.
        name: What the server calls the model.
        tokenizer: Its own, to render prompts with; None: the server renders them.
        is_chat: Whether prompts go through a chat template.
    """

    client: ServerClient
    name: str
    tokenizer: Any
    is_chat: bool

    async def ask(
        self,
        prompt: Prompt,
        sampling: SamplingParams,
        found: Capabilities,
        *,
        n: int = 1,
        seed: int = 0,
    ) -> ServerAnswer:
        """Draw n completions with one request.

        Raises:
            Refused: The server will not serve this request, now or later.
            EngineError: All tries failed, or the key is not accepted.
        """
        body: dict[str, Any] = {"model": self.name, "max_tokens": sampling.max_tokens}
        body |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "stream": False}
        body |= dict(found.extras)
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.is_greedy:
            body |= dict(found.greedy or ())
        if n > 1:
            body["n"] = n
        if found.seeds:
            body["seed"] = seed
        if stops := sampling.stop[: found.max_stops]:
            body["stop"] = list(stops)
        path = "/chat/completions"
        if found.prefill_mode is PrefillMode.RENDERED:
            path = "/completions"
            body["prompt"] = render(self.tokenizer, prompt, self.is_chat)[found.cuts_start :]
            body |= {"logprobs": 1} if found.logprobs else {}
        else:
            body |= _messages(prompt, found)
        return await self.client.ask(path, body, lambda value: read_answer(value, n))


def _messages(prompt: Prompt, found: Capabilities) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt.user}]
    fields: dict[str, Any] = {"messages": messages}
    if found.logprobs:
        fields |= {"logprobs": True, "top_logprobs": 1}
    if prompt.prefill:
        messages.append({"role": "assistant", "content": prompt.prefill})
        if found.prefill_mode is PrefillMode.CONTINUED:
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
    return fields


_REASONS = {
    **dict.fromkeys(("stop", "eos", "eos_token", "stop_sequence"), FinishReason.STOP),
    "length": FinishReason.LENGTH,
}
"""The protocol's words, and TGI's."""

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200


@dataclass(frozen=True, slots=True)
class ServerToken:
    """A sampled token as servers list it; `text` is lossy where a character has several tokens."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """One completion of an answer; without tokens if the server did not list them."""

    text: str
    finish_reason: FinishReason
    tokens: tuple[ServerToken, ...]


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """The completions, and the server's counts: None where it does not give them."""

    choices: tuple[ServerChoice, ...]
    prompt_tokens: int | None
    completion_tokens: int | None


def read_answer(value: Any, n: int) -> ServerAnswer:
    """Read the JSON value of an answer that should have n choices.

    Raises:
        Malformed: It does not follow the protocol; the message says where.
    """
    try:
        choices = tuple(map(_choice, value["choices"]))
    except (LookupError, TypeError, ValueError) as error:
        fault = f"{type(error).__name__}: {error}"[:300]
        raise Malformed(f"malformed answer: {_SHORT.repr(value)[:500]} ({fault})") from None
    if len(choices) != n:
        raise Malformed(f"{n} completions were asked for, {len(choices)} came")
    usage = value.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    n_prompt, n_completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return ServerAnswer(choices, _count(n_prompt), _count(n_completion))


def _choice(value: Any) -> ServerChoice:
    match value:
        case {"message": {"content": text}} | {"text": text}:
            listed = _listed(value.get("logprobs"))
            tokens = tuple(ServerToken(_text(t), _logprob(x)) for t, x in listed)
            return ServerChoice(_text(text), _REASONS[value["finish_reason"]], tokens)
    raise ValueError("a choice without text")


def _listed(logprobs: Any) -> Iterable[tuple[Any, Any]]:
    """Tokens and log-probabilities, as `chat/completions` or `completions` list them."""
    match logprobs:
        case {"content": list(tokens)}:
            return [(token["token"], token["logprob"]) for token in tokens]
        case {"tokens": list(texts), "token_logprobs": list(values)}:
            return zip(texts, values, strict=True)
    return ()


def _text(value: Any) -> str:
    """Text that can be encoded: JSON may hold halves of surrogate pairs; null is the empty text."""
    if not isinstance(value, str | None):
        raise ValueError(f"{_SHORT.repr(value)} is not a text")
    return (value or "").encode("utf-8", "replace").decode("utf-8")


def _logprob(value: Any) -> float:
    if type(value) not in (int, float) or not -1e9 < value < 1e-3:
        raise ValueError(f"{_SHORT.repr(value)} is not a log-probability")
    return min(float(value), 0.0)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


def read_models(value: Any) -> list[dict[str, Any]]:
    """The entries of `models`, each with its `id`; entries without one are left out."""
    entries = value.get("data") if isinstance(value, dict) else None
    entries = entries if isinstance(entries, list) else []
    return [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]

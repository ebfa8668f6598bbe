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
from itertools import zip_longest
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from ucoder.engines.protocol import Prompt, SamplingParams, render
from ucoder.errors import EngineError
from ucoder.records import NAN, FinishReason

if TYPE_CHECKING:
    from ucoder.engines.openai_client import ServerClient


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
            RequestRefused: The server will not serve this request, or the template will not.
            EngineError: The server cannot be reached, is busy, or does not accept the key.
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
    **dict.fromkeys(("stop", "eos", "eos_token", "stop_sequence", "end_turn"), FinishReason.STOP),
    **dict.fromkeys(("length", "max_tokens"), FinishReason.LENGTH),
    **dict.fromkeys(("content_filter", "safety", "refusal"), FinishReason.CONTENT_FILTER),
}
"""The protocol's words, and those of TGI, of Anthropic and of Gemini. A completion that ended for
another reason, such as `abort` or `tool_calls`, or without one, may be cut anywhere."""

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200

_LEAST_LOGPROB = -1000.0
"""No token of this log-probability is ever drawn: servers write -9999 or -3.4e38 for infinity."""


@dataclass(frozen=True, slots=True)
class ServerToken:
    """A sampled token as servers list it; `text` is lossy where a character has several tokens.

    Its log-probability is NaN where the server gives none, or something that cannot be one.
    """

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """One completion of an answer; without tokens if the server did not list them.

    `detail` says why it is lost, in words; "" where it is not (`FinishReason.lost`).
    """

    text: str
    finish_reason: FinishReason
    tokens: tuple[ServerToken, ...]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """The completions, and the server's counts: None where it does not give them."""

    choices: tuple[ServerChoice, ...]
    prompt_tokens: int | None
    completion_tokens: int | None


def read_answer(value: Any, n: int) -> ServerAnswer:
    """Read the JSON value of an answer that should have n choices.

    A choice that is absent, cannot be read or did not end as it should is a lost completion.

    Raises:
        Malformed: No choice can be read.
    """
    listed = value.get("choices") if isinstance(value, dict) else None
    listed = listed if isinstance(listed, list) else []
    choices = [_choice(one) for one in listed[:n]]
    if all(choice.finish_reason is FinishReason.NO_COMPLETION for choice in choices):
        raise Malformed(f"an answer without a completion: {_SHORT.repr(value)[:300]}")
    detail = f"{n} completions were asked for, {len(listed)} came"
    absent = ServerChoice("", FinishReason.NO_COMPLETION, (), detail)
    choices += [absent] * (n - len(choices))
    usage = value.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    n_prompt, n_completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return ServerAnswer(tuple(choices), _count(n_prompt), _count(n_completion))


def _choice(value: Any) -> ServerChoice:
    fields = value if isinstance(value, dict) else {}
    word = fields.get("finish_reason")
    known = _REASONS.get(word.lower()) if isinstance(word, str) else None
    reason = known or FinishReason.UNFINISHED
    detail = f"the server ended it as {_SHORT.repr(word)}" if reason.lost else ""
    match fields:
        case {"message": {"content": content}} | {"text": content}:
            text = _text(content)
        case {"message": dict()} | {"finish_reason": "content_filter"}:
            text = ""
        case _:
            text = None
    if text is None:
        detail = f"it cannot be read: {_SHORT.repr(value)[:300]}"
        return ServerChoice("", FinishReason.NO_COMPLETION, (), detail)
    return ServerChoice(text, reason, _tokens(fields.get("logprobs")), detail)


def _tokens(logprobs: Any) -> tuple[ServerToken, ...]:
    """The sampled tokens, as `chat/completions` or `completions` list them."""
    listed: Iterable[tuple[Any, Any]] = ()
    match logprobs:
        case {"content": list(tokens)}:
            fields = [token if isinstance(token, dict) else {} for token in tokens]
            listed = [(token.get("token"), token.get("logprob")) for token in fields]
        case {"tokens": list(texts), "token_logprobs": list(values)}:
            listed = zip_longest(texts, values)
    return tuple(ServerToken(_text(text) or "", _logprob(value)) for text, value in listed)


def _text(value: Any) -> str | None:
    """Text that can be encoded: JSON may hold halves of surrogate pairs. Null is the empty text.

    Of a list of parts, as multimodal servers send it, the text alone: what a model thought before
    is another kind of part. None: it is not a text at all.
    """
    if isinstance(value, list):
        value = "".join(map(_part, value))
    if not isinstance(value, str | None):
        return None
    return (value or "").encode("utf-8", "replace").decode("utf-8")


def _part(value: Any) -> str:
    match value:
        case str(text) | {"type": "text" | "output_text", "text": str(text)}:
            return text
    return ""


def _logprob(value: Any) -> float:
    if type(value) in (int, float) and _LEAST_LOGPROB < value < 1e-3:
        return min(float(value), 0.0)
    return NAN


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


def read_models(value: Any) -> list[dict[str, Any]]:
    """The entries of `models`, each with its `id`; entries without one are left out."""
    entries = value.get("data") if isinstance(value, dict) else None
    entries = entries if isinstance(entries, list) else []
    return [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]

"""What a server can do, how a request is written for it, and how its answer is read.

The protocol leaves much open, and servers differ in more: defaults that narrow the distribution
unless they are named (min-p and top-k of llama.cpp, those of a checkpoint's generation
configuration in vLLM), and fields that are silently ignored. `Capabilities` holds what
`openai_probing` found out; everything that a request needs beyond the protocol follows from it.
Answers are untrusted: every field is checked before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from reprlib import Repr
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from ucoder.engines.protocol import Prompt, SamplingParams, render
from ucoder.errors import EngineError
from ucoder.records import FinishReason

if TYPE_CHECKING:
    from ucoder.engines.openai_client import ServerClient


class Refused(EngineError):
    """The server understood the request and will not serve it (4xx, 501)."""


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
        cuts_start: Characters of a rendered prompt that the server adds itself (the token that
            begins every text), so that they are not sent.
        repeats_prefill: Its answers start with the prefill, which is cut off.
        extras: Fields beyond the protocol that it accepts, and that turn off what would narrow
            the distribution by default.
        top_k: It draws from the k likeliest tokens when told to.
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
        client: Entered.
        name: What the server calls the model.
        tokenizer: Its own, to render prompts with; None: the server renders them.
        is_chat: Whether prompts go through a chat template.
    """

    client: ServerClient
    name: str
    tokenizer: Any
    is_chat: bool

    def text(self, prompt: Prompt) -> str:
        """The text that the model should continue."""
        return render(self.tokenizer, prompt, self.is_chat)

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
        if sampling.temperature == 0:
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
            body["prompt"] = self.text(prompt)[found.cuts_start :]
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
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
}
"""The protocol's words, and TGI's."""


def _text(value: Any) -> Any:
    """Text that can be encoded: JSON lets halves of surrogate pairs through; null is no text."""
    value = "" if value is None else value
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _reason(value: Any) -> Any:
    return _REASONS.get(value, value) if isinstance(value, str) else value


def _tokens(logprobs: Any) -> tuple[Any, ...]:
    """The tokens in the form of `chat/completions` or of `completions`; none where none are."""
    match logprobs:
        case {"content": list(tokens)}:
            return tuple(tokens)
        case {"tokens": list(texts), "token_logprobs": list(values)}:
            return tuple({"token": t, "logprob": v} for t, v in zip_longest(texts, values))
    return ()


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class ServerToken(_Checked):
    """A sampled token as servers show it; `text` is lossy where a character has several tokens."""

    text: Annotated[str, BeforeValidator(_text), Field(validation_alias="token")]
    logprob: Annotated[float, Field(gt=-1e9, lt=1e-3), AfterValidator(lambda x: min(x, 0.0))]


class ServerChoice(_Checked):
    """One completion of an answer; no tokens: the server did not list them."""

    text: Annotated[
        str,
        BeforeValidator(_text),
        Field(validation_alias=AliasChoices(AliasPath("message", "content"), "text")),
    ]
    finish_reason: Annotated[FinishReason, BeforeValidator(_reason)]
    tokens: Annotated[
        tuple[ServerToken, ...], BeforeValidator(_tokens), Field(validation_alias="logprobs")
    ] = ()


class ServerAnswer(_Checked):
    """The completions, and what the server counted: None where it does not say."""

    choices: Annotated[tuple[ServerChoice, ...], Field(strict=False)]
    prompt_tokens: Annotated[
        int | None,
        BeforeValidator(_count),
        Field(validation_alias=AliasPath("usage", "prompt_tokens")),
    ] = None
    completion_tokens: Annotated[
        int | None,
        BeforeValidator(_count),
        Field(validation_alias=AliasPath("usage", "completion_tokens")),
    ] = None


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def read_answer(value: Any, n: int) -> ServerAnswer:
    """Read the JSON value of an answer that should have n choices.

    Raises:
        Malformed: It does not follow the protocol; the message says where.
    """
    try:
        answer = ServerAnswer.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "it"
        raise Malformed(
            f"malformed answer: {_SHORT.repr(value)[:500]} ({where}: {fault['msg']})"
        ) from None
    if len(answer.choices) != n:
        raise Malformed(f"{n} completions were asked for, {len(answer.choices)} came")
    return answer


def read_models(value: Any) -> list[dict[str, Any]]:
    """The entries of `models`, each with its `id`; entries without one are left out."""
    entries = value.get("data") if isinstance(value, dict) else None
    entries = entries if isinstance(entries, list) else []
    return [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]

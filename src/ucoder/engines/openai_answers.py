"""A server's answer, read field by field: nothing in it is taken on trust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from reprlib import Repr
from typing import Any

from ucoder.engines.openai_transport import Malformed
from ucoder.records import FinishReason

_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
}
"""The protocol's words, and TGI's."""


@dataclass(frozen=True, slots=True)
class Token:
    """A sampled token as servers show it; `text` is lossy where a character has several tokens."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion of an answer; no tokens: the server did not list them."""

    text: str
    finish_reason: FinishReason
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The completions, and what the server counted: None where it does not say."""

    choices: tuple[Choice, ...]
    prompt_tokens: int | None
    completion_tokens: int | None


def read_answer(n: int) -> Callable[[Any], Answer]:
    """A reader of answers with n choices, of `completions` and of `chat/completions`.

    Returns:
        A function of the answer's JSON value, which raises `Malformed`.
    """

    def read(value: Any) -> Answer:
        choices = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(choices, list):
            raise Malformed(f"the answer has no list of choices: {_shown(value)}")
        if len(choices) != n:
            raise Malformed(f"{n} completions were asked for, {len(choices)} came")
        usage = value.get("usage")
        return Answer(
            tuple(map(_choice, choices)), _tokens(usage, "prompt"), _tokens(usage, "completion")
        )

    return read


def read_models(value: Any) -> list[dict[str, Any]]:
    """The entries of `models`, each with its `id`; what has none is left out."""
    entries = value.get("data") if isinstance(value, dict) else None
    entries = entries if isinstance(entries, list) else []
    return [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]


def _choice(value: Any) -> Choice:
    if not isinstance(value, dict):
        raise Malformed(f"a choice is {_shown(value)}")
    message = value.get("message")
    text = message.get("content") if isinstance(message, dict) else value.get("text")
    if text is None and isinstance(message, dict):
        text = ""  # the protocol's way to say that the model wrote nothing
    if not isinstance(text, str):
        raise Malformed(f"a choice has no text: {_shown(value)}")
    reason = value.get("finish_reason")
    if not isinstance(reason, str) or reason not in _REASONS:
        raise Malformed(f"a choice ended by {_shown(reason)}, neither stop nor length")
    return Choice(_sound(text), _REASONS[reason], _listed(value.get("logprobs")))


def _listed(value: Any) -> tuple[Token, ...]:
    """Tokens in the form of `chat/completions`, or in that of `completions`."""
    if not isinstance(value, dict):
        return ()
    content = value.get("content")
    if isinstance(content, list):
        if not all(isinstance(entry, dict) for entry in content):
            raise Malformed(f"log-probabilities are {_shown(content)}")
        pairs = [(entry.get("token"), entry.get("logprob")) for entry in content]
    else:
        texts, logprobs = value.get("tokens"), value.get("token_logprobs")
        if not isinstance(texts, list) or not isinstance(logprobs, list):
            return ()
        if len(texts) != len(logprobs):
            raise Malformed(f"{len(logprobs)} log-probabilities came for {len(texts)} tokens")
        pairs = list(zip(texts, logprobs, strict=True))
    return tuple(_token(text, logprob) for text, logprob in pairs)


def _token(text: Any, logprob: Any) -> Token:
    is_number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    if not isinstance(text, str) or not is_number or not -1e9 < logprob < 1e-3:
        raise Malformed(f"a token is {_shown(text)} with log-probability {_shown(logprob)}")
    return Token(_sound(text), min(float(logprob), 0.0))


def _tokens(usage: Any, kind: str) -> int | None:
    number = usage.get(f"{kind}_tokens") if isinstance(usage, dict) else None
    is_count = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**31
    return number if is_count else None


def _sound(text: str) -> str:
    """Text that can be written: JSON lets halves of surrogate pairs through."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _shown(value: Any) -> str:
    return _SHORT.repr(value)


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200

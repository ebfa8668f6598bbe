"""What a server can do, and how a request is written for it.

The protocol leaves much open, and servers differ in more: defaults that narrow the distribution
unless they are named (min-p and top-k of llama.cpp, those of a checkpoint's generation
configuration in vLLM), fields that are ignored without a word. `Capabilities` holds what
`openai_probing` found out; everything a request needs beyond the protocol follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ucoder.engines.protocol import Prompt, Sampling
from ucoder.engines.rendering import render


class PrefillMode(StrEnum):
    """How a prefill reaches the model."""

    RENDERED = "completions, prompt rendered here"
    """`completions`, with text that the model's own template and tokenizer made: the best."""
    CONTINUED = "chat, continue_final_message"
    """`chat/completions` of vLLM and SGLang, told to go on with the last message."""
    TRAILING = "chat, trailing assistant message"
    """`chat/completions` of llama.cpp and Ollama, which go on with it by themselves."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one server with one model was found to do.

    Attributes:
        prefill_mode: How prefills reach the model.
        cuts_start: Characters of a rendered prompt that the server adds itself (the token that
            begins every text), so that they are not sent.
        repeats_prefill: Its answers start with the prefill, which is cut off.
        extras: Fields beyond the protocol that it accepts, which turn off what it would narrow
            the distribution by.
        top_k: It draws from the k likeliest tokens when told to.
        greedy: The fields that make it greedy; None: it cannot be.
        logprobs: It lists the sampled tokens with their log-probabilities.
        raw_logprobs: These are the raw ones under every sampling setting, not only under one that
            changes nothing.
        max_n: Completions that it draws for one request; more are asked for by several.
        seeds: It accepts a seed.
        repeats_seeds: The same request, alone, gave the same answer again.
        max_stops: Stop strings that it takes for one request; at the others, text is cut here.
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

    def tells_logprobs(self, sampling: Sampling) -> bool:
        """Whether log-probabilities under these settings are the raw ones."""
        is_raw = sampling.temperature == 1 and sampling.top_p == 1 and not sampling.top_k
        return self.logprobs and (self.raw_logprobs or is_raw)

    def __str__(self) -> str:
        """One line for a log."""
        logprobs = "none"
        if self.logprobs:
            logprobs = "raw" if self.raw_logprobs else "raw at temperature 1 without top-p only"
        seeds = "ignored"
        if self.seeds:
            seeds = "repeat" if self.repeats_seeds else "accepted, do not repeat"
        return (
            f"prefills by {self.prefill_mode}; log-probabilities {logprobs}; up to {self.max_n} "
            f"completions a request; seeds {seeds}; up to "
            f"{self.max_stops} stop strings; top-k {'yes' if self.top_k else 'no'}; "
            f"greedy by {dict(self.greedy) if self.greedy else 'nothing'}"
        )


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes requests for one model of a server.

    Args:
        model: What the server calls it.
        tokenizer: Its own, to render prompts with; None: the server renders them.
        is_chat: Whether prompts go through a chat template.
    """

    model: str
    tokenizer: Any
    is_chat: bool

    def text(self, prompt: Prompt) -> str:
        """The text that the model should continue."""
        return render(self.tokenizer, prompt, self.is_chat)

    def write(
        self, prompt: Prompt, sampling: Sampling, found: Capabilities, *, n: int, seed: int
    ) -> tuple[str, dict[str, Any]]:
        """A request for n completions: its path and body."""
        body: dict[str, Any] = {"model": self.model, "max_tokens": sampling.max_tokens}
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
        if found.prefill_mode is PrefillMode.RENDERED:
            text = self.text(prompt)[found.cuts_start :]
            logprobs = {"logprobs": 1} if found.logprobs else {}
            return "completions", body | {"prompt": text} | logprobs
        return "chat/completions", body | self._messages(prompt, found)

    def _messages(self, prompt: Prompt, found: Capabilities) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt.user}]
        fields: dict[str, Any] = {"messages": messages}
        if found.logprobs:
            fields |= {"logprobs": True, "top_logprobs": 1}
        if prompt.prefill:
            messages.append({"role": "assistant", "content": prompt.prefill})
            if found.prefill_mode is PrefillMode.CONTINUED:
                fields |= {"continue_final_message": True, "add_generation_prompt": False}
        return fields

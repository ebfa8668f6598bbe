"""How a prompt becomes text, with a chat template and without, and where a completion ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ucoder.engines.protocol import Prompt


def render_plain(prompt: Prompt) -> str:
    """A base model's form: its own where the prompt brings one; see `Prompt.plain`."""
    if prompt.plain is not None:
        return prompt.plain
    return f"{prompt.user}\n\n{prompt.prefill}"


def render(tokenizer: Any, prompt: Prompt, is_chat: bool) -> str:
    """The text that a model should continue, by its `transformers` tokenizer's template."""
    if not is_chat:
        return render_plain(prompt)
    history = [{"role": "user", "content": prompt.user}]
    text = tokenizer.apply_chat_template(history, tokenize=False, add_generation_prompt=True)
    return f"{text}{prompt.prefill}"


def before_stop(text: str, stop: Iterable[str]) -> str | None:
    """The text before its first stop string, None where it holds none."""
    ends = [at for at in (text.find(string) for string in stop) if at >= 0]
    return text[: min(ends)] if ends else None

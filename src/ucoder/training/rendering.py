"""The tokens of a training example: those that sampling gives the model, and those it should write.

An example is the prompt's tokens as every engine makes them (`prompt_tokens`: the rendered template
and the prefill), the answer's tokens, and one token that ends a completion; so is either side of a
preference pair. The answer never goes through the chat template, because templates render a
finished turn otherwise than one that is being written: with an empty thinking section, with other
whitespace, without earlier reasoning.

The answer is tokenised by itself. What a tokenizer would merge across the border in the joined text
stays apart, as in sampling, where the prompt is given as tokens. Text in the answer that spells a
special token stays text, because a sampled special token would not have appeared in it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ucoder.engines.protocol import Prompt, chat_text, prompt_tokens, render, tokens_of

_IGNORED = -100
"""The label of a token that is not learnt, for transformers and TRL."""
_QUESTION, _ANSWER = "A question.", "The answer to it."


def example_rows(
    tokenizer: Any, examples: Sequence[Mapping[str, Any]], is_chat: bool, end: int
) -> list[dict[str, list[Any]]]:
    """Examples as SFT takes them: tokens, labels, and the tokens' weights in the loss.

    Weights are relative, and are given as multiples of the smallest one above 0, so that equal ones
    are exactly 1.

    Args:
        tokenizer: The model's `transformers` tokenizer.
        examples: The fields of `Example`s.
        is_chat: Whether prompts go through the chat template.
        end: The token that ends a completion.

    Raises:
        ValueError: A weight is negative or not finite, none is above 0, or an example's tokens do
            not read as its text.
    """
    weights = [float(example["weight"]) for example in examples]
    if wrong := [weight for weight in weights if not (math.isfinite(weight) and weight >= 0.0)]:
        raise ValueError(f"the weight of an example is {wrong[0]}, and must be 0 or more, finite")
    smallest = min((weight for weight in weights if weight > 0.0), default=None)
    if smallest is None:
        raise ValueError(f"all {len(weights)} examples have weight 0, so that nothing is learnt")
    rows: list[dict[str, list[Any]]] = []
    for example, weight in zip(examples, weights, strict=True):
        asked = Prompt(example["prompt"], example["prefill"])
        prompt, answer = example_tokens(tokenizer, asked, example["completion"], is_chat)
        tokens = [*prompt, *answer, end]
        rows.append({
            "input_ids": tokens,
            "labels": [_IGNORED] * len(prompt) + tokens[len(prompt):],
            "token_weights": [weight / smallest] * len(tokens),
        })  # fmt: skip
    return rows


def preference_rows(
    tokenizer: Any, pairs: Sequence[Mapping[str, Any]], is_chat: bool, end: int
) -> list[dict[str, list[Any]]]:
    """Preference pairs as DPO takes them: the prompt's tokens and those of both completions.

    Args:
        tokenizer: The model's `transformers` tokenizer.
        pairs: The fields of `PreferencePair`s.
        is_chat: Whether prompts go through the chat template.
        end: The token that ends a completion.

    Raises:
        ValueError: A pair's tokens do not read as its text.
    """
    rows = []
    for pair in pairs:
        asked = Prompt(pair["prompt"], pair["prefill"])
        prompt, chosen = example_tokens(tokenizer, asked, pair["chosen"], is_chat)
        _, rejected = example_tokens(tokenizer, asked, pair["rejected"], is_chat)
        rows.append({
            "prompt_ids": prompt, "chosen_ids": [*chosen, end], "rejected_ids": [*rejected, end],
        })  # fmt: skip
    return rows


def sequences(row: Mapping[str, list[Any]]) -> list[list[int]]:
    """The token sequences of a row that a model reads: one, or two of a preference pair."""
    if "input_ids" in row:
        return [row["input_ids"]]
    return [[*row["prompt_ids"], *row[side]] for side in ("chosen_ids", "rejected_ids")]


def example_tokens(
    tokenizer: Any, prompt: Prompt, answer: str, is_chat: bool
) -> tuple[list[int], list[int]]:
    """The tokens of a prompt, and those of an answer that follows it, without an end token.

    Args:
        tokenizer: The model's `transformers` tokenizer.
        prompt: What the model was asked, with the prefill that the answer continues.
        answer: The text after the prefill.
        is_chat: Whether prompts go through the chat template.

    Raises:
        ValueError: Tokens that follow the prompt's do not read as the text does.
    """
    start = prompt_tokens(tokenizer, prompt, is_chat)
    text = render(tokenizer, prompt, is_chat)
    # A letter stands for the answer, so that no answer, whatever it holds, can fail the check.
    wanted = _read(tokenizer, tokens_of(tokenizer, f"{text}x", is_chat))
    for continued in (_tokens, _after_line_end):
        got = _read(tokenizer, start + continued(tokenizer, "x"))
        if got == wanted:
            return start, continued(tokenizer, answer)
    raise ValueError(
        f"the prompt's tokens and those of x read {got[-200:]!r}, and the text reads "
        f"{wanted[-200:]!r}: with this tokenizer the prompt's tokens are not a prefix of the whole"
    )


def end_token(tokenizer: Any, ends: Collection[int], is_chat: bool) -> int:
    """The token that an example ends with: one at which sampling ends a completion.

    Of several, a chat model learns the one that its template writes after an answer, and others the
    end of a text.

    Args:
        tokenizer: The model's `transformers` tokenizer.
        ends: The tokens at which sampling ends, from the model's generation configuration.
        is_chat: Whether prompts go through the chat template.

    Raises:
        ValueError: The model has no end token, so that it would never learn to stop.
    """
    end_of_text = tokenizer.eos_token_id
    ends = ends or {end_of_text} - {None}
    if not ends:
        raise ValueError(
            "neither its generation configuration nor its tokenizer names a token that ends an "
            "answer; set eos_token_id in generation_config.json"
        )
    written = _after_answer(tokenizer) if is_chat else []
    return next((token for token in (*written, end_of_text) if token in ends), min(ends))


def _after_answer(tokenizer: Any) -> list[int]:
    """What the chat template writes after an answer; nothing if it cannot render one."""
    from jinja2 import TemplateError

    turns = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    try:
        _, found, after = chat_text(tokenizer, turns).rpartition(_ANSWER)
    except TemplateError:  # a template for prompts alone
        return []
    return _tokens(tokenizer, after, special=True) if found else []


def _after_line_end(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text in the middle of another.

    Some tokenizers begin every text with a space, which must not come between prompt and answer.
    After a line end they write none.
    """
    return _tokens(tokenizer, f"\n{text}")[len(_tokens(tokenizer, "\n")) :]


def _tokens(tokenizer: Any, text: str, *, special: bool = False) -> list[int]:
    """The tokens of a piece of text; `special`: it may hold special tokens."""
    return list(
        tokenizer(text, add_special_tokens=False, split_special_tokens=not special)["input_ids"]
    )


def _read(tokenizer: Any, tokens: list[int]) -> str:
    text: str = tokenizer.decode(
        tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return text

"""Training sees the tokens that sampling saw, whatever a model's template and tokenizer do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from ucoder.engines.protocol import Prompt, prompt_tokens, render
from ucoder.training.rendering import end_token, example_tokens

ASKED = Prompt("  Add two numbers.\n", "```python\n")
ANSWER = "def add(a, b):\n    return a + b\n```"

TURNS = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ CONTENT }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
PLAIN = TURNS.replace("CONTENT", "m['content']")
TEMPLATES = {
    # As Qwen3's: a finished turn gets an empty section that a turn in the making has not.
    "an empty thinking section in finished turns": TURNS.replace(
        "{{ CONTENT }}",
        "{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}",
    ),
    "white space stripped": TURNS.replace("CONTENT", "m['content'] | trim"),
    "white space added to answers": TURNS.replace(
        "{{ CONTENT }}",
        "{% if m['role'] == 'assistant' %} {% endif %}{{ m['content'] }}",
    ),
    "a system prompt unless an answer is there": (
        "{% if messages | length == 1 %}<|start|>system\nBe brief.<|end|>\n{% endif %}" + PLAIN
    ),
    "reasoning dropped": TURNS.replace("CONTENT", "m['content'].split('```')[-1]"),
    "answers refused": PLAIN.replace(
        "<|start|>{{",
        "{% if m['role'] == 'assistant' %}{{ raise_exception('no') }}{% endif %}<|start|>{{",
    ),
}


def tokenizer_of(template: str | None = PLAIN, **settings: Any) -> Any:
    """A byte-level tokenizer with a chat model's special tokens; a few merges make words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ċ", "Ċ"), ("Ċ", "d"), ("d", "e"), ("de", "f"), ("`", "`")]
    names = [*alphabet, *("".join(merge) for merge in merges)]
    core = Tokenizer(models.BPE({name: at for at, name in enumerate(names)}, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    made: Any = PreTrainedTokenizerFast
    tokenizer = made(tokenizer_object=core, chat_template=template, **settings)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|start|>", "<|end|>"]})
    tokenizer.add_special_tokens({"eos_token": "<|text-end|>"})
    return tokenizer


def spaced_tokenizer(*, after_lines: bool = False) -> Any:
    """A tokenizer that begins every text with a space, as sentencepiece's do.

    Args:
        after_lines: It begins every line so, also in the middle of a text that begins with one.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<unk>", "<s>", "</s>", "▁", "\n", *map(chr, range(33, 127))]
    core = Tokenizer(models.BPE({name: at for at, name in enumerate(names)}, [], unk_token="<unk>"))
    begin = (
        normalizers.Replace(Regex(r"(?<=\A\n)(?=.)|\A(?!\n)"), " ")
        if after_lines
        else normalizers.Prepend(" ")
    )
    core.normalizer = normalizers.Sequence([begin, normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def read(tokenizer: Any, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_example_is_the_prompt_of_sampling_followed_by_the_answer_whatever_the_template(
    name: str,
) -> None:
    tokenizer = tokenizer_of(TEMPLATES[name])
    prompt, answer = example_tokens(tokenizer, ASKED, ANSWER, is_chat=True)
    assert prompt == prompt_tokens(tokenizer, ASKED, is_chat=True)
    assert read(tokenizer, prompt) == render(tokenizer, ASKED, is_chat=True)
    assert read(tokenizer, prompt).endswith("<|start|>assistant\n```python\n")
    assert read(tokenizer, prompt + answer) == render(tokenizer, ASKED, is_chat=True) + ANSWER
    assert "<think>" not in read(tokenizer, prompt + answer)


def test_a_base_model_trains_after_the_plain_prompt_of_sampling() -> None:
    tokenizer = tokenizer_of()
    prompt, answer = example_tokens(tokenizer, Prompt("Add.", "```python\n"), ANSWER, is_chat=False)
    assert read(tokenizer, prompt + answer) == f"Add.\n\n```python\n{ANSWER}"


@pytest.mark.parametrize("answer", ["def f(): 1", "\ndef f(): 1", "\n\ndef f(): 1"])
def test_nothing_merges_across_the_border_of_prompt_and_answer(answer: str) -> None:
    tokenizer = tokenizer_of()
    prompt, tail = example_tokens(tokenizer, ASKED, answer, is_chat=True)
    joined = tokenizer(read(tokenizer, prompt) + answer, add_special_tokens=False)["input_ids"]
    assert joined[: len(prompt)] != prompt  # the joined text has a token that spans the border
    assert prompt == prompt_tokens(tokenizer, ASKED, is_chat=True)
    assert tail == tokenizer(answer, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", ["<|end|>", "<|text-end|>", "<|start|>"])
def test_a_program_that_spells_a_special_token_does_not_teach_the_token(name: str) -> None:
    tokenizer = tokenizer_of()
    program = f"def stop():\n    return {name!r}\n```"
    _, answer = example_tokens(tokenizer, ASKED, program, is_chat=True)
    assert read(tokenizer, answer) == program
    assert tokenizer.convert_tokens_to_ids(name) not in answer
    # The template's own special tokens remain what they are.
    start = tokenizer.convert_tokens_to_ids("<|start|>")
    assert start in prompt_tokens(tokenizer, ASKED, is_chat=True)


@pytest.mark.parametrize(
    "answer", ["x = '<|user|>  '\n", "y = ' <|user|>\n '", "e\u0301 = 1\n", "\x00\ufffd"]
)
def test_no_answer_can_make_its_own_training_fail(answer: str) -> None:
    from tokenizers import AddedToken

    tokenizer = tokenizer_of()
    # Where such a token is recognised, it swallows the white space around it.
    wide = AddedToken("<|user|>", lstrip=True, rstrip=True, special=True)
    tokenizer.add_special_tokens({"additional_special_tokens": [wide]})
    _, tail = example_tokens(tokenizer, ASKED, answer, is_chat=True)
    assert read(tokenizer, tail) == answer


@pytest.mark.parametrize("answer", [ANSWER, "x = 1\n", " # indented\n"])
def test_no_space_comes_between_prompt_and_answer_where_a_tokenizer_begins_texts_with_one(
    answer: str,
) -> None:
    tokenizer = spaced_tokenizer()
    prompt, tail = example_tokens(tokenizer, ASKED, answer, is_chat=False)
    assert read(tokenizer, prompt + tail) == f"<s> {ASKED.user}\n\n{ASKED.prefill}{answer}"
    # `add_eos_token` of a tokenizer does not end the prompt.
    assert tokenizer.eos_token_id not in prompt


def test_a_tokenizer_whose_prompt_tokens_are_no_prefix_is_refused() -> None:
    tokenizer = spaced_tokenizer(after_lines=True)
    with pytest.raises(ValueError, match="the prompt's tokens are not a prefix of the whole"):
        example_tokens(tokenizer, ASKED, ANSWER, is_chat=False)


@pytest.mark.parametrize("form", ["%d %b %Y", "%Y-%m-%d", "%H:%M:%S.%f"])
def test_a_template_that_names_todays_date_writes_the_same_prompt_on_every_day(form: str) -> None:
    tokenizer = tokenizer_of("{{ strftime_now('" + form + "') }}\n" + PLAIN)
    text = render(tokenizer, ASKED, is_chat=True)
    assert text.startswith(datetime(2024, 7, 26).strftime(form))
    assert example_tokens(tokenizer, ASKED, ANSWER, is_chat=True)[0] == prompt_tokens(
        tokenizer, ASKED, is_chat=True
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_chat_model_learns_to_end_as_its_template_ends_a_turn(name: str) -> None:
    tokenizer = tokenizer_of(TEMPLATES[name])
    turn, text = map(tokenizer.convert_tokens_to_ids, ("<|end|>", "<|text-end|>"))
    # This template renders no answer, so its turn's end is unknown.
    expected = text if name == "answers refused" else turn
    assert end_token(tokenizer, {turn, text}, is_chat=True) == expected
    assert end_token(tokenizer, {turn, text}, is_chat=False) == text


def test_the_end_that_is_learnt_is_one_at_which_sampling_stops() -> None:
    tokenizer = tokenizer_of()
    turn, text, other = map(tokenizer.convert_tokens_to_ids, ("<|end|>", "<|text-end|>", "~"))
    # A base model with a chat template: it was never taught to stop at the turn's end.
    assert end_token(tokenizer, {text}, is_chat=True) == text
    assert end_token(tokenizer, {turn}, is_chat=False) == turn
    assert end_token(tokenizer, {other}, is_chat=True) == other
    # Where the model names none, sampling stops at the tokenizer's.
    assert end_token(tokenizer, set(), is_chat=True) == text


def test_a_model_without_an_end_token_is_refused() -> None:
    tokenizer = tokenizer_of()
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="set eos_token_id in generation_config"):
        end_token(tokenizer, set(), is_chat=True)

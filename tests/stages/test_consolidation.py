"""Training pairs hold what the model was asked and what it wrote, to the last character."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ucoder.config import SolutionsConfig
from ucoder.engines.protocol import Completion, Prompt, cut_at_stop, prompt_tokens
from ucoder.records import Candidate, Example, FinishReason, Problem
from ucoder.stages.consolidation import answer_of, make_examples
from ucoder.stages.prompts.forms import solution_prompt
from ucoder.stages.solutions import STOP, make_candidate
from ucoder.training.rendering import example_tokens

from ..training.test_rendering import tokenizer_of

BODY = "    if x < 0:\n        return -x\n    return x"
WHOLE = f"def magnitude(x):\n{BODY}"
SIGNATURE = SolutionsConfig(prefill="signature", forms=("docstring",))


def written(problem: Problem, answer: str, config: SolutionsConfig) -> Candidate:
    """The candidate of an answer, which is cut at the stop string as an engine cuts it."""
    text, _ = cut_at_stop(answer, STOP)
    prefill = solution_prompt(problem, config, 0).prefill
    return make_candidate(problem, 0, 0, Completion(text, 9, FinishReason.STOP, -1.0), prefill)


def example_of(problem: Problem, answer: str, config: SolutionsConfig) -> Example:
    candidate = written(problem, answer, config)
    (example,) = make_examples({problem.id: problem}, [candidate], config, 0)
    prompt = solution_prompt(problem, config, 0)
    assert example.prompt == prompt.user
    # Whatever was cut, prefill and completion are the selected program in its block.
    assert (example.prefill + example.completion).rstrip("`").rstrip() == (
        f"```python\n{candidate.program}".rstrip()
    )
    return example


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        (SIGNATURE, BODY),
        (SIGNATURE, f"    # The distance from zero.\n\n{BODY}  # always"),
        (SIGNATURE, f"{BODY}\n"),  # a blank line before the closing fence
        (SIGNATURE, f"{BODY}\n\n\ndef helper():\n    return 1"),
        (SolutionsConfig(), WHOLE),
        (SolutionsConfig(), f"# A comment first.\nimport math\n\n\n{WHOLE}   "),
    ],
)
def test_the_completion_is_what_the_model_wrote_up_to_the_closing_fence(
    problem: Problem, config: SolutionsConfig, answer: str
) -> None:
    example = example_of(problem, f"{answer}\n```\nIt works.", config)
    assert example.completion == f"{answer}\n```"
    assert example.prefill == solution_prompt(problem, config, 0).prefill


@pytest.mark.parametrize(
    "answer",
    [
        f"{BODY}\n\n\nprint(magnitude(-1))",
        f'    """Return how far x is from zero."""\n{BODY}',
        f'{BODY}\n\n\nif __name__ == "__main__":\n    magnitude(1)',
    ],
)
def test_of_a_body_that_had_to_be_cleaned_the_rest_is_learnt_after_the_prefill(
    problem: Problem, answer: str
) -> None:
    example = example_of(problem, f"{answer}\n```", SIGNATURE)
    assert example.completion == f"{BODY}\n```"
    assert example.prefill == f"```python\n{problem.interface.source}"


def test_a_function_that_was_begun_anew_is_learnt_after_the_fence(problem: Problem) -> None:
    example = example_of(problem, f"{WHOLE}\n```", SIGNATURE)
    assert (example.prefill, example.completion) == ("```python\n", f"{WHOLE}\n```")


@pytest.mark.parametrize(
    "text",
    [f"{WHOLE}\n\n\nprint(magnitude(-1))", f"<think>\nHm.\n</think>\n```python\n{WHOLE}\n```"],
)
def test_of_a_whole_answer_that_had_to_be_cleaned_the_program_is_learnt(
    problem: Problem, text: str
) -> None:
    candidate = make_candidate(problem, 0, 0, Completion(text, 9, FinishReason.STOP, -1.0))
    (example,) = make_examples({problem.id: problem}, [candidate], SolutionsConfig(), 0)
    assert (example.prefill, example.completion) == ("```python\n", f"{WHOLE}\n```")


@pytest.mark.parametrize("config", [SIGNATURE, SolutionsConfig()], ids=["signature", "fence"])
def test_of_an_answer_without_a_program_the_answer_itself_is_the_completion(
    problem: Problem, config: SolutionsConfig
) -> None:
    prefill = solution_prompt(problem, config, 0).prefill
    assert answer_of(written(problem, "    return (\n```", config), prefill) == (
        prefill,
        "    return (\n```",
    )


def test_examples_are_ordered_by_problem(problem: Problem) -> None:
    problems = {key: replace(problem, id=key) for key in "cab"}
    selected = [written(one, BODY, SIGNATURE) for one in problems.values()]
    examples = make_examples(problems, selected, SIGNATURE, 0)
    assert [example.problem_id for example in examples] == ["a", "b", "c"]


def code_tokenizer() -> Any:
    """Cuts text into the pieces that the tokenizers of Qwen's models never merge across."""
    from tokenizers import Regex, pre_tokenizers

    pieces = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = tokenizer_of()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pieces), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


@pytest.mark.parametrize("is_chat", [True, False])
@pytest.mark.parametrize("config", [SIGNATURE, SolutionsConfig()], ids=["signature", "fence"])
def test_training_sees_the_prompt_tokens_of_sampling_and_the_tokens_of_the_completion(
    problem: Problem, config: SolutionsConfig, is_chat: bool
) -> None:
    tokenizer = code_tokenizer()
    answer = BODY if config is SIGNATURE else WHOLE
    example = example_of(problem, f"{answer}\n```", config)
    start, completion = example_tokens(
        tokenizer, Prompt(example.prompt, example.prefill), example.completion, is_chat
    )
    asked = solution_prompt(problem, config, 0)
    assert start == prompt_tokens(tokenizer, asked, is_chat)
    assert completion == tokenizer(f"{answer}\n```", add_special_tokens=False)["input_ids"]
    # Nothing would merge across the border: the answer begins with the tokens that a model writes
    # there in an answer of its own.
    joined = tokenizer(example.prefill + example.completion, add_special_tokens=False)["input_ids"]
    assert joined[-len(completion) :] == completion

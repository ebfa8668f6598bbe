"""Text that a model copies from its prompt is told from its own text by comparing the two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ucoder.inputs.text import PromptWording, Refusal, sentences
from ucoder.records import Reason
from ucoder.stages.interfaces import Skeleton, parse_interface
from ucoder.stages.problems import Draft, parse_problem
from ucoder.stages.prompts import fill

FORMAT = PromptWording(
    "Write a sum problem.\n\nTitle: a short title\nHint: one sentence\nn: the integers to look at"
)
PROBLEM = """<PROBLEM_START>
Title: Cheapest Crate
Description: Return the lowest price among the crates, or -1 where there is no crate at all.
Function Signature: def cheapest(prices: list) -> int:
Example:
Input: {input}
Output: {output}
Hint: {hint}
<PROBLEM_END>"""


def read(hint: str = "Compare one by one.", call: str = "cheapest([2])") -> Draft | Refusal:
    return parse_problem(PROBLEM.format(input=call, output="2", hint=hint))


def test_a_field_of_the_format_is_copied_and_a_text_about_the_same_is_not() -> None:
    assert FORMAT.has("A short title!") and FORMAT.has("one sentence")
    assert FORMAT.has("n: the integers to look at")
    assert not FORMAT.has("Sentence") and not FORMAT.has("A title")
    assert not FORMAT.has("A short title is made from the words of a long one, in their order")


def test_words_that_the_model_was_told_to_write_about_are_not_copied() -> None:
    text = "the integers to look at"
    assert PromptWording(text).has(text)
    assert not PromptWording(text, told="Given the integers to look at, add them").has(text)


def test_dots_are_a_copied_placeholder_and_other_signs_are_not() -> None:
    assert FORMAT.has("...") and FORMAT.has(" `...` ")
    assert not FORMAT.has("[]") and not FORMAT.has("🎲")


def test_a_copied_hint_is_left_out_and_noted() -> None:
    own = read()
    assert isinstance(own, Draft) and own.removed == () and "Hint: Compare" in own.statement
    for copied in ("...", "Write your own text in place of the dots."):
        draft = read(copied)
        assert isinstance(draft, Draft)
        assert draft.removed == ("hint",) and "Hint" not in draft.statement


def test_a_copied_example_is_left_out_and_noted() -> None:
    for copied in ("...", "function_name(arguments)"):
        draft = read(call=copied)
        assert isinstance(draft, Draft)
        assert (draft.removed, draft.example) == (("example",), "")
        assert "Example" not in draft.statement


def test_the_prompts_own_problem_format_is_refused_as_copied() -> None:
    prompt = fill("problem", topic="crates")
    refusal = parse_problem(prompt.replace("...", "Invent one new Python programming problem."))
    assert not isinstance(refusal, Draft) and refusal.reason is Reason.COPIED_PROMPT


def skeleton(docstring: str) -> str:
    return f'<SKELETON_START>\ndef cheapest(prices: list) -> int:\n    """{docstring}\n    """\n'


def test_copied_lines_of_a_docstring_are_left_out_with_their_headings() -> None:
    draft = read()
    assert isinstance(draft, Draft)
    parsed = parse_interface(
        skeleton(
            "Return the lowest price. Keep to this format.\n\n    Args:\n        prices: ...\n\n"
            "    Returns:\n        The lowest price. Keep to this format."
        ),
        draft,
    )
    assert isinstance(parsed, Skeleton)
    assert parsed.removed == ("docstring lines",)
    assert parsed.interface.source == (
        "def cheapest(prices: list) -> int:\n"
        '    """Return the lowest price.\n\n    Returns:\n        The lowest price.\n    """\n'
    )


def test_a_docstring_of_ones_own_stays_as_it_is() -> None:
    draft = read()
    assert isinstance(draft, Draft)
    own = "Find it.\n\n    Args:\n        prices (list): in cents\n\n    >>> cheapest([])\n    []"
    parsed = parse_interface(skeleton(own), draft)
    assert isinstance(parsed, Skeleton)
    assert parsed.removed == () and own in parsed.interface.source


def test_a_docstring_without_a_word_of_its_own_refuses_the_interface() -> None:
    draft = read()
    assert isinstance(draft, Draft)
    refusal = parse_interface(skeleton("...\n\n    Args:\n        prices: ..."), draft)
    assert not isinstance(refusal, Skeleton) and refusal.reason is Reason.COPIED_PROMPT


@given(st.text(), st.text(), st.text())
def test_any_texts_can_be_compared_with_a_prompt(prompt: str, text: str, told: str) -> None:
    assert PromptWording(prompt, told).has(text) in (True, False)
    assert all(part.strip() for part in sentences(text))

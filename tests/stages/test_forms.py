"""How a problem is asked: the forms of the prompt, and what the answer begins with."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.config import PromptForm, SolutionsConfig, parse_config
from ucoder.errors import ConfigError
from ucoder.inputs.signatures import read_signature
from ucoder.records import Interface, Problem
from ucoder.stages.prompts.forms import begun_program, form_of, solution_prompt

CONTRACT = """
    Return the largest number.

    Args:
        numbers: where to look
        default: what an empty list gives

    Returns:
        the largest number
"""
DESCRIPTION = "Return the largest of the numbers, or the default for an empty list"
EXAMPLE = "largest([1, 5, 2]) == 5"


def interface_of(docstring: str | None = CONTRACT) -> Interface:
    line = "def largest(numbers: List[int], default: Optional[int] = None) -> Optional[int]"
    interface = read_signature(line, docstring)
    assert isinstance(interface, Interface)
    return interface


def asked(problem: Problem, form: PromptForm, prefill: str = "fence") -> tuple[str, str]:
    config = SolutionsConfig.model_validate({"forms": [form], "prefill": prefill})
    prompt = solution_prompt(problem, config, 0)
    assert prompt.plain is None  # a base model continues the same words
    return prompt.user, prompt.prefill


@pytest.fixture
def largest() -> Problem:
    return Problem(
        "p" * 16, "area", "topic", "Largest", DESCRIPTION,
        f"Title: Largest\nDescription: {DESCRIPTION}\nHint: Use max.", EXAMPLE, 8.0, "",
        interface_of(),
    )  # fmt: skip


def test_by_default_the_statement_is_asked_and_the_answer_begins_with_a_fence(
    largest: Problem,
) -> None:
    prompt = solution_prompt(largest, SolutionsConfig(), 0)
    assert largest.statement in prompt.user and largest.interface.source in prompt.user
    assert prompt.prefill == "```python\n"


def test_a_prefill_of_signature_holds_imports_signature_and_docstring_and_ends_with_a_line_end(
    largest: Problem,
) -> None:
    forms: tuple[PromptForm, ...] = ("statement", "docstring", "request")
    for form in forms:
        _, prefill = asked(largest, form, "signature")
        assert prefill == f"```python\n{largest.interface.source}"
        assert prefill.startswith("```python\nfrom typing import List, Optional\n")
        assert prefill.endswith('    """\n')


@pytest.mark.parametrize(
    ("source", "begun"),
    [
        ('def f(x):\n    """Doc."""', 'def f(x):\n    """Doc."""\n'),
        ('def f(x):\n    """Doc."""\n    pass\n\n\n', 'def f(x):\n    """Doc."""\n'),
        ("import math\n\ndef f(x):\n    pass\n", "import math\n\ndef f(x):\n"),
        ("def f(\n    x,\n):\n", "def f(\n    x,\n):\n"),
        ("def f(x): ...", "def f(x): ...\n"),
        ("def f(", "def f(\n"),
    ],
)
def test_what_is_begun_ends_before_the_body(source: str, begun: str) -> None:
    assert begun_program(Interface("f", (), "int", source)) == begun


def test_the_form_docstring_is_a_function_whose_docstring_holds_statement_contract_and_doctest(
    largest: Problem,
) -> None:
    user, _ = asked(largest, "docstring")
    code = user.split("```python\n")[1].removesuffix("```")
    function = ast.parse(code).body[-1]
    assert isinstance(function, ast.FunctionDef) and function.name == "largest"
    docstring = ast.get_docstring(function) or ""
    assert " ".join(docstring.split()).startswith(DESCRIPTION)
    assert "Args:\n    numbers: where to look" in docstring
    assert docstring.endswith(">>> largest([1, 5, 2])\n5")
    # The contract's own summary says the same as the statement.
    assert "Return the largest number." not in docstring and "Use max" not in docstring


def test_examples_that_the_contract_has_are_not_given_twice(largest: Problem) -> None:
    contract = f"{CONTRACT}\n    >>> largest([1, 5, 2])\n    5\n"
    user, _ = asked(replace(largest, interface=interface_of(contract)), "docstring")
    assert user.count(">>> largest([1, 5, 2])") == 1


def test_the_form_request_is_one_paragraph_that_names_the_function_and_its_example(
    largest: Problem,
) -> None:
    user, _ = asked(largest, "request")
    assert "\n" not in user and f"{DESCRIPTION}." in user and "def " not in user
    assert "`largest(numbers: List[int], default: Optional[int]=None) -> Optional[int]`" in user
    assert "For example, `largest([1, 5, 2])` should return `5`." in user


def test_an_example_that_is_not_a_comparison_is_given_as_it_stands(largest: Problem) -> None:
    odd = replace(largest, example="largest of [1, 5]\nis 5")
    assert "    Example:\n        largest of [1, 5]\n        is 5\n" in asked(odd, "docstring")[0]
    assert "An example: largest of [1, 5] is 5 " in asked(odd, "request")[0]
    none = replace(largest, example="")
    assert "xample" not in asked(none, "docstring")[0] + asked(none, "request")[0]


@given(description=st.text(), example=st.text())
def test_no_text_keeps_a_problem_from_being_asked(description: str, example: str) -> None:
    problem = Problem("p", "", "", "", description, description, example, 8.0, "", interface_of())
    forms: tuple[PromptForm, ...] = ("docstring", "request")
    for form in forms:
        assert "largest(" in asked(problem, form)[0]


@given(description=st.text(st.characters(codec="ascii", exclude_characters="\0\r")))
def test_a_statement_cannot_end_the_docstring_that_holds_it(description: str) -> None:
    problem = Problem("p", "", "", "", description, "", "", 8.0, "", interface_of())
    code = asked(problem, "docstring")[0].split("```python\n", 1)[1].rpartition("```")[0]
    (_, function) = ast.parse(code).body
    assert isinstance(function, ast.FunctionDef) and len(function.body) == 1


def test_a_problems_form_follows_from_its_id_and_the_runs_seed(largest: Problem) -> None:
    config = SolutionsConfig(forms=("statement", "docstring", "request"))
    problems = [replace(largest, id=f"{at:016x}") for at in range(300)]
    forms = [form_of(problem, config, 0) for problem in problems]
    assert forms == [form_of(problem, config, 0) for problem in problems]
    assert forms != [form_of(problem, config, 1) for problem in problems]
    assert all(70 < count < 130 for count in Counter(forms).values())
    twice = SolutionsConfig(forms=("statement", "request", "request"))
    assert 170 < Counter(form_of(p, twice, 0) for p in problems)["request"] < 230


def test_a_run_without_a_form_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"solutions\.forms"):
        parse_config({"solutions": {"forms": []}})

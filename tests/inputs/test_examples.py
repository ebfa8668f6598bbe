"""Examples in a problem's statement, in the common notations."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ucoder.inputs.calls import Call
from ucoder.inputs.examples import read_examples
from ucoder.records import Interface, Parameter

ONE = Interface("f", (Parameter("x", "int"),), "int", "def f(x: int) -> int:\n    pass\n")


@pytest.mark.parametrize(
    "statement",
    [
        "f(2) == 3",
        "f(2) = 3",
        "f(2) => 3",
        "f(2) ==> 3.",
        "f(2) -> 3",
        "f(2) ➞ 3",
        "f(2)   # returns 3",
        "f(2) returns 3, because it does",
        "f(2) should return 3.",
        ">>> f(2)\n3",
        "    >>> f(2)\n    3\n    >>> g(1)",
        "assert f(2) == 3, 'said so'",
        "例如f(2) == 3。",
        "उदाहरण：f(2) -> 3",
    ],
)
def test_notations_of_an_example_are_read(statement: str) -> None:
    assert read_examples(f"Some words.\n{statement}\n", ONE) == [Call("(2,)", "3")]


@pytest.mark.parametrize(
    "statement",
    [
        "def f(x) -> int:",
        "f(2)",
        "f(2) is odd",
        "f(y) == 3",
        "g.f(2) == 3",
        "f(2) == g(3)",
        ">>> f(2)\n>>> f(3)",
        "f(2, 3, 4) == 5",
        "f(2",
    ],
)
def test_text_without_a_call_and_a_literal_result_is_not_an_example(statement: str) -> None:
    assert read_examples(statement, ONE) == []


def test_a_result_with_nested_brackets_is_read_whole() -> None:
    two = Interface("g", (Parameter("a", ""), Parameter("b", "")), "", "")
    text = 'g([1,\n  2], "a, (b)") == [(0, 1), {"k": "# no comment"}]'
    assert read_examples(text, two) == [
        Call("([1, 2], 'a, (b)')", "[(0, 1), {'k': '# no comment'}]")
    ]


@given(st.text(alphabet="f(2)=-> 3#\n'\"[]:.returns", max_size=200))
@example("f(" * 100)
def test_no_text_makes_the_parser_raise(text: str) -> None:
    for call in read_examples(text, ONE):
        assert call.predicted is not None

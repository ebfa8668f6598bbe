"""Examples that the selected program does not reproduce: corrected, removed, or a rejection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.config import ExamplesPolicy
from ucoder.inputs.examples import find_examples
from ucoder.pairs.evidence import Settled, settle_examples
from ucoder.records import Evidence, InputOrigin, Problem
from ucoder.texts import parse_module

from .cases import HEAD, RAISED, candidate, execution, problem, suite

BODY = f"{HEAD}\n    return 2 * x\n"


def settle(
    of: Problem,
    policy: ExamplesPolicy = "correct",
    *,
    program: str = BODY,
    row: tuple[object, ...] = (4, 0, 2, 6),
    origin: InputOrigin = InputOrigin.EXAMPLE,
) -> Settled:
    selected = candidate(0, program)
    return settle_examples(of, selected, execution(selected, row), suite(4, origin), policy)


def test_an_example_that_the_program_reproduces_stays_word_for_word() -> None:
    for policy in ("keep", "correct", "drop", "reject"):
        settled = settle(problem(), policy)
        assert settled.evidence is Evidence.HOLDS and settled.problem == problem()


def test_a_number_and_its_float_are_the_same_example() -> None:
    assert settle(problem(output="4.0")).evidence is Evidence.HOLDS


def test_keep_leaves_a_contradicted_example_and_counts_it() -> None:
    settled = settle(problem(output="5"), "keep")
    assert settled.problem == problem(output="5")
    assert (settled.evidence, settled.n_contradicted) == (Evidence.CONTRADICTED, 1)


def test_correct_writes_what_the_program_returns() -> None:
    settled = settle(problem(output="5"))
    assert settled.problem == problem(output="4")
    assert settled.evidence is Evidence.CORRECTED


def test_correct_writes_an_output_that_could_not_be_read() -> None:
    assert settle(problem(output="the double of it")).problem == problem(output="4")


def test_drop_removes_the_block_of_the_example() -> None:
    settled = settle(problem(output="5"), "drop")
    assert settled.problem == problem(output=None) and settled.evidence is Evidence.DROPPED


@pytest.mark.parametrize("policy", ["correct", "drop", "reject"])
def test_an_example_whose_call_cannot_be_read_is_removed(policy: ExamplesPolicy) -> None:
    settled = settle(problem(call="x = 2"), policy)
    assert settled.problem == problem(output=None) and settled.evidence is Evidence.DROPPED


def test_an_example_is_removed_where_the_program_raises_on_it() -> None:
    settled = settle(problem(), row=(RAISED, 0, 2, 6))
    assert settled.problem == problem(output=None)


def test_reject_leaves_the_problem_out() -> None:
    assert settle(problem(output="5"), "reject").evidence is Evidence.REJECTED


@pytest.mark.parametrize("policy", ["correct", "drop", "reject"])
def test_a_statement_from_outside_is_right_and_the_program_wrong(policy: ExamplesPolicy) -> None:
    settled = settle(problem(output="5"), policy, origin=InputOrigin.GIVEN)
    assert settled.evidence is Evidence.REJECTED


def test_doctests_and_prose_in_the_docstring_are_examples_too() -> None:
    docstring = (
        "Twice the number. So double(1) returns 3 here.\n\n"
        "    Examples:\n        >>> double(2)\n        5\n        >>> double(0)\n        0\n    "
    )
    settled = settle(problem(docstring))
    assert (settled.evidence, settled.n_examples, settled.n_contradicted) == (
        Evidence.CORRECTED, 4, 2
    )  # fmt: skip
    new = docstring.replace("returns 3", "returns 2").replace("\n        5\n", "\n        4\n")
    assert settled.problem == problem(new)


def test_dropping_every_doctest_removes_their_heading() -> None:
    docstring = "Twice the number.\n\n    Examples:\n        >>> double(2)\n        5\n    "
    source = settle(problem(docstring), "drop").problem.interface.source
    assert "double(2)" not in source and "Examples" not in source
    assert parse_module(source) is not None


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [("double(2) == 4", Evidence.HOLDS), ("double(2) is None", Evidence.DROPPED)],
)
def test_a_doctest_that_compares_is_an_example_too(claim: str, evidence: Evidence) -> None:
    settled = settle(problem(f"Twice the number.\n\n    >>> {claim}\n    True\n    "))
    assert settled.evidence is evidence
    assert (claim in settled.problem.interface.source) is (evidence is Evidence.HOLDS)


def test_a_doctest_whose_input_was_not_run_is_removed() -> None:
    docstring = "Twice the number.\n\n    >>> double(99)\n    198\n    "
    settled = settle(problem(docstring))
    assert "99" not in settled.problem.interface.source
    assert (settled.evidence, settled.n_unverified) == (Evidence.DROPPED, 1)


def test_dropping_an_example_in_a_sentence_removes_the_sentence_alone() -> None:
    text = "Return twice x. For example, double(2) gives 5, always. Nothing is printed."
    settled = settle(problem(description=text), "drop")
    assert settled.problem.statement.split("\n")[1] == (
        "Description: Return twice x. Nothing is printed."
    )


def test_two_examples_in_one_sentence_are_both_corrected() -> None:
    text = "Here double(2) gives 5 and double(1) gives 7."
    settled = settle(problem(description=text))
    assert "double(2) gives 4 and double(1) gives 2." in settled.problem.statement


def test_the_docstring_of_the_program_is_held_to_the_same() -> None:
    program = f'{HEAD}\n    """Twice.\n\n    >>> double(2)\n    5\n    """\n    return 2 * x\n'
    settled = settle(problem(), program=program)
    assert settled.candidate.program == program.replace("    5\n", "    4\n")
    assert settled.candidate.completion == settled.candidate.program


def test_a_call_in_the_code_of_the_program_is_no_example() -> None:
    program = f"{HEAD}\n    return 0 if x == 0 or double(2) == 5 else 2 * x\n"
    assert settle(problem(), program=program).candidate.program == program


PIECES = st.sampled_from(
    ["double(2)", "double(1)", " == ", " -> ", "4", "5", "'", '"""', ">>> ", "\n", "Input: ",
     "Output: ", "Example:\n", ". ", "returns ", "\\", "(", "[", "{1, 2}", "...", "é", "    "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join), st.sampled_from(["correct", "drop", "reject"]))
def test_no_text_leaves_an_example_that_does_not_hold(text: str, policy: ExamplesPolicy) -> None:
    of = problem(description=text, output="5")
    settled = settle(of, policy)
    if settled.evidence is not Evidence.REJECTED:
        for example in find_examples(
            settled.problem.statement, of.interface, settled.problem.example
        ):
            assert example.call and example.call.predicted in {"4", "2"}

"""Grading by cases: a program is called on inputs, and what it gives is compared outside.

Expected results stay in this process: the program's own sees inputs and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ucoder.errors import BenchmarkError
from ucoder.evaluation.grading import failure, refusal, wrong
from ucoder.evaluation.protocol import MAX_DETAIL, Grade
from ucoder.evaluation.records import GradeReason
from ucoder.execution.canonical import CanonicalError, parse
from ucoder.execution.inputs import InputBatch, batch_of_values
from ucoder.execution.outcomes import CallReport, ProgramStatus
from ucoder.execution.protocol import Budget, Executor

FIRST: Final = 4
"""Cases that are tried before all others: most wrong programs fail on one of them."""

_MARGIN_BYTES: Final = 65_536
_MAX_TEXT_PER_CHAR: Final = 4
_NOT_COMPILED: Final = ("SyntaxError", "IndentationError", "TabError")

Right = Callable[[Any, Any], bool]
"""Whether what a program gave, which comes first, is what was expected."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Inputs of one task, ready for the sandbox, and what is expected of each.

    Attributes:
        batches: The inputs in the order in which they are tried.
        expected: One entry an input.
        output_limit_bytes: Longest canonical text of one result: longer than any right one.
    """

    batches: tuple[InputBatch, ...]
    expected: tuple[Any, ...]
    output_limit_bytes: int


def make_cases(
    arguments: Sequence[tuple[Any, ...]], expected: Sequence[Any], longest_chars: int
) -> Cases:
    """Make cases ready; they are worth keeping for all programs of a task.

    Args:
        arguments: An argument tuple a case: plain data.
        expected: What each should give, in any form that the comparison takes.
        longest_chars: Length of the longest expected result as it was published.

    Raises:
        BenchmarkError: There is no case, or not one expected result a case.
    """
    if not arguments or len(arguments) != len(expected):
        raise BenchmarkError(
            f"{len(arguments)} inputs with {len(expected)} expected results: a task needs at "
            "least one input, and one expected result for each"
        )
    parts = (arguments[:FIRST], arguments[FIRST:])
    batches = tuple(batch_of_values(part) for part in parts if part)
    limit = _MARGIN_BYTES + _MAX_TEXT_PER_CHAR * longest_chars
    return Cases(batches, tuple(expected), limit)


async def grade_cases(
    executor: Executor,
    source: str,
    entry_point: str,
    cases: Cases,
    right: Right,
    timeout_s: float,
) -> Grade:
    """Call a program on the cases, and stop at the first batch that it fails in.

    Args:
        executor: Where it runs.
        source: The program's text.
        entry_point: Its function.
        cases: What it is called on.
        right: Compares a result with what was expected.
        timeout_s: Seconds for each case.

    Returns:
        PASSED, or the grade of the first case that was not right.
    """
    at = 0
    for batch in cases.batches:
        n = len(batch.arguments)
        budget = Budget(
            call_timeout_s=timeout_s,
            program_timeout_s=(timeout_s + 1) * n + 5,
            output_limit_bytes=cases.output_limit_bytes,
            max_timeouts=1,
        )
        report = await executor.call(source, entry_point, batch, budget)
        grade = _first_failure(report, cases, at, right)
        if grade is not None:
            return grade
        at += n
    return Grade(GradeReason.PASSED)


def _first_failure(report: CallReport, cases: Cases, at: int, right: Right) -> Grade | None:
    if report.status is ProgramStatus.FAILED_TO_LOAD:
        return _not_loaded(report)
    refused = refusal(report)
    if refused is not None:
        return refused
    for number, outcome in enumerate(report.outcomes, at):
        where, wanted = f"case {number + 1}", cases.expected[number]
        if not outcome.executed:
            return failure(outcome, where)
        try:
            value = parse(outcome.text, max_chars=cases.output_limit_bytes)
        except CanonicalError as error:  # a program can forge its own records
            return wrong(f"no readable value ({error})", ascii(wanted), where)
        if not right(value, wanted):
            return wrong(outcome.text, ascii(wanted), where)
    return None


def _not_loaded(report: CallReport) -> Grade:
    """The grade of a program that came to no call; its outcomes know more than its status."""
    if report.detail.startswith(_NOT_COMPILED):  # a program within a program
        return Grade(GradeReason.DOES_NOT_COMPILE, report.detail[:MAX_DETAIL])
    return failure(report.outcomes[0], "loading")

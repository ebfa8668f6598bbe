"""From the executor's reports to grades: the two ways of grading that benchmarks share.

`by_tests` runs a test script that calls the program. `grade_cases` calls the program on inputs and
compares its results in this process: expected results never enter the program's process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ucoder.errors import BenchmarkError
from ucoder.evaluation.protocol import MAX_DETAIL, Grade, Grader, GradingContext, Task
from ucoder.evaluation.records import GradeReason
from ucoder.execution.canonical import CanonicalError, parse
from ucoder.execution.inputs import InputBatch, batch_of_values
from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)
from ucoder.execution.protocol import Budget, Executor

FIRST: Final = 4
"""Cases that run before all others, because most wrong programs fail on one of them."""

_MARGIN_BYTES: Final = 65_536
_MAX_TEXT_PER_CHAR: Final = 4
_NOT_COMPILED: Final = ("SyntaxError", "IndentationError", "TabError")
_PROGRAM_NOT_COMPILED: Final = re.compile(
    rf"(?:{'|'.join(_NOT_COMPILED)}): .*\(<program>, line \d+\)", re.DOTALL
)
"""The whole detail where the program does not compile; one that a test meets names its line too."""

_OF_STATUS = {
    ProgramStatus.DOES_NOT_COMPILE: GradeReason.DOES_NOT_COMPILE,
    ProgramStatus.FAILED_TO_LOAD: GradeReason.RAISED,
    ProgramStatus.NO_ENTRY_POINT: GradeReason.NO_PROGRAM,
    ProgramStatus.SANDBOX_FAILED: GradeReason.SANDBOX_FAILED,
}
_OF_OUTCOME = {
    OutcomeKind.RAISED: GradeReason.RAISED,
    OutcomeKind.TIMED_OUT: GradeReason.TIMED_OUT,
    OutcomeKind.OUT_OF_MEMORY: GradeReason.OUT_OF_MEMORY,
    OutcomeKind.OUTPUT_TOO_LARGE: GradeReason.OUTPUT_TOO_LARGE,
    OutcomeKind.NOT_REPRESENTABLE: GradeReason.NOT_REPRESENTABLE,
    OutcomeKind.SANDBOX_FAILED: GradeReason.SANDBOX_FAILED,
}
_OF_VERDICT = {
    Verdict.PASSED: GradeReason.PASSED,
    Verdict.FAILED: GradeReason.TESTS_FAILED,
    Verdict.TIMED_OUT: GradeReason.TIMED_OUT,
    # Not "not run": a program could otherwise get itself out of the score.
    Verdict.NOT_JUDGED: GradeReason.TESTS_FAILED,
    Verdict.SANDBOX_FAILED: GradeReason.SANDBOX_FAILED,
}

PASSED = Grade(GradeReason.PASSED)
NO_PROGRAM = Grade(GradeReason.NO_PROGRAM, "no program in the answer")


def grade_of_check(report: CheckReport) -> Grade:
    """The grade of a program that was run against a test script."""
    reason = _OF_VERDICT[report.verdict]
    if reason is GradeReason.TESTS_FAILED and _PROGRAM_NOT_COMPILED.fullmatch(report.detail):
        reason = GradeReason.DOES_NOT_COMPILE
    return Grade(reason, "" if reason is GradeReason.PASSED else report.detail[:MAX_DETAIL])


def refusal(report: CallReport) -> Grade | None:
    """The grade of a program that could not be called; None for one that was."""
    reason = _OF_STATUS.get(report.status)
    if reason is GradeReason.RAISED and report.outcomes:  # its loading may have timed out, say
        reason = _OF_OUTCOME.get(report.outcomes[0].kind, reason)
    return None if reason is None else Grade(reason, report.detail[:MAX_DETAIL])


def failure(outcome: Outcome, where: str) -> Grade:
    """The grade of a program for a call that did not return; `where` is such as "input 3"."""
    detail = f"{where}: {outcome.kind} {outcome.text}".rstrip()
    return Grade(_OF_OUTCOME[outcome.kind], detail[:MAX_DETAIL])


def wrong(got: str, wanted: str, where: str) -> Grade:
    """The grade of a program that returned something other than the expected value."""
    half = MAX_DETAIL // 2 - 40
    return Grade(
        GradeReason.WRONG_OUTPUT, f"{where}: {_short(got, half)} for {_short(wanted, half)}"
    )


def by_tests(context: GradingContext, name: str, tests: Callable[[Task], str]) -> Grader:
    """Grade with a test script in a process of its own, which calls the program's functions.

    The program can neither read the script nor claim that it passed. What its functions return must
    be plain data (see `Executor.check`).

    `name` is the score's; `tests` gives a task's script, which passes if it runs to its end.
    """

    async def grade(task: Task, program: str) -> Mapping[str, Grade]:
        if not program:
            return {name: NO_PROGRAM}
        report = await context.executor.check(program, tests(task), entry_point=task.entry_point)
        return {name: grade_of_check(report)}

    return grade


Right = Callable[[Any, Any], bool]
"""Whether a program's result, the first argument, counts as the expected one, the second."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Inputs of one task, ready for the sandbox, and the expected result of each."""

    batches: tuple[InputBatch, ...]  # the inputs in the order in which they run
    expected: tuple[Any, ...]  # one result an input
    output_limit_bytes: int  # longest canonical text of one result; every right one is shorter


def make_cases(
    arguments: Sequence[tuple[Any, ...]], expected: Sequence[Any], longest_chars: int
) -> Cases:
    """Prepare the cases of a task, once for all of its programs.

    `arguments` are tuples of plain data, `expected` results are in any form that the comparison
    takes, and `longest_chars` is the length of the longest one as it was published.

    Raises:
        BenchmarkError: There are no cases, or not as many results as cases.
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
    """Call a program on the cases; stop after the first batch with a failure.

    Returns:
        PASSED, or the grade of the first case whose result `right` does not accept, or which took
        more than `timeout_s`.
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
    return PASSED


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
    """The grade of a program that failed while loading; its first outcome says how."""
    if report.detail.startswith(_NOT_COMPILED):  # the program is compiled by a wrapper
        return Grade(GradeReason.DOES_NOT_COMPILE, report.detail[:MAX_DETAIL])
    return failure(report.outcomes[0], "loading")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."

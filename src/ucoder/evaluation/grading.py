"""From what the executor reports to a grade: the ways of grading that benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ucoder.evaluation.protocol import MAX_DETAIL, Grade, Grader, GradingContext, Task
from ucoder.evaluation.records import GradeReason
from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)

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
    Verdict.SANDBOX_FAILED: GradeReason.SANDBOX_FAILED,
}

PASSED = Grade(GradeReason.PASSED)
NO_PROGRAM = Grade(GradeReason.NO_PROGRAM, "no program in the answer")


def grade_of_check(report: CheckReport) -> Grade:
    """The grade of a program that was run against a test script."""
    reason = _OF_VERDICT[report.verdict]
    return Grade(reason, "" if reason is GradeReason.PASSED else report.detail[:MAX_DETAIL])


def refusal(report: CallReport) -> Grade | None:
    """The grade of a program that could not be called at all; None for one that was."""
    reason = _OF_STATUS.get(report.status)
    if reason is GradeReason.RAISED and report.outcomes:  # while loading: it may be time or memory
        reason = _OF_OUTCOME.get(report.outcomes[0].kind, reason)
    return None if reason is None else Grade(reason, report.detail[:MAX_DETAIL])


def failure(outcome: Outcome, where: str) -> Grade:
    """The grade of a program one of whose calls did not return.

    Args:
        outcome: That call's; of any kind but RETURNED.
        where: Which call, such as "input 3".
    """
    detail = f"{where}: {outcome.kind} {outcome.text}".rstrip()
    return Grade(_OF_OUTCOME[outcome.kind], detail[:MAX_DETAIL])


def wrong(got: str, wanted: str, where: str) -> Grade:
    """The grade of a program that returned something else than it should have."""
    half = MAX_DETAIL // 2 - 40
    return Grade(
        GradeReason.WRONG_OUTPUT, f"{where}: {_short(got, half)} for {_short(wanted, half)}"
    )


def by_tests(context: GradingContext, name: str, tests: Callable[[Task], str]) -> Grader:
    """Grade with a test script in a process of its own, which calls the program's functions.

    The program can neither read the script nor say that it passed; what the functions return has
    to be plain data (see `Executor.check`).

    Args:
        context: What the benchmark was given.
        name: The score's name.
        tests: A task's script; it passes where it comes to its end.
    """

    async def grade(task: Task, program: str) -> Mapping[str, Grade]:
        if not program:
            return {name: NO_PROGRAM}
        report = await context.executor.check(program, tests(task), entry_point=task.entry_point)
        return {name: grade_of_check(report)}

    return grade


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."

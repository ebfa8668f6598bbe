"""What must be seen after an attack. Every judge says why, where it was not.

A judge looks at the last program's report unless it says otherwise. None of them takes an error
for granted: a program that fails by a fault of its own has proved nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ucoder.execution.canonical import parse
from ucoder.execution.conformance.records import Judge, Report
from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)

_DENIALS: Final = (
    "BlockingIOError", "ConnectionRefusedError", "FileNotFoundError", "NotADirectoryError",
    "OSError", "PermissionError", "ProcessLookupError", "TimeoutError", "gaierror",
)  # fmt: skip
_LONGEST: Final = 100_000
_FILTERED: Final = "killed: signal 31"  # SIGSYS, from a system-call filter


@dataclass(frozen=True, slots=True)
class Raised:
    """A call that raised an exception of one of these type names, or died with one of them."""

    names: tuple[str, ...]


DENIED: Final = Raised((*_DENIALS, _FILTERED))
"""The system refused what the call asked for, or killed its process for asking."""

_One: TypeAlias = str | OutcomeKind | Raised
Expected: TypeAlias = _One | tuple[_One, ...]
"""One call's end: the canonical text that it returns, or how it fails; or one of several."""


def raised(*names: str) -> Raised:
    """Expect one of these exceptions; `killed` stands for the death of the process."""
    return Raised(names)


def calls(*expected: Expected) -> Judge:
    """Each call ends as stated, in this order."""

    def judge(reports: tuple[Report, ...]) -> str | None:
        report = reports[-1]
        if not isinstance(report, CallReport):
            return f"expected a report on calls, got {report}"
        if len(report.outcomes) != len(expected):
            return f"{len(report.outcomes)} outcomes for {len(expected)} calls"
        for number, (outcome, end) in enumerate(zip(report.outcomes, expected, strict=True)):
            if not _is(outcome, end):
                return f"call {number} {_words(outcome)}; expected {_expectation(end)}"
        return None

    return judge


def returned(text: str) -> Judge:
    """The one call returns a value of this canonical text."""
    return calls(text)


def raises(*names: str) -> Judge:
    """The one call raises one of these."""
    return calls(raised(*names))


def denied(*also: str) -> Judge:
    """The one call is DENIED, or ends in one of these ways."""
    return calls(raised(*DENIED.names, *also))


def died(why: str = "killed: ") -> Judge:
    """The program's process died in its one call, and the report says so."""

    def judge(reports: tuple[Report, ...]) -> str | None:
        report = reports[-1]
        if not isinstance(report, CallReport) or report.status is not ProgramStatus.KILLED:
            return f"expected a killed program, got {_summary(report)}"
        return calls(raised(why))(reports)

    return judge


def contained() -> Judge:
    """The harm is the program's own: bounded answers, and no failure of the sandbox.

    What a forged answer says is not looked at: the program could have returned it.
    """

    def judge(reports: tuple[Report, ...]) -> str | None:
        for report in reports:
            if isinstance(report, CheckReport):
                if report.verdict is Verdict.SANDBOX_FAILED:
                    return f"the sandbox failed: {report.detail}"
                continue
            if report.status is ProgramStatus.SANDBOX_FAILED:
                return f"the sandbox failed: {report.detail}"
            for outcome in report.outcomes:
                if not outcome.text.isascii() or len(outcome.answer) > _LONGEST:
                    return f"an outcome that is out of bounds: {str(outcome)[:200]}"
        return None

    return judge


def refused_program(*statuses: ProgramStatus) -> Judge:
    """The program is not called at all, for one of these reasons."""

    def judge(reports: tuple[Report, ...]) -> str | None:
        report = reports[-1]
        if not isinstance(report, CallReport) or report.status not in statuses:
            return f"expected {' or '.join(statuses)}, got {_summary(report)}"
        if any(outcome.executed for outcome in report.outcomes):
            return "a call returned a value"
        return None

    return judge


def failed() -> Judge:
    """The tests did not pass."""
    return _verdict(Verdict.FAILED, Verdict.TIMED_OUT)


def passed() -> Judge:
    """The tests passed, as they should in spite of the program's tricks."""
    return _verdict(Verdict.PASSED)


def same_answers() -> Judge:
    """The first and the last program's calls end in the same way, and return values."""

    def judge(reports: tuple[Report, ...]) -> str | None:
        first, last = reports[0], reports[-1]
        if not (isinstance(first, CallReport) and isinstance(last, CallReport)):
            return "expected reports on calls"
        if not all(outcome.executed for outcome in first.outcomes):
            return f"the first call {_words(first.outcomes[0])}"
        if first.outcomes != last.outcomes:
            return f"first {_words(first.outcomes[0])}, then {_words(last.outcomes[0])}"
        return None

    return judge


def only_names(allowed: Iterable[str]) -> Judge:
    """The one call returns a list of strings, none but these."""
    names = frozenset(allowed)

    def judge(reports: tuple[Report, ...]) -> str | None:
        report = reports[-1]
        if not isinstance(report, CallReport) or not report.outcomes[0].executed:
            return f"expected a list, got {_summary(report)}"
        extra = set(parse(report.outcomes[0].text)) - names
        return f"it saw {', '.join(sorted(map(str, extra)))[:200]}" if extra else None

    return judge


def every(*judges: Judge) -> Judge:
    """All of these; the first that complains is heard."""

    def judge(reports: tuple[Report, ...]) -> str | None:
        return next((why for one in judges if (why := one(reports)) is not None), None)

    return judge


def _verdict(*verdicts: Verdict) -> Judge:
    def judge(reports: tuple[Report, ...]) -> str | None:
        report = reports[-1]
        if isinstance(report, CheckReport) and report.verdict in verdicts:
            return None
        return f"expected {' or '.join(verdicts)}, got {_summary(report)}"

    return judge


def _is(outcome: Outcome, expected: Expected) -> bool:
    if isinstance(expected, tuple):
        return any(_is(outcome, one) for one in expected)
    if isinstance(expected, Raised):
        return outcome.kind is OutcomeKind.RAISED and outcome.text.startswith(expected.names)
    if isinstance(expected, OutcomeKind):
        return outcome.kind is expected
    return outcome.kind is OutcomeKind.RETURNED and outcome.text == expected


def _words(outcome: Outcome) -> str:
    return f"{outcome.kind.replace('_', ' ')} {outcome.text[:120]}".rstrip()


def _expectation(expected: Expected) -> str:
    if isinstance(expected, tuple):
        return ", or ".join(map(_expectation, expected))
    if isinstance(expected, Raised):
        return "raised " + " or ".join(expected.names[:3])
    return expected.replace("_", " ") if isinstance(expected, OutcomeKind) else expected[:120]


def _summary(report: Report) -> str:
    if isinstance(report, CheckReport):
        return f"{report.verdict} ({report.detail[:120]})"
    first = f", first call {_words(report.outcomes[0])}" if report.outcomes else ""
    return f"{report.status} ({report.detail[:120]}){first}"

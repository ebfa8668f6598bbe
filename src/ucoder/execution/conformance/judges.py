"""Decides from the reports on an attack's programs whether the attack was held.

An error alone proves nothing: a program that fails by a fault of its own must not count as held.
Expectations therefore name the exceptions that a refusal raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ucoder.errors import InvalidArgument
from ucoder.execution.canonical import parse
from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)

Report: TypeAlias = CallReport | CheckReport
Reports: TypeAlias = tuple[Report, ...]
"""One report for each program of an attack, in the order in which they ran."""

Judge: TypeAlias = Callable[[Reports], str | None]
"""From the reports to the reason why the attack was not held; None where it was held."""

_LONGEST_ANSWER: Final = 100_000


@dataclass(frozen=True, slots=True)
class CallEnd:
    """One way in which a call may end.

    Attributes:
        kind: The kind of its outcome.
        text: For RETURNED the whole canonical text; for RAISED how the exception's type name and
            message begin; "" for every other kind.
    """

    kind: OutcomeKind
    text: str = ""

    def matches(self, outcome: Outcome) -> bool:
        """Return whether an outcome is of this kind and has this text."""
        if outcome.kind is not self.kind:
            return False
        if self.kind is OutcomeKind.RETURNED:
            return outcome.text == self.text
        return outcome.text.startswith(self.text)

    def __str__(self) -> str:
        return f"{_words(self.kind)} {self.text[:120]}".rstrip()


CallEnds: TypeAlias = tuple[CallEnd, ...]
"""The ends that are allowed for one call: any of them will do."""

_DENIALS: Final = (
    "BlockingIOError", "ConnectionRefusedError", "FileNotFoundError", "NotADirectoryError",
    "OSError", "PermissionError", "ProcessLookupError", "TimeoutError", "gaierror",
)  # fmt: skip
_FILTERED: Final = "killed: signal 31"  # SIGSYS, sent by a system-call filter
DENIED: Final[CallEnds] = tuple(
    CallEnd(OutcomeKind.RAISED, text) for text in (*_DENIALS, _FILTERED)
)
"""The system refused what the call asked for, or killed its process for asking."""


def call_ends(text: str) -> CallEnds:
    """Read the end of a call as attack files write it.

    `returned 7`, `raised ValueError: bad`, `timed out`, `out of memory`, `output too large`,
    `not representable`; `killed` for the death of the process (`killed: signal 9` for one cause);
    `denied` for a refusal by the system.

    Raises:
        InvalidArgument: The text is none of these.
    """
    if text == "denied":
        return DENIED
    if text == "killed" or text.startswith("killed: "):
        return (CallEnd(OutcomeKind.RAISED, "killed: " if text == "killed" else text),)
    for kind in (OutcomeKind.RETURNED, OutcomeKind.RAISED):
        if text.startswith(f"{kind} "):
            return (CallEnd(kind, text.removeprefix(f"{kind} ")),)
    for kind in _TEXTLESS:
        if text == _words(kind):
            return (CallEnd(kind),)
    known = ["denied", "killed", "returned VALUE", "raised EXCEPTION", *map(_words, _TEXTLESS)]
    raise InvalidArgument(f"{text!r} is not an end of a call; known: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the reports must show after an attack; a judge. Default values are not checked.

    Attributes:
        calls: How each call of the last program ends.
        first_calls: How each call of the first program ends.
        contained: Answers are bounded and the sandbox has not failed. The content of a forged
            answer is not looked at, because the program could have returned it.
        same_answers: The calls of the first and the last program end alike, and return values.
        only_names: The last program's call returns a list of strings, all of them among these.
        status: The last program is not called at all, for one of these reasons.
        verdict: One of these verdicts on the tests.
        max_report_chars: The length of the last report, printed.
    """

    calls: tuple[CallEnds, ...] = ()
    first_calls: tuple[CallEnds, ...] = ()
    contained: bool = False
    same_answers: bool = False
    only_names: frozenset[str] = frozenset()
    status: frozenset[ProgramStatus] = frozenset()
    verdict: frozenset[Verdict] = frozenset()
    max_report_chars: int | None = None

    def __call__(self, reports: Reports) -> str | None:
        """Return the first thing that is not as expected; None where everything is."""
        return next((fault for fault in self._faults(reports) if fault is not None), None)

    def _faults(self, reports: Reports) -> Iterator[str | None]:
        last = reports[-1]
        if self.contained:
            yield from map(_uncontained, reports)
        if self.first_calls:
            yield _other_ends(reports[0], self.first_calls)
        if self.calls:
            yield _other_ends(last, self.calls)
        if self.status:
            yield _other_status(last, self.status)
        if self.verdict:
            yield _other_verdict(last, self.verdict)
        if self.same_answers:
            yield _other_answers(reports[0], last)
        if self.only_names:
            yield _other_names(last, self.only_names)
        if self.max_report_chars is not None and len(str(last)) > self.max_report_chars:
            yield f"the report has {len(str(last))} characters"


def _other_ends(report: Report, expected: tuple[CallEnds, ...]) -> str | None:
    if not isinstance(report, CallReport):
        return f"expected a report on calls, got {report}"
    if len(report.outcomes) != len(expected):
        return f"{len(report.outcomes)} outcomes for {len(expected)} calls"
    for number, (outcome, ends) in enumerate(zip(report.outcomes, expected, strict=True)):
        if not any(end.matches(outcome) for end in ends):
            allowed = ", or ".join(map(str, ends[:3]))
            return f"call {number} {_described(outcome)}; expected {allowed}"
    return None


def _uncontained(report: Report) -> str | None:
    if isinstance(report, CheckReport):
        failed = report.verdict is Verdict.SANDBOX_FAILED
        return f"the sandbox failed: {report.detail}" if failed else None
    if report.status is ProgramStatus.SANDBOX_FAILED:
        return f"the sandbox failed: {report.detail}"
    for outcome in report.outcomes:
        if not outcome.text.isascii() or len(outcome.answer) > _LONGEST_ANSWER:
            return f"an outcome that is out of bounds: {str(outcome)[:200]}"
    return None


def _other_status(report: Report, expected: frozenset[ProgramStatus]) -> str | None:
    if not isinstance(report, CallReport) or report.status not in expected:
        return f"expected {' or '.join(sorted(expected))}, got {_summary(report)}"
    if any(outcome.executed for outcome in report.outcomes):
        return "a call returned a value"
    return None


def _other_verdict(report: Report, expected: frozenset[Verdict]) -> str | None:
    if isinstance(report, CheckReport) and report.verdict in expected:
        return None
    return f"expected {' or '.join(sorted(expected))}, got {_summary(report)}"


def _other_answers(first: Report, last: Report) -> str | None:
    if not (isinstance(first, CallReport) and isinstance(last, CallReport)):
        return "expected reports on calls"
    if not all(outcome.executed for outcome in first.outcomes):
        return f"the first call {_described(first.outcomes[0])}"
    if first.outcomes != last.outcomes:
        return f"first {_described(first.outcomes[0])}, then {_described(last.outcomes[0])}"
    return None


def _other_names(report: Report, allowed: frozenset[str]) -> str | None:
    if not isinstance(report, CallReport) or not report.outcomes[0].executed:
        return f"expected a list, got {_summary(report)}"
    extra = set(parse(report.outcomes[0].text)) - allowed
    return f"it saw {', '.join(sorted(map(str, extra)))[:200]}" if extra else None


def _described(outcome: Outcome) -> str:
    return f"{_words(outcome.kind)} {outcome.text[:120]}".rstrip()


def _summary(report: Report) -> str:
    if isinstance(report, CheckReport):
        return f"{report.verdict} ({report.detail[:120]})"
    first = f", first call {_described(report.outcomes[0])}" if report.outcomes else ""
    return f"{report.status} ({report.detail[:120]}){first}"


def _words(kind: OutcomeKind) -> str:
    return kind.replace("_", " ")


_TEXTLESS: Final = (
    OutcomeKind.TIMED_OUT,
    OutcomeKind.OUT_OF_MEMORY,
    OutcomeKind.OUTPUT_TOO_LARGE,
    OutcomeKind.NOT_REPRESENTABLE,
)

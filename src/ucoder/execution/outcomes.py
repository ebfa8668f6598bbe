"""The results of running a program: plain, frozen, typed records.

There are two levels. A `ProgramStatus` is about the program as a whole, an `Outcome` about one
call. `SANDBOX_FAILED` on either level is the executor's fault, not the program's: it never counts
as a vote or as a wrong answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ucoder.execution.canonical import key


class OutcomeKind(StrEnum):
    """How one call of the entry point ended."""

    RETURNED = "returned"
    RAISED = "raised"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_TOO_LARGE = "output_too_large"
    NOT_REPRESENTABLE = "not_representable"
    SANDBOX_FAILED = "sandbox_failed"


class ProgramStatus(StrEnum):
    """What happened to the program as a whole."""

    LOADED = "loaded"
    """The module ran and the entry point was called; see the outcomes."""
    DOES_NOT_COMPILE = "does_not_compile"
    FAILED_TO_LOAD = "failed_to_load"
    """The module raised, timed out or ran out of memory before any call."""
    NO_ENTRY_POINT = "no_entry_point"
    KILLED = "killed"
    """The program's process died by itself (a signal, `os._exit`, too many processes) in a call or
    while loading. A call in which it died is RAISED with the text `killed: ...`; the outcomes of
    the other calls stand. A process that was killed for its time is TIMED_OUT, not KILLED."""
    SANDBOX_FAILED = "sandbox_failed"


class Verdict(StrEnum):
    """The result of a program against a test script."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    NOT_JUDGED = "not_judged"
    """The tests say nothing about the program: they ran no assertion, never called it, or need
    what cannot cross to its process. Neither a pass nor a failure; the detail says what to do."""
    SANDBOX_FAILED = "sandbox_failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call's result.

    Attributes:
        kind: How the call ended.
        text: For RETURNED the canonical text of the value (see `ucoder.execution.canonical`);
            for RAISED the exception's type name, a colon and the start of its message;
            for NOT_REPRESENTABLE the offending type's name; otherwise a short detail or "".
        arguments: The canonical text of the argument tuple after the call, where the call
            changed its arguments; "" where it did not, and "?" where it put a value into them that
            has no canonical text.
    """

    kind: OutcomeKind
    text: str = ""
    arguments: str = ""

    @property
    def executed(self) -> bool:
        """Whether the call returned a value: Exec(r, t) is not bottom (definition 2.3)."""
        return self.kind is OutcomeKind.RETURNED

    @property
    def answer(self) -> str:
        """What two returned results are compared by: equal answers mean equal values.

        The order of a dict's keys does not count. A function that returns None and changes its
        arguments works in place, so the changed arguments are its answer.
        """
        if self.text == "None" and self.arguments:
            return f"None; {key(self.arguments)}"
        return key(self.text)


@dataclass(frozen=True, slots=True)
class CallReport:
    """One program called on many inputs.

    Attributes:
        status: What happened to the program as a whole.
        detail: Why, where the status is not LOADED: a message for people.
        outcomes: Exactly one outcome per input, in the order of the inputs. Where the program
            could not be called at all, each of them says why. An input that is not a canonical
            tuple is SANDBOX_FAILED by itself: the caller's fault, not the program's.
        cpu_s: CPU seconds that the program used, NaN where unknown.
        wall_s: Seconds from the program's start to its end, NaN where unknown.
        call_wall_s: Seconds of each call, NaN for a call that did not end by itself.
        call_cpu_s: CPU seconds of each call; NaN for a call that did not end by itself, and for
            calls of a fraction of a millisecond, where reading the CPU clock would cost as much
            as the call.
        leftovers: What the program left behind and the executor removed, such as
            "2 files in /tmp, 1 process"; "" where it left nothing.
        retried: Whether calls that had timed out by the wall clock, but not in CPU time, were
            retried with more wall-clock time; their outcomes are then the retry's.
    """

    status: ProgramStatus
    outcomes: tuple[Outcome, ...]
    detail: str = ""
    cpu_s: float = float("nan")
    wall_s: float = float("nan")
    call_wall_s: tuple[float, ...] = ()
    call_cpu_s: tuple[float, ...] = ()
    leftovers: str = ""
    retried: bool = False


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One program run against a test script.

    Attributes:
        verdict: PASSED if the tests ran to their end, and tested the program.
        detail: A message for people that says why the tests did not end, or "".
        cpu_s: CPU seconds used, NaN where unknown.
        wall_s: Seconds from start to end, NaN where unknown.
        leftovers: As in `CallReport`.
        retried: As in `CallReport`.
    """

    verdict: Verdict
    detail: str = ""
    cpu_s: float = float("nan")
    wall_s: float = float("nan")
    leftovers: str = ""
    retried: bool = False

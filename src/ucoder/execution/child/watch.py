"""The worker's side of one program: fork, follow, cut off, fork again, and sum up.

The fork answers through a pipe. It is drained on a slow tick rather than at every record, because
waking up a hundred times for a hundred short calls costs more than the calls.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from collections.abc import Callable
from enum import Enum, auto
from itertools import chain, repeat
from os import _exit
from pathlib import Path
from typing import Final

from ucoder.execution.child import runner
from ucoder.execution.child.runner import HEADER, Job, Record
from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus, Verdict

MAX_FORKS: Final = 4
"""Forks that one program may cost: the first, and one after each call that had to be killed."""

GRACE_S: Final = 0.5
"""How long a fork may overrun a timeout that it should have noticed by itself."""

_TICKS_S: Final = (0.002, 0.005, 0.01, 0.02)
_PIPE_BYTES: Final = 1 << 20
_MAX_TEXT: Final = 4096
"""Longest text of a record that is no result; messages are far shorter."""

_OUTCOMES: Final = {
    Record.RETURNED: OutcomeKind.RETURNED,
    Record.RAISED: OutcomeKind.RAISED,
    Record.TIMED_OUT: OutcomeKind.TIMED_OUT,
    Record.OUT_OF_MEMORY: OutcomeKind.OUT_OF_MEMORY,
    Record.OUTPUT_TOO_LARGE: OutcomeKind.OUTPUT_TOO_LARGE,
    Record.NOT_REPRESENTABLE: OutcomeKind.NOT_REPRESENTABLE,
    Record.BAD_INPUT: OutcomeKind.SANDBOX_FAILED,
}
_REFUSALS: Final = {
    Record.DOES_NOT_COMPILE: ProgramStatus.DOES_NOT_COMPILE,
    Record.FAILED_TO_LOAD: ProgramStatus.FAILED_TO_LOAD,
    Record.OVERTIME: ProgramStatus.FAILED_TO_LOAD,
    Record.NO_ENTRY_POINT: ProgramStatus.NO_ENTRY_POINT,
}
_BY_BYTE: Final = {record.value: record for record in Record}


class End(Enum):
    """How a fork came to its end."""

    BY_ITSELF = auto()
    DIED = auto()
    CALL_CUT = auto()
    PROGRAM_CUT = auto()
    TOO_MANY_TASKS = auto()


class Watch:
    """Follows one program through its forks.

    Attributes:
        outcomes: What the calls came to so far.
        status: What the program came to as a whole; LOADED until something else happens.
        detail: Why, where the status is not LOADED.
        cpu_s: CPU seconds of all its forks.
    """

    def __init__(self, job: Job, to_close: tuple[int, ...], too_many: Callable[[], bool]) -> None:
        """Prepare for a job.

        Args:
            job: The program.
            to_close: The worker's own descriptors, which a fork must not hold.
            too_many: Tells whether the program has more processes than it may have.
        """
        self.job = job
        self.outcomes: list[Outcome] = []
        self.status = ProgramStatus.LOADED
        self.detail = ""
        self.cpu_s = 0.0
        self._to_close = to_close
        self._too_many = too_many
        self._buffer = bytearray()
        self._loaded = False
        self._n_timeouts = 0
        self._last: tuple[Record, str] | None = None

    def run_calls(self) -> None:
        """Call the entry point on every input, forking again after a call that had to be killed.

        A call that ignores its alarm is killed and counts as timed out. A call in which the
        process dies counts as raised, with the text `killed: ...`. In both cases the remaining
        inputs go to a new fork, `MAX_FORKS` in all; what then remains unanswered gets the kind
        of the call that came last. After two timeouts in a row, and when the program's time is
        over, the rest is timed out. Where no call was made, every outcome says why.
        """
        n_inputs = len(self.job.arguments)
        rest = Outcome(OutcomeKind.TIMED_OUT)
        for _ in range(MAX_FORKS):
            end, how = self._follow(len(self.outcomes))
            if self.status is not ProgramStatus.LOADED:
                rest = _refused(self.detail)
                break
            if len(self.outcomes) >= n_inputs or end in (End.BY_ITSELF, End.PROGRAM_CUT):
                rest = Outcome(OutcomeKind.TIMED_OUT)
                break
            if not self._loaded:
                self.detail = f"{how} while loading"
                rest = Outcome(OutcomeKind.RAISED, f"killed: {self.detail}")
                break
            if end is End.CALL_CUT:
                rest = Outcome(OutcomeKind.TIMED_OUT)
                self._n_timeouts += 1
            else:
                rest = Outcome(OutcomeKind.RAISED, f"killed: {how}")
                self._n_timeouts = 0
                self.detail = self.detail or f"{how} in call {len(self.outcomes)}"
            self.outcomes.append(rest)
            if end is End.TOO_MANY_TASKS or self._stopped:
                break
        if self._stopped:
            rest = Outcome(OutcomeKind.TIMED_OUT)
        if self.detail and self.status is ProgramStatus.LOADED:
            self.status = ProgramStatus.KILLED
        self.outcomes.extend([rest] * (n_inputs - len(self.outcomes)))

    def run_script(self) -> tuple[Verdict, str]:
        """Run the source as a script; passed only if its fork proved to have reached the end."""
        end, how = self._follow(0)
        kind, text = self._last or (None, "")
        if kind is Record.REACHED_END and text == self.job.token and end is End.BY_ITSELF:
            return Verdict.PASSED, ""
        if kind is Record.OVERTIME or end is End.PROGRAM_CUT:
            return Verdict.TIMED_OUT, "the time limit was reached"
        if kind is Record.STOPPED_EARLY or kind is Record.DOES_NOT_COMPILE:
            return Verdict.FAILED, text
        return Verdict.FAILED, f"killed: {how or 'exit status 0 before the last statement'}"

    @property
    def _stopped(self) -> bool:
        """Whether a fork is right to leave inputs unanswered."""
        too_slow = self._n_timeouts >= runner.MAX_TIMEOUTS_IN_A_ROW
        return too_slow or time.monotonic() >= self.job.deadline

    def _follow(self, first: int) -> tuple[End, str]:
        """Run one fork to its end, and say how it ended."""
        self._buffer.clear()
        self._loaded = False
        read_end, write_end = os.pipe()
        with contextlib.suppress(OSError):  # a smaller pipe is slower, not wrong
            fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for descriptor in (*self._to_close, read_end):
                    os.close(descriptor)
                runner.run(self.job, first, write_end)
                code = 0
            finally:
                _exit(code)  # not `os._exit`: the program may have replaced it
        os.close(write_end)
        os.set_blocking(read_end, False)
        ended = os.pidfd_open(pid)
        try:
            end, how = self._wait(ended, read_end)
        finally:
            os.close(ended)
            for kill in (os.killpg, os.kill):  # the group is not there before the fork's setsid
                with contextlib.suppress(OSError):
                    kill(pid, signal.SIGKILL)
            _, code, usage = os.wait4(pid, 0)
            os.close(read_end)
        self.cpu_s += usage.ru_utime + usage.ru_stime
        return (end, how) if end is not End.BY_ITSELF else self._ending(code)

    def _ending(self, code: int) -> tuple[End, str]:
        """Read the exit status of a fork that nobody cut off."""
        if os.WIFSIGNALED(code):
            number = os.WTERMSIG(code)
            name = signal.Signals(number).name if number < signal.SIGRTMIN else "real-time"
            return End.DIED, f"signal {number} ({name})"
        exit_status = os.WEXITSTATUS(code)
        answered = (
            self.job.entry_point is None
            or len(self.outcomes) >= len(self.job.arguments)
            or self.status is not ProgramStatus.LOADED
            or self._stopped
        )
        if exit_status == 0 and answered:
            return End.BY_ITSELF, ""
        return End.DIED, f"exit status {exit_status}"

    def _wait(self, ended: int, read_end: int) -> tuple[End, str]:
        """Wait for the fork's end, reading its records and noticing where it overruns."""
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        progress = time.monotonic()
        for tick_s in chain(_TICKS_S, repeat(_TICKS_S[-1])):
            gone = poller.poll(tick_s * 1000)
            try:
                progressed = self._drain(read_end)
            except ValueError as error:
                return End.DIED, f"it broke its result channel: {error}"
            if gone:
                break
            now = time.monotonic()
            if progressed:
                progress = now
            if now > self.job.deadline + GRACE_S:
                if self.job.entry_point is not None and not self._loaded and not self.outcomes:
                    self._refuse(Record.OVERTIME, runner.LOAD_TIMED_OUT)
                return End.PROGRAM_CUT, "the program's time limit"
            if self._loaded and now - progress > self.job.call_timeout_s + GRACE_S:
                return End.CALL_CUT, "a call's time limit"
            if self._too_many():
                return End.TOO_MANY_TASKS, "too many processes or threads"
        return End.BY_ITSELF, ""

    def _drain(self, read_end: int) -> bool:
        """Read what the pipe holds; True if at least one record was complete.

        Raises:
            ValueError: The fork sent what no honest fork sends.
        """
        progressed = False
        while True:
            try:
                data = os.read(read_end, _PIPE_BYTES)
            except BlockingIOError:
                return progressed
            if not data:
                return progressed
            self._buffer += data
            progressed |= self._take_records()

    def _take_records(self) -> bool:
        at, buffer = 0, self._buffer
        while len(buffer) - at >= HEADER.size:
            code, length = HEADER.unpack_from(buffer, at)
            record = _BY_BYTE.get(code)
            limit = self.job.output_limit if record is Record.RETURNED else _MAX_TEXT
            if record is None or length > limit:
                raise ValueError("an unknown or oversized record")
            if len(buffer) - at - HEADER.size < length:
                break
            at += HEADER.size
            self._take(record, buffer[at : at + length].decode("ascii"))
            at += length
        del buffer[:at]
        return at > 0

    def _take(self, record: Record, text: str) -> None:
        # Each case ends by itself, so that a flood of valid records cannot hold the worker.
        if self.job.entry_point is None:
            if self._last is not None:
                raise ValueError("a second verdict")
            self._last = record, text
        elif record in _OUTCOMES and len(self.outcomes) < len(self.job.arguments):
            self.outcomes.append(Outcome(_OUTCOMES[record], text))
            self._n_timeouts = self._n_timeouts + 1 if record is Record.TIMED_OUT else 0
        elif record is Record.LOADED and not self._loaded:
            self._loaded = True
        elif record in _REFUSALS and self.status is ProgramStatus.LOADED and not self.outcomes:
            self._refuse(record, text)
        else:
            raise ValueError("a record out of place")

    def _refuse(self, record: Record, text: str) -> None:
        self.status, self.detail = _REFUSALS[record], text


def _refused(detail: str) -> Outcome:
    """What every call of a program comes to that could not be called."""
    if detail == runner.LOAD_TIMED_OUT:
        return Outcome(OutcomeKind.TIMED_OUT, detail)
    if detail == runner.LOAD_OUT_OF_MEMORY:
        return Outcome(OutcomeKind.OUT_OF_MEMORY, detail)
    return Outcome(OutcomeKind.RAISED, detail)


def count_tasks() -> int:
    """Count the processes and threads of this PID namespace.

    A directory's link count is its number of subdirectories plus two, so one `stat` tells the
    threads of a process.
    """
    n_tasks = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                n_tasks += Path(entry.path, "task").stat().st_nlink - 2
    return n_tasks

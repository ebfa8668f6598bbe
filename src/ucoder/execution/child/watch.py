"""The worker's side of one program: fork, follow, cut off, fork again, and sum up.

The fork answers through a pipe. It is drained on a slow tick rather than at every record, because
waking up a hundred times for a hundred short calls costs more than the calls. Records of calls
are kept as the bytes that they came in; the parent reads them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from collections.abc import Callable
from itertools import chain, repeat
from os import _exit
from typing import Final

from ucoder.execution.child import records, runner
from ucoder.execution.child.isolation import Isolation
from ucoder.execution.child.records import HEADER, pack
from ucoder.execution.child.runner import Job

MAX_FORKS: Final = 4
"""Forks that one program may cost: the first, and one after each call that had to be killed."""

GRACE_S: Final = 0.5
"""How long a fork may overrun a timeout that it should have noticed by itself."""

_TICKS_S: Final = (0.005, 0.005, 0.01, 0.02)
_PIPE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 16

# How a fork came to its end.
_BY_ITSELF: Final = 0
_DIED: Final = 1
_CALL_CUT: Final = 2
_PROGRAM_CUT: Final = 3
_TOO_MANY_TASKS: Final = 4


_VERDICTS: Final = frozenset(
    {records.STOPPED_EARLY, records.DOES_NOT_COMPILE, records.KILLED, records.NOT_JUDGED}
)


class Watch:
    """Follows one program through its forks.

    Attributes:
        answers: The records of the calls so far, one after another.
        n_answers: How many records those are.
        status: A kind of record: LOADED until something else happens to the program.
        detail: The reason, where the status is not LOADED.
        cpu_s: CPU seconds of all its forks.
    """

    def __init__(
        self,
        job: Job,
        to_close: tuple[int, ...],
        isolation: Isolation,
    ) -> None:
        """Prepare for a job.

        Args:
            job: The program.
            to_close: The worker's own descriptors, which a fork must not hold.
            isolation: Restricts each fork, and knows the program's processes.
        """
        self.job = job
        self.answers = bytearray()
        self.n_answers = 0
        self.status = records.LOADED
        self.detail = ""
        self.cpu_s = 0.0
        self._to_close = to_close
        self._isolation = isolation
        self._buffer = bytearray()
        self._loaded = False
        self._n_timeouts = 0
        self._answered_cpu_s = 0.0
        self._last: tuple[bytes, str] | None = None

    def run_calls(self) -> None:
        """Call the entry point on every input, forking again after a call that had to be killed.

        A call that ignores its alarm is killed and counts as timed out. A call in which the
        process dies counts as raised, with the text `killed: ...`. In both cases the remaining
        inputs go to a new fork, up to `MAX_FORKS` in all; inputs that then remain unanswered get
        the kind of the last call. After the job's `max_timeouts` in a row, and when the program's
        time is over, the rest is timed out. If no call was made, every answer says why.
        """
        n_inputs = len(self.job.arguments)
        rest = pack(records.TIMED_OUT)
        for _ in range(MAX_FORKS):
            cpu_before = self.cpu_s
            self._answered_cpu_s = 0.0
            end, how = self._follow(lambda pipe: runner.run(self.job, self.n_answers, pipe))
            if end != _BY_ITSELF:  # its children may live on, and take the next fork's time
                self.cpu_s += self._isolation.kill_programs()[2]
            if self.status != records.LOADED:
                rest = _refused(self.status, self.detail)
                break
            if self.n_answers >= n_inputs or end in (_BY_ITSELF, _PROGRAM_CUT):
                rest = pack(records.TIMED_OUT)
                break
            if not self._loaded:
                self.detail = f"{how} while loading"
                rest = pack(records.RAISED, f"killed: {self.detail}")
                break
            if end == _CALL_CUT:
                wall_s = self.job.call_timeout_s * self.job.wall_time_factor + GRACE_S
                cpu_s = max(self.cpu_s - cpu_before - self._answered_cpu_s, 0.0)
                self._add(pack(records.TIMED_OUT, wall_s=wall_s, cpu_s=cpu_s))
                rest = pack(records.TIMED_OUT)
                self._n_timeouts += 1
            else:
                rest = pack(records.RAISED, f"killed: {how}")
                self._n_timeouts = 0
                self.detail = self.detail or f"{how} in call {self.n_answers}"
                self._add(rest)
            if end == _TOO_MANY_TASKS or self._stopped:
                break
        if self._stopped:
            rest = pack(records.TIMED_OUT)
        if self.detail and self.status == records.LOADED:
            self.status = records.KILLED
        while self.n_answers < n_inputs:
            self._add(rest)

    def run_script(self) -> None:
        """Run the source as a script; the status is REACHED_END only if all of it ran."""
        end, how = self._follow(lambda pipe: runner.run(self.job, 0, pipe))
        self.conclude(end, how)

    def conclude(self, end: int, how: str) -> None:
        """Set the status of a script from its one record and from how its process ended."""
        kind, text = self._last or (b"", "")
        if kind == records.REACHED_END and end == _BY_ITSELF:
            self.status = records.REACHED_END
        elif kind == records.OVERTIME or end == _PROGRAM_CUT:
            self.status, self.detail = records.OVERTIME, "the time limit was reached"
        elif kind in _VERDICTS:
            self.status, self.detail = kind, text
        else:
            how = how or "exit status 0 before the last statement"
            self.status, self.detail = records.KILLED, f"killed: {how}"

    @property
    def loaded(self) -> bool:
        """Whether the fork reported that it was ready: a judge has read its script by then."""
        return self._loaded

    @property
    def _stopped(self) -> bool:
        """Whether a fork may leave inputs unanswered."""
        too_slow = self._n_timeouts >= self.job.max_timeouts
        return too_slow or time.monotonic() >= self.job.deadline

    def fork(self, body: Callable[[], None], also_close: tuple[int, ...], keep: int = -1) -> int:
        """Fork a process that runs `body` under the provider's restrictions, and nothing else.

        Args:
            body: What to run.
            also_close: Descriptors that the fork must not hold, beside the worker's own.
            keep: One of the worker's own descriptors that the fork needs.
        """
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            for descriptor in (*self._to_close, *also_close):
                if descriptor != keep:
                    os.close(descriptor)
            self._isolation.restrict_fork()
            body()
            code = 0
        finally:
            _exit(code)  # not `os._exit`: the program may have replaced it

    def _follow(self, run: Callable[[int], None]) -> tuple[int, str]:
        """Run one fork to its end, and return how it ended."""
        self._buffer.clear()
        self._loaded = False
        read_end, write_end = os.pipe()
        with contextlib.suppress(OSError):  # a smaller pipe is slower, not wrong
            fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        pid = self.fork(lambda: run(write_end), (read_end,))
        os.close(write_end)
        try:
            return self.follow(pid, read_end)
        finally:
            os.close(read_end)

    def follow(self, pid: int, read_end: int) -> tuple[int, str]:
        """Follow a fork to its end; whatever happens, it is dead and reaped afterwards."""
        os.set_blocking(read_end, False)
        ended = os.pidfd_open(pid)
        try:
            end, how = self._wait(ended, read_end)
        finally:
            os.close(ended)
            code = self.reap(pid)
        return (end, how) if end != _BY_ITSELF else self._ending(code)

    def reap(self, pid: int) -> int:
        """Kill a fork and its session, wait for it, and count its time."""
        for kill in (os.killpg, os.kill):  # the group is not there before the fork's setsid
            with contextlib.suppress(OSError):
                kill(pid, signal.SIGKILL)
        _, code, usage = os.wait4(pid, 0)
        self.cpu_s += usage.ru_utime + usage.ru_stime
        return code

    def _ending(self, code: int) -> tuple[int, str]:
        """Interpret the exit status of a fork that was not killed by this watch."""
        if os.WIFSIGNALED(code):
            number = os.WTERMSIG(code)
            name = signal.Signals(number).name if number < signal.SIGRTMIN else "real-time"
            return _DIED, f"signal {number} ({name})"
        exit_status = os.WEXITSTATUS(code)
        answered = (
            self.job.entry_point is None
            or self.n_answers >= len(self.job.arguments)
            or self.status != records.LOADED
            or self._stopped
        )
        if exit_status == 0 and answered:
            return _BY_ITSELF, ""
        return _DIED, f"exit status {exit_status}"

    def _wait(self, ended: int, read_end: int) -> tuple[int, str]:
        """Wait for the fork's end, reading its records and noticing where it overruns."""
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        progress, cpu_before = time.monotonic(), 0.0
        call_limit_s = self.job.call_timeout_s * self.job.wall_time_factor + GRACE_S
        for tick_s in chain(_TICKS_S, repeat(_TICKS_S[-1])):
            gone = poller.poll(tick_s * 1000)
            try:
                progressed = self._drain(read_end)
            except ValueError as error:
                return _DIED, f"it broke its result channel: {error}"
            if gone:
                break
            now = time.monotonic()
            if progressed:
                progress = now
            if now > self.job.deadline + GRACE_S:
                if self.job.entry_point is not None and not self._loaded and not self.n_answers:
                    self._refuse(records.OVERTIME, records.LOAD_TIMED_OUT)
                return _PROGRAM_CUT, "the program's time limit"
            calling = self._loaded and self.job.entry_point is not None
            if calling and now - progress > call_limit_s:
                return _CALL_CUT, "a call's time limit"
            too_many, cpu_s = self._isolation.usage()
            if too_many:
                return _TOO_MANY_TASKS, "too many processes or threads"
            if progressed:
                cpu_before = cpu_s
            if cpu_s > self.job.cpu_limit_s + GRACE_S:
                return _PROGRAM_CUT, "the program's time limit"
            if calling and cpu_s - cpu_before > self.job.call_timeout_s + GRACE_S:
                return _CALL_CUT, "a call's time limit"
        return _BY_ITSELF, ""

    def _drain(self, read_end: int) -> bool:
        """Read what the pipe holds; True if at least one record was complete.

        Raises:
            ValueError: The fork sent a record that no honest fork sends.
        """
        progressed = False
        while True:
            try:
                data = os.read(read_end, _READ_BYTES)
            except BlockingIOError:
                return progressed
            if not data:
                return progressed
            self._buffer += data
            progressed |= self._take_records()

    def _take_records(self) -> bool:
        """Take the complete records out of the buffer, and leave the rest there."""
        buffer = self._buffer
        at, end, size, unpack = 0, len(buffer), HEADER.size, HEADER.unpack_from
        output_limit, is_time = self.job.output_limit, records.is_time
        n_left = 0 if self.job.entry_point is None else len(self.job.arguments) - self.n_answers
        first = at  # where the answers after the last other record begin
        try:
            while end - at >= size:
                kind, n_text, n_changed, wall_s, cpu_s = unpack(buffer, at)
                longest = output_limit if kind == records.RETURNED else records.MAX_DETAIL
                if n_text > longest or n_changed > output_limit:
                    raise ValueError("an oversized record")
                after = at + size + n_text + n_changed
                if after > end:
                    break
                # What the parent would refuse is the program's fault, so it is refused here.
                if not buffer[at + size : after].isascii():
                    raise ValueError("a text that is not ASCII")
                if not (is_time(wall_s) and is_time(cpu_s)):
                    raise ValueError("an impossible time")
                # Every case takes a record only a limited number of times, so that a flood of valid
                # records cannot hold the worker.
                if kind in records.CALLS:
                    if not n_left or (kind == records.BAD_INPUT) != self._is_next_input_bad():
                        raise ValueError("a record out of place")
                    n_left -= 1
                    self.n_answers += 1
                    self._n_timeouts = self._n_timeouts + 1 if kind == records.TIMED_OUT else 0
                    if cpu_s > 0:  # NaN is not
                        self._answered_cpu_s += cpu_s
                else:
                    self.answers += buffer[first:at]
                    first = after
                    self._take(kind, buffer[at + size : after].decode("ascii"))
                at = after
        finally:  # answers before a broken record are kept
            self.answers += buffer[first:at]
            del buffer[:at]
        return at > 0

    def _is_next_input_bad(self) -> bool:
        """Whether the parent could not read the input that is answered next."""
        return isinstance(self.job.arguments[self.n_answers], str)

    def _take(self, kind: bytes, text: str) -> None:
        """Take a record that says what happened to the program."""
        if kind == records.LOADED and not self._loaded:
            self._loaded = True
        elif len(text) > records.MAX_DETAIL:
            raise ValueError("an oversized record")
        elif self.job.entry_point is None and self._last is None:
            self._last = kind, text
        elif (
            kind in records.REFUSALS
            and self.job.entry_point is not None
            and self.status == records.LOADED
            and not self.n_answers
        ):
            self._refuse(kind, text)
        else:
            raise ValueError("a record out of place")

    def _add(self, record: bytes | bytearray) -> None:
        self.answers += record
        self.n_answers += 1

    def _refuse(self, kind: bytes, text: str) -> None:
        self.status, self.detail = kind, text


def _refused(kind: bytes, detail: str) -> bytes:
    """The record for every input of a program that could not be called."""
    if kind == records.OVERTIME:
        return pack(records.TIMED_OUT, detail)
    if detail == records.LOAD_OUT_OF_MEMORY:
        return pack(records.OUT_OF_MEMORY, detail)
    return pack(records.RAISED, detail)

"""The forked side: load one program, call it, and stream one record an answer.

This code shares its process with the program, so nothing here is safe from it: a program can
forge its own records, patch what this file uses, or kill itself half way. That costs the program
its own answers only; whatever it sends is bounded and checked by the reader (`watch`), and by the
parent once more. Functions of the standard library are bound by name at import, so that a
program that replaces `time.monotonic` or `os.write` for its own ends breaks nothing here.

A record is one byte of kind, a length of four bytes, and ASCII text. Each is written to the pipe
as soon as it exists, so that the answers given before a kill are kept.
"""

from __future__ import annotations

import ctypes
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from marshal import loads
from os import setsid
from os import write as write_bytes
from random import seed
from resource import setrlimit
from signal import ITIMER_REAL, SIGKILL, setitimer
from struct import Struct
from time import monotonic
from typing import Any, Final

from ucoder.execution.canonical import NotRepresentable, TooLarge, type_name, write

HEADER: Final = Struct("!cI")
"""What stands before a record's text: its kind and the text's length."""

SEED: Final = 0
"""Every program starts from the same state of `random`."""

REFIRE_S: Final = 0.1
"""A program that swallows the timeout's exception is interrupted again after this time."""

MAX_DETAIL: Final = 300
"""Longest message about an exception, in characters."""

LOAD_TIMED_OUT: Final = "timed out while the module was running"
LOAD_OUT_OF_MEMORY: Final = "MemoryError while the module was running"

MAX_TIMEOUTS_IN_A_ROW: Final = 2
"""A program that times out on this many calls in a row is not called again."""


_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_prctl = ctypes.CDLL(None).prctl


class Record(bytes, Enum):
    """The kinds of records that a fork sends."""

    LOADED = b"L"
    DOES_NOT_COMPILE = b"C"
    FAILED_TO_LOAD = b"F"
    NO_ENTRY_POINT = b"P"
    RETURNED = b"R"
    RAISED = b"E"
    TIMED_OUT = b"T"
    OUT_OF_MEMORY = b"M"
    OUTPUT_TOO_LARGE = b"O"
    NOT_REPRESENTABLE = b"N"
    BAD_INPUT = b"B"
    REACHED_END = b"V"
    STOPPED_EARLY = b"X"
    OVERTIME = b"W"


@dataclass(frozen=True, slots=True)
class Job:
    """One program, ready to be forked for.

    Attributes:
        source: The program's text.
        entry_point: The function to call; None runs the text as a script.
        arguments: One entry an input: the marshalled argument tuple, or why there is none.
        token: What a script's fork must send to prove that it came to the end.
        call_timeout_s: Wall-clock seconds for one call.
        deadline: When the whole program has to be done, on the monotonic clock.
        output_limit: Longest canonical text of a result.
        rlimits: Resource limits as pairs of a resource and its value.
    """

    source: str
    entry_point: str | None
    arguments: tuple[bytes | str, ...]
    token: str
    call_timeout_s: float
    deadline: float
    output_limit: int
    rlimits: tuple[tuple[int, int], ...]


class CallTimeout(BaseException):
    """Raised in the program by the alarm; no subclass of Exception, so that few catch it."""


class _Alarm:
    """Whether a timeout may be raised now, and whether one was since `start`."""

    armed = False
    fired = False

    def start(self, seconds: float) -> None:
        self.fired = False
        self.armed = True
        # The timer keeps firing: a program that catches the first exception meets the next.
        setitimer(ITIMER_REAL, max(seconds, 1e-3), REFIRE_S)


_alarm = _Alarm()


def on_alarm(signum: int, frame: types.FrameType | None) -> None:
    """Handle SIGALRM. The worker installs it once, and every fork inherits it."""
    if _alarm.armed:
        _alarm.fired = True
        raise CallTimeout


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; a fork does not inherit this."""
    _prctl(_PR_SET_PDEATHSIG, int(SIGKILL), 0, 0, 0)


def protect_memory() -> None:
    """Keep other processes of this user from this one's memory (/proc/PID/mem, ptrace)."""
    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def run(job: Job, first: int, pipe: int) -> None:
    """Run a job in this freshly forked process, answering inputs from the `first` on.

    The caller leaves with `os._exit` afterwards, so neither `atexit` nor threads of the program
    delay the end.
    """
    setsid()
    die_with_parent()
    for name, value in job.rlimits:
        setrlimit(name, (value, value))
    seed(SEED)  # here, because Python seeds `random` anew after every fork
    if job.entry_point is None:
        _run_script(job, pipe)
    else:
        _run_calls(job, job.entry_point, first, pipe)


def _send(pipe: int, kind: Record, text: str = "") -> None:
    data = text.encode("ascii", "backslashreplace")
    data = HEADER.pack(kind.value, len(data)) + data
    while data:
        data = data[write_bytes(pipe, data) :]


def _describe(error: BaseException) -> str:
    """Say an exception's type and the start of its message; its `__str__` may be hostile."""
    name = type_name(error)
    try:
        message = str.__str__(str(error))
    except CallTimeout:
        raise
    except BaseException:  # any failure in hostile code: the type alone remains
        message = ""
    return f"{name}: {message[:MAX_DETAIL]}".rstrip()


def _with_line(error: BaseException, description: str) -> str:
    """Add the program's line at which an exception passed, where there is one."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<program>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{description} (line {line})" if line else description


def _compile(job: Job, pipe: int) -> types.CodeType | None:
    try:
        return compile(job.source, "<program>", "exec", dont_inherit=True)
    except CallTimeout:
        raise
    # SyntaxError, ValueError (null bytes, surrogates), RecursionError, MemoryError (nesting)
    except BaseException as error:
        _send(pipe, Record.DOES_NOT_COMPILE, _describe(error))
        return None


def _load(job: Job, module: types.ModuleType, pipe: int, failure: Record) -> bool:
    """Run the program's module; on failure send why, and return False."""
    kind, text = failure, ""
    _alarm.start(job.deadline - monotonic())
    try:
        try:
            code = _compile(job, pipe)
            if code is None:
                _alarm.armed = False
                return False
            exec(code, module.__dict__)
            _alarm.armed = False
            if not _alarm.fired:
                return True
        except MemoryError:
            text = LOAD_OUT_OF_MEMORY
        except BaseException as error:  # whatever a program can raise
            text = _with_line(error, _describe(error))
    except BaseException as error:  # the alarm again, while describing the error
        text = type_name(error)
    _alarm.armed = False
    if _alarm.fired:
        kind, text = Record.OVERTIME, LOAD_TIMED_OUT
    _send(pipe, kind, text)
    return False


def _new_module(name: str) -> types.ModuleType:
    """Make the namespace that the program runs in; dataclasses and pickle look it up by name."""
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = __builtins__
    sys.modules[name] = module
    return module


def _run_script(job: Job, pipe: int) -> None:
    token = job.token
    if _load(job, _new_module("__main__"), pipe, Record.STOPPED_EARLY):
        _send(pipe, Record.REACHED_END, token)


def _run_calls(job: Job, entry_point: str, first: int, pipe: int) -> None:
    # Not "__main__": what stands under `if __name__ == "__main__"` is no part of the function.
    module = _new_module("solution")
    if not _load(job, module, pipe, Record.FAILED_TO_LOAD):
        return
    function = module.__dict__.get(entry_point)
    if not callable(function):
        found = "is not defined" if function is None else f"is no function ({type_name(function)})"
        _send(pipe, Record.NO_ENTRY_POINT, f"{entry_point} {found}")
        return
    _send(pipe, Record.LOADED)
    n_timeouts = 0
    for arguments in job.arguments[first:]:
        left = job.deadline - monotonic()
        if left <= 0 or n_timeouts == MAX_TIMEOUTS_IN_A_ROW:
            return
        if isinstance(arguments, str):
            kind, text = Record.BAD_INPUT, arguments
        else:
            kind, text = _call(function, arguments, min(left, job.call_timeout_s), job.output_limit)
        n_timeouts = n_timeouts + 1 if kind is Record.TIMED_OUT else 0
        _send(pipe, kind, text)


def _call(
    function: Callable[..., Any], arguments: bytes, timeout_s: float, output_limit: int
) -> tuple[Record, str]:
    """Call the function on fresh copies of its arguments.

    The alarm stays armed until the result is written and dropped, because describing an
    exception and freeing a result run the program's code as well.
    """
    kind, text = Record.RAISED, ""
    _alarm.start(timeout_s)
    try:
        try:
            value = function(*loads(arguments))
            kind, text = Record.RETURNED, write(value, output_limit)
        except MemoryError:
            kind = Record.OUT_OF_MEMORY
        except TooLarge as error:
            kind, text = Record.OUTPUT_TOO_LARGE, str(error)
        except NotRepresentable as error:
            kind, text = Record.NOT_REPRESENTABLE, str(error)
        except BaseException as error:  # whatever a program can raise
            text = _describe(error)
        value = None
    except BaseException as error:  # the alarm again, while describing the error
        kind = Record.OUT_OF_MEMORY if type(error) is MemoryError else Record.RAISED
        text = type_name(error)
    # No call may stand between the handlers above and this line: the interpreter looks for
    # signals at calls, and a late alarm would escape from here.
    _alarm.armed = False
    return (Record.TIMED_OUT, "") if _alarm.fired else (kind, text)

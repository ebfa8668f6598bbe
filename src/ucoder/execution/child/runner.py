"""The forked side: load one program, call it, and stream one record an answer.

This code shares its process with the program, so nothing here is safe from it: a program can
forge its own records, patch what this file uses, or kill itself half way. That costs the program
only its own answers: whatever it sends is bounded and checked by the reader (`watch`), and again
by the parent. Functions of the standard library are bound by name at import, so that a program
that replaces `time.monotonic` or `os.write` for its own use breaks nothing here.

Each record is written to the pipe as soon as it exists, so that the answers given before a kill
are kept.
"""

from __future__ import annotations

import sys
import types

# Bound here, because a program may replace them in `builtins`.
from builtins import callable, compile, isinstance, len, max, min, str, type, zip  # noqa: UP029
from collections.abc import Callable
from functools import partial
from marshal import dumps, loads
from os import O_WRONLY, close, setsid
from os import open as open_file
from os import write as write_bytes
from resource import setrlimit
from signal import ITIMER_REAL, SIGINT, default_int_handler, setitimer, signal
from time import monotonic, process_time
from typing import Any, Final, NamedTuple

from ucoder.execution.canonical.errors import NotRepresentable, TooLarge
from ucoder.execution.canonical.reflection import type_name
from ucoder.execution.canonical.writer import write
from ucoder.execution.child import records
from ucoder.execution.child.collecting import NothingTested, TestScript
from ucoder.execution.child.records import NAN, RAISED, RETURNED, TIMED_OUT, pack, pack_header

MARSHAL_VERSION: Final = 2
"""The last version that writes equal values alike, however often their parts are shared."""

MAX_MESSAGE: Final = 300
"""Longest message about an exception, in characters."""

MUTABLE: Final = 1
"""The flag of an input that a call could change."""

PICKLED: Final = 2
"""The flag of an input that marshal cannot write: it holds dates, Decimals or Fractions."""

_SHORT_S: Final = 0.0002
"""The CPU clock is read only after calls that take at least this long together."""

_TICKS_PER_CALL: Final = 8
_SHORTEST_TICK_S: Final = 0.01
_LONGEST_TICK_S: Final = 0.1


class Job(NamedTuple):
    """One program, ready to be forked for.

    Attributes:
        source: The program's text.
        entry_point: The function to call; None runs the text as a script.
        arguments: One entry per input: the marshalled argument tuple, or why it cannot be read.
        flags: One byte per input: 0, MUTABLE or PICKLED.
        call_timeout_s: CPU seconds for one call, and wall-clock seconds times `wall_time_factor`.
        cpu_limit_s: CPU seconds for the whole program, with all its processes.
        deadline: When the whole program has to be done, on the monotonic clock.
        wall_time_factor: How much more wall-clock than CPU time a call may take; 1 at first.
        output_limit: Longest canonical text of a result, and of changed arguments.
        max_timeouts: After this many timeouts in a row the program is not called again.
        rlimits: Resource limits as pairs of a resource and its value.
        candidates: What a `check(candidate)` of a script tests; None where the caller named
            nothing.
        as_script: Whether a script's end is its verdict, whatever it asserts.
    """

    source: str
    entry_point: str | None
    arguments: tuple[bytes | str, ...]
    flags: bytes
    call_timeout_s: float
    cpu_limit_s: float
    deadline: float
    wall_time_factor: float
    output_limit: int
    max_timeouts: int
    rlimits: tuple[tuple[int, int], ...]
    candidates: tuple[str, ...] | None = None
    as_script: bool = False


class CallTimeout(BaseException):
    """Raised in the program by the alarm; not an Exception, so that few programs catch it."""


class _Alarm:
    """The deadline of the running call, and whether the alarm has fired in it.

    One timer ticks through the whole program and the handler looks at the clock: setting a timer
    anew for every call costs more than most calls. It keeps ticking, so a program that catches
    the first exception meets the next.
    """

    def __init__(self) -> None:
        # Here and not in the class: Python finds an instance's own attributes faster.
        self.armed = False
        self.fired = False
        self.deadline = 0.0
        self.cpu_deadline = 0.0


_alarm = _Alarm()


def on_alarm(signum: int, frame: types.FrameType | None) -> None:
    """Handle SIGALRM. The worker installs it once, and every fork inherits it."""
    if _alarm.armed and (
        monotonic() >= _alarm.deadline or (process_time() >= _alarm.cpu_deadline > 0)
    ):
        _alarm.fired = True
        raise CallTimeout


def start_clock(job: Job) -> None:
    """Start the timer; no deadline is armed yet."""
    tick = min(max(job.call_timeout_s / _TICKS_PER_CALL, _SHORTEST_TICK_S), _LONGEST_TICK_S)
    setitimer(ITIMER_REAL, tick, tick)


def run(job: Job, first: int, pipe: int) -> None:
    """Run a job in this freshly forked process, answering inputs from the `first` on.

    The caller leaves with `os._exit` afterwards, so neither `atexit` nor threads of the program
    delay the end.
    """
    confine(job)
    start_clock(job)
    if job.entry_point is None:
        prepare = _plain if job.as_script else partial(_collecting, job)
        if load(job, "__main__", pipe, records.STOPPED_EARLY, prepare) is not None:
            send(pipe, pack(records.REACHED_END))
    else:
        _run_calls(job, job.entry_point, first, pipe)


def confine(job: Job) -> None:
    """Put this process under the job's limits, in a session of its own."""
    setsid()
    signal(SIGINT, default_int_handler)  # as usual in Python; the worker has none
    for name, value in job.rlimits:
        setrlimit(name, (value, value))


def send(pipe: int, record: bytes) -> None:
    """Write one record; the reader may be slow, and then this waits."""
    sent = write_bytes(pipe, record)
    while sent < len(record):
        sent += write_bytes(pipe, record[sent:])


def describe(error: BaseException) -> str:
    """Return an exception's type and the start of its message; its `__str__` may be hostile."""
    name = type_name(error)
    try:
        message = str.__str__(str(error))
    except CallTimeout:
        raise
    except BaseException:  # any failure in hostile code: the type alone remains
        message = ""
    return f"{name}: {message[:MAX_MESSAGE]}".rstrip()


def _with_line(error: BaseException, description: str) -> str:
    """Add the program's line at which an exception passed, where there is one."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<program>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{description} (line {line})" if line else description


def _plain(source: str) -> Callable[[dict[str, Any]], None]:
    code = compile(source, "<program>", "exec", dont_inherit=True)
    return partial(exec, code)


def _collecting(job: Job, source: str) -> Callable[[dict[str, Any]], None]:
    script = TestScript(source, "<program>")
    candidates = job.candidates or script.functions
    return lambda names: script.run(names, candidates, may_exit=False)


def load(
    job: Job,
    name: str,
    pipe: int,
    failure: bytes,
    prepare: Callable[[str], Callable[[dict[str, Any]], None]] = _plain,
) -> types.ModuleType | None:
    """Run the program's text as a module; on failure send the reason, and return None.

    Args:
        job: The program.
        name: The module's name, as the program sees it.
        pipe: Where a failure is sent.
        failure: The kind of record for a module that raised.
        prepare: Compiles the text; what it returns runs it in a namespace.
    """
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = __builtins__
    sys.modules[name] = module  # dataclasses and pickle look it up by name
    kind, text = failure, ""
    _alarm.deadline, _alarm.cpu_deadline = job.deadline, 0.0
    _alarm.fired, _alarm.armed = False, True
    try:
        try:
            kind = records.DOES_NOT_COMPILE
            execute = prepare(job.source)
            kind = failure
            execute(module.__dict__)
            _alarm.armed = False
            if not _alarm.fired:
                return module
        except MemoryError:
            # The compiler raises it for text that is nested too deeply.
            text = "MemoryError" if kind != failure else records.LOAD_OUT_OF_MEMORY
        except NothingTested as error:
            kind, text = records.NOT_JUDGED, str(error)
        except BaseException as error:  # whatever a program can raise
            text = describe(error) if kind != failure else _with_line(error, describe(error))
    except BaseException as error:  # the alarm again, while describing the error
        text = type_name(error)
    _alarm.armed = False
    if _alarm.fired:
        kind, text = records.OVERTIME, records.LOAD_TIMED_OUT
    send(pipe, pack(kind, text))
    return None


def _run_calls(job: Job, entry_point: str, first: int, pipe: int) -> None:
    # Not "__main__": code under `if __name__ == "__main__"` does not belong to the function.
    module = load(job, "solution", pipe, records.FAILED_TO_LOAD)
    if module is None:
        return
    function = module.__dict__.get(entry_point)
    if not callable(function):
        found = (
            "is not defined" if function is None else f"is not a function ({type_name(function)})"
        )
        send(pipe, pack(records.NO_ENTRY_POINT, f"{entry_point} {found}"))
        return
    send(pipe, pack(records.LOADED))
    call_all(job, function, first, pipe)


def call_all(job: Job, function: Callable[..., Any], first: int, pipe: int) -> None:
    """Call a function on the inputs from the `first` on, and send a record for each.

    A program of many short calls spends its time here and in the calls. Reading the CPU clock is
    a system call, so it is read only when `_SHORT_S` have passed since the last reading; shorter
    calls are reported without CPU time.
    """
    alarm, output_limit, deadline = _alarm, job.output_limit, job.deadline
    cpu_limit_s, wall_limit_s = job.call_timeout_s, job.call_timeout_s * job.wall_time_factor
    n_timeouts, max_timeouts = 0, job.max_timeouts
    ended = monotonic()
    read_at, cpu_read = ended, process_time()
    for arguments, flag in zip(job.arguments[first:], job.flags[first:], strict=True):
        started = ended
        if started >= deadline or n_timeouts == max_timeouts:
            return
        if isinstance(arguments, str):
            send(pipe, pack(records.BAD_INPUT, arguments))
            continue
        limit = started + wall_limit_s
        alarm.deadline = limit if limit < deadline else deadline
        alarm.cpu_deadline = cpu_read + cpu_limit_s
        kind, text, changed = call(function, arguments, flag, output_limit)
        n_timeouts = n_timeouts + 1 if kind == TIMED_OUT else 0
        ended = monotonic()
        if ended - read_at > _SHORT_S:
            cpu_before, cpu_read = cpu_read, process_time()
            # The calls since the last reading took less than a moment together.
            cpu = max(cpu_read - cpu_before - (started - read_at), 0.0)
            read_at = ended
        else:
            cpu = NAN
        if changed:
            record = pack(kind, text, changed, ended - started, cpu)
        else:  # `pack`, without its calls
            record = pack_header(kind, len(text), 0, ended - started, cpu) + text.encode()
        sent = write_bytes(pipe, record)
        if sent != len(record):  # the pipe was full, and a tick of the timer came
            send(pipe, record[sent:])


def call(
    function: Callable[..., Any], blob: bytes, flag: int, output_limit: int
) -> tuple[bytes, str, str]:
    """Call the function on fresh copies of its arguments.

    The alarm stays armed until the result is written and dropped, because describing an
    exception and freeing a result run the program's code as well.

    Returns:
        The record's kind, its text, which is ASCII, and the text of the arguments where the call
        changed them.
    """
    kind, text, changed = RAISED, "", ""
    alarm = _alarm
    alarm.fired = False
    alarm.armed = True
    try:
        try:
            arguments = loads(blob) if flag != PICKLED else _unpickled(blob)
            value = function(*arguments)
            kind, text = RETURNED, write(value, output_limit)
            if flag:
                try:
                    same = flag == MUTABLE and dumps(arguments, MARSHAL_VERSION) == blob
                except ValueError:  # they hold what no input holds
                    same = False
                if not same:
                    changed = _changes(arguments, blob, flag, output_limit)
        except MemoryError:
            kind = records.OUT_OF_MEMORY
        except TooLarge as error:
            kind, text = records.OUTPUT_TOO_LARGE, str(error)
        except NotRepresentable as error:
            kind, text = records.NOT_REPRESENTABLE, str(error)
        except BaseException as error:  # whatever a program can raise
            text = describe(error).encode("ascii", "backslashreplace").decode()
        value = None
    except BaseException as error:  # the alarm again, while describing the error
        kind = records.OUT_OF_MEMORY if type(error) is MemoryError else records.RAISED
        text = type_name(error)
    # No call may stand between the handlers above and this line: the interpreter looks for
    # signals at calls, and a late alarm would escape from here.
    alarm.armed = False
    if alarm.fired:
        return TIMED_OUT, "", ""
    return kind, text, changed


def _unpickled(blob: bytes) -> tuple[Any, ...]:
    from pickle import loads as unpickle  # the parent made it out of plain data

    arguments: tuple[Any, ...] = unpickle(blob)
    return arguments


def _changes(arguments: tuple[Any, ...], blob: bytes, flag: int, output_limit: int) -> str:
    """The arguments' text if it has changed, "" if it has not, "?" if they have none now."""
    original = loads(blob) if flag == MUTABLE else _unpickled(blob)
    try:
        text = write(arguments, output_limit)
        # The bytes of equal sets may differ, so the text has the last word.
        return "" if text == write(original, output_limit) else text
    except (NotRepresentable, TooLarge):
        return "?"


def warm_up() -> None:
    """Call a small program a few times in this process, and discard the answers.

    Python rewrites bytecode that runs often to a faster form, in place. Done in the worker, this
    serves all forks; done in a fork, it is lost with it, and each page that it writes to has to
    be copied first.
    """
    source = "def f(x, y):\n    return x if y else [x, (y, 'a'), {1: 2.5}]\n"
    arguments = [dumps(pair, MARSHAL_VERSION) for pair in ((1, 2), ([1, 2], "a"), ((), [3]))]
    n = 40
    job = Job(
        source, "f", tuple(arguments) * n, bytes([0, MUTABLE, MUTABLE]) * n, 9.0, 9.0,
        monotonic() + 9, 1.0, 9999, 2, (),
    )  # fmt: skip
    null = open_file("/dev/null", O_WRONLY)
    for _ in range(2):
        _run_calls(job, "f", 0, null)
    sys.modules.pop("solution", None)
    close(null)

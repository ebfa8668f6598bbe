"""A test script and the program that it tests, in two processes.

The judge runs the script. Where the script calls a function of the program, a stub sends the
arguments to the program's process and waits for the answer, which comes as canonical text and is
read by a parser that builds plain data only. So the program never shares memory with expected
answers, and cannot answer with an object that claims to equal everything.

The program's process is forked first, and the judge alone reads the script's text, straight from
the parent's pipe: it is never in the memory of the program, nor of the worker, from which the next
program is forked. The judge sends its verdict through a pipe that the program does not have.

Frames to the program are four bytes of length and a marshalled or pickled call; back come records.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
import types

# Bound here, because a program may replace them in `builtins`.
from builtins import callable, isinstance, issubclass, len, max, min, type, vars, zip  # noqa: UP029
from collections.abc import Callable
from marshal import dumps, loads
from os import read as read_bytes
from typing import Any, Final

from ucoder.execution.child import records, runner
from ucoder.execution.child.records import HEADER, pack
from ucoder.execution.child.runner import MARSHAL_VERSION, Job, send
from ucoder.execution.child.watch import Watch

_NAMES: Final = b"D"
"""A record of the program's process: what its module defines, one name per line."""

_REFUSALS: Final = (records.DOES_NOT_COMPILE, records.STOPPED_EARLY, records.OVERTIME)
"""What a program's process may send instead; it is then the verdict."""

_MAX_NAMES: Final = 1 << 24
_BROKEN: Final = "the program broke its result channel"


class ProgramError(Exception):
    """Stands for an exception whose class the program itself defined."""


class _Over(BaseException):
    """Ends the test: the program cannot be called any more. `record` holds the verdict."""

    def __init__(self, kind: bytes, text: str) -> None:
        super().__init__(text)
        self.record = pack(kind, text[: records.MAX_DETAIL])


def run_trial(
    watch: Watch, requests: int, n_bytes: int, reader: Any, entry_point: str | None = None
) -> bool:
    """Run a program against a test script that waits in the parent's pipe.

    Args:
        watch: Prepared for the program; its status is the verdict afterwards.
        requests: The parent's pipe. The worker itself never reads the script.
        n_bytes: The script's length.
        reader: The module that reads canonical text.
        entry_point: The function under test, where the caller named it.

    Returns:
        Whether the script was read from the pipe; if not, the worker has to be replaced.
    """
    call_read, call_write = os.pipe()
    answer_read, answer_write = os.pipe()
    program = watch.fork(
        lambda: serve(watch.job, call_read, answer_write), (call_write, answer_read)
    )
    for descriptor in (call_read, answer_write):
        os.close(descriptor)
    verdict_read, verdict_write = os.pipe()
    judging = watch.fork(
        lambda: judge(
            watch.job,
            entry_point,
            reader,
            requests,
            n_bytes,
            call_write,
            answer_read,
            verdict_write,
        ),
        (verdict_read,),
        keep=requests,
    )
    for descriptor in (call_write, answer_read, verdict_write):
        os.close(descriptor)
    try:
        end, how = watch.follow(judging, verdict_read)
    finally:
        os.close(verdict_read)
        watch.reap(program)
    watch.conclude(end, how)
    return watch.loaded


def serve(job: Job, calls: int, answers: int) -> None:
    """Run as the program's process: load it, report what it defines, and answer calls.

    Args:
        job: The program; its entry point and inputs are not used.
        calls: Where frames come from.
        answers: Where records go.
    """
    runner.confine(job)
    runner.start_clock(job)
    module = runner.load(job, "__main__", answers, records.STOPPED_EARLY)
    if module is None:
        return
    namespace = module.__dict__
    names = [name for name in namespace if type(name) is str and not name.startswith("__")]
    offered = [name for name in names if callable(namespace[name])]
    modules = [(name, namespace[name]) for name in names if type(namespace[name]) is type(sys)]
    offered += [f"{name}={module.__name__}" for name, module in modules]
    send(answers, pack(_NAMES, "\n".join(offered)))
    while (frame := _read_frame(calls)) is not None:
        marshalled, blob = frame[:1] == b"m", frame[1:]
        name, arguments, keywords = loads(blob) if marshalled else runner._unpickled(blob)
        function = namespace.get(name)
        flag = runner.MUTABLE if marshalled else runner.PICKLED
        blob = dumps(arguments, MARSHAL_VERSION) if marshalled else _pickled(arguments)
        bound = _bound(function, keywords)
        runner._alarm.deadline, runner._alarm.cpu_deadline = job.deadline, 0.0
        kind, text, changed = runner.call(bound, blob, flag, job.output_limit)
        send(answers, pack(kind, text, changed))


def _bound(function: Any, keywords: dict[str, Any]) -> Callable[..., Any]:
    if not keywords:
        return function  # type: ignore[no-any-return]
    return lambda *arguments: function(*arguments, **keywords)


def judge(
    job: Job,
    entry_point: str | None,
    reader: Any,
    tests: int,
    n_bytes: int,
    calls: int,
    answers: int,
    verdict: int,
) -> None:
    """Run as the judge: read the script, run it against stubs, and report how it ended.

    Args:
        job: The limits; the program's text in it is not used.
        entry_point: The function under test, where the caller named it.
        reader: The module `canonical.reader`.
        tests: The parent's pipe, from which exactly `n_bytes` of script are read.
        n_bytes: The script's length.
        calls: Where calls for the program go.
        answers: Where its records come from.
        verdict: Where the one record with the verdict goes.
    """
    script = _read_exactly(tests, n_bytes)
    os.close(tests)
    send(verdict, pack(records.LOADED))  # now the worker may read the parent's pipe again
    if script is None:
        return
    runner.confine(job)
    program = _Program(job.output_limit, reader, calls, answers)
    try:
        module = types.ModuleType("__main__")
        module.__dict__["__builtins__"] = __builtins__
        for name, imported in program.names(entry_point):
            bound = importlib.import_module(imported) if imported else program.stub(name)
            module.__dict__[name] = bound
        sys.modules["__main__"] = module
        code = compile(
            script.decode("utf-8", "surrogatepass"), "<tests>", "exec", dont_inherit=True
        )
        exec(code, module.__dict__)
    except BaseException as error:
        end = pack(records.STOPPED_EARLY, _failure(error))
    else:
        end = pack(records.REACHED_END)
    # A test that catches everything may have swallowed the reason why it could not be run.
    send(verdict, program.over or end)


class _Program:
    """The judge's view of the program's process."""

    def __init__(self, limit: int, reader: Any, calls: int, answers: int) -> None:
        self.limit = limit
        self.reader = reader
        self.calls = calls
        self.answers = answers
        self.over = b""

    def end(self, kind: bytes, text: str) -> _Over:
        """Remember that the test cannot go on, and why."""
        over = _Over(kind, text)
        self.over = self.over or over.record
        return over

    def names(self, entry_point: str | None) -> list[tuple[str, str]]:
        """Wait until the program has loaded, and return what it defines.

        A test script may rely on the program's imports. It gets modules of the standard library
        under the same names, imported in its own process.

        Args:
            entry_point: The function under test. Other functions that are named like a builtin
                are left out: a program that defines `all` does so for itself, not for its tests.

        Returns:
            Names, each with the module to import, or "" for a function of the program.
        """
        kind, text, _ = self.receive(_MAX_NAMES)
        if kind in _REFUSALS:
            raise self.end(kind, text)
        if kind != _NAMES:  # must not become the verdict: it may claim that the tests passed
            raise self.end(records.KILLED, _BROKEN)
        found = []
        for line in text.split("\n"):
            name, _, imported = line.partition("=")
            if not (name.isascii() and name.isidentifier()):
                continue
            if name in vars(builtins) and name != entry_point:
                continue
            if not imported or imported.partition(".")[0] in sys.stdlib_module_names:
                found.append((name, imported))
        return found

    def receive(self, limit: int) -> tuple[bytes, str, str]:
        header = _read_exactly(self.answers, HEADER.size)
        if header is None:
            raise self.end(records.KILLED, "the program's process ended")
        kind, n_text, n_changed, _, _ = HEADER.unpack(header)
        if max(n_text, n_changed) > limit:
            raise self.end(records.KILLED, _BROKEN)
        texts = _read_exactly(self.answers, n_text + n_changed)
        if texts is None or not texts.isascii():
            raise self.end(records.KILLED, _BROKEN)
        return kind, texts[:n_text].decode(), texts[n_text:].decode()

    def stub(self, name: str) -> Callable[..., Any]:
        """A function that calls the function of this name in the program's process."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            return self.call(name, arguments, keywords)

        call.__name__ = call.__qualname__ = name
        return call

    def call(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        request = (name, arguments, keywords)
        try:
            frame = b"m" + dumps(request, MARSHAL_VERSION)
        except ValueError:  # more than plain builtins
            frame = b"p" + self.pickled(request)
        try:
            send(self.calls, len(frame).to_bytes(4, "big") + frame)
        except BrokenPipeError:
            raise self.end(records.KILLED, "the program's process ended") from None
        kind, text, changed = self.receive(max(self.limit, records.MAX_DETAIL))
        if changed:
            self.apply(arguments, changed)
        if kind == records.RETURNED:
            return self.parse(text)
        raise self.exception(kind, text)

    def apply(self, arguments: tuple[Any, ...], text: str) -> None:
        """Apply the program's changes of its arguments to the judge's, one level deep."""
        if text == "?":
            raise self.cannot_cross("the function put a value into its arguments", "or a cycle")
        after = self.parse(text)
        for mine, new in zip(arguments, after if type(after) is tuple else (), strict=False):
            if type(mine) is not type(new):
                continue
            if type(mine) is list:
                mine[:] = new
            elif type(mine) is dict or type(mine) is set:
                mine.clear()
                mine.update(new)

    def parse(self, text: str) -> Any:
        try:
            return self.reader.parse(text)
        except ValueError as error:  # CanonicalError
            raise self.end(records.KILLED, f"{_BROKEN}: {error}") from None

    def pickled(self, request: tuple[Any, ...]) -> bytes:
        try:
            return _pickled(request)
        except Exception as error:  # pickle may raise anything
            raise self.cannot_cross("the tests pass something", f"({error})") from None

    def cannot_cross(self, what: str, detail: str) -> _Over:
        """End the test because a value cannot cross; a test cannot catch that as an exception."""
        return self.end(records.STOPPED_EARLY, f"{what} {detail}, which is not plain data")

    def exception(self, kind: bytes, text: str) -> BaseException:
        """The exception that a call raised: of the same class if that is a builtin one."""
        if kind == records.OUT_OF_MEMORY:
            return MemoryError()
        if kind == records.TIMED_OUT:
            return self.end(records.OVERTIME, "the time limit was reached")
        if kind == records.OUTPUT_TOO_LARGE:
            return self.end(records.STOPPED_EARLY, f"the function returned {text}")
        if kind == records.NOT_REPRESENTABLE:
            return self.cannot_cross("the function returned a value of type", text)
        if kind != records.RAISED:
            return self.end(records.KILLED, _BROKEN)
        name, _, message = text.partition(": ")
        found = vars(builtins).get(name.rstrip(":"))
        if isinstance(found, type) and issubclass(found, Exception):
            try:
                return found(message)
            except TypeError:  # UnicodeDecodeError wants more
                pass
        return ProgramError(text)


def _pickled(value: object) -> bytes:
    import pickle

    return pickle.dumps(value)


def _failure(error: BaseException) -> str:
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<tests>":
            line = trace.tb_lineno
        trace = trace.tb_next
    text = runner.describe(error)
    return f"{text} (line {line} of the tests)" if line else text


def _read_frame(descriptor: int) -> bytes | None:
    header = _read_exactly(descriptor, 4)
    return None if header is None else _read_exactly(descriptor, int.from_bytes(header, "big"))


def _read_exactly(descriptor: int, n_bytes: int) -> bytes | None:
    """Read exactly `n_bytes`; None where the other side closed the pipe before."""
    parts = []
    while n_bytes:
        part = read_bytes(descriptor, min(n_bytes, 1 << 20))
        if not part:
            return None
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)

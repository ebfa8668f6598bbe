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
from builtins import callable, getattr, isinstance, issubclass, len, max, min, type, vars  # noqa: UP029
from functools import partial
from io import StringIO
from marshal import dumps, loads
from os import read as read_bytes
from typing import Any, Final

from ucoder.execution.canonical.errors import NotRepresentable, TooLarge
from ucoder.execution.canonical.reflection import field_values, fields_of, named_fields
from ucoder.execution.canonical.writer import write
from ucoder.execution.child import records, runner
from ucoder.execution.child.collecting import NothingTested, TestScript
from ucoder.execution.child.exceptions import DescribedExceptions, RaisedExceptions
from ucoder.execution.child.records import HEADER, pack
from ucoder.execution.child.runner import MARSHAL_VERSION, CallTimeout, Job, send
from ucoder.execution.child.sharing import SharedObjects
from ucoder.execution.child.stand_ins import ProgramFunction, StandIns
from ucoder.execution.child.watch import Watch

_NAMES: Final = b"D"
"""A record of the program's process: what its module defines."""

_REFUSALS: Final = (records.DOES_NOT_COMPILE, records.STOPPED_EARLY, records.OVERTIME)
"""What a program's process may send instead; it is then the verdict."""

_OF_SITE: Final = ("exit", "quit", "help", "copyright", "credits", "license")
"""What the module `site`, which workers do not load, adds to the builtins."""

_MAX_NAMES: Final = 1 << 24
_EXTRA: Final = 4  # what comes beside a result may be this much longer than a result
_NOTHING: Final = dumps((), MARSHAL_VERSION)
_BROKEN: Final = "the program broke its result channel"
_UNREADABLE: Final = "unreadable"
_STAYS: Final = "stays in the program's process"


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
    # Not "__main__", as in `call`: the tests import it.
    module = runner.load(job, "solution", answers, records.STOPPED_EARLY)
    if module is None:
        return
    server = _Server(module.__dict__)
    send(answers, pack(_NAMES, write(server.names(), _MAX_NAMES)))
    while (frame := _read_frame(calls)) is not None:
        runner._alarm.deadline, runner._alarm.cpu_deadline = job.deadline, 0.0
        answer = partial(server.answer, frame)
        kind, text, _ = runner.call(answer, _NOTHING, 0, job.output_limit)
        extra = ""
        if kind == records.RETURNED:
            try:
                extra = write(server.extra, _EXTRA * job.output_limit)
            except NotRepresentable as error:
                kind, text = records.NOT_REPRESENTABLE, f"{error}, in its arguments"
            except TooLarge as error:
                kind, text = records.OUTPUT_TOO_LARGE, str(error)
        send(answers, pack(kind, text, extra))


class _Server:
    """The program's side of its calls.

    Attributes:
        extra: What goes to the tests beside the last result: the exception that was raised
            instead, the arguments that have changed, the numbers of the containers in both, and
            what was printed, where the tests want to know.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.shared = SharedObjects(1, _parts)
        self.exceptions = DescribedExceptions()
        self.extra: tuple[Any, ...] = ()

    def names(self) -> list[tuple[str, str, Any]]:
        """The module's names: each with its kind, and what the tests need to know of it."""
        found: list[tuple[str, str, Any]] = []
        for name, value in self.namespace.items():
            if type(name) is not str or name.startswith("__"):
                continue
            kind = type(value)
            if kind is type(sys):
                module = value.__dict__.get("__name__")
                found.append((name, "module", module if type(module) is str else ""))
            elif isinstance(value, type) and issubclass(value, BaseException):
                found.append((name, "exception", self.exceptions.of_class(value)))
            elif callable(value):
                code = value.__code__ if kind is types.FunctionType else None
                is_own = code is not None and code.co_filename == "<program>"
                found.append((name, "class" if isinstance(value, type) else "function", is_own))
            else:
                found.append((name, "variable", None))
        return found

    def answer(self, frame: bytes) -> Any:
        """Do what the tests ask for; returns a value, and leaves the rest in `extra`."""
        load = loads if frame[:1] == b"m" else runner._unpickled
        try:
            operation, path, values, keywords, labels, is_captured = load(frame[1:])
        except Exception as error:  # an object of a class that the tests define
            self.extra = (_UNREADABLE, runner.describe(error)), [], [], ""
            return None
        values = self.shared.adopt(values, labels)
        before = _marshalled(values) if labels else b""
        n_positional = len(values) - len(keywords)
        value, raised, printed = None, None, StringIO()
        streams = sys.stdout, sys.stderr
        if is_captured:
            sys.stdout = sys.stderr = printed
        try:
            value = self.namespace.get(path.partition(".")[0])
            for name in path.split(".")[1:]:
                value = getattr(value, name)
            if operation == "call":
                named = dict(zip(keywords, values[n_positional:], strict=True))
                value = value(*values[:n_positional], **named)  # type: ignore[misc]
            elif callable(value):
                value, raised = None, ("class" if isinstance(value, type) else "function",)
        except (CallTimeout, MemoryError):
            raise
        except BaseException as error:  # whatever a program can raise
            value, raised = None, self.exceptions.of(error)
        finally:
            if is_captured:
                sys.stdout, sys.stderr = streams
        changed = values if labels and (before is None or before != _marshalled(values)) else []
        numbers = self.shared.label([value, *changed])
        self.extra = raised, changed, numbers, printed.getvalue()
        return value


def _marshalled(values: list[Any]) -> bytes | None:
    try:
        return dumps(values, MARSHAL_VERSION)
    except ValueError:
        return None


def _parts(value: Any) -> list[Any] | None:
    """What an object holds that crosses as a record, in the order of its text."""
    kind = type(value)
    try:
        fields = named_fields(kind)
        if fields is not None:
            return [*tuple.__iter__(value)]
        return [item for _, item in field_values(value, kind, fields_of(kind))]
    except (AttributeError, KeyError, TypeError):
        return None


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
        candidates = program.define(module.__dict__, entry_point)
        sys.modules["__main__"] = module
        text = script.decode("utf-8", "surrogatepass")
        TestScript(text, "<tests>").run(module.__dict__, candidates, may_exit=True)
        if not program.n_calls:
            raise NothingTested("nothing was tested: the tests never called the program")
    except NothingTested as error:
        end = pack(records.NOT_JUDGED, str(error))
    except NameError as error:
        if error.name in program.variables:
            program.cannot_judge(
                f"the tests use the program's variable {error.name}, which {_STAYS}"
            )
        end = pack(records.STOPPED_EARLY, _failure(error))
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
        self.n_calls = 0
        self.variables: set[str] = set()
        self.stand_ins = StandIns(reader, self.refuse)
        self.shared = SharedObjects(0, self.stand_ins.parts, self.stand_ins.rebuild)
        self.exceptions = RaisedExceptions(self.refuse)
        self.functions: dict[str, ProgramFunction] = {}
        self.outside = sys.stdin, sys.stdout, sys.stderr, builtins.input

    def end(self, kind: bytes, text: str) -> _Over:
        """Remember that the test cannot go on, and why."""
        over = _Over(kind, text)
        self.over = self.over or over.record
        return over

    def refuse(self, what: str) -> _Over:
        """End the test because something cannot cross; a test cannot catch that."""
        return self.end(records.STOPPED_EARLY, f"{what} {_STAYS}")

    def cannot_judge(self, why: str) -> _Over:
        """End the test because of what it asks for, whatever the program does."""
        return self.end(records.NOT_JUDGED, why)

    def define(self, names: dict[str, Any], entry_point: str | None) -> list[str]:
        """Wait until the program has loaded, and bind what it defines.

        A test script may rely on the program's imports. It gets modules of the standard library
        under the same names, imported in its own process.

        Args:
            names: The tests' namespace.
            entry_point: The function under test. Other functions that are named like a builtin
                are left out: a program that defines `all` does so for itself, not for its tests.

        Returns:
            What a `check(candidate)` may be meant for: the entry point, or every function.
        """
        kind, text, _ = self.receive(_MAX_NAMES)
        if kind in _REFUSALS:
            raise self.end(kind, text)
        if kind != _NAMES:  # must not become the verdict: it may claim that the tests passed
            raise self.end(records.KILLED, _BROKEN)
        candidates = []
        try:
            for name, what, about in self.reader.parse(text, max_chars=_MAX_NAMES):
                if not (name.isascii() and name.isidentifier()) or name.startswith("__"):
                    continue  # honest programs do not send it
                if (name in vars(builtins) or name in _OF_SITE) and name != entry_point:
                    continue
                if what == "variable":
                    self.variables.add(name)
                elif what == "module":
                    if about.partition(".")[0] in sys.stdlib_module_names:
                        names[name] = importlib.import_module(about)
                elif what == "exception":
                    names[name] = self.exceptions.class_of(about)
                else:
                    names[name] = self.function(name, what == "class")
                    if about is True:
                        candidates.append(name)
        except (AttributeError, TypeError, ValueError) as error:
            raise self.end(records.KILLED, f"{_BROKEN}: {error}") from None
        return (
            candidates if entry_point is None else [name for name in [entry_point] if name in names]
        )

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

    def function(self, path: str, is_class: bool) -> ProgramFunction:
        """What stands for a function or class of the program; always the same object."""
        if path not in self.functions:
            self.functions[path] = ProgramFunction(path, is_class, self.ask, self.refuse)
        return self.functions[path]

    def ask(
        self,
        operation: str,
        path: str,
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        """Have the program call a function, or get a value: "call" or "get", and a dotted path."""
        stdin, stdout, stderr, read = self.outside
        if sys.stdin is not stdin or builtins.input is not read:
            raise self.cannot_judge(f"the tests replace standard input, and {path} reads its own")
        keywords = keywords or {}
        is_captured = sys.stdout is not stdout or sys.stderr is not stderr
        values = [*arguments, *keywords.values()]
        try:
            labels = self.shared.label(values)
        except NotRepresentable as error:
            raise self.cannot_judge(f"the tests pass {error}, which is not plain data") from None
        request = (operation, path, values, list(keywords), labels, is_captured)
        try:
            frame = b"m" + dumps(request, MARSHAL_VERSION)
        except ValueError:  # more than plain builtins
            frame = b"p" + self.pickled(request)
        try:
            send(self.calls, len(frame).to_bytes(4, "big") + frame)
        except BrokenPipeError:
            raise self.end(records.KILLED, "the program's process ended") from None
        self.n_calls += operation == "call"
        kind, text, extra = self.receive(max(_EXTRA * self.limit, records.MAX_DETAIL))
        if kind != records.RETURNED:
            raise self.failure(kind, text)
        try:
            (value,), rest = [self.parse(text)], self.parse(extra)
            raised, changed, labels, printed = rest
            result, *_ = self.shared.adopt([value, *changed], labels)
            exception = None
            if raised is not None and raised[0] == _UNREADABLE:
                why = f"the tests pass what the program's process cannot read: {raised[1]}"
                raise self.cannot_judge(why)
            if raised is not None and len(raised) == 1:
                return self.function(path, raised[0] == "class")
            if raised is not None:
                exception = self.exceptions.make(*raised)
        except (AttributeError, KeyError, TypeError, ValueError, ImportError) as fault:
            raise self.end(records.KILLED, f"{_BROKEN}: {fault}") from None
        if is_captured and printed:
            (sys.stdout if sys.stdout is not stdout else sys.stderr).write(printed)
        if isinstance(exception, (StopIteration, StopAsyncIteration)):
            why = f"{path} raised {type(exception).__name__}, which may end a loop of the tests"
            raise self.end(records.STOPPED_EARLY, why)
        if exception is not None:
            raise exception
        return result

    def parse(self, text: str) -> Any:
        return self.reader.parse(text, max_chars=_MAX_NAMES)

    def pickled(self, request: tuple[Any, ...]) -> bytes:
        try:
            return _pickled(request)
        except Exception as error:  # pickle may raise anything
            why = f"the tests pass something ({error}), which is not plain data"
            raise self.cannot_judge(why) from None

    def failure(self, kind: bytes, text: str) -> BaseException:
        """What ends the tests, or is raised in them, where a call did not end by itself."""
        if kind == records.OUT_OF_MEMORY:
            return MemoryError()
        if kind == records.TIMED_OUT:
            return self.end(records.OVERTIME, "the time limit was reached")
        if kind == records.OUTPUT_TOO_LARGE:
            return self.end(records.STOPPED_EARLY, f"the function returned {text}")
        if kind == records.NOT_REPRESENTABLE:
            why = f"the function returned a value of type {text}, which is not plain data"
            return self.end(records.STOPPED_EARLY, why)
        if kind == records.RAISED:  # in place of the result
            return self.end(records.STOPPED_EARLY, f"the result cannot cross: {text}")
        return self.end(records.KILLED, _BROKEN)


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

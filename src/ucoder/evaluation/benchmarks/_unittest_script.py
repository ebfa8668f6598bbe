"""The harness around a program and its `unittest` tests, in one script that runs in the sandbox.

The text of this file followed by a call of `judge` is a script for `Executor.check`; it reaches its
end only if every test passed. It does what BigCodeBench's own harness (`bigcodebench.eval`, 0.2.5)
does that programs can notice: a module `__test__`, an empty working directory, streams that accept
everything and return nothing, no `exit`, and its replacements for starting and killing processes.
The sandbox limits time, memory, files and the network.

The program shares this process, so one that is written to cheat can forge its verdict. Cheap checks
make that harder: the parts of `unittest` that a program could replace are compared afterwards, and
exactly the tests of the task must have run, none skipped.
"""

from __future__ import annotations

import builtins
import contextlib
import faulthandler
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MAX_SHOWN = 110  # characters of one failure; a report of the sandbox holds 300 in all


class TestsFailed(Exception):
    """The tests did not pass; the message says why, for people."""


class _Result(unittest.TestResult):
    """Notes each failure in a few words."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def addError(self, test: Any, err: Any) -> None:
        self._note(test, err)
        super().addError(test, err)

    def addFailure(self, test: Any, err: Any) -> None:
        self._note(test, err)
        super().addFailure(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self._note(test, err)
        super().addSubTest(test, subtest, err)

    def _note(self, test: Any, err: Any) -> None:
        note = f"{test.id().rpartition('.')[2]}: {_described(err[1])}"
        # A missing library explains every other failure.
        self.notes.insert(0 if isinstance(err[1], ImportError) else len(self.notes), note)


class _Unreadable(io.StringIO):
    """Takes what is printed; reading from it is an error, as from a closed terminal."""

    def read(self, *args: Any) -> str:
        raise OSError

    readline = readlines = read  # type: ignore[assignment]

    def readable(self) -> bool:
        return False


def judge(text: str, n_tests: int, may_skip: bool) -> None:
    """Run a program followed by its tests; return only if they all pass.

    Args:
        text: Both, in this order; the tests are the methods of a class `TestCases`.
        n_tests: The number of tests.
        may_skip: Whether tests may skip themselves.

    Raises:
        TestsFailed: A test did not pass, or not all tests were run.
    """
    loader, result, base = unittest.TestLoader(), _Result(), unittest.TestCase
    known = _parts_of_unittest()
    module = types.ModuleType("__test__")
    module.__dict__.update(
        {
            "__builtins__": builtins, "__file__": "__test__.py", "__package__": None,
            "__doc__": None, "sys": sys, "os": os, "environ": os.environ,
        }
    )  # fmt: skip
    try:
        _prepare_process()
        with _quiet():
            _guard_processes()
            exec(compile(text, "__test__.py", "exec"), module.__dict__)
            sys.modules["__test__"] = module
            cases = module.__dict__["TestCases"]
            loader.loadTestsFromTestCase(cases).run(result)
    except BaseException as error:  # whatever a program can raise; a timeout is noticed outside
        raise TestsFailed(_described(error)) from None
    if result.notes or result.failures or result.errors:
        shown = "; ".join(result.notes[:2])
        raise TestsFailed(f"{len(result.notes)} of {n_tests} tests: {shown}")
    if result.testsRun != n_tests:
        raise TestsFailed(f"{result.testsRun} tests ran of {n_tests}")
    if result.skipped and not may_skip:
        raise TestsFailed(f"{len(result.skipped)} of {n_tests} tests were skipped")
    now = _parts_of_unittest()
    if known.keys() != now.keys() or any(now[name] is not part for name, part in known.items()):
        raise TestsFailed("the program changed unittest")
    if not issubclass(cases, base):
        raise TestsFailed("the program took the place of unittest")


def _parts_of_unittest() -> dict[str, object]:
    classes = (unittest.TestCase, unittest.TestSuite, unittest.BaseTestSuite, unittest.TestResult)
    parts: dict[str, object] = {"class": unittest.TestCase}
    for one in (*classes, _Result):
        parts |= {f"{one.__name__}.{name}": part for name, part in vars(one).items()}
    return parts


def _described(error: BaseException) -> str:
    # Without the rows of asterisks that some libraries frame their messages with.
    message = " ".join(word for word in str(error).split() if word.strip("*"))
    return f"{type(error).__name__}: {message}"[:_MAX_SHOWN]


def _prepare_process() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    faulthandler.disable()
    builtins.exit = builtins.quit = None  # type: ignore[assignment]
    with contextlib.suppress(ImportError):
        import matplotlib.pyplot

        matplotlib.pyplot.close("all")
    if shutil.which("python") is None:  # programs start one; inside, Python may have no folder
        folder = tempfile.mkdtemp()
        Path(folder, "python").symlink_to(sys.executable)
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    os.chdir(tempfile.mkdtemp())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = sys.stdout = sys.stderr = _Unreadable()
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def _guard_processes() -> None:
    """Replace Python's functions for processes by BigCodeBench's.

    They protect its host, which the sandbox does better, but their visible effects, such as pipes
    that the caller did not ask for, decide verdicts.
    """
    real_kill, real_system, real_os_popen = os.kill, os.system, os.popen
    call, check_output, real_run = subprocess.call, subprocess.check_output, subprocess.run
    children = [os.getpid()]

    def kill(pid: int, sig: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.getpgid(pid)
            if pid in children:
                real_kill(pid, sig)

    class Process(subprocess.Popen[Any]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "preexec_fn": os.setsid})
            children.append(self.pid)

        def communicate(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().communicate(*args, **kwargs)
            except subprocess.TimeoutExpired:
                return None, None

        def kill(self) -> None:
            kill(self.pid, signal.SIGTERM)

        terminate = kill

    def guarded_run(*args: Any, **kwargs: Any) -> Any:
        if _kills(args[0]):
            return subprocess.CompletedProcess(args, 0, b"", b"")
        return real_run(*args, **kwargs)

    os.kill = kill
    os.killpg = lambda pgid, sig: kill(pgid, sig)
    os.system = lambda command: 0 if _kills(command) else real_system(command)
    os.popen = lambda command: real_os_popen(  # type: ignore[assignment,misc]
        "echo Intercepted" if _kills(command) else command
    )
    os.execv = os.execvp = os.execvpe = lambda *args, **kwargs: None  # type: ignore[assignment]
    subprocess.call = lambda command, *args, **kwargs: (
        0 if _kills(command) else call(command, *args, **kwargs)
    )
    subprocess.check_output = lambda command, *args, **kwargs: (  # type: ignore[assignment]
        b"" if "ps" in command else check_output(command, *args, **kwargs)
    )
    subprocess.Popen = _with_pipes(Process)  # type: ignore[misc]
    subprocess.run = _with_pipes(guarded_run)


def _with_pipes(start: Any) -> Any:
    """A function that starts a process with pipes, unless the caller asks for something else."""

    def started(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("capture_output"):
            kwargs = {k: v for k, v in kwargs.items() if k not in ("stdout", "stderr")}
        else:
            kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        return start(*args, **kwargs)

    return started


def _kills(command: Any) -> bool:
    return "kill" in command

"""Grading whole programs that read standard input and print, as functions from text to text.

`Executor.call` calls a function once an input and leaves the comparison to the caller, so expected
outputs never enter the program's process. The program is therefore wrapped (`stdin_program`) into a
function that runs it as `__main__` in a fresh namespace, with the input on file descriptor 0, and
returns what arrived on descriptor 1. Both are real descriptors, so `input`, `sys.stdin`, `open(0)`,
`os.read`, `print`, `os.write` and so on all work, as they do at a contest's judge.

For each input, as if the program had just been started:

- builtins, the streams of `sys`, `sys.argv` and the recursion limit are Python's own;
- `exit` and `quit` exist; a status of 0 or None is a normal end, any other an error;
- `os._exit(0)` is an end as well, of whichever thread calls it: what has reached descriptor 1 by
  then is the output, buffers are not flushed, and nothing that runs afterwards counts;
- non-daemon threads are joined, then `atexit` functions run and streams are flushed.

Limits: modules that the program imported stay imported, and a daemon thread that it leaves running
continues during the next input. Both affect only the results of the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from ucoder.evaluation.grading import NO_PROGRAM, Cases, grade_cases, make_cases
from ucoder.evaluation.protocol import Grade, Grader, GradingContext, Task

ENTRY: Final = "run"
"""The function that a wrapped program defines, from standard input to standard output."""

KEPT: Final = 4
"""Tasks whose cases are kept in memory: they can be large, and a task's samples come together."""

_WRAPPER: Final = '''\
import _thread, atexit, builtins, gc, os, posix, signal, sys, types


def _exit(status=None):
    raise SystemExit(status)


# The module `site` defines them otherwise, and sandboxed interpreters start without it.
builtins.exit = builtins.quit = _exit


class _Ended(BaseException):
    """Ends a program that has called `os._exit`."""


def _end(status):
    """Take the place of `os._exit`: end the program, not the process that serves its inputs."""
    if os.getpid() != _PID or (status != 0 and not _ANY_EXIT):
        _leave(status)
    if not _ends:
        _ends.append(os.fstat(_running[0]).st_size)
    if _thread.get_ident() != _MAIN:  # the sandbox's timer wakes the main thread if it waits
        _thread.interrupt_main(signal.SIGUSR1)
    raise _Ended


def _on_end(number, frame):
    if _running:
        raise _Ended


_running = []  # the descriptor that takes the program's output, while it runs
_ends = []  # how much it had printed when it ended itself
_leave, _PID, _MAIN = os._exit, os.getpid(), _thread.get_ident()
_PREAMBLE = compile({preamble}, "<preamble>", "exec", dont_inherit=True)
_PROGRAM = compile({source}, "<program>", "exec", dont_inherit=True)
_ANY_EXIT = {any_exit}
_BUILTINS = dict(vars(builtins))
_RECURSION_LIMIT = sys.getrecursionlimit()
_STDERR = sys.stderr
atexit._clear()


def _begin(text):
    """Give the program its input on descriptor 0; return where what it prints goes."""
    _ends.clear()
    os._exit = posix._exit = _end
    signal.signal(signal.SIGUSR1, _on_end)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # a program may have closed them; a new file would land there
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)
    try:
        _flush()  # what the last program left in its buffers must not go to this one's output
    except Exception:
        pass
    given = os.memfd_create("stdin")
    with open(given, "wb", closefd=False) as file:
        file.write(text.encode("utf-8", "surrogatepass"))
    os.lseek(given, 0, os.SEEK_SET)
    os.dup2(given, 0)
    os.close(given)
    printed = os.memfd_create("stdout")
    os.dup2(printed, 1)
    text_form = dict(encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdin = sys.__stdin__ = open(0, **text_form)
    sys.stdout = sys.__stdout__ = open(1, "w", **text_form)
    sys.stderr = sys.__stderr__ = _STDERR
    sys.argv = ["program"]
    return printed


def _await_threads():
    futures = sys.modules.get("concurrent.futures.thread")
    if futures is not None:  # its idle threads wait for the interpreter's end
        futures._python_exit()
        futures._shutdown = False
    threading = sys.modules.get("threading")
    while threading is not None:
        me = threading.current_thread()
        left = [one for one in threading.enumerate() if one is not me and not one.daemon]
        if not left:
            return
        for thread in left:
            thread.join()


def _flush():
    for stream in (sys.stdout, sys.__stdout__):
        if not getattr(stream, "closed", True):
            stream.flush()


def _restore():
    names = vars(builtins)
    for name in [name for name in names if name not in _BUILTINS]:
        del names[name]
    names.update(_BUILTINS)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    atexit._clear()


def _execute():
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    try:
        exec(_PREAMBLE, module.__dict__)
        exec(_PROGRAM, module.__dict__)
    except SystemExit as end:
        if not (_ANY_EXIT or end.code is None or end.code == 0):
            raise
    if _ends:  # it caught what ended it
        return
    _await_threads()
    atexit._run_exitfuncs()
    _flush()
    # A file that this program opened over descriptor 0 or 1 would close the next one's.
    module.__dict__.clear()
    del module
    gc.collect()
    _flush()


def {entry}(text):
    printed = _begin(text)
    _running.append(printed)
    try:
        try:
            _execute()
        finally:
            _running.clear()
    except BaseException:
        if not _ends:
            raise
    finally:
        _restore()
    with open(printed, "rb") as file:
        file.seek(0)
        return file.read(*_ends).decode("utf-8", "replace")
'''


def stdin_program(source: str, *, preamble: str = "", any_exit: bool = False) -> str:
    """Wrap a whole program into one function, `ENTRY`, from its input to what it prints.

    Args:
        source: The program; if it does not compile, loading the wrapper raises the SyntaxError.
        preamble: Statements that run before the program in its namespace.
        any_exit: Whether exiting with a status other than 0 is a normal end as well.
    """
    return _WRAPPER.format(
        preamble=ascii(preamble), source=ascii(source), any_exit=any_exit, entry=ENTRY
    )


def same_text(printed: str, expected: str) -> bool:
    """Whether two outputs are equal, ignoring trailing white space of each line and at the end."""
    return _lines(printed) == _lines(expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def text_cases(examples: list[tuple[str, str]]) -> Cases:
    """Cases of a program that reads and prints, from pairs of an input and its expected output.

    Raises:
        BenchmarkError: There are no pairs.
    """
    longest = max((len(printed) for _, printed in examples), default=0)
    return make_cases([(text,) for text, _ in examples], [out for _, out in examples], longest)


def by_output(
    context: GradingContext,
    name: str,
    examples: Callable[[Task], list[tuple[str, str]]],
    same: Callable[[str, str], bool] = same_text,
    *,
    timeout_s: float,
    preamble: str = "",
    any_exit: bool = False,
) -> Grader:
    """Grade programs by what they print, as the score `name`.

    `examples` gives a task's pairs of an input and its expected output, `same` compares a printed
    output with an expected one, `timeout_s` is for each input; see `stdin_program` for the rest.
    """
    cases_of = lru_cache(maxsize=KEPT)(lambda task: text_cases(examples(task)))

    def right(value: Any, expected: str) -> bool:
        return type(value) is str and same(value, expected)  # a forged record may hold anything

    async def grade(task: Task, program: str) -> Mapping[str, Grade]:
        if not program:
            return {name: NO_PROGRAM}
        source = stdin_program(program, preamble=preamble, any_exit=any_exit)
        cases = cases_of(task)
        return {name: await grade_cases(context.executor, source, ENTRY, cases, right, timeout_s)}

    return grade

"""Whole programs that read standard input and print: run as functions from text to text.

`Executor.call` calls a function once an input, and compares nothing: what a program should print
never enters its process. So the program is wrapped (`stdin_program`) into a function that runs it
as `__main__` in a fresh namespace, with the text on descriptor 0, and returns what arrived on
descriptor 1. Both are real, so `input`, `sys.stdin`, `open(0)`, `os.read`, `print`, `os.write`
and so on all work, as they do at a contest's judge.

What holds for each input, as if the program were started anew:

- builtins, the streams of `sys`, `sys.argv` and the recursion limit are Python's own again;
- `exit` and `quit` are there; a status of 0 or None is a normal end, any other one an error;
- threads that are no daemons are waited for, then `atexit` functions run and streams are flushed.

Limits: modules that the program imported stay imported, and a thread that it leaves running as a
daemon goes on in the next input. It spoils the program's own results with that, and no others'.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from ucoder.evaluation.cases import Cases, grade_cases, make_cases
from ucoder.evaluation.grading import NO_PROGRAM
from ucoder.evaluation.protocol import Grade, Grader, GradingContext, Task

ENTRY: Final = "run"
"""The function that a wrapped program defines: from standard input to standard output."""

_KEPT: Final = 4
"""Tasks whose cases are kept ready: they can be large, and samples of a task come together."""

_WRAPPER: Final = '''\
import atexit, builtins, gc, os, sys, types


def _exit(status=None):
    raise SystemExit(status)


# The module `site` defines them otherwise, and sandboxed interpreters start without it.
builtins.exit = builtins.quit = _exit
_PREAMBLE = compile({preamble}, "<preamble>", "exec", dont_inherit=True)
_PROGRAM = compile({source}, "<program>", "exec", dont_inherit=True)
_ANY_EXIT = {any_exit}
_BUILTINS = dict(vars(builtins))
_RECURSION_LIMIT = sys.getrecursionlimit()
_STDERR = sys.stderr
atexit._clear()


def _begin(text):
    """Give the program its input on descriptor 0; return where what it prints goes."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # a program may have closed them; a new file would land there
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)
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
    try:
        _execute()
    finally:
        _restore()
    with open(printed, "rb") as file:
        file.seek(0)
        return file.read().decode("utf-8", "replace")
'''


def stdin_program(source: str, *, preamble: str = "", any_exit: bool = False) -> str:
    """Wrap a whole program into one function, `ENTRY`, from its input to what it prints.

    Args:
        source: The program; any text at all. Where it does not compile, loading the wrapper
            raises the SyntaxError.
        preamble: Statements that run before the program in its namespace.
        any_exit: Whether leaving with a status that is not 0 is a normal end as well.
    """
    return _WRAPPER.format(
        preamble=ascii(preamble), source=ascii(source), any_exit=any_exit, entry=ENTRY
    )


def same_text(printed: str, expected: str) -> bool:
    """Whether two outputs are the same, but for white space at the ends of lines and of all."""
    return _lines(printed) == _lines(expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def text_cases(examples: list[tuple[str, str]]) -> Cases:
    """Cases of a program that reads and prints: pairs of an input and what it should print.

    Raises:
        BenchmarkError: There are none.
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
    """Grade programs by what they print.

    Args:
        context: What the benchmark was given.
        name: The score's name.
        examples: A task's pairs of an input and what should be printed for it.
        same: Compares what was printed with what should have been.
        timeout_s: Seconds for each input.
        preamble: See `stdin_program`.
        any_exit: See `stdin_program`.
    """
    cases_of = kept(lambda task: text_cases(examples(task)))

    def right(value: Any, expected: str) -> bool:
        return type(value) is str and same(value, expected)  # a forged record may hold anything

    async def grade(task: Task, program: str) -> Mapping[str, Grade]:
        if not program:
            return {name: NO_PROGRAM}
        source = stdin_program(program, preamble=preamble, any_exit=any_exit)
        cases = cases_of(task)
        return {name: await grade_cases(context.executor, source, ENTRY, cases, right, timeout_s)}

    return grade


def kept(make: Callable[[Task], Cases]) -> Callable[[Task], Cases]:
    """Make each task's cases once for all of its samples, and keep those of the last few tasks."""
    ready: OrderedDict[str, Cases] = OrderedDict()

    def cases_of(task: Task) -> Cases:
        if task.id not in ready:
            ready[task.id] = make(task)
            if len(ready) > _KEPT:
                ready.popitem(last=False)
        ready.move_to_end(task.id)
        return ready[task.id]

    return cases_of

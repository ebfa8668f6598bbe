"""Whole programs on standard input, in the real sandbox: honest ways work, others gain nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ucoder.errors import BenchmarkError
from ucoder.evaluation.protocol import Dataset, Grade, GradingContext, Task
from ucoder.evaluation.records import GradeReason
from ucoder.evaluation.standard_input import (
    ENTRY,
    by_output,
    same_text,
    stdin_program,
    text_cases,
)
from ucoder.execution import Executor, Limits, open_executor
from ucoder.execution.canonical import parse
from ucoder.execution.inputs import batch_of_values
from ucoder.execution.protocol import Budget
from ucoder.progress import Silent

SUMS = [(f"{n} {n + 1}\n", f"{2 * n + 1}\n") for n in range(6)]
TASK = Task("sums", "Add two numbers.", "", {})
READ = "a, b = map(int, input().split())\n"


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    async with open_executor(limits=Limits(6.0, 60.0, 2048), n_workers=1) as executor:
        yield executor


async def graded(
    executor: Executor,
    program: str,
    examples: list[tuple[str, str]] = SUMS,
    any_exit: bool = False,
    timeout_s: float = 6.0,
) -> Grade:
    context = GradingContext(Dataset((TASK,), "invented", ""), executor, Silent(), Path())
    grade = by_output(context, "x", lambda _: examples, timeout_s=timeout_s, any_exit=any_exit)
    return (await grade(TASK, program))["x"]


async def printed(executor: Executor, program: str, texts: list[str]) -> list[str]:
    """What a program prints for each text; what a call came to where it did not return."""
    batch = batch_of_values([(text,) for text in texts])
    report = await executor.call(stdin_program(program), ENTRY, batch, Budget(max_timeouts=1))
    return [
        str(parse(outcome.text)) if outcome.executed else f"{outcome.kind}: {outcome.text}"
        for outcome in report.outcomes
    ]


@pytest.mark.parametrize(
    "program",
    [
        f"{READ}print(a + b)",
        "import sys\nprint(sum(map(int, sys.stdin.read().split())))",
        "import sys\nfor line in sys.stdin:\n    print(sum(map(int, line.split())))",
        "import sys\ninput = sys.stdin.buffer.readline\nprint(sum(map(int, input().split())))",
        "from sys import stdin, stdout\nstdout.write(str(sum(map(int, stdin.readline().split()))))",
        "import sys\nread = sys.stdin.buffer.read\n"
        "sys.stdout.buffer.write(b'%d' % sum(map(int, read().split())))",
        "open(1, 'w').write(str(sum(map(int, open(0).read().split()))))",
        "import os\nos.write(1, b'%d' % sum(map(int, os.read(0, 99).split())))",
        "print(sum(map(int, open('/dev/stdin').read().split())))",
        "def main():\n    print(sum(map(int, input().split())))\n"
        "if __name__ == '__main__':\n    main()\nprint()",
        "total = 0\ndef add(x):\n    global total\n    total += x\n"
        "for x in input().split():\n    add(int(x))\nprint(total)",
        f"{READ}print(a + b)\nexit()",
        f"import sys\n{READ}print(a + b)\nsys.exit(0)",
        f"import atexit\n{READ}atexit.register(lambda: print(a + b))",
        "import io, sys, atexit\nsys.stdout = io.StringIO()\n"
        "atexit.register(lambda: sys.__stdout__.write(sys.stdout.getvalue()))\n"
        f"{READ}print(a + b)",
        "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\n"
        "def deep(n):\n    return n and 1 + deep(n - 1)\n"
        "def main():\n    print(sum(map(int, input().split())) + deep(20000) - 20000)\n"
        "threading.Thread(target=main).start()",
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\n"
        "print(pool.submit(lambda: sum(map(int, input().split()))).result())",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\n"
        "class Pair:\n    a: int\n    b: int\n"
        "p = Pair(*map(int, input().split()))\nprint(p.a + p.b)",
        "out = []\nwhile True:\n    try:\n        out.append(input())\n    except EOFError:\n"
        "        break\nprint(sum(map(int, out[0].split())))",
    ],
)
async def test_every_honest_way_to_read_and_print_works(executor: Executor, program: str) -> None:
    assert await graded(executor, program) == Grade(GradeReason.PASSED)


@pytest.mark.parametrize(
    ("program", "reason", "detail"),
    [
        ("", GradeReason.NO_PROGRAM, ""),
        ("print((", GradeReason.DOES_NOT_COMPILE, "SyntaxError"),
        ("x = '\0'", GradeReason.DOES_NOT_COMPILE, "null bytes"),
        (f"{READ}print(a - b)", GradeReason.WRONG_OUTPUT, "case 1"),
        (f"{READ}print(a + b if a < 5 else 0)", GradeReason.WRONG_OUTPUT, "case 6"),
        (f"{READ}print(a + b)\nraise ValueError('late')", GradeReason.RAISED, "late"),
        (f"import sys\n{READ}print(a + b)\nsys.exit(1)", GradeReason.RAISED, "SystemExit: 1"),
        ("while True: pass", GradeReason.TIMED_OUT, "case 1"),
        ("import time\ntime.sleep(99)", GradeReason.TIMED_OUT, "case 1"),
        ("bytearray(1 << 40)", GradeReason.OUT_OF_MEMORY, "case 1"),
        ("def f():\n    f()\nf()", GradeReason.RAISED, "RecursionError"),
    ],
)
async def test_a_failure_is_told_by_its_reason(
    executor: Executor, program: str, reason: GradeReason, detail: str
) -> None:
    grade = await graded(executor, program, timeout_s=0.5)
    assert grade.reason is reason, grade
    assert detail in grade.detail


async def test_any_exit_status_can_count_as_a_normal_end(
    executor: Executor,
) -> None:
    assert (await graded(executor, f"{READ}print(a + b)\nexit(1)", any_exit=True)).passed
    assert not (await graded(executor, f"{READ}print(a)\nexit(1)", any_exit=True)).passed


SEARCH = """
import gc, re, sys
found, seen, frames = set(), set(), []
frame = sys._getframe()
while frame:
    frames += [frame, frame.f_locals, frame.f_globals]
    frame = frame.f_back
stack = [*frames, *sys.modules.values(), *gc.get_objects()]
pattern = "tok" + "en-[a-z]+"
while stack:
    one = stack.pop()
    if id(one) in seen:
        continue
    seen.add(id(one))
    if type(one) in (str, bytes):
        text = one if type(one) is str else one.decode("latin-1")
        found.update(re.findall(pattern, text))
    else:
        stack += gc.get_referents(one)
print(*sorted(found))
"""


async def test_a_program_that_searches_its_process_finds_inputs_and_no_expected_output(
    executor: Executor,
) -> None:
    grade = await graded(executor, SEARCH, [("token-in\n", "token-out\n")])
    assert grade.reason is GradeReason.WRONG_OUTPUT
    assert grade.detail.startswith("case 1: 'token-in\\n' for ")


async def test_what_is_printed_before_descriptor_1_is_closed_counts(executor: Executor) -> None:
    program = f"import os, sys\n{READ}print(a + b)\nsys.stdout.flush()\nos.close(1)"
    assert (await graded(executor, program)).passed


async def test_what_is_still_buffered_when_descriptor_1_is_closed_is_an_error(
    executor: Executor,
) -> None:
    grade = await graded(executor, f"import os\n{READ}print(a + b)\nos.close(1)")
    assert (grade.reason, "Bad file descriptor" in grade.detail) == (GradeReason.RAISED, True)


async def test_closed_descriptors_do_no_harm_to_the_next_input(executor: Executor) -> None:
    program = "import os\nos.write(1, os.read(0, 9))\nos.close(0)\nos.close(1)\nos.close(2)"
    assert await printed(executor, program, ["a", "b", "c"]) == ["a", "b", "c"]


async def test_100_mb_of_output_are_a_failure_and_no_burden(executor: Executor) -> None:
    many = await graded(executor, "for _ in range(100):\n    print('x' * 1_000_000)")
    assert (many.reason, "File too large" in many.detail) == (GradeReason.RAISED, True)
    some = await graded(executor, "print('x' * 5_000_000)")
    assert some.reason is GradeReason.OUTPUT_TOO_LARGE
    assert (await graded(executor, f"{READ}print(a + b)")).passed


async def test_a_daemon_that_is_left_running_does_not_hold_up_its_program(
    executor: Executor,
) -> None:
    program = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n"
        f"{READ}print(a + b)"
    )
    assert (await graded(executor, program)).passed


async def test_a_thread_that_never_ends_is_a_program_that_never_ends(executor: Executor) -> None:
    program = (
        "import threading, time\n"
        f"threading.Thread(target=time.sleep, args=(99,)).start()\n{READ}print(a + b)"
    )
    grade = await graded(executor, program, timeout_s=0.5)
    assert grade.reason is GradeReason.TIMED_OUT


async def test_each_input_meets_python_as_it_was(executor: Executor) -> None:
    program = (
        "import builtins, sys\n"
        "before = (len('abc'), hasattr(builtins, 'mine'), sys.getrecursionlimit() == 77,\n"
        "          'known' in globals(), sys.argv)\n"
        "print(input(), *before)\n"
        "builtins.len = lambda x: 0\nbuiltins.mine = builtins.print = print\nknown = 1\n"
        "sys.argv = []\nsys.stdin = sys.stdout = sys.stderr = None\nsys.setrecursionlimit(77)\n"
    )
    rest = "3 False False False ['program']\n"
    outputs = await printed(executor, program, ["a\n", "b\n", "c"])
    assert outputs == [f"a {rest}", f"b {rest}", f"c {rest}"]


@pytest.mark.parametrize(
    "program",
    [
        "import os\n{READ}print(a + b, flush=True)\nos._exit(0)",
        "from os import _exit, write\n{READ}write(1, b'%d' % (a + b))\n_exit(0)\nprint('more')",
        "import os, sys\n{READ}print(a + b)\nsys.stdout.flush()\n"
        "try:\n    os._exit(0)\nexcept:\n    print('swallowed')\nfinally:\n    print('late')",
        "import os, threading\n"
        "def main():\n    {READ}    print(a + b, flush=True)\n    os._exit(0)\n"
        "threading.Thread(target=main).start()\nthreading.Event().wait()",
        "import os, atexit\natexit.register(print, 'late')\n{READ}print(a + b, flush=True)\n"
        "if os.fork() == 0:\n    os._exit(1)\nos.wait()\nprint('lost', end='')\nos._exit(0)",
    ],
)
async def test_os_exit_with_status_0_ends_a_program_that_has_flushed_its_output(
    executor: Executor, program: str
) -> None:
    assert await graded(executor, program.replace("{READ}", READ)) == Grade(GradeReason.PASSED)


async def test_os_exit_loses_what_was_not_flushed_and_its_other_statuses_are_errors(
    executor: Executor,
) -> None:
    lost = await graded(executor, f"import os\n{READ}print(a + b)\nos._exit(0)")
    assert lost.reason is GradeReason.WRONG_OUTPUT
    failed = await graded(executor, f"import os\n{READ}print(a + b, flush=True)\nos._exit(3)")
    assert (failed.reason, "exit status 3" in failed.detail) == (GradeReason.RAISED, True)


async def test_any_text_goes_in_and_comes_out(executor: Executor) -> None:
    texts = ["é 日本 \U0001f600\n", "", "\r\n\t\0", "no end of line", "\n\n"]
    echo = "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert await printed(executor, echo, texts) == texts
    raw = "import os\nos.write(1, b'\\xff\\xfe')"
    assert await printed(executor, raw, [""]) == ["\ufffd\ufffd"]


async def test_a_large_input_arrives_whole(executor: Executor) -> None:
    text = "1 " * 3_000_000
    assert await printed(executor, "print(sum(map(int, input().split())))", [text]) == ["3000000\n"]


def test_trailing_white_space_is_ignored() -> None:
    assert same_text("a \nb\n\n", "a\nb")
    assert not same_text(" a", "a")
    assert not same_text("a\n\nb", "a\nb")


def test_a_task_without_examples_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="at least one input"):
        text_cases([])

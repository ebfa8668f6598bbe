"""A program and its tests in two processes: what crosses, and what a program cannot reach."""

from __future__ import annotations

import pytest

from ucoder.execution import CheckReport, Verdict

from .conftest import Sandbox


def passed(report: CheckReport) -> bool:
    assert (report.detail == "") is (report.verdict is Verdict.PASSED), report
    return report.verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(x): return x + 1", "assert f(1) == 2"),
        ("def f(x, *, k=1): return x + k", "assert f(1, k=5) == 6"),
        ("def g(x): return x\ndef f(x): return g(x)", "assert f([1, {2: 3}]) == g([1, {2: 3}])"),
        ("f = lambda *xs: xs", "assert f(1, 'a', None) == (1, 'a', None)"),
        ("def f(xs): xs.sort()", "xs = [2, 1]\nassert f(xs) is None and xs == [1, 2]"),
        ("def f(d): d['a'] = 1", "d = {}\nf(d)\nassert d == {'a': 1}"),
        ("def f(): raise OSError('no')", "try: f()\nexcept OSError as e: assert 'no' in str(e)"),
        ("def f(x): return x.year", "import datetime\nassert f(datetime.date(2020, 1, 2)) == 2020"),
        ("from decimal import Decimal as D\ndef f(): return D('1.5')",
         "from decimal import Decimal\nassert f() == Decimal('1.5')"),
        ("def f(x): return x", "def check(candidate): assert candidate(3) == 3\ncheck(f)"),
        ("print('x' * 10**6)\ndef f(): return 1", "print('y')\nassert f() == 1"),
    ],
)  # fmt: skip
def test_right_programs_pass(sandbox: Sandbox, program: str, tests: str) -> None:
    assert passed(sandbox.check(program, tests)), sandbox.check(program, tests)


@pytest.mark.parametrize(
    ("program", "tests", "reason"),
    [
        ("def f(x): return x", "assert f(1) == 2", "AssertionError: (line 1 of the tests)"),
        ("def f(x): return x", "assert g(1) == 1", "NameError: name 'g' is not defined"),
        ("def f(:", "f()", "SyntaxError"),
        ("1 / 0", "pass", "ZeroDivisionError: division by zero (line 1)"),
        ("def f(): return open", "f()", "which is not plain data"),
        ("def f(): return (i for i in 'a')", "f()", "a value of type generator"),
        ("def f(xs): xs.append(xs)", "f([])", "contains itself"),
        ("def f(): raise KeyError", "f()", "KeyError"),
        ("class E(Exception): pass\ndef f(): raise E('x')", "f()", "E: x"),
        ("import os\ndef f(): os._exit(0)", "f()", "the program's process ended"),
        ("import os\nos._exit(0)", "pass", "the program's process ended"),
        ("def f(): return 'x' * 10**6", "f()", "more than 20000 characters"),
        ("def f(): return 1", "import sys; sys.exit(1)", "SystemExit: 1"),
        ("def f(): raise SystemExit(0)", "assert 1; f()", "SystemExit: 0"),
    ],
)
def test_wrong_programs_fail_with_the_reason(
    sandbox: Sandbox, program: str, tests: str, reason: str
) -> None:
    report = sandbox.check(program, tests)
    assert not passed(report) and report.verdict is Verdict.FAILED
    assert reason in report.detail


def test_functions_named_like_builtins_are_visible_only_to_tests_of_them(
    sandbox: Sandbox,
) -> None:
    program = "def all(x): return True\ndef sum(a, b): return [a, b]\n"
    tests = "assert f() and not all([0]) and sum([1, 2]) == 3"
    assert passed(sandbox.check(f"{program}def f(): return 1", tests))
    tests = "assert not all([0]) and sum(1, 2) == [1, 2]"
    assert passed(sandbox.check(program, tests, entry_point="sum"))


def test_tests_may_use_the_programs_imports(sandbox: Sandbox) -> None:
    program = "import math as m, os.path as p\ndef f(): return 4\n"
    tests = "assert m.sqrt(f()) == 2 and p.join('a', 'b') == 'a/b'"
    assert passed(sandbox.check(program, tests))


@pytest.mark.parametrize(
    "tests",
    ["try: f()\nexcept: pass", "try: f()\nexcept BaseException: pass\nassert True"],
)
def test_a_test_that_catches_everything_does_not_hide_that_a_result_cannot_cross(
    sandbox: Sandbox, tests: str
) -> None:
    tests += "\nassert 1 + 1 == 2"
    assert not passed(sandbox.check("def f(): return open", tests))
    assert passed(sandbox.check("def f(): raise KeyError", tests))


def test_a_program_that_never_answers_is_timed_out(sandbox: Sandbox) -> None:
    for program in ("def f():\n    while True: pass", "while True: pass"):
        assert sandbox.check(program, "f()", timeout_s=0.5).verdict is Verdict.TIMED_OUT


def test_tests_that_never_end_are_timed_out(sandbox: Sandbox) -> None:
    report = sandbox.check("def f(): return 1", "while True: f()", timeout_s=0.5)
    assert report.verdict is Verdict.TIMED_OUT


def test_an_object_that_equals_everything_does_not_pass(sandbox: Sandbox) -> None:
    program = "class E(int):\n    def __eq__(s, o): return True\ndef f(): return E()"
    report = sandbox.check(program, "assert f() == 42")
    assert report.verdict is Verdict.FAILED and "value of type E" in report.detail


SECRET = "expected_answer_7f3a91"


# The pattern does not match itself, so that the program is not what it finds.
SEARCH = """
import gc, re, sys
def frames():
    f = sys._getframe()
    while f:
        yield f
        f = f.f_back
def memory():
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb') as mem:
        for line in maps:
            part = line.split()
            if 'w' not in part[1]: continue
            low, high = (int(x, 16) for x in part[0].split('-'))
            mem.seek(low)
            try: yield mem.read(high - low).decode('latin-1')
            except OSError: pass
def f(head):
    mark = re.compile(head + '(?=swer_7f3)').search
    return any(FOUND)
"""
SEARCHES = {
    "objects": "mark(x) for o in gc.get_objects() for x in gc.get_referents(o) if type(x) is str",
    "memory": "mark(text) for text in memory()",
    "frames": "mark(str(f.f_locals)) for f in frames()",
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_expected_answers_are_nowhere_in_the_programs_process(
    isolated: Sandbox, search: str
) -> None:
    tests = f"'{SECRET}'\nfor _ in range(3): assert not f('expected_an'), 'found'"
    for _ in range(2):  # the second time, the worker has served such tests before
        report = isolated.check(SEARCH.replace("FOUND", search), tests)
        assert passed(report), report


def test_the_memory_search_finds_an_answer_that_is_in_the_process(isolated: Sandbox) -> None:
    program = f"x = '{SECRET}'\n{SEARCH.replace('FOUND', SEARCHES['memory'])}"
    assert not passed(isolated.check(program, "assert not f('expected_an')"))


def test_a_program_cannot_pass_by_manipulating_its_own_process(isolated: Sandbox) -> None:
    programs = [
        "import builtins\nbuiltins.AssertionError = KeyboardInterrupt\ndef f(): return 1",
        "import sys\nsys.settrace(lambda *a: None)\ndef f(): return 1",
        "import os\ndef f():\n    for fd in range(3, 64):\n"
        "        try: os.write(fd, b'V' + bytes(16))\n        except OSError: pass\n",
        "import os, signal\ndef f(): os.kill(-1, signal.SIGKILL)",
        "import builtins\nfor name in ('len', 'type', 'isinstance', 'zip', 'min', 'str'):\n"
        "    setattr(builtins, name, lambda *a, **k: True)\ndef f(): return 1",
        "import atexit, os\natexit.register(os._exit, 0)\ndef f(): raise SystemExit(0)",
    ]
    for program in programs:
        report = isolated.check(program, "assert f() == 2")
        assert report.verdict is Verdict.FAILED, (program, report)

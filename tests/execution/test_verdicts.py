"""What a verdict of `check` rests on: imported programs, tests that run, values as they were."""

from __future__ import annotations

import pytest

from ucoder.execution import OutcomeKind, Verdict

from .conftest import Sandbox

RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
CASE = (
    "import unittest\n"
    "class Sums(unittest.TestCase):\n    def test_sum(self): self.assertEqual(add(1, 2), 3)\n"
)


@pytest.mark.parametrize(
    "guarded", ["f(int(input()))", "raise SystemExit(1)", "def f(x): return None", "1 / 0"]
)
def test_what_a_program_does_as_a_script_is_not_done_where_tests_import_it(
    sandbox: Sandbox, guarded: str
) -> None:
    program = f"def f(x): return x\nif __name__ == '__main__':\n    {guarded}"
    assert sandbox.check(program, "assert f(1) == 1").verdict is Verdict.PASSED
    assert sandbox.one(program, "(1,)").text == "1"  # `call` imports it as well


def test_a_script_that_says_so_runs_as_main_and_its_end_is_its_verdict(sandbox: Sandbox) -> None:
    script = "if __name__ == '__main__':\n    {}"
    assert sandbox.check(script.format("1 + 1"), as_script=True).verdict is Verdict.PASSED
    assert sandbox.check(script.format("1 / 0"), as_script=True).verdict is Verdict.FAILED
    assert sandbox.check(script.format("1 + 1")).verdict is Verdict.NOT_JUDGED


UNCALLED = {
    "a function": "def test_a(): assert add(1, 2) == 3",
    "a documented function": "def test_a():\n    'doc'\n    assert add(1, 2) == 3",
    "one of two functions": "def test_a(): assert add(0, 0) == 0\n"
    "def test_b(): assert add(1, 2) == 3\ntest_a()",
    "a coroutine": "async def test_a(): assert add(1, 2) == 3",
    "HumanEval's check": "def check(candidate):\n    assert candidate(1, 2) == 3",
    "a test of a candidate": "def test_it(candidate): assert candidate(1, 2) == 3",
    "a test case": CASE,
    "a test case with a set-up": f"{CASE}    def setUp(self): self.x = 1",
    "a plain class": "class TestSums:\n    def setup_method(self, m): self.x = 3\n"
    "    def test_a(self): assert add(1, 2) == self.x",
    "a runner whose result is ignored": f"{CASE}unittest.main(exit=False)",
    "a suite whose result is ignored": f"{CASE}unittest.TextTestRunner().run("
    "unittest.defaultTestLoader.loadTestsFromTestCase(Sums))",
}


@pytest.mark.parametrize("tests", UNCALLED.values(), ids=UNCALLED)
def test_tests_that_nothing_calls_are_run(sandbox: Sandbox, tests: str) -> None:
    assert sandbox.check(RIGHT, tests).verdict is Verdict.PASSED
    report = sandbox.check(WRONG, tests)
    assert report.verdict is Verdict.FAILED and "AssertionError" in report.detail
    # In one script with the program as well.
    assert sandbox.check(RIGHT + tests).verdict is Verdict.PASSED
    assert sandbox.check(WRONG + tests).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "end",
    [
        "unittest.main()",
        "if __name__ == '__main__':\n    unittest.main(verbosity=2)",
        "unittest.main(argv=['x'], failfast=True)",
    ],
)
def test_a_right_program_passes_under_unittest_main(sandbox: Sandbox, end: str) -> None:
    tests = f"{CASE}{end}"
    assert sandbox.check(RIGHT, tests).verdict is Verdict.PASSED
    assert sandbox.check(RIGHT + tests).verdict is Verdict.PASSED
    wrong = sandbox.check(WRONG, tests)
    assert wrong.verdict is Verdict.FAILED and "test_sum: AssertionError: -1 != 3" in wrong.detail
    assert sandbox.check(WRONG + tests).verdict is Verdict.FAILED


def test_tests_may_exit_with_status_0_and_no_program_can(sandbox: Sandbox) -> None:
    tests = "assert add(1, 2) == 3\nimport sys\nsys.exit(0)"
    assert sandbox.check(RIGHT, tests).verdict is Verdict.PASSED
    leaves = "def add(a, b): raise SystemExit(0)"
    for tests in ("assert add(1, 2) == 3", f"{CASE}unittest.main()", "assert 1 < 2; add(1, 2)"):
        assert sandbox.check(leaves, tests).verdict is Verdict.FAILED
    assert sandbox.check(f"{WRONG}import sys\nsys.exit(0)\nassert 0").verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        ("", "without running an assertion"),
        ("# only a comment", "without running an assertion"),
        ("add(1, 2) == 3", "without running an assertion"),
        ("print(add(1, 2) == 3)", "without running an assertion"),
        ("assert True; add(1, 2)", "without running an assertion"),
        ("assert (add(1, 2) == 3, 'wrong')", "without running an assertion"),
        ("for x in []: assert add(x, 1) == 2", "without running an assertion"),
        ("def verify(): assert add(1, 2) == 3", "without running an assertion"),
        ("import unittest\nunittest.main()", "without running an assertion"),
        ("assert 1 + 1 == 2", "never called the program"),
        ("def test_a(tmp_path): assert add(1, 2) == 3", "test_a, which needs tmp_path"),
        ("def check(candidate): assert candidate(1, 2) == 3", "pass entry_point"),
    ],
)
def test_tests_that_test_nothing_are_no_verdict(sandbox: Sandbox, tests: str, why: str) -> None:
    for program in (RIGHT, WRONG):
        report = sandbox.check(f"{program}def helper(): pass", tests)
        assert report.verdict is Verdict.NOT_JUDGED and why in report.detail, report


def test_check_is_called_with_the_entry_point_among_several_functions(sandbox: Sandbox) -> None:
    tests = "def check(candidate): assert candidate(1, 2) == 3"
    for program, verdict in ((RIGHT, Verdict.PASSED), (WRONG, Verdict.FAILED)):
        program += "def helper(): pass\n"
        assert sandbox.check(program, tests, entry_point="add").verdict is verdict
        assert sandbox.check(program + tests, entry_point="add").verdict is verdict


@pytest.mark.parametrize(
    "tests",
    [
        "if add(1, 2) != 3: raise ValueError('wrong')",
        "if add(1, 2) != 3:\n    import sys\n    sys.exit(1)",
        "try: add(1, None)\nexcept TypeError: pass\nelse: raise AssertionError",
        "try:\n    add(1, None)\n    assert False\nexcept TypeError: pass",
        "def assertion(got, wanted): assert got == wanted\nassertion(add(1, 2), 3)",
        "import unittest\nunittest.TestCase().assertEqual(add(1, 2), 3)",
    ],
)
def test_every_way_to_fail_a_program_counts_as_an_assertion(sandbox: Sandbox, tests: str) -> None:
    assert sandbox.check(RIGHT, tests).verdict is Verdict.PASSED


def raises(program: str, tests: str) -> tuple[str, str]:
    return program, f"try:\n    f()\n{tests}\nelse:\n    raise AssertionError('it raised nothing')"


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        raises("class N(ValueError): pass\ndef f(): raise N(7)",
               "except ValueError as e: assert e.args == (7,) and type(e).__name__ == 'N'"),
        raises("class N(ValueError): pass\ndef f(): raise N('x')",
               "except N as e: assert isinstance(e, ValueError) and str(e) == 'x'"),
        raises("class Base(Exception): code = 3\nclass N(Base, KeyError):\n"
               "    def __init__(self, k, m):\n        super().__init__(m)\n        self.k = k\n"
               "    def __str__(self): return f'{self.k}!'\n"
               "def f(): raise N('k', 'm')",
               "except Base as e: assert (e.args, e.k, e.code, str(e)) == (('m',), 'k', 3, 'k!') "
               "and isinstance(e, LookupError)"),
        raises("def f():\n    class Local(OSError): pass\n    raise Local",
               "except OSError as e: assert e.args == ()"),
        raises("import json\ndef f(): json.loads('{')",
               "except ValueError as e: assert (e.pos, e.doc, e.lineno) == (1, '{', 1)"),
        raises("import json\ndef f(): json.loads('{')",
               "except __import__('json').JSONDecodeError as e: assert 'Expecting' in e.msg"),
        raises("def f(): b'\\xff'.decode()",
               "except UnicodeDecodeError as e: assert (e.start, e.object) == (0, b'\\xff')"),
        raises("from decimal import Decimal\ndef f(): Decimal('x')",
               "except ArithmeticError as e: assert type(e).__name__ == 'InvalidOperation'"),
        raises("import struct\ndef f(): struct.unpack('i', b'')",
               "except __import__('struct').error as e: assert 'buffer of 4' in str(e)"),
        raises("def f(): raise KeyError('a', 2)",
               "except KeyError as e: assert e.args == ('a', 2)"),
        raises("def f(): {}['a']", "except KeyError as e: assert str(e) == repr('a')"),
        raises("def f(): open('/nosuch')",
               "except FileNotFoundError as e: assert (e.errno, e.filename) == (2, '/nosuch')"),
        raises("import sys\ndef f(): sys.exit(3)", "except SystemExit as e: assert e.code == 3"),
        raises("class Stop(BaseException): pass\ndef f(): raise Stop",
               "except Exception: raise AssertionError\nexcept Stop as e: assert e.args == ()"),
        raises("def f(): raise ValueError(object())", "except ValueError as e: assert e.args"),
    ],
)  # fmt: skip
def test_exceptions_keep_their_bases_arguments_and_attributes(
    sandbox: Sandbox, program: str, tests: str
) -> None:
    report = sandbox.check(program, tests)
    assert report.verdict is Verdict.PASSED, report
    silent = sandbox.check(f"{program}\ndef f(): pass", tests)
    assert silent.verdict is Verdict.FAILED and "it raised nothing" in silent.detail


@pytest.mark.parametrize(
    ("tests", "right", "wrong"),
    [
        ("a = [1]\nassert f(a) is not a", "return list(a)", "return a"),
        ("a = {}\nassert f(a) is a", "return a", "return {}"),
        ("a = [[1]]\nassert f(a)[0] is not a[0]", "return [list(x) for x in a]", "return list(a)"),
        ("a = [[1]]\nb = f(a)\nb[0].append(2)\nassert a == [[1]]",
         "return [x[:] for x in a]", "return a[:]"),
        ("g = f(2)\ng[0][0] = 1\nassert g[1][0] == 0",
         "return [[0] * a for _ in range(a)]", "return [[0] * a] * a"),
        ("x = f(1)\ny = f(2)\nassert x == [1]", "return [a]", "KEPT.append(a); return KEPT"),
        ("assert f(1) is f(1)", "return KEPT", "return []"),
        ("row = [1]\na = [row]\nf(a)\nassert row == [9] and a[0] is row",
         "a[0][0] = 9", "a[0] = [9]"),
        ("a = []\ntry: f(a)\nexcept ValueError: pass\nassert a == [1]",
         "a.append(1)\n    raise ValueError", "raise ValueError"),
        ("a = {1}\nassert f(a) is None and a == {1, 2}", "a.add(2)", "a = a | {2}"),
        ("from collections import deque\na = deque([1])\nassert f(a) is a and len(a) == 2",
         "a.append(2)\n    return a", "a.append(2)"),
    ],
)  # fmt: skip
def test_identity_and_changes_mean_what_they_mean_in_one_process(
    sandbox: Sandbox, tests: str, right: str, wrong: str
) -> None:
    program = "KEPT = []\ndef f(a):\n    "
    assert sandbox.check(program + right, tests).verdict is Verdict.PASSED
    assert sandbox.check(program + wrong, tests).verdict is Verdict.FAILED


def test_one_object_in_two_arguments_is_one_object_in_the_program(sandbox: Sandbox) -> None:
    program = "def f(a, b, *, c):\n    a.append(1)\n    return b is c"
    assert sandbox.check(program, "x = []\nassert f(x, x, c=x) and x == [1]").verdict == "passed"


POINT = "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: list\n"
PAIR = "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: list\n"
COLOR = "import enum\nclass C(enum.Enum):\n    RED = 1\n    BLUE = 2\n"


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        (f"{POINT}def f(): return P(1, [2])", "p = f()\nassert (p.x, p.y) == (1, [2])"),
        (f"{POINT}def f(): return P(1, [2])",
         "assert f() == P(1, [2]) and f() != P(1, [3]) and f() != (1, [2])"),
        (f"{POINT}def f(): return [P(1, [])]",
         "assert isinstance(f()[0], P) and repr(f()) == '[P(x=1, y=[])]'"),
        (f"{PAIR}def f(): return P(1, [2])",
         "p = f()\nassert p == (1, [2]) == P(1, [2]) and (p.x, p[1]) == (1, [2]) and "
         "p._asdict() == {'x': 1, 'y': [2]} and isinstance(p, P)"),
        ("from collections import namedtuple\nQ = namedtuple('Q', 'a b')\n"
         "def f(): return {1: Q(1, 2)}", "a, b = f()[1]\nassert a == f()[1].a and b == 2"),
        (f"{COLOR}def f(): return C.RED",
         "assert f() is C.RED and f() == C.RED and f() != C.BLUE and C(1) is f()"),
        (f"{COLOR}def f(): return C.RED", "assert (f().name, f().value) == ('RED', 1)"),
        ("class S:\n    M = 7\n    @staticmethod\n    def g(x): return x + S.M\n",
         "assert S.M == 7 and S.g(1) == 8"),
        ("def f():\n    'doc'\n    f.n += 1\nf.n = 0",
         "f()\nassert f.n == 1 and f.__doc__ == 'doc' and f.__name__ == 'f'"),
    ],
)  # fmt: skip
def test_records_and_attributes_of_classes_cross(
    sandbox: Sandbox, program: str, tests: str
) -> None:
    report = sandbox.check(program, tests)
    assert report.verdict is Verdict.PASSED, report


@pytest.mark.parametrize(
    ("program", "tests", "why"),
    [
        (f"{POINT}    def norm(self): return 1\ndef f(): return P(1, [])",
         "assert f().norm() == 1", "P.norm, which stays"),
        (f"{POINT}def f(): return P(1, [])", "assert f() < f()", "the operator lt of P"),
        ("import enum\nclass C(enum.IntEnum):\n    A = 1\ndef f(): return C.A",
         "assert f() == 1", "compare C.A with a value"),
        ("class S: x = 1\ndef f(): return S.x", "S.x = 2\nassert f() == 2", "change S.x"),
        ("def f(a, b): return a", "from inspect import signature\nassert signature(f)",
         "inspect f"),
    ],
)  # fmt: skip
def test_what_would_need_code_of_the_program_is_refused_with_the_reason(
    sandbox: Sandbox, program: str, tests: str, why: str
) -> None:
    report = sandbox.check(program, tests)
    assert report.verdict is Verdict.FAILED and why in report.detail, report


@pytest.mark.parametrize(
    ("program", "tests", "why"),
    [
        ("def f(): return int(input())",
         "import io, sys\nsys.stdin = io.StringIO('3')\nassert f() == 3", "standard input"),
        ("M = 3\ndef f(): return M", "assert M == 3 and f() == M", "the program's variable M"),
        ("def f(g): return 1", "assert f(lambda: 1)", "the tests pass something"),
        ("def f(x): return 1", "class T: pass\nassert f(T())", "cannot read"),
    ],
)  # fmt: skip
def test_tests_that_need_what_cannot_cross_are_no_verdict(
    sandbox: Sandbox, program: str, tests: str, why: str
) -> None:
    report = sandbox.check(program, tests)
    assert report.verdict is Verdict.NOT_JUDGED and why in report.detail, report


@pytest.mark.parametrize(
    "captured",
    [
        "import contextlib, io\nout = io.StringIO()\nwith contextlib.redirect_stdout(out): f()\n",
        "import io, sys\nold, sys.stdout = sys.stdout, io.StringIO()\nf()\n"
        "out, sys.stdout = sys.stdout, old\n",
        "import io\nfrom unittest.mock import patch\n"
        "with patch('sys.stdout', new_callable=io.StringIO) as out: f()\n",
    ],
)
def test_tests_can_capture_what_a_call_prints(sandbox: Sandbox, captured: str) -> None:
    tests = f"{captured}assert out.getvalue() == 'hi\\n', out.getvalue()"
    assert sandbox.check("def f(): print('hi')", tests).verdict is Verdict.PASSED
    assert sandbox.check("def f(): print('ho')", tests).verdict is Verdict.FAILED
    assert sandbox.check("def f(): pass", tests).verdict is Verdict.FAILED


def test_named_tuples_are_answers_of_calls_too(sandbox: Sandbox) -> None:
    outcome = sandbox.one(f"{PAIR}def f(): return P(1, [2])")
    assert (outcome.kind, outcome.text) == (OutcomeKind.RETURNED, "tuple.P(x=1, y=[2])")


def test_many_large_values_do_not_stay_in_memory(sandbox: Sandbox) -> None:
    tests = "for _ in range(60): assert len(f(list(range(100_000)))) == 1"
    report = sandbox.check("def f(xs): return xs[:1]", tests, timeout_s=60)
    assert report.verdict is Verdict.PASSED, report


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(x): raise StopIteration", "assert all(map(lambda x: f(x) == 2 * x, range(3)))"),
        ("class Fake(AssertionError): pass\ndef f(x): raise Fake", f"{CASE}f(1)"),
        ("class E(SystemExit): pass\ndef f(x): raise E(0)", "assert 1 < 2\nf(1)"),
        ("from collections import namedtuple\nclass T(namedtuple('T', 'a')):\n"
         "    def __eq__(self, other): return True\ndef f(x): return T(1)", "assert f(1) == 5"),
        ("class M(type):\n    def __eq__(self, other): return True\n    __hash__ = None\n"
         "class X(Exception, metaclass=M): pass\ndef f(x): raise X",
         "try: f(1)\nexcept ValueError: assert 1 < 2"),
    ],
)  # fmt: skip
def test_what_crosses_gives_a_program_no_way_to_pass(
    isolated: Sandbox, program: str, tests: str
) -> None:
    assert isolated.check(program, tests).verdict is Verdict.FAILED

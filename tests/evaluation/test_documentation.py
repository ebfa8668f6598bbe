"""The benchmark that docs/evaluation.md shows is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ucoder.evaluation import GradingContext
from ucoder.evaluation.registry import find_benchmark
from ucoder.execution import open_executor
from ucoder.progress import Silent

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def block(language: str) -> str:
    fence = rf"^```{language}\n(.*?)^```$"
    found = re.search(fence, PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize(
    ("completion", "passed"),
    [
        ("def add(a, b):\n    return a + b\n", True),
        ("Sure:\n\ndef add(a, b):\n    return a - b\n", False),
        ("I cannot.", False),
    ],
)
async def test_the_example_loads_asks_cuts_and_grades(
    tmp_path: Path, completion: str, passed: bool
) -> None:
    (tmp_path / "interview.py").write_text(block("python"))
    (tmp_path / "questions.jsonl").write_text(block("json"))
    benchmark = find_benchmark(str(tmp_path / "interview.py"))
    dataset = benchmark.load(None)
    (task,) = dataset.tasks
    assert "Add two numbers." in benchmark.prompt(task).user
    async with open_executor(n_workers=1) as executor:
        grade = await benchmark.grader(GradingContext(dataset, executor, Silent(), tmp_path))
        (verdict,) = (await grade(task, benchmark.program(task, completion, True))).values()
    assert verdict.passed is passed, verdict

"""What a member of the winning cluster is chosen for."""

from __future__ import annotations

import dataclasses
import math

import pytest

from ucoder.pairs.making import make_pairs
from ucoder.pairs.quality import maintainability

from .conftest import ALIKE, Given, MakeRun, problems_of


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def f(x: int) -> int:\n    'Twice.'\n    return 2 * x\n", 1.0),
        ("def f(x):\n    return 2 * x\n", 1 / 3),
        ("def f(x: int):\n    return 2 * x if x else 0\n", (0 + 1 / 2 + 1 / 2) / 3),
        ("def f() -> int:\n    'Two.'\n    return 2\n", 1.0),
    ],
)
def test_maintainability_counts_docstring_annotations_and_branches(
    program: str, expected: float
) -> None:
    assert maintainability(program, "f") == pytest.approx(expected)


@pytest.mark.parametrize("program", ["def g(x):\n    return x\n", "def f(:", "x = 1\n" * 9_000])
def test_maintainability_is_undefined_where_the_function_cannot_be_read(program: str) -> None:
    assert math.isnan(maintainability(program, "f"))


def test_the_fastest_program_is_the_one_of_least_cpu_time(make_run: MakeRun) -> None:
    run = make_run({"p1": Given({"a": ALIKE, "b": ALIKE}, {"a": 4, "b": 4})},
                   "consolidation.choose=fastest")  # fmt: skip
    times = {"program-a": 0.4, "program-b": 0.2}
    timed = [dataclasses.replace(e, cpu_s=times[e.program_id]) for e in run.executions(0).get("p1")]
    run.executions(0).put("p1", timed)
    pairs = make_pairs(run, 0, problems_of(run))
    assert "return b" in pairs.examples[0].completion
    assert (pairs.choices[0].measure, pairs.choices[0].cluster_measure) == (
        0.2, pytest.approx(0.3)
    )  # fmt: skip

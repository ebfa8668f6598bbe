"""`benchmarks/calibration.py`: what is fitted on, and what is left out together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ucoder.consensus.inputs import n_examples
from ucoder.records import InputOrigin, Prediction
from ucoder.studies.tasks import StudyTask, task_of

from ..scripts import load_script
from .cases import pool

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "calibration.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


def with_example(n_right: int, n_wrong: int, right: str, predicted: str) -> StudyTask:
    """A task whose first input is an example of the statement, with this output."""
    made = pool({"a": [0, 1, 4, 9], "b": [3, 1, 8, 5]}, {"a": n_right, "b": n_wrong}, [right])
    example = replace(
        made.inputs[0], origin=InputOrigin.GIVEN, predictions=(Prediction(predicted, 1),)
    )
    return task_of(replace(made, inputs=(example, *made.inputs[1:])))


def test_a_task_with_examples_is_read_twice_and_has_one_vote(script: ModuleType) -> None:
    bare = task_of(pool({"a": [0, 1, 4]}, {"a": 3}, ["a"]))
    found = script.choices_of([with_example(6, 2, "a", "0"), bare])
    assert found.tasks_N.tolist() == [0, 0, 1]
    assert found.readings_N.tolist() == [0, 1, 1]
    assert found.weights_N.tolist() == [0.5, 0.5, 1.0]
    meets = script.FEATURES.index("meets_examples")
    assert found.features_NF[:, meets].tolist() == [1.0, 0.0, 0.0]
    assert n_examples(script.without_given(with_example(6, 2, "a", "0").votes)) == 0


def test_both_readings_of_a_task_are_left_out_together(script: ModuleType) -> None:
    sure = [with_example(9, 1, "a", "0") for _ in range(4)]
    unsure = [with_example(3, 3, "b", "0") for _ in range(4)]
    data = script.choices_of([*sure, *unsure])
    p = script.left_out(data)
    for at in range(data.right_N.size):
        rest = data.tasks_N != data.tasks_N[at]
        weights = script.fit(data.features_NF[rest], data.right_N[rest], data.weights_N[rest])
        expected = script.chance(data.features_NF[at : at + 1], weights)[0]
        assert p[at] == pytest.approx(expected, abs=1e-12)
    assert np.array_equal(p, script.left_out(data))


def test_the_fit_orders_choices_by_their_support(script: ModuleType) -> None:
    sure = [with_example(9, 1, "a", "7") for _ in range(6)]  # nobody meets the example
    unsure = [with_example(3, 2, "b", "7") for _ in range(6)]
    data = script.choices_of([*sure, *unsure])
    weights = script.fit(data.features_NF, data.right_N, data.weights_N)
    assert weights[script.FEATURES.index("support")] > 0
    p = script.chance(data.features_NF, weights)
    assert p[data.right_N == 1].min() > p[data.right_N == 0].max()

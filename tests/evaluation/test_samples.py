"""Samples in the official tools' formats: read, written, and refused where they are neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ucoder.errors import BenchmarkError
from ucoder.evaluation.protocol import Task
from ucoder.evaluation.records import Answer
from ucoder.evaluation.samples import read_samples, write_samples
from ucoder.records import FinishReason

HEAD = "def tide(x):\n"
TASKS = [Task(f"Tide/{i}", HEAD, "tide", {}) for i in range(2)]


def written(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_whole_programs_and_continuations_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s.jsonl",
        {"task_id": "Tide/1", "solution": "whole"},
        {"task_id": "Tide/1", "completion": "    return x"},
        {"task_id": "Tide/0", "solution": "other", "completion": "not this"},
    )
    samples = read_samples(path, TASKS)
    assert samples.programs == {"Tide/1": ["whole", HEAD + "    return x"], "Tide/0": ["other"]}
    assert samples.unknown == {}


def test_samples_of_other_tasks_are_counted_and_left_out(tmp_path: Path) -> None:
    other = {"task_id": "Ebb/7", "solution": "x"}
    path = written(tmp_path / "s", other, {"task_id": "Tide/0", "solution": "y"}, other)
    samples = read_samples(path, TASKS)
    assert samples.programs == {"Tide/0": ["y"]}
    assert samples.unknown == {"Ebb/7": 2}


def test_a_file_for_another_benchmark_is_refused_with_its_tasks(tmp_path: Path) -> None:
    path = written(tmp_path / "s", {"task_id": "Ebb/7", "solution": "x"})
    with pytest.raises(BenchmarkError, match="Ebb/7"):
        read_samples(path, TASKS)


@pytest.mark.parametrize(
    "line",
    [{"task_id": "Tide/0"}, {"task_id": "Tide/0", "solution": 3}, {"answer": "x"},
     {"task_id": "Tide/0", "completion": None}],
)  # fmt: skip
def test_a_line_in_neither_format_is_refused_with_its_number(
    tmp_path: Path, line: dict[str, Any]
) -> None:
    path = written(tmp_path / "s.jsonl", {"task_id": "Tide/0", "solution": "x"}, line)
    with pytest.raises(BenchmarkError, match=r"s\.jsonl, line 2: expected task_id and solution"):
        read_samples(path, TASKS)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="is not a file"):
        read_samples(tmp_path / "nowhere", TASKS)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    texts = ["def tide(x):\n    return '\u2028潮'\n", "", "\ud800"]
    answers = [
        Answer("tide", 0, "Tide/1", i, f"Sure: {text}", text, 3, FinishReason.STOP)
        for i, text in enumerate(texts)
    ]
    path = tmp_path / "deep" / "samples.jsonl"
    assert write_samples(path, answers) == 3
    assert read_samples(path, TASKS).programs == {"Tide/1": texts}
    first = json.loads(path.read_text().splitlines()[0])
    assert first["raw_solution"] == answers[0].completion
    assert [file.name for file in path.parent.iterdir()] == ["samples.jsonl"]

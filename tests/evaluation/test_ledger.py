"""Kept answers and scores: what a crash cuts off costs one task, and nothing comes back changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ucoder.evaluation.ledger import Ledger
from ucoder.evaluation.records import Answer, GradeReason, Score
from ucoder.records import FinishReason


def score(task: str, index: int = 0, detail: str = "") -> Score:
    return Score("tide", 0, task, index, False, GradeReason.WRONG_OUTPUT, detail)


def test_rows_come_back_by_task_with_their_enums(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.jsonl"
    ledger = Ledger(path, Score)
    unjudged = Score("tide", 0, "b", 0, None, GradeReason.MISSING_LIBRARY, "no numpy")
    ledger.put("a", [score("a", 0), score("a", 1)])
    ledger.put("b", [unjudged])
    again = Ledger(path, Score)
    assert again.keys() == ledger.keys() == {"a", "b"}
    assert again.get("a") == [score("a", 0), score("a", 1)]
    assert again.get("b") == [unjudged]
    assert type(again.get("b")[0].reason) is GradeReason
    assert again.get("c") == []


@pytest.mark.parametrize("text", ["\ud800 lone", "\n\r\u2028\x00", "naïve 潮", '"\\'])
def test_any_text_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    answer = Answer("tide", 0, "a", 0, text, text, 3, FinishReason.LENGTH)
    Ledger(tmp_path / "answers", Answer).put("a", [answer])
    assert Ledger(tmp_path / "answers", Answer).get("a") == [answer]


@pytest.mark.parametrize("n_lost", [2, 20, 60])
def test_a_last_line_that_was_cut_off_costs_its_task_alone(tmp_path: Path, n_lost: int) -> None:
    path = tmp_path / "scores.jsonl"
    ledger = Ledger(path, Score)
    ledger.put("a", [score("a")])
    ledger.put("b", [score("b")])
    path.write_bytes(path.read_bytes()[:-n_lost])
    torn = Ledger(path, Score)
    assert torn.keys() == {"a"}
    torn.put("c", [score("c")])
    assert Ledger(path, Score).keys() == {"a", "c"}


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"key": "z", "rows": [{"unknown": 1}]}',
        b'{"key": "z", "rows": 3}',
        json.dumps({"key": "z", "rows": [{"reason": "no such reason"}]}).encode(),
    ],
)
def test_a_line_that_is_not_an_entry_is_skipped(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "scores.jsonl"
    Ledger(path, Score).put("a", [score("a")])
    path.write_bytes(line + b"\n" + path.read_bytes() + line)
    assert Ledger(path, Score).keys() == {"a"}


def test_the_later_line_of_a_task_counts(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    Ledger(path, Score).put("a", [score("a", detail="first")])
    Ledger(path, Score).put("a", [score("a", detail="second")])
    assert [row.detail for row in Ledger(path, Score).get("a")] == ["second"]

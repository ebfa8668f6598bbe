"""What a run tells of its pairs, and how it hands them out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ucoder.analysis.pairs import explain_choice, pair_space, said_of_pairs
from ucoder.cli.exporting import export_examples, export_preferences
from ucoder.errors import ConfigError, NothingToDo
from ucoder.pairs.making import make_pairs
from ucoder.runs import Run

from .conftest import ALIKE, Given, MakeRun, problems_of

NEGATED = (-4, 0, -2, -6)
RIGHT = Given({"a": ALIKE, "b": NEGATED}, {"a": 11, "b": 1}, greedy="a")
WRONG = dataclasses.replace(RIGHT, output="5")
UNREADABLE = dataclasses.replace(RIGHT, output="its double")


def stored(run: Run) -> Run:
    pairs = make_pairs(run, 0, problems_of(run))
    run.pair_choices(0).put("pair_choices", pairs.choices)
    run.preferences(0).put("preferences", pairs.preferences)
    run.examples(0).put("examples", pairs.examples)
    return run


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    ("policy", "holding", "with_example"),
    [("keep", 1, 3), ("correct", 3, 3), ("drop", 1, 1), ("reject", 1, 1)],
)
def test_the_share_of_pairs_whose_example_holds_is_told(
    make_run: MakeRun, policy: str, holding: int, with_example: int
) -> None:
    problems = {"p1": RIGHT, "p2": WRONG, "p3": UNREADABLE}
    run = stored(make_run(problems, f"consolidation.examples={policy}"))
    space = pair_space(run, 0)
    assert (space.n_holding, space.n_with_example) == (holding, with_example)
    assert (space.holding_share == 1) is (policy != "keep")
    assert f"they hold in {holding} of the {with_example} pairs" in " ".join(said_of_pairs(space))


def test_the_difficulty_before_and_after_is_told(make_run: MakeRun) -> None:
    target = "consolidation.difficulty.target={easy: 0.5, medium: 0.5, hard: 0}"
    unsure = Given({"a": ALIKE, "b": NEGATED}, {"a": 7, "b": 5}, greedy="b")
    run = stored(make_run({"p1": RIGHT, "p2": RIGHT, "p3": RIGHT, "p4": unsure}, target))
    space = pair_space(run, 0)
    assert space.difficulty_before == {"easy": 3, "medium": 1, "hard": 0}
    assert space.difficulty_after == {"easy": 2, "medium": 1, "hard": 0}
    assert space.left_out == {"enough_of_its_difficulty": 1}
    assert "1 enough of its difficulty" in said_of_pairs(space)[0]


def test_an_iteration_without_pairs_tells_nothing_of_them(make_run: MakeRun) -> None:
    assert said_of_pairs(pair_space(make_run({"p1": RIGHT}), 0)) == []


def test_what_became_of_one_problem_is_explained(make_run: MakeRun) -> None:
    run = stored(make_run({"p1": WRONG}, "consolidation.examples=reject"))
    (choice,) = run.pair_choices(0).rows()
    words = " ".join(explain_choice(choice))
    assert "Difficulty: easy, as 92% of the candidates" in words
    assert "(1 in all, 1 contradicted, 0 not verified)" in words
    assert "Not trained on: the program contradicts an example" in words


def test_the_rule_that_chose_within_the_cluster_is_explained(make_run: MakeRun) -> None:
    given = Given({"a if x else a": ALIKE, "b": ALIKE}, {"a if x else a": 4, "b": 4})
    run = stored(make_run({"p1": given}, "consolidation.choose=shortest"))
    (choice,) = run.pair_choices(0).rows()
    words = " ".join(explain_choice(choice))
    assert "stands for its cluster as the shortest one: 13, the mean is 15" in words


def test_preference_pairs_are_exported_as_trl_reads_them(make_run: MakeRun, tmp_path: Path) -> None:
    run = stored(make_run({"p1": RIGHT}))
    assert export_preferences(run.path, tmp_path / "p.jsonl", None) == 1
    (row,) = rows(tmp_path / "p.jsonl")
    assert [row[name][0]["role"] for name in ("prompt", "chosen", "rejected")] == [
        "user", "assistant", "assistant"
    ]  # fmt: skip
    assert "return a" in row["chosen"][0]["content"]
    assert "return b" in row["rejected"][0]["content"]
    assert (row["arguments"], row["chosen_outcome"], row["rejected_outcome"]) == (
        "(1,)", "2", "-2"
    )  # fmt: skip
    assert (row["problem_id"], row["iteration"], row["model"]) == ("p1", 0, "scripted")
    export_preferences(run.path, tmp_path / "p.parquet", 0)
    assert pq.read_table(tmp_path / "p.parquet").to_pylist() == [row]


def test_exported_examples_say_what_they_teach(make_run: MakeRun, tmp_path: Path) -> None:
    run = stored(make_run({"p1": RIGHT}, "consolidation.changed_weight=2"))
    export_examples(run.path, tmp_path / "e.jsonl", None)
    (row,) = rows(tmp_path / "e.jsonl")
    assert (row["kind"], row["weight"], row["difficulty"], row["evidence"]) == (
        "replayed", 1.0, "easy", "holds"
    )  # fmt: skip


def test_what_is_left_out_of_training_is_not_exported(make_run: MakeRun, tmp_path: Path) -> None:
    """Also before stage 6 has chosen the pairs."""
    problems = {"p1": WRONG, "p2": RIGHT}
    run = make_run(problems, "consolidation.examples=reject")
    assert export_examples(run.path, tmp_path / "e.jsonl", None) == 1
    assert rows(tmp_path / "e.jsonl")[0]["problem_id"] == "p2"


def test_an_export_of_preferences_without_any_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    run = stored(make_run({"p1": Given({"a": ALIKE}, {"a": 5})}))
    with pytest.raises(NothingToDo, match="holds no preference pair yet"):
        export_preferences(run.path, tmp_path / "p.jsonl", None)
    with pytest.raises(ConfigError, match=r"give \.jsonl or \.parquet"):
        export_preferences(run.path, tmp_path / "p.csv", None)

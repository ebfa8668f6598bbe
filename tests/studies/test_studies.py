"""Studies on pools made by hand, whose results can be counted on fingers."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ucoder.errors import BenchmarkError, ConfigError
from ucoder.evaluation.statistics import bootstrap_interval
from ucoder.studies.adversary import breaks_at, plant, study_adversary, wrong_behaviour
from ucoder.studies.calibration import calibration, precisions, reliability
from ucoder.studies.results import Study, frame, write_study
from ucoder.studies.selection import best_selector, study_selection
from ucoder.studies.subsets import knee, study_coverage, study_sampling
from ucoder.studies.tasks import ALL, AS_RUN, OWN, StudyTask, choose, task_of

from .cases import pool, task

pytest.importorskip("pandas")

SQUARES, CUBES, TWICE = [0, 1, 4, 9, 16], [0, 1, 8, 27, 64], [0, 2, 4, 6, 8]


def rows_of(study: Study, table: str = "", **where: object) -> list[Any]:
    """The rows of a study's main table, or another one, that have these values in columns."""
    found = study.tables[table or study.name]
    for column, value in where.items():
        found = found[found[column] == value]
    return list(found.itertuples())


def three_tasks() -> list[StudyTask]:
    """Of the first, the majority is right; of the second, the minority; of the third, nobody."""
    rows = {"squares": SQUARES, "cubes": CUBES}
    return [
        task(rows, {"squares": 6, "cubes": 2}, ["squares"], n_refused=2, task_id="t/1"),
        task(rows, {"squares": 6, "cubes": 4}, ["cubes"], task_id="t/2"),
        task(rows, {"squares": 6, "cubes": 4}, task_id="t/3"),
    ]


def test_pass_at_1_random_and_oracle_are_what_counting_gives() -> None:
    study = study_selection(three_tasks(), ["consensus", "cluster", "success_rate"])
    results = {row.selector: row for row in rows_of(study, inputs=ALL)}
    assert results["consensus"].pass_at_1 == pytest.approx(1 / 3)
    assert study.summary["random"].value == pytest.approx(
        (0.6 + 0.4 + 0) / 3
    )  # refused ones are wrong
    assert study.summary["oracle"].value == pytest.approx(2 / 3)
    # A lottery among all eight, ten and ten candidates that return: its exact expectation.
    assert results["success_rate"].pass_at_1 == pytest.approx((6 / 8 + 4 / 10 + 0) / 3)
    assert results["success_rate"].against_paper == pytest.approx((-2 / 8 + 4 / 10) / 3)
    assert results["consensus"].coverage == 1.0


def test_a_task_without_a_selection_counts_as_wrong_and_lowers_coverage() -> None:
    nobody = task({"raises": [None, None]}, {"raises": 3}, task_id="t/4")
    study = study_selection([*three_tasks(), nobody], ["consensus"])
    (row,) = rows_of(study, inputs=ALL)
    assert row.pass_at_1 == pytest.approx(1 / 4)
    assert row.coverage == pytest.approx(3 / 4)


def test_the_models_own_inputs_can_lead_to_another_choice() -> None:
    rows = {"right": [0, 1, 2, 9], "a": [0, 1, 2, 6], "b": [0, 1, 2, 8]}
    mixed = task(rows, {"right": 3, "a": 2, "b": 2}, ["right"], n_own=3)
    study = study_selection([mixed], ["cluster"])
    assert [row.pass_at_1 for row in rows_of(study, inputs=ALL)] == [1.0]
    for inputs in (OWN, AS_RUN):  # a run counts only its own inputs for the largest cluster
        assert [r.pass_at_1 for r in rows_of(study, inputs=inputs)] == [pytest.approx(3 / 7)]


def test_choices_are_compared_where_the_truth_is_unknown() -> None:
    made = pool({"a": SQUARES, "b": CUBES}, {"a": 3, "b": 2}, None, n_refused=1)
    study = study_selection([task_of(made, has_truth=False)], ["consensus", "mbr_soft"])
    assert study.summary["random"].n == study.summary["oracle"].n == 0
    assert study.summary["theorem_2_4"] == {}
    assert all(math.isnan(row.pass_at_1) for row in rows_of(study))
    assert all(row.as_paper == 1.0 for row in rows_of(study, inputs=ALL))


def test_a_sandbox_failure_in_the_test_script_is_neither_right_nor_wrong() -> None:
    made = pool({"a": SQUARES, "b": CUBES}, {"a": 3, "b": 1}, ["b"])
    unknown = type(made)(
        made.task_id, made.entry_point, made.inputs, made.candidates, made.executions,
        (None, True),
    )  # fmt: skip
    study = study_selection([task_of(unknown), *three_tasks()], ["consensus"])
    (row,) = rows_of(study, inputs=ALL)
    assert (row.pass_at_1_n, row.pass_at_1) == (3, pytest.approx(1 / 3))


def test_best_prefers_agreement_where_several_are_equal() -> None:
    study = study_selection(three_tasks()[:1], ["consensus", "mbr_soft", "agreement"])
    assert {row.pass_at_1 for row in rows_of(study, inputs=ALL)} == {1.0}
    assert best_selector(study.tables["selection"])["selector"] == "agreement"


def test_the_theorem_stands_beside_what_was_observed() -> None:
    study = study_selection(three_tasks(), ["consensus"])
    found = study.summary["theorem_2_4"]
    assert [found[inputs]["observed"] for inputs in (OWN, ALL)] == [pytest.approx(1 / 3)] * 2
    said = [note for note in study.notes if note.startswith("theorem 2.4")]
    assert len(said) == 2 and "in 33.3% of 3 tasks" in said[0]


def test_an_unknown_selector_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="'oracle' is unknown; known: consensus"):
        study_selection(three_tasks(), ["oracle"])


def test_the_bootstrap_covers_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(100):
        values = (random.random(80) < 0.4).astype(float)
        found = bootstrap_interval(values, seed=trial)
        covered += found.low <= 0.4 <= found.high
    assert covered >= 88


def test_intervals_are_paired_repeatable_and_leave_out_what_is_unknown() -> None:
    values = [0.0, 1.0, 1.0, math.nan]
    assert bootstrap_interval(values, 3) == bootstrap_interval(values, 3)
    assert bootstrap_interval(values).n == 3 and bootstrap_interval([math.nan]).n == 0
    # Each better by the same: the difference is certain although both means are not.
    gain = bootstrap_interval([0.3 - 0.1, 0.8 - 0.6, 0.5 - 0.3])
    assert (gain.low, gain.high) == (pytest.approx(0.2), pytest.approx(0.2))


def test_calibration_by_hand() -> None:
    p, right = np.array([0.95, 0.91, 0.15, 0.12]), np.array([1.0, 0.0, 0.0, 0.0])
    bins = reliability(p, right)
    assert [(b["low"], b["right"].n, b["right"].value) for b in bins] == [
        (0.1, 2, 0.0),
        (0.9, 2, 0.5),
    ]
    found = calibration(p, right)
    assert found["brier"].value == pytest.approx((0.05**2 + 0.91**2 + 0.15**2 + 0.12**2) / 4)
    assert found["expected_error"] == pytest.approx((abs(0.93 - 0.5) + 0.135) / 2)


def test_precision_keeps_the_most_probable_and_counts_no_selection_as_wrong() -> None:
    p = np.array([0.9, 0.8, 0.8, math.nan])
    rows = precisions(p, np.array([1.0, 1.0, 0.0, 0.0]), (0.25, 0.5, 1.0))
    assert [row["n_kept"] for row in rows] == [1, 2, 4]
    # Of the two at 0.8, the wrong one is kept first.
    assert [row["precision"].value for row in rows] == [1.0, 0.5, 0.5]
    assert rows[1]["least_probability"] == 0.8 and math.isnan(rows[2]["least_probability"])


def test_coverage_finds_the_only_distinguishing_input() -> None:
    rows = {"right": [1, 1, 1, 5], "wrong": [1, 1, 1, 6], "other": [1, 1, 1, 7]}
    made = task(rows, {"right": 3, "wrong": 1, "other": 1}, ["right"])
    study = study_coverage([made], ["cluster"], sizes=(1, 2, 4), repeats=8)
    (fewest,) = rows_of(study, "coverage_distinguishing")
    assert (fewest.n_distinguishing, fewest.n_clusters, fewest.n_kept) == (1, 3, 4)
    by_size = {row.n_inputs: row for row in rows_of(study)}
    assert by_size[4].pass_at_1 == by_size[4].same_choice == 1.0
    # Without it, any of the five may be drawn.
    assert 3 / 5 <= by_size[1].pass_at_1 < 1.0
    assert by_size[1].pass_at_1 <= by_size[2].pass_at_1


def test_the_same_choice_with_nothing_left_out_is_no_finding() -> None:
    easy = task({"a": SQUARES, "b": CUBES}, {"a": 4, "b": 1}, ["a"])
    study = study_coverage([easy], ["consensus"], sizes=(5, 10), repeats=2)
    assert knee(study.tables["coverage"], "same_choice") is None
    study = study_coverage([easy], ["consensus"], sizes=(3, 4, 10), repeats=2)
    assert knee(study.tables["coverage"], "same_choice") == 3


def test_reliability_is_the_share_right_of_the_more_probable_half() -> None:
    sure = task({"a": SQUARES, "b": CUBES}, {"a": 9, "b": 1}, ["a"], task_id="sure")
    unsure = task({"a": SQUARES, "b": CUBES}, {"a": 5, "b": 4}, ["b"], task_id="unsure")
    wrong = task({"a": SQUARES, "b": CUBES}, {"a": 9, "b": 1}, ["b"], task_id="wrong")
    made = study_coverage([sure, unsure], ["agreement", "codet"], sizes=(4, 5), repeats=2)
    rows = {(row.selector, row.n_inputs): row for row in rows_of(made)}
    assert (rows["agreement", 5].reliability, rows["agreement", 5].pass_at_1) == (1.0, 0.5)
    assert made.summary["knee"] == {"agreement": 4, "codet": "not reached"}
    assert math.isnan(rows["codet", 5].reliability)  # it draws, and gives no probability
    # Equally probable: the wrong one is kept, so that the order of tasks cannot flatter.
    for order in ([sure, wrong], [wrong, sure]):
        made = study_coverage(order, ["agreement"], sizes=(5,), repeats=1)
        assert [row.reliability for row in rows_of(made)] == [0.0]


def test_leaving_candidates_out_equals_never_having_sampled_them() -> None:
    full = task({"a": SQUARES, "b": CUBES, "c": TWICE}, {"a": 2, "b": 2, "c": 1}, n_refused=1)
    few = task({"b": CUBES, "c": TWICE}, {"b": 1, "c": 1}, n_refused=1)
    votes = full.sampled([3, 4, 5])
    assert votes.programs == few.votes.programs and votes.n == 2
    for name in ("consensus", "agreement", "mbr_soft"):
        assert choose(votes, [name]) == choose(few.votes, [name])


def test_sampling_stops_early_where_all_agree_and_never_goes_beyond_n() -> None:
    made = [
        task({"a": SQUARES, "b": CUBES}, {"a": 39, "b": 1}, ["a"], task_id="sure"),
        task({f"p{i}": [i, i * i + 1] for i in range(40)}, {f"p{i}": 1 for i in range(40)},
             ["p0"], task_id="scattered"),
    ]  # fmt: skip
    study = study_sampling(
        made[:1], ["agreement", "codet"], sizes=(8, 40, 128), repeats=2, regrets=(0.0, 0.5)
    )
    assert study.summary["not_forecast"] == ["codet"]
    assert {row.n_samples for row in rows_of(study)} == {8, 40}
    rows = {(row.selector, row.max_regret): row for row in rows_of(study, "samples_stopping")}
    assert rows["agreement", 0.5].samples == 8
    assert rows["agreement", 0.5].saved == pytest.approx(0.8)
    assert rows["agreement", 0.5].tokens_saved == pytest.approx(0.8)
    assert rows["agreement", 0.5].lost == 0.0
    assert rows["agreement", 0.0].samples <= 40
    both = study_sampling(made, ["agreement"], sizes=(8,), repeats=1, regrets=(1e-9,))
    (row,) = rows_of(both, "samples_stopping")
    assert row.samples <= 40


def test_saved_tokens_are_unknown_where_token_counts_are() -> None:
    made = task({"a": SQUARES}, {"a": 20}, ["a"], n_tokens=0)
    study = study_sampling([made], ["agreement"], sizes=(8,), repeats=1, regrets=(0.5,))
    (row,) = rows_of(study, "samples_stopping")
    assert row.tokens_saved_n == 0 and row.saved_n == 1


def test_planted_programs_replace_candidates_and_are_wrong() -> None:
    made = task({"a": SQUARES, "b": CUBES}, {"a": 6, "b": 4}, ["a"], n_refused=2)
    behaviour = wrong_behaviour(made)
    assert not behaviour.is_synthetic
    attacked = plant(made, behaviour, np.array([0, 1, 11]))
    assert (attacked.n, attacked.votes.n) == (12, 11)  # a refused one was replaced as well
    assert np.nansum(attacked.right_N) == 4
    assert attacked.votes.weights_P[attacked.right_P == 1.0].sum() == 4
    planted_P = attacked.programs_N[[0, 1, 11]]
    assert (attacked.votes.answers_PT[planted_P] == behaviour.answers_T).all()
    assert (attacked.right_P[planted_P] == 0.0).all() and len(set(planted_P.tolist())) == 3


@pytest.mark.parametrize("right", [SQUARES, [True] * 5])
def test_without_a_wrong_program_a_varied_wrong_behaviour_is_made_up(right: list[object]) -> None:
    made = task({"a": right}, {"a": 6}, ["a"])
    behaviour = wrong_behaviour(made)
    assert behaviour.is_synthetic
    assert (behaviour.answers_T != made.votes.answers_PT[0]).all()
    assert len(set(behaviour.answers_T.tolist())) > 1
    attacked = plant(made, behaviour, np.arange(4))
    assert choose(attacked.votes, ["consensus"])["consensus"].program != "a"


def test_a_majority_that_agrees_on_purpose_breaks_the_largest_cluster() -> None:
    made = task({"a": SQUARES, "b": CUBES}, {"a": 15, "b": 5}, ["a"])
    study = study_adversary([made], ["consensus", "agreement"], shares=(0.05, 0.6))
    rows = {(row.selector, row.share): row for row in rows_of(study)}
    assert rows["consensus", 0.0].pass_at_1 == 1.0
    assert rows["consensus", 0.05].pass_at_1 == 1.0
    assert rows["consensus", 0.6].pass_at_1 == 0.0
    assert rows["consensus", 0.6].planted_chosen == 1.0
    assert study.summary["breaks_at"]["consensus"] == 0.6
    table = study.tables["adversary"]
    assert breaks_at(table[table["selector"] == "consensus"]) == 0.6
    assert 0.0 < rows["consensus", 0.6].probability_wrong < 1.0
    assert rows["consensus", 0.0].probability_wrong_n == 0


def test_the_adversary_study_needs_the_truth() -> None:
    made = pool({"a": SQUARES}, {"a": 6}, None)
    with pytest.raises(BenchmarkError, match="give a file of samples"):
        study_adversary([task_of(made, has_truth=False)])


def test_studies_repeat_with_a_seed() -> None:
    for study_of in (study_coverage, study_sampling, study_adversary):
        one, two = (rows_of(study_of(three_tasks(), ["consensus"], 5)) for _ in range(2))
        assert repr(one) == repr(two)


def test_every_study_writes_tables_summary_and_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    tasks = three_tasks()
    for study in (
        study_selection(tasks), study_coverage(tasks, repeats=1),
        study_sampling(tasks, repeats=1, shuffles=1), study_adversary(tasks, repeats=1),
    ):  # fmt: skip
        paths = write_study(study, tmp_path)
        assert all(path.stat().st_size for path in paths)
        for ending in ("parquet", "csv", "json", "png", "svg"):
            assert tmp_path / f"{study.name}.{ending}" in paths
        parquet = pq.read_table(tmp_path / f"{study.name}.parquet").to_pylist()
        with (tmp_path / f"{study.name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(parquet) and list(rows[0]) == list(parquet[0])
        assert {"pass_at_1", "pass_at_1_low", "pass_at_1_high", "pass_at_1_n"} <= set(rows[0])
        summary = (tmp_path / f"{study.name}.json").read_text()
        assert "NaN" not in summary and json.loads(summary)["study"] == study.name


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    table = frame([], ("selector", "right"), ("right",))
    study = Study("empty", {"empty": table}, {"value": math.nan}, [], [], {})
    write_study(study, tmp_path)
    columns = ["selector", "right", "right_low", "right_high", "right_n"]
    assert (tmp_path / "empty.csv").read_text().splitlines() == [",".join(columns)]
    assert pq.read_table(tmp_path / "empty.parquet").column_names == columns
    assert json.loads((tmp_path / "empty.json").read_text()) == {"value": None}

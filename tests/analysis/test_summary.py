import json
import math
from dataclasses import replace

import pytest

from ucoder.analysis.problem_space import problem_space
from ucoder.analysis.summary import summarise
from ucoder.records import Selection, TopicNode
from ucoder.runs import Run

from .synthetic import STORIES, build, config, problem_of

UNDECIDED = {
    "selector": "consensus", "score": math.nan, "runner_up_score": math.nan, "score_unit": "",
    "probability": math.nan, "flags": (), "n_wanted": 8, "regret": math.nan,
}  # fmt: skip


def test_attempts_are_counted_by_stage_and_reason(finished):
    space = summarise(finished).problem_space
    assert (space.n_attempts, space.n_accepted) == (12, 6)
    assert space.rejected == {
        "problems": {"input_output": 1, "malformed_problem": 1},
        "ratings": {"low_rating": 1, "malformed_rating": 1},
        "interfaces": {"duplicate": 1, "interface_mismatch": 1},
    }
    assert [space.left_after(s) for s in ("problems", "ratings", "interfaces")] == [10, 8, 6]
    assert space.ratings.mean == 8.0
    assert space.areas["basic algorithms"] == 2
    assert space.tokens == {"problems": 1200, "ratings": 200, "interfaces": 400}
    assert space.repeated == 1 / 7
    assert space.diversity.n_texts == 6


def test_topics_scores_and_removed_parts_are_counted(finished):
    attempts = [
        replace(attempt, scores=(8.0, 6.0), removed=("hint",))
        for attempt in finished.attempts.rows()
    ]
    topics = [
        TopicNode(0, "tool usage", "", ("parsing",), 1, "1. parsing", 7, None),
        TopicNode(0, "tool usage", "parsing", ("dates", "sums"), 0, "1. dates", 9, None),
    ]
    space = problem_space(attempts, topics)
    assert (space.n_topics, space.tokens["problems"]) == (2, 1200 + 16)
    assert (space.n_scores, space.removed) == (24, {"hint": 6})


def test_inputs_are_counted_by_origin_and_refusal(finished):
    inputs = summarise(finished).input_space
    assert (inputs.n_suites, inputs.n_usable, inputs.given_up) == (6, 5, {"too_few_inputs": 1})
    assert inputs.by_origin == {"model": 15, "mutation": 10, "example": 5}
    assert inputs.refused == {"not_literal": 12, "duplicate_input": 6}
    assert (inputs.n_inputs, inputs.n_predicted, inputs.tokens) == (30, 15, 1200)


def test_an_iteration_is_counted_from_candidates_to_checkpoint(finished):
    (iteration,) = summarise(finished).iterations
    assert (iteration.n_problems, iteration.n_candidates, iteration.n_programs) == (5, 40, 14)
    assert iteration.without_program == {"no_code": 3, "truncated": 1}
    assert (iteration.n_executed, iteration.n_calls) == (14, 14 * 6)
    assert iteration.statuses == {"loaded": 14}
    assert iteration.outcomes == {"returned": 70, "raised": 14}
    assert (iteration.n_decided, iteration.n_selected) == (5, 3)
    assert iteration.not_selected == {"no_consensus": 1, "no_informative_input": 1}
    assert iteration.largest_clusters == {0: 1, 2: 1, 4: 1, 5: 1, 7: 1}
    assert iteration.cluster_sizes == {1: 1, 2: 4, 3: 1, 4: 1, 5: 1, 7: 1}
    assert (iteration.n_inputs, iteration.n_kept_inputs) == (30, 24)
    assert (iteration.n_examples, iteration.tokens) == (3, 1600)
    assert iteration.checkpoint is not None and iteration.checkpoint.loss == 0.41


def test_scores_and_costs_are_there(finished):
    summary = summarise(finished)
    before, after = summary.scores
    assert (before.passed, before.n_run, after.passed, after.n_run) == (9, 20, 11, 19)
    assert after.paired is not None
    assert (after.paired.n, after.paired.better, after.paired.worse) == (19, 3, 1)
    assert after.paired.p == 0.625
    assert summary.seconds == 430
    assert summary.tokens == 1200 + 200 + 400 + 1200 + 1600 + 1200
    assert [cost.stage for cost in summary.costs] == [
        "problems", "ratings", "interfaces", "test_inputs",
        "solutions", "consolidation", "evaluation",
    ]  # fmt: skip
    assert summary.missing == ()


def test_a_summary_is_json_without_nan(finished):
    values = json.loads(json.dumps(summarise(finished).to_dict(), allow_nan=False))
    assert values["problem_space"]["n_accepted"] == 6
    assert values["costs"][1]["seconds"] is None  # ratings are not timed alone
    assert values["targets"]["tau"] == 3
    assert values["scores"][0]["paired"] is None


def test_an_empty_run_has_undefined_numbers_and_says_what_is_missing(tmp_path):
    summary = summarise(Run.create(tmp_path / "run", config()))
    values = summary.to_dict()
    assert values["problem_space"]["ratings"]["mean"] is None
    assert values["seconds"] is None
    assert (values["iterations"], values["scores"], values["costs"]) == ([], [], [])
    assert summary.missing == (
        "stage 1: no attempt at a problem yet",
        "stages 5 and 6: not begun for iteration 0",
        "evaluation: model 0 has no humaneval score",
    )


@pytest.mark.parametrize(
    ("upto", "missing"),
    [
        ("attempts", "stage 4: 0 of 6 problems have test inputs so far"),
        ("suites", "stages 5 and 6: not begun for iteration 0"),
        ("candidates", "stage 5: iteration 0 has decided 0 of 5 problems"),
        ("selections", "stage 6: iteration 0 has trained no model"),
    ],
)
def test_a_half_done_run_names_the_next_thing_missing(tmp_path, upto, missing):
    assert missing in summarise(build(tmp_path / "run", upto)).missing


def test_sandbox_failures_are_added_up(tmp_path):
    run = build(tmp_path / "run", "candidates")
    key = problem_of(STORIES[0]).id
    counts = (8, 0, 6, 0, 0, (), None, math.nan, math.nan, None, 8)
    lost = Selection(key, 0, *counts, **UNDECIDED)
    run.selections(0).put(key, [lost])
    (iteration,) = summarise(run).iterations
    assert iteration.n_sandbox_failures == 8


def test_answers_that_two_benchmarks_share_cost_their_tokens_once(tmp_path):
    run = build(tmp_path / "run")
    before = summarise(run)
    rows = [replace(score, benchmark="humaneval+") for score in run.scores("humaneval", 0).rows()]
    run.scores("humaneval+", 0).put("rows", rows)
    after = summarise(run)
    assert len(after.scores) == len(before.scores) + 1
    assert after.tokens == before.tokens


def test_a_benchmark_of_ones_own_is_missing_until_it_has_a_score_of_its_name(tmp_path):
    run = build(tmp_path / "run")
    names = ("humaneval", "mine/own.py")
    evaluation = run.config.evaluation.model_copy(update={"benchmarks": names})
    run.config = run.config.model_copy(update={"evaluation": evaluation})
    assert summarise(run).missing == ("evaluation: models 0, 1 have no mine/own.py score",)
    for index in (0, 1):
        rows = [replace(s, benchmark="own") for s in run.scores("humaneval", index).rows()]
        run.scores("own", index).put("rows", rows)
    summary = summarise(run)
    assert summary.missing == ()
    assert [score.benchmark for score in summary.scores] == ["humaneval"] * 2 + ["own"] * 2

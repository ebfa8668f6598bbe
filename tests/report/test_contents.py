"""Funnel, examples and limits: what the page is made of."""

from itertools import pairwise

import pytest

from ucoder.analysis.summary import summarise
from ucoder.report.examples import choose, examples
from ucoder.report.funnel import candidate_funnel, problem_funnel
from ucoder.report.limits import limits


@pytest.fixture(scope="module")
def run(synthetic, tmp_path_factory):
    return synthetic.build(tmp_path_factory.mktemp("runs") / "finished")


def test_the_funnel_narrows_from_attempts_to_training_pairs(run):
    summary = summarise(run)
    steps = problem_funnel(summary, summary.iterations[0])
    assert [(step.stage, step.kept) for step in steps] == [
        ("", 12), ("1", 10), ("2", 8), ("3", 6), ("4", 5), ("5", 3), ("6", 3),
    ]  # fmt: skip
    assert steps[4].losses == {"too_few_inputs": 1}
    assert steps[5].losses == {"no_consensus": 1, "no_informative_input": 1}
    assert steps[6].width == 25.0


def test_every_loss_of_the_funnel_has_a_reason(run):
    summary = summarise(run)
    for steps in (
        problem_funnel(summary, summary.iterations[0]),
        candidate_funnel(summary.iterations[0]),
    ):
        for before, after in pairwise(steps):
            assert before.kept - after.kept == sum(after.losses.values())


def test_unfinished_work_is_listed_as_still_to_come(synthetic, tmp_path):
    summary = summarise(synthetic.build(tmp_path / "run", "candidates"))
    (*_, last) = problem_funnel(summary, summary.iterations[0])
    assert (last.kept, last.losses) == (0, {"still_to_come": 5})


def test_candidates_become_distinct_programs(run):
    steps = candidate_funnel(summarise(run).iterations[0])
    assert [step.kept for step in steps] == [40, 36, 14, 14]
    assert steps[1].losses == {"no_code": 3, "truncated": 1}
    assert steps[2].losses == {"same_program": 22}


def test_examples_show_agreement_splits_and_failures(run, synthetic):
    titles = {synthetic.problem_of(s).id: s.name for s in synthetic.STORIES}
    chosen = choose(run.selections(0).rows())
    assert [(kind, titles[problem_id]) for kind, problem_id in chosen] == [
        ("Selected", "count_vowels"),
        ("Selected from split clusters", "roman_to_int"),
        ("Selected from split clusters", "flatten"),
        ("No consensus", "median_of"),
        ("No informative input", "day_of_year"),
    ]


def test_clusters_stand_side_by_side_with_their_outputs(run):
    roman = examples(run, 0)[1]
    assert [(c.letter, c.size, c.winner) for c in roman.clusters] == [
        ("A", 4, True), ("B", 3, False), ("C", 1, False),
    ]  # fmt: skip
    table = {call: [cell.text for cell in cells] for call, cells in roman.rows}
    assert table["('IV')"] == ["6", "4", "2"]
    assert "score 4 (candidates with equal outputs), next cluster 3" in roman.verdict


def test_candidates_outside_clusters_are_accounted_for(run):
    for example in examples(run, 0):
        shown = sum(cluster.size for cluster in example.clusters)
        assert shown + example.n_small + sum(example.dropped.values()) == example.n_candidates


def test_a_problem_that_nothing_solved_shows_what_calls_came_to(run):
    last = examples(run, 0)[-1]
    assert (last.clusters, last.rows) == ((), ())
    assert last.failures == {"NameError": 6, "ValueError": 6}


def test_limits_speak_of_this_run(run):
    said = " ".join(limits(run, summarise(run), summarise(run).iterations[0]))
    assert "subset of 20 tasks" in said
    assert "6 problems instead of 16,867" in said
    assert "low-rank adapter" in said
    assert "6 of 30 test inputs did not count" in said
    assert "without isolation" not in said


def test_running_without_isolation_is_said(run):
    said = " ".join(limits(run, summarise(run), None))
    run.manifest.executor = "unsafe-process"
    try:
        assert "without isolation" in " ".join(limits(run, summarise(run), None))
    finally:
        run.manifest.executor = "bubblewrap"
    assert "without isolation" not in said

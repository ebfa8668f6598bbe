"""Funnel, examples and limits: what the page is made of."""

import html
import re
from itertools import pairwise

import pytest

from ucoder.analysis.outcomes import problem_outcomes
from ucoder.analysis.summary import summarise
from ucoder.cli.viewing import findings
from ucoder.consensus.explanation import explain
from ucoder.consensus.selection import rule_of
from ucoder.report.examples import choose, examples
from ucoder.report.funnel import candidate_funnel, problem_funnel
from ucoder.report.limits import limits
from ucoder.report.page import render


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


def test_how_much_there_was_to_learn_is_said_with_the_results(run):
    said = "\n".join(findings(summarise(run)))
    assert "M1: 3 optimiser steps; loss of the first step 0.43 at 88% token accuracy" in said
    cells = "".join(f'<td class="n">{value}</td>' for value in ("3", "0.430", "0.410"))
    assert cells in render(run)


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


@pytest.mark.parametrize(
    ("rule", "said", "unsaid"),
    [
        ({"tau": 4}, "at least 4 candidates with equal outputs", "beyond chance"),
        ({"selector": "agreement"}, "agreement beyond chance, 0 to 1", "at least 3"),
        (
            {"selector": "agreement", "min_probability": 0.8},
            "right with probability 0.71 only, and at least 0.8 is required",
            "at least 3",
        ),
        ({"selector": "random"}, "was drawn among those", "at least 3"),
        ({"selector": "mbr_soft"}, "1 - risk", "at least 3"),
    ],
    ids=["paper", "agreement", "agreement with abstention", "random", "mbr"],
)
def test_page_and_terminal_tell_the_rule_that_selected(synthetic, tmp_path, rule, said, unsaid):
    run = synthetic.build(tmp_path / "run", **rule)
    page = re.sub(r"<svg.*?</svg>", "", html.unescape(render(run)), flags=re.DOTALL)
    summary = summarise(run)
    terminal = "\n".join(findings(summary))
    assert said in page
    assert unsaid not in page and unsaid not in terminal
    assert "no reason" not in page and "three or more" not in terminal
    for text in (page, terminal):
        assert summary.targets.criterion in text and run.config.solutions.selector in text
    thresholds = rule_of(run.config.solutions)
    for each in problem_outcomes(run, 0):
        if each.selection is not None and each.problem.title in page:
            shown = " ".join(explain(each.selection, thresholds))
            assert shown in " ".join(page.split())

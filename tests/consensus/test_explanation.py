"""Why a program was selected, or none: every sentence comes from the record and its rule."""

from __future__ import annotations

import math
import re

import pytest

from ucoder.config import parse_config
from ucoder.consensus.explanation import criterion, explain, thresholds
from ucoder.consensus.selection import rule_of
from ucoder.consensus.selectors import SELECTORS, Rule, selector_named
from ucoder.records import Reason

from .cases import RAISED, Case, case

SPLIT = case(
    {"a": [1, 2, 3], "b": [1, 2, 4], "c": [1, 5, 6]},
    n={"a": 3, "b": 2, "c": 1},
    predictions=[{"1": 1}, {"2": 1}],
)


def said(problem: Case, rule: Rule) -> str:
    return " ".join(explain(problem.select(rule).selection, rule))


@pytest.mark.parametrize("selector", SELECTORS)
def test_the_thresholds_that_are_told_are_those_that_the_selector_reads(selector: str) -> None:
    rule = Rule(selector, rho=0.37, tau=2, min_input_support=0.0)
    asks_for = {name: f"solutions.{name}" in thresholds(rule) for name in ("rho", "tau")}
    assert ("0.37" in criterion(rule)) is asks_for["rho"]
    assert ("at least 2" in criterion(rule)) is asks_for["tau"]
    # Raising a threshold to what no candidate meets changes the choice where it is read, alone.
    impossible = {
        "rho": Rule(selector, rho=1.1, tau=2, min_input_support=0.0),
        "tau": Rule(selector, rho=0.37, tau=100, min_input_support=0.0),
    }
    for name, strict in impossible.items():
        is_refused = SPLIT.select(strict).selection.candidate_id is None
        assert is_refused is (asks_for[name] or SPLIT.select(rule).selection.candidate_id is None)


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_draw_is_told_where_the_selector_draws_and_nowhere_else(selector: str) -> None:
    rule = Rule(selector, tau=2, min_input_support=0.0)
    if SPLIT.select(rule).selection.candidate_id is not None:
        ranking = selector_named(selector)(SPLIT.votes, rule)
        assert ("was drawn" in said(SPLIT, rule)) is ranking.is_lottery


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("problem", [SPLIT, case({"x": [1, 2], "y": [1, 3], "z": [2, 2]})])
def test_the_cluster_shown_as_selected_shows_the_selected_program(
    problem: Case, selector: str
) -> None:
    for n in (1, 2):
        undefined = dict.fromkeys(problem.executions, math.nan)
        weighted = case(
            {p: [o.text for o in e.outcomes] for p, e in problem.executions.items()},
            n=dict.fromkeys(problem.executions, n),
            perplexity=undefined,
        )
        ballot = weighted.select(Rule(selector, tau=1, min_input_support=0.0))
        if ballot.selection.candidate_id is not None:
            assert ballot.clusters[0].members[0].id == ballot.selection.candidate_id


@pytest.mark.parametrize(("selector", "asked"), [("agreement", 0.99), ("consensus", 0.999)])
def test_a_choice_that_is_too_unsure_tells_its_probability_and_the_one_required(
    selector: str, asked: float
) -> None:
    rule = Rule(selector, tau=2, min_probability=asked, min_input_support=0.0)
    selection = SPLIT.select(rule).selection
    assert selection.reason is Reason.LOW_PROBABILITY
    words = said(SPLIT, rule)
    assert f"right with probability {selection.probability:.2f} only" in words
    assert f"at least {asked:g} is required" in words
    assert "no reason" not in words


def test_a_probability_just_below_the_one_required_is_not_rounded_up_to_it() -> None:
    probability = SPLIT.select(Rule("agreement", min_input_support=0.0)).selection.probability
    for above in (1e-4, 1e-5, 2e-6):
        rule = Rule("agreement", min_probability=probability + above, min_input_support=0.0)
        (told,) = re.findall(r"probability ([\d.]+) only", said(SPLIT, rule))
        assert float(told) < rule.min_probability


def test_agreement_tells_its_score_and_never_the_papers_thresholds() -> None:
    words = said(SPLIT, Rule("agreement", min_input_support=0.0))
    assert "agreement beyond chance" in words
    assert "at least 3" not in words and "0.8" not in words


def test_agreement_honours_the_papers_thresholds_where_somebody_sets_them() -> None:
    default = parse_config({"solutions": {"selector": "agreement"}}).solutions
    assert thresholds(rule_of(default)) == ()
    config = default.model_copy(update={"rho": 0.5, "tau": 4, "min_input_support": 0.0})
    rule = rule_of(config)
    assert thresholds(rule) == ("solutions.tau", "solutions.rho")
    assert "e(r) of at least 0.5" in criterion(rule) and "at least 4" in criterion(rule)
    assert SPLIT.select(rule).selection.reason is Reason.NO_CONSENSUS
    half = case({"a": [1, RAISED, RAISED], "b": [1, 2, 4]}, n={"a": 9, "b": 4})
    assert half.select(rule).clusters[0].members[0].program_id == "b"


def test_a_small_minority_is_refused_and_told_with_its_share() -> None:
    for selector in ("consensus", "agreement"):
        rule = Rule(selector, min_share=0.51, min_input_support=0.0)
        selection = SPLIT.select(rule).selection
        assert (selection.reason, selection.share) == (Reason.SMALL_MINORITY, 0.5)
        assert "only 50% of the candidates behave like the best one" in said(SPLIT, rule)
        assert "at least 51% are required" in said(SPLIT, rule)
        enough = Rule(selector, min_share=0.5, min_input_support=0.0)
        assert SPLIT.select(enough).selection.reason is None


def test_too_small_a_cluster_is_told_with_its_size_and_tau() -> None:
    words = said(SPLIT, Rule(tau=4, min_input_support=0.0))
    assert "at least 4 candidates with equal outputs are required" in words
    assert "The best score was 3" in words


def test_conself_tells_its_own_conditions() -> None:
    scattered = case({name: [at, at + 1] for at, name in enumerate("abcdef")})
    words = said(scattered, Rule("conself", min_input_support=0.0))
    assert "below 0.3" in words and "fewer than 80%" in words


@pytest.mark.parametrize(
    "problem",
    [
        case({"a": [1, 2], "b": [3, 4]}, n={"a": 4, "b": 4}),
        case({"a": [1]}, n={"a": 8}),
        case({"a": [1, RAISED], "b": [2, RAISED]}, n={"a": 5, "b": 3}, predictions=[{}, {"1": 3}]),
    ],
    ids=["nothing predicted", "one program alone", "predicted where no input counts"],
)
def test_pass_and_fail_without_predictions_have_no_informative_input(problem: Case) -> None:
    rule = Rule("consensus_pass_fail")
    selection = problem.select(rule).selection
    assert (selection.candidate_id, selection.reason) == (None, Reason.NO_INFORMATIVE_INPUT)
    assert math.isnan(selection.score) and math.isnan(selection.probability)
    assert "no input that counts has a predicted output" in said(problem, rule)


def test_the_next_cluster_is_the_next_one_of_the_rule() -> None:
    # a and b differ by an exception alone, which the paper's rule counts as no output for both.
    raising = case(
        {"a": [1, 2, 3, 4, RAISED], "b": [1, 2, 3, 4, RAISED], "c": [1, 2, 3, 9, 9]},
        n={"a": 3, "b": 2, "c": 2},
    )
    selection = raising.select(Rule(min_input_support=0.0)).selection
    assert (selection.score, selection.runner_up_score) == (5, 2)
    told = case({"a": [1, 5], "b": [1, 6], "c": [2, 7]}, n={"a": 3, "b": 2}, predictions=[{"1": 1}])
    selection = told.select(Rule("consensus_pass_fail", min_input_support=0.0)).selection
    assert (selection.score, selection.runner_up_score) == (5, 1)

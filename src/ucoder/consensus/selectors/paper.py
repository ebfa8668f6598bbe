"""The paper's rule (section 2.3.2), and the four arms of its ablation (table 3).

The rule:

1. Reliability: candidates with e(r) < rho are dropped.
2. Consensus: C* is the largest cluster with |C| >= tau; without one nothing is selected.
3. r* = argmax over <e(r), -f(r)>, lexicographic, within C*.

The paper does not say which of two equally large clusters wins. Ours is the one whose best member
comes first under <e, -f>, then the one with the smaller program id. A candidate with undefined
perplexity comes after all others.

Table 3 describes each arm in half a line; each docstring says how we read it. Three of the arms
draw at random. Their draw is a fixed function of the programs, so that a repeated run draws alike.
No arm lets a candidate win that returns on no input, unless the configuration allows it: the paper
does not say, and we do not count an exception as an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from ucoder.consensus.selectors.ranking import (
    Ranking,
    Rule,
    has_executed,
    ranking_of,
    returned_answers,
    why_none,
)
from ucoder.consensus.votes import Bools, Floats, Ints, Votes, firsts, numbered
from ucoder.records import Reason

MIN_SUCCESS: Final = 0.5
"""Table 3's threshold of the success-rate arm."""

_SIZE: Final = "candidates with equal outputs"
_SAME_VERDICTS: Final = "candidates that pass and fail the same predictions"
_EQUAL_CHANCES: Final = "equal chances"


def by_outputs(votes: Votes, rule: Rule) -> Ranking:
    """The rule, with the vector of outputs as signature: our reading of definition 2.1.

    A call that raises counts as bottom even where the program raises on purpose, because
    definition 2.3 counts it as not executed.
    """
    return _largest_cluster(votes, rule, returned_answers(votes), _SIZE)


def by_pass_and_fail(votes: Votes, rule: Rule) -> Ranking:
    """The rule, with definition 2.1 to the letter: Exec(r, t) against the predicted outputs.

    Inputs without a prediction are not used. Without any prediction nothing is selected: equal
    signatures of no length are not evidence.
    """
    tested = [
        votes.passes(at, test_input.predictions[0].text)
        for at, test_input in enumerate(votes.inputs)
        if test_input.predictions
    ]
    rows_PT = np.array(tested, dtype=np.int32).reshape(len(tested), len(votes.programs)).T
    ranking = _largest_cluster(votes, rule, rows_PT, _SAME_VERDICTS)
    if tested or not votes.n:
        return ranking
    nothing_P = np.full_like(ranking.scores_P, math.nan)
    return replace(ranking, scores_P=nothing_P, reason=Reason.NO_INFORMATIVE_INPUT, n_reliable=0)


def _largest_cluster(votes: Votes, rule: Rule, rows_PT: Ints, unit: str) -> Ranking:
    is_reliable = reliable(votes, rule)
    groups_P = numbered(rows_PT)
    sizes = np.bincount(groups_P, votes.weights_P * is_reliable)
    scores_P = np.where(is_reliable, sizes[groups_P], math.nan)
    n_reliable = int(votes.weights_P[is_reliable].sum())
    is_consensus = (scores_P >= rule.tau).any()  # False for NaN
    reason = None if is_consensus else why_none(votes, n_reliable)
    forecast = _sizes_forecast(votes, groups_P)
    return Ranking(
        scores_P, unit, reason, n_reliable=n_reliable, forecast=forecast, groups_P=groups_P
    )


def reliable(votes: Votes, rule: Rule) -> Bools:
    """Step 1, P: e(r) >= rho, and the program returns on at least one input."""
    least = 0.0 if rule.raising_may_win else 1e-12
    enough: Bools = votes.success_P >= max(rule.rho, least)
    return enough


def _sizes_forecast(votes: Votes, groups_P: Ints) -> Callable[[Floats], Floats]:
    """Sizes of the paper's clusters, which may join several of `Votes.clusters_P`."""

    def forecast(counts_RC: Floats) -> Floats:
        joined: dict[int, list[int]] = {}
        for cluster, group in enumerate(groups_P[firsts(votes.clusters_P)].tolist()):
            joined.setdefault(group, []).append(cluster)
        sizes_RC = counts_RC.copy()
        for clusters in joined.values():
            sizes_RC[:, clusters] = counts_RC[:, clusters].sum(axis=1, keepdims=True)
        return sizes_RC

    return forecast


def at_random(votes: Votes, rule: Rule) -> Ranking:
    """Table 3, random: uniform among the successful candidates.

    Our reading: successful means reliable, e(r) >= rho.
    """
    able_P = reliable(votes, rule)
    return ranking_of(votes, np.ones(able_P.size), able_P, _EQUAL_CHANCES, is_lottery=True)


def by_largest_cluster(votes: Votes, rule: Rule) -> Ranking:
    """Table 3, cluster: uniform within the dominant cluster of equal outputs.

    Our reading: the paper's rule without its other parts, so without reliability, tau and
    perplexity. Where two clusters are equally large, the draw is among the members of both.
    """
    clusters_P = numbered(returned_answers(votes))
    sizes_P: Floats = np.bincount(clusters_P, votes.weights_P)[clusters_P].astype(np.float64)
    return ranking_of(votes, sizes_P, has_executed(votes, rule), _SIZE, is_lottery=True)


def by_perplexity(votes: Votes, rule: Rule) -> Ranking:
    """Table 3, low PPL: the lowest f(r) among the successful candidates.

    Our reading: successful as in `at_random`. The score is 1 / f(r), the geometric mean of the
    token probabilities, and 0 where f(r) is undefined, so that such a candidate comes last.
    """
    scores_P = np.nan_to_num(1.0 / votes.perplexities_P, nan=0.0)
    return ranking_of(votes, scores_P, reliable(votes, rule), "mean token probability")


def by_success(votes: Votes, rule: Rule) -> Ranking:
    """Table 3, success rate, threshold 0.5: uniform among candidates with e(r) > 0.5.

    Our reading: the table gives the threshold but no rule for the choice above it; choosing the
    highest e(r) would not need a threshold. `rule` is not used.
    """
    able_P = votes.success_P > MIN_SUCCESS
    return ranking_of(votes, np.ones(able_P.size), able_P, _EQUAL_CHANCES, is_lottery=True)

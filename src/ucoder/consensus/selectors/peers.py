"""Published selection rules, each following its paper and its code, with every departure named.

codet               Chen et al. 2022, "CodeT: Code Generation with Generated Tests" (2207.10397)
mbr_soft, mbr_hard  Shi et al. 2022, "Natural Language to Code Translation with Execution"
                    (2204.11454)
srank               To et al. 2023, "Functional Overlap Reranking for Neural Code Generation"
                    (2311.03366)
conself             Zhang et al. 2026, "Self-Improving Code Generation via Semantic Entropy and
                    Behavioral Consensus" (2603.29292)

Departures common to all: answers are compared as canonical text; programs that differ only in
layout, comments or docstrings are one program; and a program that returns on no input cannot win
unless the configuration allows it. Where the published code draws among equal scores, or averages
over them, so do we (`Ranking.is_lottery`); elsewhere ties are broken by e(r), f(r), then the id.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ucoder.consensus.agreement import overlap
from ucoder.consensus.selectors.ranking import (
    Ranking,
    Rule,
    has_executed,
    ranking_of,
    returned_answers,
    why_none,
)
from ucoder.consensus.votes import BOTTOM, Bools, Floats, Ints, Votes, firsts, numbered
from ucoder.records import Reason

MAX_ENTROPY: Final = 0.3
"""ConSelf keeps problems whose scaled semantic entropy is below this (its README and code)."""

MAX_CRASHING: Final = 0.8
"""ConSelf drops problems where at least this share of candidates fails everywhere (its code)."""

_DIGITS: Final = 9
"""Scores are rounded, so that the order of summation does not break ties."""


def by_dual_agreement(votes: Votes, rule: Rule) -> Ranking:
    """CodeT: score = sqrt(solutions that pass the same tests) * number of those tests.

    A test case is an input with a predicted output. Solutions and test cases both count as often as
    they were sampled, and solutions that pass no test are not ranked. One is drawn among all with
    the best score, or among all solutions where none passes a test, as in the published code
    (CodeT/src/agreement.py, evaluation.py). The paper's formula has no square root.

    Departures: every test case of a completion counts, where the published setting takes the first
    five; test cases on inputs that `min_input_support` drops do not count.
    """
    passes_PK, counts_K = _predicted(votes)
    able_P = has_executed(votes, rule)
    if passes_PK.any():
        able_P &= passes_PK.any(axis=1)
    groups_P = numbered(passes_PK)
    n_solutions_P = np.bincount(groups_P, votes.weights_P)[groups_P]
    scores_P: Floats = np.round(np.sqrt(n_solutions_P) * (passes_PK @ counts_K), _DIGITS)
    return ranking_of(votes, scores_P, able_P, "sqrt(solutions) * tests", is_lottery=True)


def by_soft_risk(votes: Votes, rule: Rule) -> Ranking:
    """MBR-exec, soft loss: 1 - risk = mean share of inputs with the same output, over candidates.

    A failed call agrees with nothing, not even with the same failure (paper and code). Departure:
    the published code breaks ties by the sum of log-probabilities, which prefers short programs.
    """
    rows_CT, weights_C, clusters_P = _clusters(votes)
    return _by_gain(votes, rule, overlap(rows_CT) @ weights_C, clusters_P)


def by_hard_risk(votes: Votes, rule: Rule) -> Ranking:
    """MBR-exec, hard loss: 1 - risk = share of candidates with the same output on every input.

    A failed call agrees with nothing, as in `by_soft_risk`, so a program that fails on any input
    scores 0; where all programs do, only tie-breaking decides.
    """
    rows_CT, weights_C, clusters_P = _clusters(votes)
    return _by_gain(votes, rule, weights_C * (rows_CT != BOTTOM).all(axis=1), clusters_P)


def by_functional_overlap(votes: Votes, rule: Rule) -> Ranking:
    """SRank, the main variant: interaction matrix times (cluster size * pass rate).

        score(i) = sum over clusters j of I[i, j] * V[j]

    I[i, j] is the share of inputs on which both return the same output, and 1 for i = j. V[j] is
    the cluster's share of the solutions times the share of the predicted outputs that it returns,
    each prediction as often as the model made it.

    Three details follow the published code (reranking/functionality_processing.py), because the
    paper does not give them: a program with the same outcome on all inputs, if there are two or
    more, is invalid and scores 0; equal solutions count once towards a cluster's size; and one is
    drawn among all with the best score.

    Departures: where no input has a prediction, V is the size alone (the paper's own ablation)
    instead of 0 for all programs; and solutions are equal up to layout, as above.
    """
    rows_CT, _, clusters_P = _clusters(votes)
    is_constant_C = (rows_CT == rows_CT[:, :1]).all(axis=1) & (rows_CT.shape[1] > 1)
    valid_C = (rows_CT != BOTTOM).any(axis=1) & ~is_constant_C
    scores_C = np.zeros(len(rows_CT))
    if valid_C.any():
        scores_C[valid_C] = _functional_overlap(votes, rows_CT, clusters_P, valid_C)[valid_C]
    scores_P = np.round(scores_C[clusters_P], _DIGITS)
    able_P = has_executed(votes, rule)
    return ranking_of(votes, scores_P, able_P, "overlap * size * pass rate", is_lottery=True)


def by_behavioural_consensus(votes: Votes, rule: Rule) -> Ranking:
    """ConSelf: abstain where behaviours are too diverse, else take the highest consensus.

        score(r) = mean over inputs of the share of returned outputs that equal r's

    Candidates that fail on every input are left out of the entropy. A problem is dropped where they
    are 80% or more, or where the entropy of the clusters of equal outputs is 0.3 or more
    (curriculum_selection/create_dpo_pairs.py, where this score picks the preferred solution).

    Departures: the published code scales entropies to [0, 1] by the smallest and the largest in its
    data set, while we divide by the largest possible one, log2 of the number of candidates, because
    a selection sees one problem only. Problems without any disagreement give ConSelf no preference
    pair, but are selected here. A single candidate, whose entropy is undefined, is not selected.
    """
    rows_PT = returned_answers(votes)
    n_executed = int(votes.weights_P[votes.returned_PT.any(axis=1)].sum())
    able_P = has_executed(votes, rule)
    reason = None if able_P.any() and votes.inputs else why_none(votes, 0)
    if reason is None and _is_too_diverse(votes, rows_PT, n_executed):
        reason = Reason.NO_CONSENSUS
    consensus_P = np.zeros(len(votes.programs))
    for column_P in rows_PT.T:
        returned_P = column_P != BOTTOM
        outputs, codes_P = np.unique(column_P[returned_P], return_inverse=True)
        if outputs.size:
            counts = np.bincount(codes_P, votes.weights_P[returned_P])
            consensus_P[returned_P] += (counts / counts.sum())[codes_P]
    scores_P = np.round(consensus_P / max(len(votes.inputs), 1), _DIGITS)
    scores_P[~able_P] = math.nan
    return Ranking(scores_P, "mean share of equal outputs", reason, n_reliable=n_executed)


def _is_too_diverse(votes: Votes, rows_PT: Ints, n_executed: int) -> bool:
    executed = votes.returned_PT.any(axis=1)
    if n_executed < 2 or (votes.n - n_executed) / votes.n >= MAX_CRASHING:
        return True
    sizes_C = np.bincount(numbered(rows_PT[executed]), votes.weights_P[executed])
    return entropy_of(sizes_C.astype(np.float64)) >= MAX_ENTROPY


def entropy_of(sizes_C: Floats) -> float:
    """Scaled semantic entropy of clusters of these sizes, from 0 (one cluster) to 1 (all alone)."""
    shares_C = sizes_C / sizes_C.sum()
    bits = float(-(shares_C * np.log2(shares_C)).sum())
    return round(max(bits, 0.0) / math.log2(float(sizes_C.sum())), _DIGITS)


def _by_gain(votes: Votes, rule: Rule, gains_C: Floats, clusters_P: Ints) -> Ranking:
    scores_P = np.round(gains_C[clusters_P] / max(votes.n, 1), _DIGITS)
    return ranking_of(votes, scores_P, has_executed(votes, rule), "1 - risk")


def _clusters(votes: Votes) -> tuple[Ints, Floats, Ints]:
    """Distinct rows of outputs, C x T; the candidates of each row, C; each program's row, P."""
    rows_PT = returned_answers(votes)
    clusters_P = numbered(rows_PT)
    weights_C: Floats = np.bincount(clusters_P, votes.weights_P).astype(np.float64)
    return rows_PT[firsts(clusters_P)], weights_C, clusters_P


def _predicted(votes: Votes) -> tuple[Bools, Ints]:
    """Which programs pass each of K test cases, P x K, and how often each was sampled, K."""
    cases = [
        (votes.passes(at, prediction.text), prediction.count)
        for at, test_input in enumerate(votes.inputs)
        for prediction in test_input.predictions
    ]
    passes_PK = np.zeros((len(votes.programs), len(cases)), dtype=np.bool_)
    for k, (passes_P, _) in enumerate(cases):
        passes_PK[:, k] = passes_P
    return passes_PK, np.array([count for _, count in cases], dtype=np.int32)


def _functional_overlap(votes: Votes, rows_CT: Ints, clusters_P: Ints, valid_C: Bools) -> Floats:
    passes_PK, counts_K = _predicted(votes)
    n_solutions_C = np.bincount(clusters_P, minlength=len(rows_CT)) * valid_C
    features_C = n_solutions_C / n_solutions_C.sum()
    if counts_K.size:
        rates_P = passes_PK @ counts_K / counts_K.sum()
        features_C = features_C * rates_P[firsts(clusters_P)]
    interaction_CC = overlap(rows_CT)
    np.fill_diagonal(interaction_CC, 1.0)
    scores_C: Floats = interaction_CC @ features_C
    return scores_C

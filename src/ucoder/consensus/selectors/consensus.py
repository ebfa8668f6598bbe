"""The paper's rule (section 2.3.2): reliability, consensus, then r* within the largest cluster.

1. Reliability: candidates with e(r) < rho are dropped.
2. Consensus: C* is the largest cluster with |C| >= tau; without one nothing is selected.
3. r* = argmax over <e(r), -f(r)>, lexicographic, within C*.

The paper does not say which of two equally large clusters wins: ours is the one whose best member
comes first under <e, -f>, and the one with the smaller program id where even these are equal. A
candidate with undefined perplexity comes after every defined one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ucoder.consensus.selectors.protocol import Ranking, Rule
from ucoder.consensus.selectors.rows import returned_answers
from ucoder.consensus.votes import Bools, Floats, Ints, Votes, firsts, numbered
from ucoder.records import Reason


def by_outputs(votes: Votes, rule: Rule) -> Ranking:
    """Our reading of definition 2.1: the signature is the vector of outputs, bottom included.

    A call that raises is bottom here even where the program raises on purpose: definition 2.3
    counts it as not executed.
    """
    return _largest_cluster(votes, rule, returned_answers(votes))


def by_pass_and_fail(votes: Votes, rule: Rule) -> Ranking:
    """Definition 2.1 to the letter: Exec(r, t) against the outputs that the model predicted.

    Inputs without a prediction say nothing here.
    """
    tested = [
        votes.passes(at, test_input.predictions[0].text)
        for at, test_input in enumerate(votes.inputs)
        if test_input.predictions
    ]
    rows_PT = np.array(tested, dtype=np.int32).reshape(len(tested), len(votes.programs)).T
    return _largest_cluster(votes, rule, rows_PT)


def reliable(votes: Votes, rule: Rule) -> Bools:
    """Step 1, P: e(r) >= rho, on at least one input that it returns on."""
    least = 0.0 if rule.raising_may_win else 1e-12
    enough: Bools = votes.success_P >= max(rule.rho, least)
    return enough


def why_none(votes: Votes, n_reliable: int) -> Reason:
    """The reason why nothing could be selected, from the first demand that nobody met."""
    if not votes.n:
        return Reason.NO_CANDIDATE
    if not votes.inputs:
        return Reason.NO_INFORMATIVE_INPUT
    return Reason.NO_CONSENSUS if n_reliable else Reason.NO_RELIABLE_CANDIDATE


def _largest_cluster(votes: Votes, rule: Rule, rows_PT: Ints) -> Ranking:
    is_reliable = reliable(votes, rule)
    groups_P = numbered(rows_PT)
    sizes = np.bincount(groups_P, votes.weights_P * is_reliable)
    scores_P = np.where(is_reliable, sizes[groups_P], math.nan)
    n_reliable = int(votes.weights_P[is_reliable].sum())
    is_consensus = (scores_P >= rule.tau).any()  # NaN is not
    reason = None if is_consensus else why_none(votes, n_reliable)
    return Ranking(
        scores_P,
        "candidates with equal answers",
        reason,
        n_reliable=n_reliable,
        forecast=_sizes_forecast(votes, groups_P),
    )


def _sizes_forecast(votes: Votes, groups_P: Ints) -> Callable[[Floats], Floats]:
    """Sizes of the paper's clusters, which may join what `Votes.clusters_P` tells apart."""

    def forecast(counts_RC: Floats) -> Floats:
        joined: dict[int, list[int]] = {}
        for cluster, group in enumerate(groups_P[firsts(votes.clusters_P)].tolist()):
            joined.setdefault(group, []).append(cluster)
        sizes_RC = counts_RC.copy()
        for clusters in joined.values():
            sizes_RC[:, clusters] = counts_RC[:, clusters].sum(axis=1, keepdims=True)
        return sizes_RC

    return forecast

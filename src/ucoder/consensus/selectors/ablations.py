"""The four arms of the paper's ablation of its own rule (table 3), each as few words as it gives.

Table 3 names them in half a line each; what it leaves open is our reading, said at each. Three of
them draw at random. Their draw is a fixed function of the programs, so that a run that is repeated
draws alike, and no order of candidates or inputs matters.

None lets candidates win that return on no input at all, unless the configuration says so: the
paper does not say, and a raise is not an answer.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ucoder.consensus.selectors.consensus import reliable, why_none
from ucoder.consensus.selectors.protocol import Ranking, Rule
from ucoder.consensus.selectors.rows import has_executed, returned_answers
from ucoder.consensus.votes import Bools, Votes, numbered

MIN_SUCCESS: Final = 0.5
"""Table 3's threshold of the success-rate arm."""


def at_random(votes: Votes, rule: Rule) -> Ranking:
    """Table 3, random: uniform among the successful candidates.

    Our reading: successful means reliable, e(r) >= rho.
    """
    return _lottery(votes, reliable(votes, rule))


def by_largest_cluster(votes: Votes, rule: Rule) -> Ranking:
    """Table 3, cluster: uniform within the dominant cluster of equal outputs.

    Our reading: the paper's rule without its other parts, so no reliability, no tau and no
    perplexity. Where two clusters are equally large, the draw is among the members of both.
    """
    scores_P = np.full(len(votes.programs), math.nan)
    may_win = has_executed(votes, rule)
    if not votes.inputs or not may_win.any():
        return Ranking(scores_P, "candidates with equal answers", why_none(votes, 0), True)
    clusters_P = numbered(returned_answers(votes))
    sizes_C = np.bincount(clusters_P, votes.weights_P)
    scores_P[may_win] = sizes_C[clusters_P][may_win]
    n_able = int(votes.weights_P[may_win].sum())
    return Ranking(scores_P, "candidates with equal answers", None, True, n_able)


def by_perplexity(votes: Votes, rule: Rule) -> Ranking:
    """Table 3, low PPL: the lowest f(r) among the successful candidates.

    Our reading: successful as in `at_random`. The score is 1 / f(r), the geometric mean of the
    token probabilities, and 0 where f(r) is undefined: such a candidate comes last.
    """
    able = reliable(votes, rule)
    scores_P = np.full(len(votes.programs), math.nan)
    scores_P[able] = np.nan_to_num(1.0 / votes.perplexities_P[able], nan=0.0)
    n_able = int(votes.weights_P[able].sum())
    reason = None if n_able else why_none(votes, 0)
    return Ranking(scores_P, "mean token probability", reason, n_reliable=n_able)


def by_success(votes: Votes, rule: Rule) -> Ranking:
    """Table 3, success rate, threshold 0.5: uniform among candidates with e(r) > 0.5.

    Our reading: the table gives the threshold and no word on the choice above it; the highest e(r)
    would need no threshold. `rule` is not used.
    """
    return _lottery(votes, votes.success_P > MIN_SUCCESS)


def _lottery(votes: Votes, able_P: Bools) -> Ranking:
    """Equal chances for all candidates of the programs that are able."""
    n_able = int(votes.weights_P[able_P].sum())
    reason = None if n_able else why_none(votes, 0)
    scores_P = np.where(able_P, 1.0, math.nan)
    return Ranking(scores_P, "equal chances", reason, True, n_able)

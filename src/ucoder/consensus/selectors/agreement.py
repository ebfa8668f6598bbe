"""Ours: the candidate that agrees most with all candidates, beyond what chance explains.

    score(r) = 1/n * sum over candidates r' of kappa(r, r')

It is a minimum-Bayes-risk choice whose gain is Cohen's kappa (`ucoder.consensus.agreement`). What
that buys over the largest cluster:

- Programs that are almost right agree with the right one on most inputs, and add to its score; the
  largest cluster throws their evidence away.
- Constant programs, and those that agree because the answers allow little else (True or False),
  gain nothing: no list of trivial programs has to be kept.
- A few invalid inputs, on which right programs differ, cost a little instead of splitting a
  cluster.

Two demands on top, neither with a number to be tuned: a program that returns on no input cannot
win, and one that gives back its own argument cannot unless all do.
"""

from __future__ import annotations

import math

import numpy as np

from ucoder.consensus.agreement import distinct_rows, kappa
from ucoder.consensus.inputs import echoes
from ucoder.consensus.selectors.consensus import why_none
from ucoder.consensus.selectors.protocol import Ranking, Rule
from ucoder.consensus.votes import Votes


def by_agreement(votes: Votes, rule: Rule) -> Ranking:
    """Score each program by its mean kappa with all candidates, itself included."""
    scores_P = np.full(len(votes.programs), math.nan)
    may_win = votes.returned_PT.any(axis=1) | rule.raising_may_win
    if not votes.inputs or not may_win.any():
        return Ranking(scores_P, "mean kappa", why_none(votes, 0))
    rows_CT, weights_C = distinct_rows(votes)
    scores_C = kappa(rows_CT) @ weights_C / votes.n
    echo = echoes(votes)
    if not echo[may_win].all():
        may_win &= ~echo
    # Rounded, so that the order in which the sums were taken breaks no tie.
    scores_P[may_win] = np.round(scores_C[votes.clusters_P][may_win], 9)
    return Ranking(scores_P, "mean kappa", n_reliable=int(votes.weights_P[may_win].sum()))

"""How far programs agree: the share of equal answers, corrected for chance.

Two programs that answer `True` and `False` at random agree on half of the inputs, and a program
that always answers `[]` agrees with every program that often does. Cohen's kappa corrects for that:

    kappa(r, r') = (p_o - p_e) / (1 - p_e)

with p_o the share of inputs on which both give the same answer, and p_e the share expected if each
gave its own answers in random order. A constant program has p_o = p_e with every program, so its
kappa is 0 without any rule about constants.

Array names carry their dimensions: P programs, T inputs, C clusters, R cases, K distinct answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from ucoder.consensus.inputs import predictions_met
from ucoder.consensus.votes import BOTTOM, Floats, Ints, Votes, firsts

_CERTAIN: Final = 1.0 - 1e-9
"""Expected agreement above which kappa is undefined (0 / 0): two equal constants."""

_TIE: Final = 1e-6
"""Weight of exact agreement that chance explains completely: just enough to break ties."""


def overlap(rows_CT: Ints) -> Floats:
    """The share of inputs on which two rows have the same answer, C x C.

    A call without an answer agrees with nothing, not even with another one.
    """
    C, T = rows_CT.shape
    if T == 0:
        return np.zeros((C, C))
    # A call without an answer gets a different code in every row, so that it equals nothing.
    own_C1 = BOTTOM - np.arange(1, C + 1, dtype=rows_CT.dtype)[:, None]
    rows_CT = np.where(rows_CT == BOTTOM, own_C1, rows_CT)
    counts = np.empty((C, C))
    for at in range(C):
        counts[at] = np.count_nonzero(rows_CT == rows_CT[at], axis=1)
    np.fill_diagonal(counts, np.count_nonzero(rows_CT >= 0, axis=1))
    shares: Floats = counts / T
    return shares


def kappa(rows_CT: Ints) -> Floats:
    """Chance-corrected agreement of two rows, C x C, from 0 (chance or less) to 1.

    It is 0 where chance alone explains everything (two equal constants).
    """
    C, T = rows_CT.shape
    if T == 0:
        return np.zeros((C, C))
    expected = _expected(rows_CT)
    observed = overlap(rows_CT)
    corrected = np.zeros((C, C))
    defined = expected < _CERTAIN
    corrected[defined] = (observed[defined] - expected[defined]) / (1.0 - expected[defined])
    clipped: Floats = np.clip(corrected, 0.0, 1.0)
    return clipped


def _expected(rows_CT: Ints) -> Floats:
    """p_e of two rows: the sum over answers of the product of both rows' shares of it."""
    C, T = rows_CT.shape
    codes = np.unique(rows_CT)
    columns = np.searchsorted(codes, rows_CT) + np.arange(C)[:, None] * codes.size
    counts_CK = np.bincount(columns.ravel(), minlength=C * codes.size).reshape(C, codes.size)
    # An answer that only one row gives contributes nothing but to that row's agreement with itself.
    own_C = ((counts_CK * (counts_CK.astype(bool).sum(axis=0) == 1)) ** 2)[:, codes != BOTTOM]
    shared = (counts_CK.astype(bool).sum(axis=0) > 1) & (codes != BOTTOM)
    counts = counts_CK[:, shared].astype(np.float64)
    # Not a matrix product: for arrays this small its threads cost more than they save.
    products = np.einsum("ik,jk->ij", counts, counts)
    expected: Floats = (products + np.diag(own_C.sum(axis=1))) / T**2
    return expected


def vote_of_each(votes: Votes) -> Floats:
    """The weight of the vote of one candidate of each program, P.

    It is the program's length in tokens, because programs that do the same simple thing agree
    easily, times a factor for meeting the outputs that the model predicted: 1 plus the square root
    of the share of them that the program meets, relative to the candidates' mean. Predictions are
    weak evidence, because a model that errs in its programs errs in its predictions; the root keeps
    a program that meets predictions which hardly any other meets from outvoting all others.
    """
    met_P = predictions_met(votes)
    mean = float(votes.weights_P @ met_P) / max(votes.n, 1)
    weights_P: Floats = votes.lengths_P * (1.0 + (np.sqrt(met_P / mean) if mean > 0 else 1.0))
    return weights_P


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the behaviours of one problem agree, and how many votes each has.

    Attributes:
        kappa_CC: Between clusters.
        counts_C: Candidates of each cluster.
        votes_C: The mean weight of a candidate's vote in each cluster (`vote_of_each`).
    """

    kappa_CC: Floats
    counts_C: Floats
    votes_C: Floats

    def scores(self) -> Floats:
        """sqrt(H * S) of each cluster, C, from 0 to 1 (`ucoder.consensus.selectors.agreement`)."""
        scores_C: Floats = self.forecast(self.counts_C[None, :])[0]
        return scores_C

    def forecast(self, counts_RC: Floats) -> Floats:
        """The scores for other numbers of candidates, R x columns.

        Args:
            counts_RC: Candidates of each cluster, one case a row. One column more than there are
                clusters stands for behaviour not seen yet, which agrees only with itself.
        """
        C = self.counts_C.size
        extra = counts_RC.shape[1] - C
        votes_RC = counts_RC * np.append(self.votes_C, [self.votes_C.mean()] * extra)
        total_R1 = np.maximum(votes_RC.sum(axis=1, keepdims=True), 1e-12)
        # Chance explains even that a constant agrees with itself.
        exact_RC = votes_RC * np.append(np.diag(self.kappa_CC) > 0, [True] * extra)
        soft_RC = votes_RC.copy()
        soft_RC[:, :C] = np.einsum("rk,ck->rc", votes_RC[:, :C], self.kappa_CC)
        scores_RC = (np.sqrt(exact_RC * soft_RC) + _TIE * votes_RC) / total_R1
        # Rounded, so that the order of summation does not break ties.
        rounded_RC: Floats = np.round(scores_RC, 9)
        return rounded_RC


@lru_cache(maxsize=1)
def agreement_of(votes: Votes) -> Agreement:
    """The agreement among a problem's candidates.

    The last result is cached, because selector, probability and stopping rule each ask for it.
    """
    clusters_P = votes.clusters_P
    counts_C = np.bincount(clusters_P, votes.weights_P).astype(np.float64)
    votes_C = np.bincount(clusters_P, votes.weights_P * vote_of_each(votes)) / counts_C
    return Agreement(kappa(votes.answers_PT[firsts(clusters_P)]), counts_C, votes_C)

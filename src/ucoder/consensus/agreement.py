"""How far programs agree: the share of equal answers, and what of it is more than chance.

Two programs that answer `True` and `False` at random agree on half of the inputs, and one that
always answers `[]` agrees with whoever does so often. Cohen's kappa takes that away:

    kappa(r, r') = (p_o - p_e) / (1 - p_e)

with p_o the share of inputs on which both give the same answer, and p_e the share on which they
would if each gave its own answers in an order of its own. A constant program has p_o = p_e with
everybody: its kappa is 0, without any rule about constants.
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
"""What exact agreement counts where chance explains all of it: enough to break a tie."""


def overlap(rows_CT: Ints) -> Floats:
    """The share of inputs on which each two rows have the same answer, C x C.

    A call without an answer agrees with nothing, not even with another one.
    """
    C, T = rows_CT.shape
    if T == 0:
        return np.zeros((C, C))
    # A call without an answer gets a code of its own in every row, so that it equals nothing.
    own_C1 = BOTTOM - np.arange(1, C + 1, dtype=rows_CT.dtype)[:, None]
    rows_CT = np.where(rows_CT == BOTTOM, own_C1, rows_CT)
    counts = np.empty((C, C))
    for at in range(C):
        counts[at] = np.count_nonzero(rows_CT == rows_CT[at], axis=1)
    np.fill_diagonal(counts, np.count_nonzero(rows_CT >= 0, axis=1))
    shares: Floats = counts / T
    return shares


def kappa(rows_CT: Ints) -> Floats:
    """Chance-corrected agreement of each two rows, C x C, from 0 (chance or less) to 1.

    Where chance alone explains everything (two equal constants), it is 0: agreement that could not
    have failed says nothing.
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
    """p_e of each two rows: the sum over answers of the product of both rows' shares of it."""
    C, T = rows_CT.shape
    codes = np.unique(rows_CT)
    columns = np.searchsorted(codes, rows_CT) + np.arange(C)[:, None] * codes.size
    counts_CK = np.bincount(columns.ravel(), minlength=C * codes.size).reshape(C, codes.size)
    # An answer that a single row gives is chance for nobody else, and its own with itself.
    own_C = ((counts_CK * (counts_CK.astype(bool).sum(axis=0) == 1)) ** 2)[:, codes != BOTTOM]
    shared = (counts_CK.astype(bool).sum(axis=0) > 1) & (codes != BOTTOM)
    counts = counts_CK[:, shared].astype(np.float64)
    # Not a matrix product: for so few numbers its threads cost more than they save.
    products = np.einsum("ik,jk->ij", counts, counts)
    expected: Floats = (products + np.diag(own_C.sum(axis=1))) / T**2
    return expected


def vote_of_each(votes: Votes) -> Floats:
    """How much one candidate of each program counts, P.

    As much as its program is long, in tokens: programs that do the same simple thing agree
    cheaply. And more for meeting the outputs that the model predicted: 1 plus the square root of
    the share of them that the program meets, relative to the candidates' mean. It is weak
    evidence, because a model that errs in its programs errs in its predictions; the root keeps
    one program that meets what hardly any does from outvoting all others.
    """
    met_P = predictions_met(votes)
    mean = float(votes.weights_P @ met_P) / max(votes.n, 1)
    weights_P: Floats = votes.lengths_P * (1.0 + (np.sqrt(met_P / mean) if mean > 0 else 1.0))
    return weights_P


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the behaviours of one problem agree, and how many votes each has.

    Attributes:
        kappa_CC: Of each two clusters.
        clusters_P: Each program's cluster.
        counts_C: Candidates of each cluster.
        votes_C: The mean vote of a candidate of each cluster (`vote_of_each`).
    """

    kappa_CC: Floats
    clusters_P: Ints
    counts_C: Floats
    votes_C: Floats

    @classmethod
    def of(cls, votes: Votes) -> Agreement:
        """The agreement among a problem's candidates."""
        return _agreement_of(votes)

    @classmethod
    def _computed(cls, votes: Votes) -> Agreement:
        clusters_P = votes.clusters_P
        counts_C = np.bincount(clusters_P, votes.weights_P).astype(np.float64)
        votes_C = np.bincount(clusters_P, votes.weights_P * vote_of_each(votes)) / counts_C
        return cls(kappa(votes.answers_PT[firsts(clusters_P)]), clusters_P, counts_C, votes_C)

    def scores(self) -> Floats:
        """sqrt(H * S) of each cluster, C, from 0 to 1."""
        scores_C: Floats = self.forecast(self.counts_C[None, :])[0]
        return scores_C

    def forecast(self, counts_RC: Floats) -> Floats:
        """The scores if the clusters had other numbers of candidates, R x columns.

        Args:
            counts_RC: One row a case; one more column than clusters stands for behaviour that was
                not seen yet and agrees with itself alone.
        """
        C = self.counts_C.size
        extra = counts_RC.shape[1] - C
        votes_RC = counts_RC * np.append(self.votes_C, [self.votes_C.mean()] * extra)
        total_R1 = np.maximum(votes_RC.sum(axis=1, keepdims=True), 1e-12)
        # Of a constant, chance explains even that it agrees with itself.
        exact_RC = votes_RC * np.append(np.diag(self.kappa_CC) > 0, [True] * extra)
        soft_RC = votes_RC.copy()
        soft_RC[:, :C] = np.einsum("rk,ck->rc", votes_RC[:, :C], self.kappa_CC)
        scores_RC = (np.sqrt(exact_RC * soft_RC) + _TIE * votes_RC) / total_R1
        # Rounded, so that the order in which sums were taken breaks no tie.
        rounded_RC: Floats = np.round(scores_RC, 9)
        return rounded_RC


@lru_cache(maxsize=1)
def _agreement_of(votes: Votes) -> Agreement:
    """The last one is kept: the selector, the probability and the stopping rule each ask for it."""
    return Agreement._computed(votes)

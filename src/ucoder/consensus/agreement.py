"""How far programs agree: the share of equal answers, and what of it is more than chance.

Two programs that answer `True` and `False` at random agree on half of the inputs, and one that
always answers `[]` agrees with whoever does so often. Cohen's kappa takes that away:

    kappa(r, r') = (p_o - p_e) / (1 - p_e)

with p_o the share of inputs on which both give the same answer, and p_e the share on which they
would if each gave its own answers in an order of its own. A constant program has p_o = p_e with
everybody: its kappa is 0, without any rule about constants.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ucoder.consensus.votes import BOTTOM, Floats, Ints, Votes

_CERTAIN: Final = 1.0 - 1e-9
"""Expected agreement above which kappa is undefined (0 / 0): two equal constants."""


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


def distinct_rows(votes: Votes) -> tuple[Ints, Floats]:
    """One row of answers a cluster, and the candidates of each: C x T and C."""
    clusters_P = votes.clusters_P
    C = int(clusters_P.max()) + 1 if clusters_P.size else 0
    _, first = np.unique(clusters_P, return_index=True)
    weights_C: Floats = np.bincount(clusters_P, votes.weights_P, minlength=C).astype(np.float64)
    return votes.answers_PT[first], weights_C

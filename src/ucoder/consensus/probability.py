"""How sure a selection is."""

from __future__ import annotations

import numpy as np

from ucoder.consensus.agreement import Agreement
from ucoder.consensus.votes import Floats, Votes
from ucoder.records import NAN


def probability_right(votes: Votes, winner: int) -> float:
    """The probability that a program is right, given how the candidates agree.

    Args:
        votes: On the inputs that count.
        winner: The program, by its place in `votes.programs`; whichever selector chose it.

    Returns:
        From 0 to 1; NaN where no input counts.
    """
    if not votes.inputs:
        return NAN
    score = Agreement.of(votes).scores()[votes.clusters_P[winner]]
    return float(chance_right(np.array([score]))[0])


def chance_right(scores: Floats) -> Floats:
    """The probability that goes with an agreement score, both from 0 to 1."""
    return np.asarray(1.0 / (1.0 + np.exp(1.6 - 4.2 * scores)))

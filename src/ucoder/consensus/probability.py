"""How sure a selection is."""

from __future__ import annotations

import numpy as np

from ucoder.consensus.votes import Floats, Votes
from ucoder.records import NAN


def probability_right(votes: Votes, winner: int) -> float:
    """The probability that the winner is right; NaN where it is not known."""
    return NAN


def chance_right(score: Floats) -> Floats:
    """The probability that goes with a mean kappa, from 0 to 1."""
    return np.asarray(1.0 / (1.0 + np.exp(1.6 - 4.2 * score)))

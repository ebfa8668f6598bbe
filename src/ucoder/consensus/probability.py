"""How sure a selection is."""

from __future__ import annotations

from ucoder.consensus.votes import Votes
from ucoder.records import NAN


def probability_right(votes: Votes, winner: int) -> float:
    """The probability that the winner is right; NaN where it is not known."""
    return NAN

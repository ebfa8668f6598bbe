"""Rows of answers: what counts as executed in the literature, and which rows are equal.

Everybody but us takes an exception for a failure, also one that a program raises on purpose. The
ablations and the peers read the votes through these functions.
"""

from __future__ import annotations

import numpy as np

from ucoder.consensus.selectors.protocol import Rule
from ucoder.consensus.votes import BOTTOM, Bools, Ints, Votes


def returned_answers(votes: Votes) -> Ints:
    """The answers' codes, P x T, with BOTTOM wherever a call did not return."""
    answers_PT: Ints = np.where(votes.returned_PT, votes.answers_PT, np.int32(BOTTOM))
    return answers_PT


def has_executed(votes: Votes, rule: Rule) -> Bools:
    """Which programs return on at least one input, P; all where the rule lets raising win."""
    if rule.raising_may_win:
        return np.ones(len(votes.programs), dtype=np.bool_)
    return np.asarray(votes.returned_PT.any(axis=1))

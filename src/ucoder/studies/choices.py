"""What a selector chooses, as studies score it.

Studies compare choices, so all selectors choose under one rule: tau is 1, because whether the
largest cluster has two members or three is no question of which candidate is best, and a rule that
selects nothing cannot be right. Where a selector has no winner nonetheless (no candidate is
reliable, or it abstains), the task counts as wrong, and coverage says how often that was so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ucoder.consensus.inputs import kept_inputs
from ucoder.consensus.probability import probability_right
from ucoder.consensus.selection import ranked_programs
from ucoder.consensus.selectors import SELECTORS, Ranking, Rule, selector_named
from ucoder.consensus.votes import Votes
from ucoder.records import NAN

RULE: Final = Rule(tau=1)
"""The rule of every study; `selector` is set to each of those that are compared."""

PAPER: Final = "consensus"
"""What every other selector is compared with."""

MAIN: Final = ("consensus", "agreement", "codet", "mbr_soft", "srank")
"""Selectors that the longer studies compare where none are named."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What one selector chose on one set of votes.

    Attributes:
        shares: Programs that may have been chosen, with their chances, which add up to 1: one
            program, or all that take part in a lottery. The one that was drawn stands first.
            Empty where nothing is selected.
        probability: That the first of them is right; NaN where unknown, for lotteries, and where
            it was not asked for.
    """

    shares: tuple[tuple[str, float], ...]
    probability: float

    @property
    def program(self) -> str | None:
        """The id of the program that was chosen, None where nothing was."""
        return self.shares[0][0] if self.shares else None


def choose(
    votes: Votes, selectors: Sequence[str], rule: Rule = RULE, *, with_probability: bool = False
) -> dict[str, Choice]:
    """What each selector chooses.

    Args:
        votes: Of one task; on all inputs, those that do not count are left out here.
        selectors: Their names.
        rule: Thresholds.
        with_probability: Whether to ask for the probability, which takes longer.

    Raises:
        ConfigError: A name is no selector's.
    """
    kept = votes.on(kept_inputs(votes, rule.min_input_support))
    return {
        name: _choice(kept, name, replace(rule, selector=name), with_probability)
        for name in selectors
    }


def known_selectors(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once; all selectors where none is given.

    Raises:
        ConfigError: A name is no selector's.
    """
    for name in names:
        selector_named(name)
    return tuple(dict.fromkeys(names)) or tuple(SELECTORS)


def _choice(votes: Votes, name: str, rule: Rule, with_probability: bool) -> Choice:
    ranking = selector_named(name)(votes, rule)
    order = ranked_programs(votes, ranking) if ranking.reason is None else []
    if not order:
        return Choice((), NAN)
    if ranking.is_lottery:
        return Choice(_chances(votes, ranking, order), NAN)
    probability = probability_right(votes, order[0]) if with_probability else NAN
    return Choice(((votes.programs[order[0]], 1.0),), probability)


def _chances(votes: Votes, ranking: Ranking, order: Sequence[int]) -> tuple[tuple[str, float], ...]:
    """Each candidate of the best programs has an equal chance."""
    best = ranking.scores_P[order[0]]
    able = [at for at in order if ranking.scores_P[at] == best]
    weights = votes.weights_P[able].astype(np.float64)
    chances = (weights / weights.sum()).tolist()
    return tuple((votes.programs[at], chance) for at, chance in zip(able, chances, strict=True))

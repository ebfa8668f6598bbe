"""What a selector is: votes in, one score a program out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ucoder.consensus.votes import Floats, Votes
from ucoder.records import Reason


@dataclass(frozen=True, slots=True)
class Rule:
    """The thresholds of a selection; see `ucoder.config.SolutionsConfig` for each."""

    selector: str = "consensus"
    rho: float = 0.8
    tau: int = 3
    min_input_support: float = 0.2
    min_probability: float = 0.0
    raising_may_win: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a selector makes of the votes.

    Attributes:
        scores_P: One a program, the highest wins; NaN where a program cannot win. Programs with
            equal scores are told apart by e(r), then f(r), then their ids: the same for every
            selector.
        unit: What a score counts, for people.
        reason: Why nobody wins, whatever the scores; None where somebody does.
        is_lottery: Whether the rule draws at random among all that have the highest score, each
            candidate with equal chance. The draw's seed is the programs themselves.
        n_reliable: Candidates that met the rule's own demands.
        forecast: The score of each cluster (the columns, numbered as `Votes.clusters_P`; a last
            one more for behaviour not seen yet) if they had these numbers of candidates, R cases
            in rows; None where the selector cannot say. Sequential stopping rests on it.
    """

    scores_P: Floats
    unit: str
    reason: Reason | None = None
    is_lottery: bool = False
    n_reliable: int = 0
    forecast: Callable[[Floats], Floats] | None = None


class Selector(Protocol):
    """Scores programs; pure, and indifferent to the order of candidates and inputs."""

    def __call__(self, votes: Votes, rule: Rule) -> Ranking:
        """Rank the programs of one problem.

        Args:
            votes: On the inputs that count.
            rule: Thresholds; a selector reads those that it knows.
        """
        ...

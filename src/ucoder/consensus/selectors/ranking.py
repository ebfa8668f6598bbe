"""What a selector is, and what all of them share: thresholds, rankings, lotteries.

A selector takes votes and returns one score a program. It is pure, and indifferent to the order of
candidates and inputs. Array names carry their dimensions: P programs, T inputs, C clusters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ucoder.config import DEFAULT_RHO, DEFAULT_TAU
from ucoder.consensus.votes import BOTTOM, Bools, Floats, Ints, Votes
from ucoder.records import Reason


@dataclass(frozen=True, slots=True)
class Rule:
    """A selector and its thresholds; `ucoder.config.SolutionsConfig` documents each.

    `is_rho_set` and `is_tau_set` say that somebody asked for these thresholds: `agreement`, which
    needs none, honours them then.
    """

    selector: str = "consensus"
    rho: float = DEFAULT_RHO
    tau: int = DEFAULT_TAU
    inputs: str = "selector"
    min_input_support: float = 0.2
    min_probability: float = 0.0
    raising_may_win: bool = False
    min_share: float = 0.0
    is_rho_set: bool = False
    is_tau_set: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """A selector's scores.

    Attributes:
        scores_P: One score a program, the highest wins; NaN where a program cannot win. Programs
            with equal scores are ordered by e(r), then f(r), then their ids, for every selector.
        unit: What a score measures, for display.
        reason: Why no program wins, whatever the scores; None where one does.
        is_lottery: Whether the rule draws at random among all programs with the highest score, each
            candidate with equal chance. The draw is seeded by the programs themselves.
        n_reliable: Candidates that meet the rule's own conditions.
        forecast: Function from numbers of candidates by cluster, one case a row, to the scores of
            these clusters. Columns are numbered as `Votes.clusters_P`; one column more stands for
            behaviour not seen yet. None where the selector cannot forecast; early stopping then
            is not possible.
        groups_P: The rule's own clusters, where they differ from `Votes.clusters_P`: one may join
            several of those.
    """

    scores_P: Floats
    unit: str
    reason: Reason | None = None
    is_lottery: bool = False
    n_reliable: int = 0
    forecast: Callable[[Floats], Floats] | None = None
    groups_P: Ints | None = None


Selector = Callable[[Votes, Rule], Ranking]
"""Ranks the programs of one problem: takes votes on the inputs that count, and thresholds."""


def ranking_of(
    votes: Votes, scores_P: Floats, able_P: Bools, unit: str, *, is_lottery: bool = False
) -> Ranking:
    """The ranking of the programs that can win, or the reason why there are none."""
    able_P = able_P & bool(votes.inputs)
    n_able = int(votes.weights_P[able_P].sum())
    reason = None if n_able else why_none(votes, 0)
    return Ranking(np.where(able_P, scores_P, math.nan), unit, reason, is_lottery, n_able)


def why_none(votes: Votes, n_reliable: int) -> Reason:
    """Why nothing could be selected: the first condition that no candidate meets."""
    if not votes.n:
        return Reason.NO_CANDIDATE
    if not votes.inputs:
        return Reason.NO_INFORMATIVE_INPUT
    return Reason.NO_CONSENSUS if n_reliable else Reason.NO_RELIABLE_CANDIDATE


def returned_answers(votes: Votes) -> Ints:
    """Codes of the answers, P x T, with BOTTOM wherever a call did not return.

    The literature counts every exception as a failure, even one that a program raises on purpose;
    only `agreement` counts the latter as an answer.
    """
    answers_PT: Ints = np.where(votes.returned_PT, votes.answers_PT, np.int32(BOTTOM))
    return answers_PT


def has_executed(votes: Votes, rule: Rule) -> Bools:
    """Which programs return on at least one input, P; all if the rule lets raising programs win."""
    if rule.raising_may_win:
        return np.ones(len(votes.programs), dtype=np.bool_)
    return np.asarray(votes.returned_PT.any(axis=1))


def waiting_times(votes: Votes) -> Floats:
    """A random waiting time for each program, P; the shortest one wins a lottery.

    This is an exponential race: a program of w candidates waits -log(u) / w with u uniform in
    (0, 1), so among any of the programs each wins with a chance proportional to its candidates, as
    if one candidate had been drawn. u is a hash of the program's id and of all ids, so the draw is
    reproducible, and depends neither on the order of candidates nor on their answers.
    """
    everyone = hashlib.sha256("\n".join(sorted(votes.programs)).encode()).digest()
    times = [
        -math.log(_uniform(everyone + program.encode())) / weight
        for program, weight in zip(votes.programs, votes.weights_P.tolist(), strict=True)
    ]
    return np.array(times, dtype=np.float64)


def _uniform(raw: bytes) -> float:
    """A number above 0 and below 1, from 52 bits of a hash."""
    bits = int.from_bytes(hashlib.sha256(raw).digest()[:8], "big") >> 12
    return (bits + 0.5) / 2.0**52

"""An executed task as a study reads it: votes in numbers, who is right, what a selector chooses.

A task is counted and coded once; samples and inputs are then left out by changing weights and
selecting columns, which takes microseconds. Who is right stands in arrays of its own, which are
read after a choice has been made, never before.

All selectors choose under one rule with tau = 1: whether the largest cluster has two members or
three says nothing of which candidate is best, and a rule that selects nothing cannot be right.
Where a selector has no winner nonetheless (no candidate is reliable, or it abstains), the task
counts as wrong, and the coverage of the selector says how often that was so.

Array names carry their dimensions: P distinct programs that vote, T inputs, N candidates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ucoder.consensus.probability import probability_right
from ucoder.consensus.selection import counting, ranked_programs
from ucoder.consensus.selectors import SELECTORS, Ranking, Rule, selector_named
from ucoder.consensus.votes import Floats, Ints, Votes, votes_of
from ucoder.records import NAN
from ucoder.seeds import derive_seed
from ucoder.studies.pools import ExecutedTask

RULE: Final = Rule(tau=1)
"""The rule of every study; `selector` is set to each of those that are compared."""

AS_RUN: Final = "selector"
ALL: Final = "all"
OWN: Final = "own"
"""Which inputs count (`SolutionsConfig.inputs`): by default those that a run would count."""

ON_ALL: Final = replace(RULE, inputs=ALL)

PAPER: Final = "consensus"
"""The selector that every other one is compared with."""

MAIN: Final = ("consensus", "agreement", "codet", "mbr_soft", "srank")
"""The selectors that the longer studies compare where none are named."""


@dataclass(frozen=True, slots=True)
class StudyChoice:
    """What one selector chose on one set of votes.

    `shares` holds the programs that may have been chosen with their chances, which add up to 1: one
    program, or all that take part in a lottery, the drawn one first; none where nothing is
    selected. `probability` says how likely the first of them is right; NaN where it is unknown, for
    lotteries, and where it was not asked for.
    """

    shares: tuple[tuple[str, float], ...]
    probability: float

    @property
    def program(self) -> str | None:
        """The id of the chosen program, None where nothing was chosen."""
        return self.shares[0][0] if self.shares else None


@dataclass(frozen=True, eq=False)
class StudyTask:
    """One task, coded: its votes on all of its inputs, and beside them who is right."""

    task_id: str
    votes: Votes
    right_P: Floats  # 1 where a program is right, 0 where it is wrong, NaN where that is unknown
    programs_N: Ints  # each candidate's program, by place in the votes; -1 where it has no vote
    right_N: Floats  # as right_P, for every candidate; a rejected candidate is wrong
    tokens_N: Ints  # tokens sampled for each candidate; 0 where unknown
    perplexities_N: Floats  # f(r) of each candidate; NaN where undefined

    @property
    def n(self) -> int:
        """Number of candidates, those without a vote among them."""
        return self.programs_N.size

    @cached_property
    def places(self) -> dict[str, int]:
        """Each program's place in the votes."""
        return {program: at for at, program in enumerate(self.votes.programs)}

    def share_right(self) -> float:
        """The chance that a random candidate is right; NaN where the truth is unknown."""
        known = self.right_N[~np.isnan(self.right_N)]
        return float(known.mean()) if known.size else NAN

    def chance_right(self, choice: StudyChoice) -> float:
        """The chance that a choice is right: 0 or 1, or between them for a lottery.

        Nothing selected is wrong. NaN where the truth is unknown.
        """
        if not choice.shares:
            return NAN if math.isnan(self.share_right()) else 0.0
        right = np.array([self.right_P[self.places[program]] for program, _ in choice.shares])
        shares = np.array([share for _, share in choice.shares])
        known = ~np.isnan(right)
        return float(right[known] @ shares[known] / shares[known].sum()) if known.any() else NAN

    def answers_alike(self, one: StudyChoice, other: StudyChoice) -> bool:
        """Whether two choices give the same answers to all of the task's inputs, or both none.

        Of a lottery, the drawn program is compared: where many are equally good, two draws differ
        although the selector does not.
        """
        if one.program is None or other.program is None:
            return one.program is other.program
        places, clusters_P = self.places, self.votes.clusters_P
        return bool(clusters_P[places[one.program]] == clusters_P[places[other.program]])

    def sampled(self, kept: NDArray[np.int64] | Sequence[int]) -> Votes:
        """The votes as they would be if only these candidates had been sampled."""
        at = np.asarray(kept, dtype=np.intp)
        programs_K = self.programs_N[at]
        voting = programs_K >= 0
        P = len(self.votes.programs)
        weights_P = np.bincount(programs_K[voting], minlength=P).astype(np.int32)
        lowest_P = np.full(P, math.inf)
        f_K = np.nan_to_num(self.perplexities_N[at], nan=math.inf)
        np.minimum.at(lowest_P, programs_K[voting], f_K[voting])
        perplexities_P = np.where(np.isinf(lowest_P), math.nan, lowest_P)
        return replace(self.votes, perplexities_P=perplexities_P).with_weights(weights_P)

    def orders(self, n: int, repeats: int, seed: int, name: str) -> Iterator[NDArray[np.int64]]:
        """Random orders of n inputs or candidates of this task, which repeat with the seed."""
        for repeat in range(repeats):
            random = np.random.default_rng(derive_seed(seed, name, self.task_id, repeat))
            yield random.permutation(n)


def tasks_of(pools: Iterable[ExecutedTask], *, has_truth: bool = True) -> Iterator[StudyTask]:
    """The tasks coded, one at a time; see `task_of`."""
    for pool in pools:
        yield task_of(pool, has_truth=has_truth)


def task_of(pool: ExecutedTask, *, has_truth: bool = True) -> StudyTask:
    """Count and code one executed task.

    With `has_truth`, rejected candidates are wrong; in a run, where there is no truth, they are
    unknown like all others.
    """
    votes = votes_of(pool.candidates, {e.program_id: e for e in pool.executions}, pool.inputs)
    truth = pool.truth() if has_truth and (pool.correct or not pool.executions) else {}
    places = {program: at for at, program in enumerate(votes.programs)}
    # The program that votes for each candidate, "" for a rejected one.
    programs = ["" if c.reason is not None else c.program_id for c in pool.candidates]

    def right(ids: Iterable[str]) -> Floats:
        verdicts = [truth.get(program) for program in ids]
        return np.array([NAN if v is None else float(v) for v in verdicts], dtype=np.float64)

    return StudyTask(
        task_id=pool.task_id,
        votes=votes,
        right_P=right(votes.programs),
        programs_N=np.array([places.get(p, -1) if p else -1 for p in programs], dtype=np.int32),
        right_N=right(programs),
        tokens_N=np.array([c.n_tokens for c in pool.candidates], dtype=np.int32),
        perplexities_N=np.array([c.perplexity for c in pool.candidates], dtype=np.float64),
    )


def known_selectors(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once; all selectors where none is given.

    Raises:
        ConfigError: A selector is unknown.
    """
    for name in names:
        selector_named(name)
    return tuple(dict.fromkeys(names)) or tuple(SELECTORS)


def choose(
    votes: Votes,
    selectors: Sequence[str],
    *,
    inputs: str = AS_RUN,
    with_probability: bool = False,
) -> dict[str, StudyChoice]:
    """What each selector chooses under `RULE`, on those of the inputs that count.

    Raises:
        ConfigError: A selector is unknown.
    """
    rules = {name: replace(RULE, selector=name, inputs=inputs) for name in selectors}
    # Selectors that count the same inputs share the votes, and what is cached of them.
    kept: dict[tuple[int, ...], Votes] = {}
    choices = {}
    for name, rule in rules.items():
        on = counting(votes, rule)
        choices[name] = _choice(kept.setdefault(on.positions, on), rule, with_probability)
    return choices


def _choice(votes: Votes, rule: Rule, with_probability: bool) -> StudyChoice:
    ranking = selector_named(rule.selector)(votes, rule)
    order = ranked_programs(votes, ranking) if ranking.reason is None else []
    if not order:
        return StudyChoice((), NAN)
    if ranking.is_lottery:
        return StudyChoice(_chances(votes, ranking, order), NAN)
    probability = probability_right(votes, order[0]) if with_probability else NAN
    return StudyChoice(((votes.programs[order[0]], 1.0),), probability)


def _chances(votes: Votes, ranking: Ranking, order: Sequence[int]) -> tuple[tuple[str, float], ...]:
    """The programs with the best score; each of their candidates has an equal chance."""
    best = ranking.scores_P[order[0]]
    able = [at for at in order if ranking.scores_P[at] == best]
    weights = votes.weights_P[able].astype(np.float64)
    chances = (weights / weights.sum()).tolist()
    return tuple((votes.programs[at], chance) for at, chance in zip(able, chances, strict=True))

"""One executed task as a study reads it: votes in numbers, and beside them who is right.

A task is counted and coded once; samples and inputs are then left out by taking rows' weights and
columns away, which costs microseconds. What is right stands in arrays of its own, and is read
after a choice has been made, never before.

Array names carry their dimensions: P distinct programs that vote, T inputs, N candidates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ucoder.consensus.votes import Floats, Ints, Votes, votes_of
from ucoder.records import NAN, InputOrigin
from ucoder.studies.choices import Choice
from ucoder.studies.executing import Pool

_OWN = (InputOrigin.GIVEN, InputOrigin.EXAMPLE, InputOrigin.MODEL)


@dataclass(frozen=True, eq=False)
class Task:
    """One task, coded.

    Attributes:
        task_id: Its id.
        votes: On all of its inputs.
        right_P: 1 where a program is right, 0 where it is wrong, NaN where that is unknown.
        programs_N: Each candidate's program, by place in the votes; -1 where it has no vote.
        right_N: As `right_P`, for every candidate: one that is refused is wrong.
        tokens_N: Tokens sampled for each candidate; 0 where unknown.
        perplexities_N: f(r) of each candidate; NaN where undefined.
    """

    task_id: str
    votes: Votes
    right_P: Floats
    programs_N: Ints
    right_N: Floats
    tokens_N: Ints
    perplexities_N: Floats

    @property
    def n(self) -> int:
        """Candidates, those without a vote among them."""
        return self.programs_N.size

    @cached_property
    def places(self) -> dict[str, int]:
        """Each program's place in the votes."""
        return {program: at for at, program in enumerate(self.votes.programs)}

    def share_right(self) -> float:
        """How likely a candidate drawn from all is right; NaN where the truth is unknown."""
        known = self.right_N[~np.isnan(self.right_N)]
        return float(known.mean()) if known.size else NAN

    def chance_right(self, choice: Choice) -> float:
        """How likely the choice is right: 0 or 1, between them for a lottery.

        Nothing selected is not right. NaN where the truth is unknown.
        """
        if not choice.shares:
            return NAN if math.isnan(self.share_right()) else 0.0
        right = np.array([self.right_P[self.places[program]] for program, _ in choice.shares])
        shares = np.array([share for _, share in choice.shares])
        known = ~np.isnan(right)
        return float(right[known] @ shares[known] / shares[known].sum()) if known.any() else NAN

    def answers_alike(self, one: Choice, other: Choice) -> bool:
        """Whether two choices give the same answers to all of the task's inputs, or both none.

        Of a lottery, the program that was drawn is compared: where many are equally good, two
        draws differ although the selector does not.
        """
        if one.program is None or other.program is None:
            return one.program is other.program
        places, clusters_P = self.places, self.votes.clusters_P
        return bool(clusters_P[places[one.program]] == clusters_P[places[other.program]])

    def sampled(self, kept: Sequence[int] | NDArray[np.int64]) -> Votes:
        """The votes as they were, had only these candidates been sampled."""
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

    def with_own_inputs(self) -> Votes:
        """The votes on the model's own inputs alone; on all where it wrote none."""
        own = [at for at, given in enumerate(self.votes.inputs) if given.origin in _OWN]
        return self.votes.on(own) if own else self.votes


def task_of(pool: Pool, *, has_truth: bool = True) -> Task:
    """Count and code one pool.

    Args:
        pool: One task, executed.
        has_truth: Whether somebody can know who is right there. Then refused candidates are
            wrong; in a run, where nobody can, nothing is known of them either.
    """
    votes = votes_of(pool.candidates, {e.program_id: e for e in pool.executions}, pool.inputs)
    truth = pool.truth() if has_truth and (pool.correct or not pool.executions) else {}
    places = {program: at for at, program in enumerate(votes.programs)}
    candidates = pool.candidates
    return Task(
        task_id=pool.task_id,
        votes=votes,
        right_P=np.array([_number(truth.get(p)) for p in votes.programs], dtype=np.float64),
        programs_N=np.array(
            [places.get(c.program_id, -1) if c.reason is None else -1 for c in candidates],
            dtype=np.int32,
        ),
        right_N=np.array(
            [_number(truth.get(c.program_id if c.reason is None else "")) for c in candidates],
            dtype=np.float64,
        ),
        tokens_N=np.array([c.n_tokens for c in candidates], dtype=np.int32),
        perplexities_N=np.array([c.perplexity for c in candidates], dtype=np.float64),
    )


def tasks_of(pools: Iterable[Pool], *, has_truth: bool = True) -> Iterator[Task]:
    """The tasks of pools, one at a time; see `task_of`."""
    for pool in pools:
        yield task_of(pool, has_truth=has_truth)


def _number(is_right: bool | None) -> float:
    return NAN if is_right is None else float(is_right)

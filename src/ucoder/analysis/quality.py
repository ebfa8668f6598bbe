"""Perplexity f(r) against execution success e(r), candidate by candidate (figure 6).

Selection breaks ties by perplexity, which helps only while low perplexity goes with programs that
run. The paper finds success above 80% below a perplexity of 1.05; where perplexity no longer
orders success, the quality signal is gone. Both definitions are 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from ucoder.consensus.inputs import kept_inputs
from ucoder.consensus.votes import sandbox_failed, votes_of
from ucoder.records import NAN, Candidate, Execution, TestInput


@dataclass(frozen=True, slots=True)
class Quality:
    """One candidate that ran: f(r) and e(r), the latter over the kept inputs."""

    problem_id: str
    candidate_id: str
    perplexity: float
    success: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Candidates of neighbouring perplexity.

    Attributes:
        low: Least perplexity in it.
        high: Greatest.
        n: How many candidates.
        perplexity: Their mean perplexity.
        success: Their mean e(r).
    """

    low: float
    high: float
    n: int
    perplexity: float
    success: float


def qualities(
    candidates: Sequence[Candidate],
    executions: Iterable[Execution],
    inputs: Sequence[TestInput],
    min_support: float,
) -> list[Quality]:
    """f(r) and e(r) of one problem's candidates.

    Left out, because one of the two is undefined: candidates without a program, those whose
    program was not run yet or on which the sandbox failed, those whose log-probabilities are
    unknown, and all where no input is kept.

    Args:
        candidates: Of one problem and iteration.
        executions: Of the same.
        inputs: The problem's.
        min_support: As `SolutionsConfig.min_input_support`.
    """
    by_program = {e.program_id: e for e in executions if not sandbox_failed(e)}
    voters = [c for c in candidates if c.reason is None and c.program_id in by_program]
    votes = votes_of(voters, by_program, inputs)
    votes = votes.on(kept_inputs(votes, min_support))
    if not votes.inputs:
        return []
    successes = dict(zip(votes.programs, votes.success_P.tolist(), strict=True))
    found = [
        Quality(c.problem_id, c.id, c.perplexity, successes.get(c.program_id, 0.0)) for c in voters
    ]
    return [q for q in found if math.isfinite(q.perplexity)]


def bins(points: Iterable[Quality], n: int = 4) -> tuple[Bin, ...]:
    """Cut candidates into n groups of equal size by perplexity: quartiles for n = 4.

    Fewer groups where there are fewer candidates; none where there are none.
    """
    ordered = sorted(points, key=lambda point: (point.perplexity, point.candidate_id))
    cuts = [at * len(ordered) // n for at in range(n + 1)]
    groups = [ordered[begin:end] for begin, end in pairwise(cuts) if end > begin]
    return tuple(
        Bin(
            low=group[0].perplexity,
            high=group[-1].perplexity,
            n=len(group),
            perplexity=fmean(point.perplexity for point in group),
            success=fmean(point.success for point in group),
        )
        for group in groups
    )


def rank_correlation(points: Sequence[Quality]) -> float:
    """Spearman's rank correlation of f(r) and e(r): negative where low perplexity runs better.

    NaN for fewer than three candidates, or where either of the two is the same throughout.
    Candidates of one problem resemble each other, so this describes a run and tests nothing.
    """
    if len(points) < 3:
        return NAN
    xs = _ranks([point.perplexity for point in points])
    ys = _ranks([point.success for point in points])
    mean = (len(points) + 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(xs, ys, strict=True))
    spread = math.sqrt(sum((x - mean) ** 2 for x in xs) * sum((y - mean) ** 2 for y in ys))
    return covariance / spread if spread else NAN


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, equal values sharing the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for at in order[start:end]:
            ranks[at] = (start + 1 + end) / 2
        start = end
    return ranks

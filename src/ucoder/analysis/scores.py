"""Benchmark scores, before and after: shares with intervals, and paired comparisons with M0.

Two intervals that overlap do not show that two models are equal, and two models that answered
the same tasks are compared on those tasks: only the tasks on which they differ tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ucoder.analysis.numbers import share
from ucoder.evaluation.statistics import sign_test, wilson
from ucoder.records import Score

ALPHA = 0.05
"""A difference is called one below this p-value."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A model against M0, on the tasks that were run for both.

    Attributes:
        n: Such tasks.
        better: M0 failed, the model passed.
        worse: M0 passed, the model failed.
        difference: (better - worse) / n, NaN without tasks.
        p: Two-sided, of `sign_test`: McNemar's exact test; NaN without tasks.
    """

    n: int
    better: int
    worse: int
    difference: float
    p: float

    @property
    def told_apart(self) -> bool:
        """Whether these tasks tell the two models apart, at the 5% level."""
        return self.p < ALPHA  # False for NaN


@dataclass(frozen=True, slots=True)
class ModelScore:
    """One model on one benchmark: pass@1 from one greedy answer a task.

    Attributes:
        benchmark: Its name.
        model_index: 0 for M0, t + 1 for the model that iteration t trained.
        n_tasks: Tasks answered.
        n_run: Those whose answer was run; the others are no verdict.
        passed: Of those run.
        value: passed / n_run, NaN where none was run.
        low: Lower end of the Wilson interval at 95%.
        high: Its upper end.
        tokens: Sampled.
        paired: The comparison with M0; None for M0 itself, and where M0 has no scores.
    """

    benchmark: str
    model_index: int
    n_tasks: int
    n_run: int
    passed: int
    value: float
    low: float
    high: float
    tokens: int
    paired: Paired | None


def model_scores(tables: Mapping[tuple[str, int], Sequence[Score]]) -> tuple[ModelScore, ...]:
    """Score every table, keyed by (benchmark, model index), in that order."""
    return tuple(
        _score(benchmark, index, scores, tables.get((benchmark, 0)))
        for (benchmark, index), scores in sorted(tables.items())
        if scores
    )


def paired(first: Sequence[Score], scores: Sequence[Score]) -> Paired:
    """Compare a model with M0 on the tasks that were run for both."""
    before = {score.task_id: score.passed for score in first if score.passed is not None}
    both = [
        (before[score.task_id], score.passed)
        for score in scores
        if score.passed is not None and score.task_id in before
    ]
    better = sum(now and not then for then, now in both)
    worse = sum(then and not now for then, now in both)
    p = sign_test(better, worse) if both else float("nan")
    return Paired(len(both), better, worse, share(better - worse, len(both)), p)


def _score(
    benchmark: str, index: int, scores: Sequence[Score], first: Sequence[Score] | None
) -> ModelScore:
    verdicts = [score.passed for score in scores if score.passed is not None]
    estimate = wilson(sum(verdicts), len(verdicts))
    return ModelScore(
        benchmark=benchmark,
        model_index=index,
        n_tasks=len(scores),
        n_run=estimate.n,
        passed=estimate.passed,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        tokens=sum(score.n_tokens for score in scores),
        paired=paired(first, scores) if index > 0 and first else None,
    )

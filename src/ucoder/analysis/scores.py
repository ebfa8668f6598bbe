"""Benchmark scores, model by model: shares with intervals, and paired comparisons.

Two intervals that overlap do not show that two models are equal, and two models that answered
the same tasks are compared on those tasks: only the tasks on which they differ tell them apart.
What was not run is no verdict: it is counted by its reason, and never as a failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ucoder.analysis.numbers import tally
from ucoder.evaluation.comparison import Trials, holm, paired_test
from ucoder.evaluation.records import Score
from ucoder.evaluation.statistics import Interval, bootstrap_interval, pass_at_k, wilson

ALPHA = 0.05
"""A difference is called one below this p-value, corrected."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A model against another, on the tasks that were run for both.

    Attributes:
        n: Such tasks.
        n_left_out: Tasks of either that are without a verdict for one of the two.
        better: The model passes more often than the other did.
        worse: It passes less often.
        difference: Mean over tasks of its pass rate less the other's, NaN without tasks.
        low: Lower end of the 95% interval of the difference, NaN likewise.
        high: Its upper end.
        p: Two-sided p-value of `comparison.paired_test`; NaN without tasks.
        p_corrected: The same after Holm's correction, for the number of comparisons that it is
            one of; equal to `p` where it is the only one.
    """

    n: int
    n_left_out: int
    better: int
    worse: int
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float

    @property
    def told_apart(self) -> bool:
        """Whether these tasks tell the two models apart, at the 5% level after correction."""
        return self.p_corrected < ALPHA  # False for NaN


@dataclass(frozen=True, slots=True)
class PassAt:
    """pass@k of one model on one benchmark.

    Attributes:
        k: How many samples one may try.
        n: Tasks with at least k verdicts; the others are left out.
        value: Mean of `pass_at_k` over them, NaN without any.
        low: Lower end of its 95% interval, NaN likewise.
        high: Its upper end.
    """

    k: int
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ModelScore:
    """One model on one benchmark.

    Attributes:
        benchmark: Its name.
        model_index: 0 for M0, t + 1 for the model that iteration t trained.
        n_tasks: Tasks answered.
        n_run: Those with a verdict on at least one sample.
        n_samples: Verdicts over all tasks.
        passed: Of these samples.
        value: pass@1: the mean over the tasks run of their share of passed samples; NaN where
            none was run.
        low: Lower end of its 95% interval: Wilson's for one sample a task, else bootstrapped over
            tasks; NaN likewise.
        high: Its upper end.
        pass_at: For every k that was asked for.
        not_run: Samples without a verdict, by reason.
        failures: Samples that failed, by reason.
        paired: The comparison with M0; None for M0 itself, and where M0 has no scores.
        previous: The comparison with the model before, which is M0 for M1; None likewise.
    """

    benchmark: str
    model_index: int
    n_tasks: int
    n_run: int
    n_samples: int
    passed: int
    value: float
    low: float
    high: float
    pass_at: tuple[PassAt, ...]
    not_run: Mapping[str, int]
    failures: Mapping[str, int]
    paired: Paired | None
    previous: Paired | None


def model_scores(
    tables: Mapping[tuple[str, int], Sequence[Score]], ks: Sequence[int] = ()
) -> tuple[ModelScore, ...]:
    """Score every table, keyed by (benchmark, model index), in that order.

    P-values are corrected within the comparisons with M0, and within those with the model before
    from M2 on: each of the two is one question, asked of every benchmark and model.

    Args:
        tables: Every sample's verdict; empty ones are left out.
        ks: pass@k is wanted for these.

    Raises:
        InvalidArgument: A k is more than the samples a task.
    """
    found = []
    for (benchmark, index), scores in sorted(tables.items()):
        if scores:
            score = score_of(scores, ks)
            first = tables.get((benchmark, 0)) if index > 0 else None
            before = tables.get((benchmark, index - 1))
            found.append(
                replace(
                    score,
                    paired=compare(first, scores) if first else None,
                    previous=compare(before, scores) if before else None,
                )
            )
    return _corrected(found)


def score_of(scores: Sequence[Score], ks: Sequence[int] = ()) -> ModelScore:
    """Score one model on one benchmark, compared with nothing.

    Args:
        scores: Every sample's verdict, at least one.
        ks: pass@k is wanted for these.

    Raises:
        InvalidArgument: A k is more than the samples a task.
    """
    taken = _taken(scores)
    trials = [t for t in trials_of(scores).values() if t.n]
    estimate = _mean_rate(trials)
    return ModelScore(
        benchmark=scores[0].benchmark,
        model_index=scores[0].model_index,
        n_tasks=len(taken),
        n_run=len(trials),
        n_samples=sum(t.n for t in trials),
        passed=sum(t.passed for t in trials),
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        pass_at=tuple(_pass_at(k, trials, max(taken.values())) for k in ks),
        not_run=tally(score.reason for score in scores if score.passed is None),
        failures=tally(score.reason for score in scores if score.passed is False),
        paired=None,
        previous=None,
    )


def compare(first: Sequence[Score], second: Sequence[Score]) -> Paired:
    """Compare two models on the tasks that were run for both, joined by their ids.

    Args:
        first: Verdicts on one benchmark's samples; those without one are left out.
        second: The other model's.
    """
    then, now = trials_of(first), trials_of(second)
    both = [task for task in now if task in then and now[task].n and then[task].n]
    test = paired_test([then[task] for task in both], [now[task] for task in both])
    return Paired(
        n=test.n,
        n_left_out=len(then.keys() | now.keys()) - len(both),
        better=test.better,
        worse=test.worse,
        difference=test.difference,
        low=test.low,
        high=test.high,
        p=test.p,
        p_corrected=test.p,
    )


def trials_of(scores: Sequence[Score]) -> dict[str, Trials]:
    """Verdicts by task, in the order of the scores; none of n for a task without a verdict."""
    found: dict[str, Trials] = {}
    for score in scores:
        passed, n = found.get(score.task_id, (0, 0))
        found[score.task_id] = Trials(
            passed + (score.passed is True), n + (score.passed is not None)
        )
    return found


def _taken(scores: Sequence[Score]) -> dict[str, int]:
    """Samples by task, run or not."""
    taken: dict[str, int] = {}
    for score in scores:
        taken[score.task_id] = taken.get(score.task_id, 0) + 1
    return taken


def _mean_rate(trials: Sequence[Trials]) -> Interval:
    if all(t.n == 1 for t in trials):
        share = wilson(sum(t.passed for t in trials), len(trials))
        return Interval(share.value, share.low, share.high, share.n)
    return bootstrap_interval([float(t.rate) for t in trials])


def _pass_at(k: int, trials: Sequence[Trials], n_taken: int) -> PassAt:
    pass_at_k(n_taken, 0, k)  # refuses a k that no task has the samples for
    if k == 1:
        found = _mean_rate(trials)
    else:
        found = bootstrap_interval([pass_at_k(t.n, t.passed, k) for t in trials if t.n >= k])
    return PassAt(k, found.n, found.value, found.low, found.high)


def _corrected(scores: Sequence[ModelScore]) -> tuple[ModelScore, ...]:
    """The scores with p-values corrected for how many there are."""
    with_first = holm([score.paired.p if score.paired else float("nan") for score in scores])
    with_previous = holm(
        [
            score.previous.p if score.previous and score.model_index > 1 else float("nan")
            for score in scores
        ]
    )
    corrected = []
    for score, to_first, to_previous in zip(scores, with_first, with_previous, strict=True):
        paired = score.paired and replace(score.paired, p_corrected=to_first)
        previous = score.previous and replace(score.previous, p_corrected=to_previous)
        if score.model_index == 1:
            previous = paired  # one comparison, which is counted once
        corrected.append(replace(score, paired=paired, previous=previous))
    return tuple(corrected)

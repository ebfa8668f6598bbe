"""Benchmark scores, model by model: shares with intervals, and paired comparisons.

Models are compared on the tasks that both answered (`evaluation.comparison`). A sample that was not
run has no verdict: it is counted by its reason, and never as a failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ucoder.analysis.numbers import tally
from ucoder.evaluation.comparison import PairedTest, Trials, holm, paired_test
from ucoder.evaluation.records import Score
from ucoder.evaluation.statistics import mean_interval, pass_at_k, require_samples
from ucoder.records import NAN


@dataclass(frozen=True, slots=True)
class PassAt:
    """pass@k of one model on one benchmark."""

    k: int  # samples one may try
    n: int  # tasks with at least k verdicts; others, with samples that were not run, are left out
    value: float  # mean of `pass_at_k` over them; NaN for n = 0
    low: float  # lower end of its 95% interval; NaN for n = 0
    high: float  # upper end; NaN for n = 0


@dataclass(frozen=True, slots=True)
class ModelScore:
    """One model on one benchmark."""

    benchmark: str
    model_index: int  # 0 for M0, t + 1 for the model that iteration t trained
    n_tasks: int  # tasks answered
    n_run: int  # those with a verdict on at least one sample
    n_samples: int  # verdicts over all tasks
    passed: int  # of these samples
    # pass@1: mean over the tasks run of their share of passed samples; NaN if none was run.
    value: float
    low: float  # lower end of its 95% interval (`mean_interval`); NaN if none was run
    high: float  # upper end; NaN if none was run
    pass_at: tuple[PassAt, ...]  # one for each k of the configuration
    not_run: Mapping[str, int]  # samples without a verdict, by reason
    failures: Mapping[str, int]  # samples that failed, by reason
    # The comparison with M0; None for M0 itself, and where M0 has no scores.
    paired: PairedTest | None
    # The comparison with the model before, which is M0 for M1; None for M0, and where the model
    # before has no scores.
    previous: PairedTest | None


def model_scores(
    tables: Mapping[tuple[str, int], Sequence[Score]], ks: Sequence[int] = ()
) -> tuple[ModelScore, ...]:
    """Score every table with verdicts, keyed by (benchmark, model index), in that order.

    P-values are corrected (Holm) over all comparisons with M0, and separately over those with the
    previous model, from M2 on: each is one question, asked of every benchmark and model. `ks` are
    the k of every pass@k to compute.

    Raises:
        InvalidArgument: A k is more than the samples of a task.
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
    """Score one model on one benchmark by its verdicts, at least one; compare it with nothing.

    Raises:
        InvalidArgument: A k is more than the samples of a task.
    """
    n_samples = Counter(score.task_id for score in scores)
    require_samples(n_samples, ks)
    trials = [t for t in trials_of(scores).values() if t.n]
    estimate = mean_interval([float(t.rate) for t in trials])
    return ModelScore(
        benchmark=scores[0].benchmark,
        model_index=scores[0].model_index,
        n_tasks=len(n_samples),
        n_run=len(trials),
        n_samples=sum(t.n for t in trials),
        passed=sum(t.passed for t in trials),
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        pass_at=tuple(_pass_at(k, trials) for k in ks),
        not_run=tally(score.reason for score in scores if score.passed is None),
        failures=tally(score.reason for score in scores if score.passed is False),
        paired=None,
        previous=None,
    )


def compare(first: Sequence[Score], second: Sequence[Score]) -> PairedTest:
    """Compare two models' scores on one benchmark, on the tasks that were run for both."""
    then, now = trials_of(first), trials_of(second)
    both = [task for task in now if task in then and now[task].n and then[task].n]
    n_left_out = len(then.keys() | now.keys()) - len(both)
    return paired_test([then[task] for task in both], [now[task] for task in both], n_left_out)


def trials_of(scores: Sequence[Score]) -> dict[str, Trials]:
    """Verdicts by task, in the order of the scores; n is 0 for a task without a verdict."""
    found: dict[str, Trials] = {}
    for score in scores:
        passed, n = found.get(score.task_id, (0, 0))
        found[score.task_id] = Trials(
            passed + (score.passed is True), n + (score.passed is not None)
        )
    return found


def _pass_at(k: int, trials: Sequence[Trials]) -> PassAt:
    found = mean_interval([pass_at_k(t.n, t.passed, k) for t in trials if t.n >= k])
    return PassAt(k, found.n, found.value, found.low, found.high)


def _corrected(scores: Sequence[ModelScore]) -> tuple[ModelScore, ...]:
    """The scores with p-values corrected for the number of comparisons."""
    with_first = holm([s.paired.p if s.paired else NAN for s in scores])
    with_previous = holm(
        [s.previous.p if s.previous and s.model_index > 1 else NAN for s in scores]
    )
    corrected = []
    for score, to_first, to_previous in zip(scores, with_first, with_previous, strict=True):
        paired = score.paired and replace(score.paired, p_corrected=to_first)
        previous = score.previous and replace(score.previous, p_corrected=to_previous)
        if score.model_index == 1:
            previous = paired  # one comparison, which is counted once
        corrected.append(replace(score, paired=paired, previous=previous))
    return tuple(corrected)

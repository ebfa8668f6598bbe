"""Benchmarks as the page shows them: scores, and problems that are also tasks of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ucoder.analysis.numbers import tally
from ucoder.analysis.scores import ModelScore
from ucoder.analysis.summary import Summary
from ucoder.evaluation.contamination import Match
from ucoder.evaluation.records import Score

if TYPE_CHECKING:
    from ucoder.runs import Run

MAX_TASKS = 12
"""Tasks named in one line; the others are counted."""
_MAX_LINES = 40

MAX_ROWS = 100
"""Most matches that are listed."""


@dataclass(frozen=True, slots=True)
class NotRun:
    """Tasks that were not run for the same reason, for the same models."""

    reason: str  # as it is stored
    detail: str  # the same for people, such as the library that is missing; may be ""
    models: tuple[int, ...]  # their indices
    tasks: tuple[str, ...]  # the first of their ids
    n_tasks: int  # their number


@dataclass(frozen=True, slots=True)
class BenchmarkView:
    """One benchmark."""

    name: str  # as it is asked for
    scores: tuple[ModelScore, ...]  # of each model that has one, M0 first
    waiting: tuple[int, ...]  # models that exist and have no score yet
    n_not_run: int  # tasks that have no verdict for at least one model
    not_run: tuple[NotRun, ...]  # reasons, most tasks first
    n_more: int  # reasons that are not listed
    # Reason, and how many samples of each model failed for it, as `scores` has them.
    failures: tuple[tuple[str, tuple[int, ...]], ...]


def benchmark_views(run: Run, summary: Summary) -> list[BenchmarkView]:
    """Benchmarks in the order of the configuration, then others that have scores.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    names = dict.fromkeys((*summary.targets.benchmarks, *(s.benchmark for s in summary.scores)))
    return [_view(run, summary, name) for name in names]


def _view(run: Run, summary: Summary, name: str) -> BenchmarkView:
    scores = tuple(score for score in summary.scores if score.benchmark == name)
    scored = {score.model_index for score in scores}
    trained = {i.iteration + 1 for i in summary.iterations if i.checkpoint is not None}
    incomplete = [score.model_index for score in scores if score.not_run]
    rows = [row for index in incomplete for row in run.scores(name, index).rows()]
    not_run = _not_run(rows)
    reasons = tally(reason for score in scores for reason in score.failures)
    return BenchmarkView(
        name=name,
        scores=scores,
        waiting=tuple(sorted(({0} | trained) - scored)),
        n_not_run=len({row.task_id for row in rows if row.passed is None}),
        not_run=tuple(not_run[:_MAX_LINES]),
        n_more=max(0, len(not_run) - _MAX_LINES),
        failures=tuple(
            (reason, tuple(score.failures.get(reason, 0) for score in scores)) for reason in reasons
        ),
    )


def _not_run(rows: Sequence[Score]) -> list[NotRun]:
    """Tasks without a verdict, grouped by reason, detail and models."""
    models: dict[tuple[str, str, str], set[int]] = {}  # of (reason, detail, task)
    for row in rows:
        if row.passed is None:
            models.setdefault((row.reason, row.detail, row.task_id), set()).add(row.model_index)
    tasks: dict[tuple[str, str, tuple[int, ...]], list[str]] = {}
    for (reason, detail, task), indices in models.items():
        tasks.setdefault((reason, detail, tuple(sorted(indices))), []).append(task)
    found = [
        NotRun(reason, detail, indices, tuple(ids[:MAX_TASKS]), len(ids))
        for (reason, detail, indices), ids in tasks.items()
    ]
    return sorted(found, key=lambda each: (-each.n_tasks, each.reason, each.detail, each.models))


@dataclass(frozen=True, slots=True)
class Overlaps:
    """What comparing the run's problems with benchmarks found."""

    n_problems: int  # problems that were compared
    n_matched: int  # problems that match at least one task
    compared_with: tuple[str, ...]  # names of the benchmarks
    excluded: bool  # whether matching problems were left out of training
    # A problem's title and what it matches, largest overlap first.
    rows: tuple[tuple[str, Match], ...]
    n_more: int  # matches that are not listed


def overlaps(
    matches: Sequence[Match],
    titles: Mapping[str, str],
    compared_with: Sequence[str],
    excluded: bool,
) -> Overlaps:
    """Arrange the matches of a run; `titles` are those of every compared problem, by its id."""
    order = sorted(matches, key=lambda m: (-m.overlap, m.problem_id, m.benchmark, m.task_id))
    return Overlaps(
        n_problems=len(titles),
        n_matched=len({match.problem_id for match in matches}),
        compared_with=tuple(compared_with),
        excluded=excluded,
        rows=tuple((titles.get(m.problem_id, m.problem_id), m) for m in order[:MAX_ROWS]),
        n_more=max(0, len(order) - MAX_ROWS),
    )

"""A few problems with their clusters side by side: how consensus works, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ucoder.analysis.ballots import Case, distinguishing_inputs, take_ballot
from ucoder.analysis.numbers import tally
from ucoder.analysis.summary import Summary
from ucoder.consensus.explanation import excluded, explain
from ucoder.consensus.selection import Cluster, rule_of
from ucoder.execution.outcomes import Outcome, OutcomeKind
from ucoder.records import Problem, Reason, Selection
from ucoder.report.words import middle_clip, reason

if TYPE_CHECKING:
    from ucoder.config import SolutionsConfig
    from ucoder.runs import Run

MAX_CLUSTERS = 4
MAX_INPUTS = 5
MAX_OF_A_KIND = 2
_MAX_VALUE_CHARS = 72


@dataclass(frozen=True, slots=True)
class Cell:
    """One output in the table: its text, and whether it is a value or a failure."""

    text: str
    returned: bool


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster: its letter, size s(r), distinct programs, and its best member."""

    letter: str
    size: int
    n_programs: int
    success: float
    perplexity: float
    program: str
    winner: bool


@dataclass(frozen=True, slots=True)
class ExampleView:
    """One problem as the page shows it."""

    kind: str  # why it was chosen
    selected: bool  # whether it has an r*
    problem: Problem
    verdict: str  # who won and why, from the selection's own record
    clusters: tuple[ClusterView, ...]  # the largest, in order
    # An input, and each shown cluster's output on it.
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    n_candidates: int  # sampled
    dropped: Mapping[str, int]  # candidates in no cluster, by reason
    n_small: int  # candidates in clusters that are not shown
    failures: Mapping[str, int]  # outcomes of the calls, where there is no cluster


def choose(selections: Sequence[Selection]) -> list[tuple[str, str]]:
    """Instructive problems, as (kind, problem id): selected, split clusters, none selected.

    Many distinct programs that agree are better evidence than many copies of one, so they come
    first. A split is a selected problem whose second cluster is nearly as large.
    """

    def second(selection: Selection) -> int:
        return selection.cluster_sizes[1] if len(selection.cluster_sizes) > 1 else 0

    selected = [s for s in selections if s.candidate_id is not None]
    splits = [s for s in selected if second(s) > 0]
    splits.sort(key=lambda s: (s.cluster_sizes[0] - second(s), -s.n_reliable, s.problem_id))
    large = [s for s in selected if s not in splits[:MAX_OF_A_KIND]]
    large.sort(key=lambda s: (-s.cluster_sizes[0], -s.n_programs, s.problem_id))
    none = [s for s in selections if s.candidate_id is None and s.n_programs > 0]
    none.sort(key=lambda s: (-s.n_reliable, -s.n_programs, s.problem_id))
    return [
        *(("Selected", s.problem_id) for s in large[:MAX_OF_A_KIND]),
        *(("Selected from split clusters", s.problem_id) for s in splits[:MAX_OF_A_KIND]),
        *((_kind_of_none(s), s.problem_id) for s in none[:MAX_OF_A_KIND]),
    ]


def _kind_of_none(selection: Selection) -> str:
    return reason(selection.reason or "not selected").capitalize()


def shown_iteration(summary: Summary) -> int | None:
    """The iteration to take examples from: the latest of those with the most decisions."""
    decided = [(i.n_decided, i.iteration) for i in summary.iterations if i.n_decided]
    return max(decided)[1] if decided else None


def examples(run: Run, iteration: int) -> list[ExampleView]:
    """The chosen problems of one iteration, ready to show."""
    problems = {a.problem.id: a.problem for a in run.attempts.rows() if a.problem is not None}
    found = []
    for kind, problem_id in choose(run.selections(iteration).rows()):
        if problem_id in problems:
            case = take_ballot(run, iteration, problems[problem_id])
            if case is not None:
                found.append(_example(kind, case, run.config.solutions))
    return found


def _example(kind: str, case: Case, config: SolutionsConfig) -> ExampleView:
    shown = case.ballot.clusters[:MAX_CLUSTERS]
    outcomes = [case.outcomes(cluster) for cluster in shown]
    rows = tuple(
        (
            middle_clip(_call(case.suite.inputs[at].arguments), _MAX_VALUE_CHARS),
            tuple(_cell(of_cluster[at]) for of_cluster in outcomes),
        )
        for at in distinguishing_inputs(case, shown, MAX_INPUTS)
    ) if shown else ()  # fmt: skip
    selection = case.ballot.selection
    refused = [c.reason.value for c in case.candidates if c.reason is not None]
    rule = rule_of(config)
    blind = selection.reason is Reason.NO_INFORMATIVE_INPUT
    dropped = {
        **tally(refused),
        "sandbox_failed": selection.n_sandbox_failures,
        str(selection.reason) if blind else excluded(rule): len(case.ballot.successes)
        - selection.n_reliable,
    }
    return ExampleView(
        kind=kind,
        selected=selection.candidate_id is not None,
        problem=case.problem,
        verdict=" ".join(explain(selection, rule)),
        clusters=tuple(
            _view(cluster, letter, cluster.members[0].id == selection.candidate_id)
            for cluster, letter in zip(shown, "ABCDEFGH", strict=False)
        ),
        rows=rows,
        n_candidates=selection.n_candidates,
        dropped={why: count for why, count in dropped.items() if count},
        n_small=sum(len(c.members) for c in case.ballot.clusters[MAX_CLUSTERS:]),
        failures={} if shown else _failures(case),
    )


def _view(cluster: Cluster, letter: str, winner: bool) -> ClusterView:
    best = cluster.members[0]
    n_programs = len({member.program_id for member in cluster.members})
    return ClusterView(
        letter, len(cluster.members), n_programs, cluster.success, best.perplexity,
        best.program.rstrip(), winner,
    )  # fmt: skip


def _failures(case: Case) -> Mapping[str, int]:
    """The most frequent failures of the calls: exception types, or kinds of outcomes."""
    voting = {candidate.program_id for candidate in case.candidates}
    names = [
        outcome.text.partition(":")[0][:40] or outcome.kind.value
        if outcome.kind is OutcomeKind.RAISED
        else outcome.kind.value
        for execution in case.executions.values()
        if execution.program_id in voting
        for outcome in execution.outcomes
    ]
    return dict(list(tally(names).items())[:5])


def _call(arguments: str) -> str:
    """An argument tuple's text as the arguments of a call: `(1)` for `(1,)`."""
    return f"{arguments[:-2]})" if arguments.endswith(",)") else arguments


def _cell(outcome: Outcome) -> Cell:
    if outcome.kind is OutcomeKind.RETURNED:
        return Cell(middle_clip(outcome.answer, _MAX_VALUE_CHARS), True)
    if outcome.kind is OutcomeKind.RAISED:
        return Cell(middle_clip(outcome.text or "raised", _MAX_VALUE_CHARS), False)
    return Cell(reason(outcome.kind.value), False)

"""What became of each problem and attempt: what `ucoder show` lists, filters and prints as JSON.

The outcome of a problem is `selected`, the stored reason why not (of stage 4 where it got too few
inputs, of stage 5 where nothing was selected), or `not_yet`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ucoder.analysis.ballots import Case
from ucoder.analysis.numbers import plain
from ucoder.consensus.explanation import explain
from ucoder.errors import RunError
from ucoder.records import Problem, Reason, Selection

if TYPE_CHECKING:
    from ucoder.consensus.selectors import Rule
    from ucoder.runs import Run

SELECTED: Final = "selected"
NOT_YET: Final = "not_yet"


@dataclass(frozen=True, slots=True)
class ProblemOutcome:
    """What became of one accepted problem in one iteration."""

    problem: Problem
    outcome: str
    selection: Selection | None  # None where stage 5 has not decided it

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, undefined numbers as None."""
        problem = self.problem
        return {
            "id": problem.id,
            "title": problem.title,
            "area": problem.area,
            "topic": problem.topic,
            "function": problem.interface.name,
            "outcome": self.outcome,
            "selection": plain(self.selection),
        }


@dataclass(frozen=True, slots=True)
class RefusedAttempt:
    """An attempt at a problem that stages 1 to 3 refused."""

    index: int
    topic: str
    reason: str
    detail: str  # the reason in a sentence


def problem_outcomes(run: Run, iteration: int) -> list[ProblemOutcome]:
    """The accepted problems in their order, and what became of each in one iteration.

    Raises:
        DamagedShard: A table's file cannot be read.
        RunError: The iteration has not begun.
    """
    run.require_iteration(iteration)
    chosen = {s.problem_id: s for s in run.selections(iteration).rows()}
    given_up = {
        row["problem_id"]: row["reason"] for row in run.suites.columns("problem_id", "reason")
    }
    found = []
    for attempt in run.attempts.stream():
        if (problem := attempt.problem) is not None:
            selection = chosen.get(problem.id)
            reason = selection.reason if selection else given_up.get(problem.id)
            outcome = str(reason or (SELECTED if selection else NOT_YET))
            found.append(ProblemOutcome(problem, outcome, selection))
    return found


def with_reasons(
    run: Run, iteration: int, reasons: Collection[str]
) -> tuple[list[ProblemOutcome], list[RefusedAttempt]]:
    """The problems with one of these outcomes, and the attempts refused for one of these reasons.

    Args:
        run: The run.
        iteration: Of stage 5.
        reasons: Outcomes and stored reasons; empty for every problem and no attempt.

    Raises:
        DamagedShard: A table's file cannot be read.
        RunError: The iteration has not begun, or none of the reasons occurs, or one of them
            never can; the message lists those that do.
    """
    problems = problem_outcomes(run, iteration)
    if not reasons:
        return problems, []
    refused = [
        RefusedAttempt(attempt.index, attempt.topic, attempt.reason.value, attempt.detail)
        for attempt in run.attempts.stream()
        if attempt.reason is not None
    ]
    occurring = dict.fromkeys([*(p.outcome for p in problems), *(a.reason for a in refused)])
    absent = [reason for reason in reasons if reason not in occurring]
    known = {SELECTED, NOT_YET, *Reason}
    if len(absent) == len(reasons) or not known.issuperset(absent):
        raise RunError(
            f"no problem or attempt of {run.path} has the reason {', '.join(absent)}; these "
            f"occur: {', '.join(occurring) or 'none'}"
        )
    return (
        [problem for problem in problems if problem.outcome in reasons],
        [attempt for attempt in refused if attempt.reason in reasons],
    )


def problem_details(of: ProblemOutcome, case: Case | None, rule: Rule) -> dict[str, Any]:
    """Everything that `ucoder show` says about one problem, as plain values for JSON.

    Args:
        of: The problem.
        case: Its votes; None where they cannot be counted yet.
        rule: The one that selects.
    """
    values = {
        **of.to_dict(),
        "statement": of.problem.statement,
        "interface": of.problem.interface.source,
        "explanation": explain(of.selection, rule) if of.selection else [],
        "inputs": [],
        "clusters": [],
    }
    if case is not None:
        counted = set(case.ballot.kept)
        values["inputs"] = [
            {**plain(test_input), "counted": at in counted}
            for at, test_input in enumerate(case.suite.inputs)
        ]
        values["clusters"] = [
            {
                "candidates": [candidate.id for candidate in cluster.members],
                "selected": cluster.members[0].id == case.ballot.selection.candidate_id,
                "success": plain(cluster.success),
                "score": plain(cluster.score),
                "program": cluster.members[0].program,
                "outcomes": plain(case.outcomes(cluster)),
            }
            for cluster in case.ballot.clusters
        ]
    return values

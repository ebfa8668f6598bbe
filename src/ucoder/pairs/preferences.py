"""Preference pairs: the selected program beside one that consensus voted down.

The rejected program comes from the largest rival cluster, so it is the mistake that the model makes
most, and an input on which the two behave differently is kept with the pair. Of that cluster's
members, the one whose completion is closest in length to the chosen one is taken: preference
training otherwise learns to write longer or shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ucoder.analysis.ballots import Case
from ucoder.consensus.selection import Cluster, fluency
from ucoder.consensus.votes import votes_of
from ucoder.execution.outcomes import Outcome, OutcomeKind
from ucoder.records import Candidate

_COMPARED: Final = (OutcomeKind.RETURNED, OutcomeKind.RAISED)
"""Time, memory and the sandbox's faults are no evidence of what a program means."""
_MAX_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Rival:
    """A candidate that lost, and an input on which it behaves differently.

    Attributes:
        candidate: The rejected one.
        arguments: Canonical text of the input's arguments.
        chosen_outcome: What the chosen program did on it.
        rejected_outcome: What this one did.
    """

    candidate: Candidate
    arguments: str
    chosen_outcome: str
    rejected_outcome: str


def find_rival(case: Case, winning: Cluster, chosen: Candidate) -> Rival | None:
    """The candidate to reject; None where no other cluster behaves differently on an input.

    Args:
        case: The problem, its candidates and their executions.
        winning: The winner's cluster.
        chosen: The member of it that the pair teaches.
    """
    for rejected in _by_preference(case.ballot.clusters, winning, chosen):
        at = _simplest_difference(case, chosen, rejected)
        if at is not None:
            ours, theirs = (case.executions[c.program_id].outcomes[at] for c in (chosen, rejected))
            arguments = case.suite.inputs[at].arguments
            return Rival(rejected, arguments, _said(ours), _said(theirs))
    return None


def _by_preference(
    clusters: Sequence[Cluster], winning: Cluster, chosen: Candidate
) -> Iterator[Candidate]:
    """The candidates of other clusters: the largest first, in it those of closest length."""
    length = len(chosen.completion)
    rivals = [cluster for cluster in clusters if cluster is not winning]
    for cluster in sorted(rivals, key=lambda cluster: -len(cluster.members)):
        yield from sorted(
            cluster.members,
            key=lambda one: (abs(len(one.completion) - length), fluency(one)),
        )


def _simplest_difference(case: Case, chosen: Candidate, rejected: Candidate) -> int | None:
    """The shortest input that counts, as a place in the suite, on which the two differ.

    Inputs on which both return are preferred to those on which one raises.
    """
    votes = votes_of([chosen, rejected], case.executions, case.suite.inputs)
    if len(votes.programs) < 2:
        return None
    differing = {
        votes.positions[place]
        for place, (ours, theirs) in enumerate(votes.answers_PT.T.tolist())
        if ours != theirs
    }
    rows = [case.executions[one.program_id].outcomes for one in (chosen, rejected)]

    def rank(at: int) -> tuple[bool, int, str]:
        arguments = case.suite.inputs[at].arguments
        return (not all(row[at].executed for row in rows), len(arguments), arguments)

    found = [
        at
        for at in case.ballot.kept
        if at in differing and all(row[at].kind in _COMPARED for row in rows)
    ]
    return min(found, key=rank, default=None)


def _said(outcome: Outcome) -> str:
    text = outcome.answer if outcome.executed else f"{outcome.kind.value}: {outcome.text}"
    return text[:_MAX_CHARS]

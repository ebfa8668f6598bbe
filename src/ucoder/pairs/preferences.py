"""Preference pairs: the selected program beside one that consensus voted down.

The rejected program comes from the largest rival cluster, so it is the mistake that the model makes
most, and an input on which the two behave differently is kept with the pair. Of that cluster's
members, the one whose completion is closest in length to the chosen one is taken: preference
training otherwise learns to write longer or shorter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ucoder.analysis.ballots import Case
from ucoder.consensus.selection import fluency
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


def find_rival(case: Case, chosen: Candidate) -> Rival | None:
    """The candidate to reject; None where no other cluster behaves differently on an input.

    Args:
        case: The problem, its candidates and their executions.
        chosen: The candidate that the pair teaches.
    """
    for rejected in _by_preference(case, chosen):
        at = _simplest_difference(case, chosen, rejected)
        if at is not None:
            ours, theirs = (case.executions[c.program_id].outcomes[at] for c in (chosen, rejected))
            arguments = case.suite.inputs[at].arguments
            return Rival(rejected, arguments, _said(ours), _said(theirs))
    return None


def _by_preference(case: Case, chosen: Candidate) -> Iterator[Candidate]:
    """The candidates of other clusters: the largest first, in it those of closest length.

    Programs that run and could not win, because they raise on some inputs, are rivals as well.
    """
    votes = case.votes_of(case.candidates)
    cluster_of = dict(zip(votes.programs, votes.clusters_P.tolist(), strict=True))
    rivals: defaultdict[int, list[Candidate]] = defaultdict(list)
    for candidate in case.candidates:
        cluster = cluster_of.get(candidate.program_id)
        if cluster is not None and cluster != cluster_of[chosen.program_id]:
            rivals[cluster].append(candidate)

    def rank(one: Candidate) -> tuple[int, tuple[float, str, int]]:
        return (abs(len(one.completion) - len(chosen.completion)), fluency(one))

    for cluster in sorted(rivals, key=lambda cluster: (-len(rivals[cluster]), cluster)):
        yield from sorted(rivals[cluster], key=rank)


def _simplest_difference(case: Case, chosen: Candidate, rejected: Candidate) -> int | None:
    """The shortest input that counts, as a place in the suite, on which the two differ.

    Inputs on which both return are preferred to those on which one raises.
    """
    votes = case.votes_of([chosen, rejected])
    if len(votes.programs) < 2:
        return None
    rows = [case.executions[one.program_id].outcomes for one in (chosen, rejected)]

    def rank(at: int) -> tuple[bool, int, str]:
        arguments = case.suite.inputs[at].arguments
        return (not all(row[at].executed for row in rows), len(arguments), arguments)

    found = [
        at
        for at, (ours, theirs) in zip(votes.positions, votes.answers_PT.T.tolist(), strict=True)
        if ours != theirs and all(row[at].kind in _COMPARED for row in rows)
    ]
    return min(found, key=rank, default=None)


def _said(outcome: Outcome) -> str:
    text = outcome.answer if outcome.executed else f"{outcome.kind.value}: {outcome.text}"
    return text[:_MAX_CHARS]

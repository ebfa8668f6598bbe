"""One problem's clusters, recomputed from the stored records: what `show` and the report display.

A selection stores the outcome and the numbers behind it. The clusters' members and the inputs that
counted follow from the records by the same pure rule, so they are computed, not stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from ucoder.consensus.selection import Ballot, Cluster, n_wanted_by, rule_of, select
from ucoder.consensus.votes import Votes, votes_of
from ucoder.execution.outcomes import Outcome
from ucoder.records import Candidate, Execution, Problem, TestSuite

if TYPE_CHECKING:
    from ucoder.runs import Run


@dataclass(frozen=True, slots=True)
class Case:
    """Everything about one problem in one iteration."""

    problem: Problem
    suite: TestSuite  # its inputs
    candidates: tuple[Candidate, ...]  # all, including the rejected ones
    executions: Mapping[str, Execution]  # by program id
    ballot: Ballot  # their clusters and the selection

    @property
    def winning_cluster(self) -> Cluster | None:
        """The cluster of the selected candidate; None where nothing was selected."""
        selected = self.ballot.selection.candidate_id
        return next(
            (c for c in self.ballot.clusters if selected in {m.id for m in c.members}), None
        )

    def votes_of(self, candidates: Sequence[Candidate]) -> Votes:
        """The votes of some candidates, or of the greedy answer, on the inputs that count."""
        votes = votes_of(candidates, self.executions, self.suite.inputs)
        counted = set(self.ballot.kept)
        return votes.on([at for at, place in enumerate(votes.positions) if place in counted])

    def outcomes(self, cluster: Cluster) -> tuple[Outcome, ...]:
        """The outcomes of the cluster's best member, one for each input of the suite."""
        return self.executions[cluster.members[0].program_id].outcomes


def take_ballot(run: Run, iteration: int, problem: Problem) -> Case | None:
    """Count one problem's votes again; the ballot's selection is the stored one where there is one.

    Returns:
        None where the problem has no suite or no candidates yet, or where a candidate's program
        has not been run: a part of the votes could show a wrong winner.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    suites = run.suites.get(problem.id)
    candidates = run.candidates(iteration).get(problem.id)
    executions = {e.program_id: e for e in run.executions(iteration).get(problem.id)}
    waiting = any(c.reason is None and c.program_id not in executions for c in candidates)
    if not suites or not candidates or waiting:
        return None
    inputs = suites[0].inputs
    if any(len(e.outcomes) != len(inputs) for e in executions.values()):
        return None  # the suite was replaced since: these votes are on other inputs
    config = run.config.solutions
    rule, n_wanted = rule_of(config), n_wanted_by(config)
    ballot = select(problem.id, iteration, candidates, executions, inputs, rule, n_wanted)
    if stored := run.selections(iteration).get(problem.id):
        ballot = replace(ballot, selection=stored[0])
    return Case(problem, suites[0], tuple(candidates), executions, ballot)


def distinguishing_inputs(case: Case, clusters: Sequence[Cluster], limit: int) -> tuple[int, ...]:
    """At most `limit` inputs that best distinguish clusters, by position in the suite.

    Greedy: each input distinguishes as many pairs of clusters as possible that none before it
    did, then as many as possible in all; short inputs come first, because people read them. With
    a single cluster, the shortest inputs.
    """
    outcomes = [case.outcomes(cluster) for cluster in clusters]
    left = list(case.ballot.kept)
    pairs = {
        at: {(a, b) for a, b in combinations(range(len(clusters)), 2)
             if outcomes[a][at] != outcomes[b][at]}
        for at in left
    }  # fmt: skip
    if len(clusters) > 1:
        left = [at for at in left if pairs[at]]
    left_pairs = set(combinations(range(len(clusters)), 2))
    chosen: list[int] = []
    while left and len(chosen) < limit:
        best = min(
            left,
            key=lambda at: (
                -len(pairs[at] & left_pairs),
                -len(pairs[at]),
                len(case.suite.inputs[at].arguments),
                at,
            ),
        )
        chosen.append(best)
        left.remove(best)
        left_pairs -= pairs[best]
    return tuple(sorted(chosen))

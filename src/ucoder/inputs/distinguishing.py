"""Distinguishing inputs: inputs on which programs of large clusters differ that agree so far.

A cluster may hold programs that agree only by accident: `x` and `abs(x)` agree on positive inputs.
After the first round, mutants of the inputs that count are tried on a few programs of the two
largest clusters. The fewest of them that distinguish these programs join the problem's suite, and
every program of the problem runs on them.

An input distinguishes two programs only where both answer and their answers differ: that one of
them fails says as much about the input as about the programs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import numpy as np

from ucoder.consensus.inputs import distinguishing_inputs
from ucoder.consensus.selection import counting
from ucoder.consensus.selectors import Rule
from ucoder.consensus.votes import BOTTOM, Votes, votes_of
from ucoder.inputs.mutation import mutations
from ucoder.records import Candidate, Execution, InputOrigin, TestInput, TestSuite

MAX_PROGRAMS: Final = 8
"""Programs that new inputs are tried on: half a round, so that the search costs less than one."""

MAX_OF_SECOND: Final = 3
"""At most this many of them are from the second largest cluster."""

MAX_KEPT: Final = 16
"""Inputs that may join a suite."""

Probe = Callable[[Sequence[Candidate], Sequence[TestInput]], Awaitable[Mapping[str, Execution]]]
"""Runs candidates' programs on inputs: executions by program id (`Executions.probe`)."""


def has_distinguishing_inputs(suite: TestSuite) -> bool:
    """Whether an earlier search extended this suite."""
    return any(test_input.origin is InputOrigin.DISTINGUISHING for test_input in suite.inputs)


async def seek_inputs(
    suite: TestSuite,
    candidates: Sequence[Candidate],
    executions: Mapping[str, Execution],
    probe: Probe,
    *,
    n: int,
    rule: Rule,
    seed: int,
) -> tuple[TestInput, ...]:
    """Search for inputs on which programs differ that agree so far.

    Args:
        suite: The problem's inputs; none of them is found again.
        candidates: Those sampled so far.
        executions: By program id, on the suite.
        probe: Runs programs on the new inputs.
        n: Number of new inputs to try.
        rule: That of the selection.
        seed: Of the mutations.

    Returns:
        At most `MAX_KEPT` inputs; none where no two programs could be distinguished.

    Raises:
        SandboxClosed: The executor was shut down.
    """
    votes = votes_of(candidates, executions, suite.inputs)
    votes = counting(votes, rule)
    tried = [votes.programs[at] for at in programs_to_tell_apart(votes)]
    parents = [test_input.arguments for test_input in votes.inputs]
    if len(tried) < 2 or not parents:
        return ()
    known = [test_input.arguments for test_input in suite.inputs]
    new = [
        TestInput(arguments, InputOrigin.DISTINGUISHING)
        for arguments in mutations(parents, n, seed, known=known)
    ]
    if not new:
        return ()
    by_program = {c.program_id: c for c in candidates if c.reason is None}
    chosen = [by_program[program] for program in tried]
    return fewest_distinguishing(votes_of(chosen, await probe(chosen, new), new))


def programs_to_tell_apart(votes: Votes) -> tuple[int, ...]:
    """Distinct programs of the largest cluster and of the second, by place in `votes.programs`.

    The most frequently sampled ones of each cluster; ties go to the smaller program id.
    """
    sizes_C = np.bincount(votes.clusters_P, votes.weights_P)
    largest = sorted(range(sizes_C.size), key=lambda c: (-sizes_C[c], c))[:2]
    members = [
        sorted(np.flatnonzero(votes.clusters_P == c).tolist(), key=lambda p: -votes.weights_P[p])
        for c in largest
    ]
    second = members[1][:MAX_OF_SECOND] if len(members) > 1 else []
    first = members[0][: MAX_PROGRAMS - len(second)] if members else []
    return (*first, *second)


def fewest_distinguishing(votes: Votes) -> tuple[TestInput, ...]:
    """A small set of inputs that distinguishes all programs that differ on any of them (greedy)."""
    differ = [
        at for at, column_P in enumerate(votes.answers_PT.T)
        if np.unique(column_P[column_P != BOTTOM]).size > 1
    ]  # fmt: skip
    votes = votes.on(differ)
    return tuple(votes.inputs[at] for at in distinguishing_inputs(votes, MAX_KEPT))

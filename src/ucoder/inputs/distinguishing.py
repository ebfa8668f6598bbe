"""Inputs that separate: sought where programs of large clusters agree so far.

A cluster may hold programs that only happen to agree: `x` and `abs(x)` do on inputs above zero.
After the first round, mutants of the inputs that count are tried on a few programs of the two
largest clusters. The fewest of them that tell these programs apart join the problem's suite, and
every program of the problem runs on them.

An input counts as separating only where two programs answer and their answers differ: that one
program fails where another answers says as much about the input as about the programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ucoder.consensus.inputs import distinguishing_inputs, kept_inputs
from ucoder.consensus.votes import BOTTOM, Votes, votes_of
from ucoder.execution.protocol import Executor
from ucoder.inputs.mutation import mutations
from ucoder.programs import Executions
from ucoder.records import Candidate, Execution, InputOrigin, Problem, TestInput, TestSuite

MAX_PROGRAMS: Final = 8
"""Programs that new inputs are tried on: half a round, so that the search costs less than one."""

MAX_OF_SECOND: Final = 3
"""Of these, programs of the second largest cluster."""

MAX_KEPT: Final = 16
"""Inputs that may join a suite."""


def has_distinguishing_inputs(suite: TestSuite) -> bool:
    """Whether inputs that separate were found for this suite before."""
    return any(test_input.origin is InputOrigin.DISTINGUISHING for test_input in suite.inputs)


async def seek_inputs(
    problem: Problem,
    suite: TestSuite,
    candidates: Sequence[Candidate],
    executions: Mapping[str, Execution],
    executor: Executor,
    *,
    n: int,
    min_support: float,
    seed: int,
) -> tuple[TestInput, ...]:
    """Look for inputs on which programs differ that agree so far.

    Args:
        problem: Whose candidates they are.
        suite: Its inputs; none of them is found again.
        candidates: So far.
        executions: By program id, on the suite.
        executor: Where programs run.
        n: New inputs to try.
        min_support: As `SolutionsConfig.min_input_support`.
        seed: Of the mutations.

    Returns:
        At most `MAX_KEPT`; none where nothing was told apart.

    Raises:
        SandboxClosed: The executor was left.
    """
    votes = votes_of(candidates, executions, suite.inputs)
    votes = votes.on(kept_inputs(votes, min_support))
    tried = [votes.programs[at] for at in programs_to_tell_apart(votes)]
    parents = [test_input.arguments for test_input in votes.inputs]
    if len(tried) < 2 or not parents:
        return ()
    known = [test_input.arguments for test_input in suite.inputs]
    found = [
        TestInput(arguments, InputOrigin.DISTINGUISHING)
        for arguments in mutations(parents, n, seed, known=known)
    ]
    if not found:
        return ()
    by_program = {c.program_id: c for c in candidates if c.reason is None}
    chosen = [by_program[program] for program in tried]
    probes = Executions(problem, found, executor)
    try:
        for candidate in chosen:
            probes.begin(candidate)
        answers = await probes.results()
    finally:
        probes.cancel()
    return fewest_distinguishing(votes_of(chosen, answers, found))


def programs_to_tell_apart(votes: Votes) -> tuple[int, ...]:
    """Distinct programs of the largest cluster and of the second, by place in `votes.programs`.

    Of each cluster those that were sampled most often; ties go to the smaller program id.
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
    """The fewest inputs that tell apart all programs that can be told apart, greedily."""
    differ = [
        at for at, column_P in enumerate(votes.answers_PT.T)
        if np.unique(column_P[column_P != BOTTOM]).size > 1
    ]  # fmt: skip
    votes = votes.on(differ)
    return tuple(votes.inputs[at] for at in distinguishing_inputs(votes, MAX_KEPT))

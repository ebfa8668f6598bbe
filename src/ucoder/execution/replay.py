"""Find programs whose outputs change from run to run.

A program that prints a set, or draws numbers that nobody seeded, answers differently each time,
and agrees with nobody, itself included. Under one hash seed it looks steady. So it runs once more
on an executor with another one, and the inputs whose outcome changed are named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ucoder.execution.outcomes import CallReport, Outcome, OutcomeKind
from ucoder.execution.protocol import Executor

REPLAY_HASH_SEED: Final = 1
"""PYTHONHASHSEED of the executor that replays; any other than the first one's will do."""

# What depends on how busy the machine is says nothing about the program.
_OUTER: Final = (OutcomeKind.TIMED_OUT, OutcomeKind.SANDBOX_FAILED)


async def call_twice(
    executor: Executor, replaying: Executor, source: str, entry_point: str, inputs: Sequence[str]
) -> CallReport:
    """Call a program on two executors, and mark the inputs on which it answered differently.

    Args:
        executor: Whose report is returned.
        replaying: One that was opened with another `hash_seed`, such as `REPLAY_HASH_SEED`. Its
            programs draw other random numbers as well.
        source: The program's text.
        entry_point: The function's name.
        inputs: Canonical texts of argument tuples.

    Returns:
        The first executor's report with `unstable` set. Two outcomes differ if they are of
        different kinds, or both returned and their answers differ. Where one of the two timed
        out or the sandbox failed, nothing is known, and the input is not marked.

    Raises:
        SandboxClosed: One of the two is not open.
    """
    first, second = await asyncio.gather(
        executor.call(source, entry_point, inputs), replaying.call(source, entry_point, inputs)
    )
    pairs = zip(first.outcomes, second.outcomes, strict=True)
    return replace(first, unstable=tuple(at for at, pair in enumerate(pairs) if _differ(*pair)))


def _differ(one: Outcome, other: Outcome) -> bool:
    if one.kind in _OUTER or other.kind in _OUTER:
        return False
    if one.kind is not other.kind:
        return True
    return one.executed and one.answer != other.answer

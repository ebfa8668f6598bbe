"""Put an executor through the attacks, and say for each what was seen.

An attack is held where what its judge wants was seen, nothing outside has changed, and the same
executor serves the next honest program. The targets are made by the caller's process, so that
what changed is seen from outside.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from ucoder.execution.conformance.claims import claims
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, Program, Report, Target
from ucoder.execution.outcomes import OutcomeKind
from ucoder.execution.protocol import Executor, Limits

LIMITS: Final = Limits(
    call_timeout_s=0.4,
    program_timeout_s=1.5,
    memory_limit_mib=256,
    output_limit_bytes=20_000,
    n_processes=16,
    file_size_mib=4,
)
"""Open the executor with these: the attacks are written for them, and are over soon."""

ATTACK_TIMEOUT_S: Final = 60.0
"""An executor that has not answered by then hangs, which no attack may bring about."""

_HONEST: Final = "def f(a, b):\n    return a + b\n"
_INPUTS: Final = ("(1, 2)", "('a', 'b')")
_ANSWERS: Final = ["3", "'ab'"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one attack.

    Attributes:
        attack: Its name.
        property: What it attacked.
        claimed: Whether the provider claims to hold that.
        held: Whether it was held; None where it was not run.
        why: Why not, or why it was not run; "" where it was held.
        seconds: How long it took, the honest program after it included.
    """

    attack: str
    property: Property
    claimed: bool
    held: bool | None
    why: str
    seconds: float


async def run_conformance(
    executor: Executor,
    attacks: Iterable[Attack],
    claimed: Collection[Property] | None = None,
    try_unclaimed: bool = False,
) -> list[Finding]:
    """Run attacks one after the other.

    What is not claimed is not attacked, because nothing would hold it. `try_unclaimed` runs those
    of these attacks that can reach nothing but targets of the suite's own.

    Args:
        executor: An entered executor, opened with `LIMITS`.
        attacks: Such as `ATTACKS`, or those of it that are `quick`.
        claimed: What the provider claims; by its name where None.
        try_unclaimed: See above.

    Raises:
        SandboxClosed: The executor is not open.
    """
    return [f async for f in findings(executor, attacks, claimed, try_unclaimed)]


async def findings(
    executor: Executor,
    attacks: Iterable[Attack],
    claimed: Collection[Property] | None = None,
    try_unclaimed: bool = False,
) -> AsyncIterator[Finding]:
    """Do as `run_conformance`, and give each finding as soon as there is one."""
    claimed = claims(executor.name) if claimed is None else claimed
    for attack in attacks:
        is_claimed = attack.property in claimed
        if is_claimed or (try_unclaimed and attack.harmless):
            yield await run_attack(executor, attack, is_claimed)
        else:
            yield Finding(attack.name, attack.property, False, None, "not claimed, not tried", 0.0)


async def run_attack(executor: Executor, attack: Attack, claimed: bool = True) -> Finding:
    """Run one attack, whether or not anything holds it, and an honest program after it.

    Raises:
        SandboxClosed: The executor is not open.
    """
    started = time.monotonic()
    why: str | None
    try:
        async with asyncio.timeout(ATTACK_TIMEOUT_S):
            why = await _attempt(executor, attack)
            why = why or await _served(executor)
    except TimeoutError:
        why = f"there was no answer within {ATTACK_TIMEOUT_S:.0f} s"
    seconds = time.monotonic() - started
    return Finding(attack.name, attack.property, claimed, why is None, why or "", seconds)


async def _attempt(executor: Executor, attack: Attack) -> str | None:
    with attack.guard() if attack.guard else nullcontext(Target()) as target:
        # All on one line, so that a program's own lines keep their distances.
        given = "; ".join(f"{name} = {value!r}" for name, value in target.names.items())
        reports = []
        for program in attack.programs:
            if given:
                program = replace(program, source=f"{given}\n{program.source}")
            reports.append(await _run(executor, program))
        # Outside first: it is the graver thing, and the reports may be forged.
        return target.changed() or attack.judge(tuple(reports))


async def _run(executor: Executor, program: Program) -> Report:
    if program.tests is not None:
        return await executor.check(program.source, program.tests)
    if program.is_script:
        return await executor.check(program.source)
    return await executor.call(program.source, program.entry_point, program.inputs)


async def _served(executor: Executor) -> str | None:
    """Say how the next honest program was not served."""
    report = await executor.call(_HONEST, "f", _INPUTS)
    answers = [
        outcome.text if outcome.kind is OutcomeKind.RETURNED else str(outcome)
        for outcome in report.outcomes
    ]
    if answers == _ANSWERS:
        return None
    return f"the next honest program was not served: {report.status}, {answers}"[:500]

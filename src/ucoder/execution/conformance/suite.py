"""Put an executor through the attacks, and report for each what was seen.

An attack counts as held if its judge is satisfied, nothing outside has changed, and the same
executor serves the next honest program. The targets are made by the caller's process, so that
changes are seen from outside.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from ucoder.execution.conformance.claims import Property, claims
from ucoder.execution.conformance.judges import Report
from ucoder.execution.conformance.loading import AMPLE_TIME, Attack, Program
from ucoder.execution.conformance.targets import Target
from ucoder.execution.outcomes import OutcomeKind
from ucoder.execution.protocol import Budget, Executor, Limits

LIMITS: Final = Limits(
    call_timeout_s=0.4,
    program_timeout_s=1.5,
    memory_limit_mib=256,
    output_limit_bytes=20_000,
    n_processes=16,
    file_size_mib=4,
)
"""Limits to open the executor with: the attacks are written for them. Their times are short, and
count only for attacks that a timeout may end (`Attack.budget`)."""

ATTACK_TIMEOUT_S: Final = 60.0
"""An executor that has not answered after this time hangs, which no attack may cause."""

_HONEST: Final = "def f(a, b):\n    return a + b\n"
_INPUTS: Final = ("(1, 2)", "('a', 'b')")
_ANSWERS: Final = ["3", "'ab'"]


@dataclass(frozen=True, slots=True)
class AttackResult:
    """The result of one attack.

    Attributes:
        attack: The attack's name.
        property: The property that it attacks.
        claimed: Whether the provider claims to hold that property.
        held: Whether the attack was held; None where it was not run.
        why: Why it was not held, or not run; "" where it was held.
        seconds: How long it took, with the honest program after it.
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
) -> list[AttackResult]:
    """Run attacks one after the other.

    A property that is not claimed is not attacked, because nothing would stop the attack.

    Args:
        executor: An entered executor, opened with `LIMITS`.
        attacks: Such as `ATTACKS`, or those of them that are `quick`.
        claimed: What the provider claims to hold; None takes the entry of `CLAIMS` for its name.
        try_unclaimed: Run the `harmless` attacks on properties that are not claimed as well: they
            can reach nothing but targets of the suite.

    Raises:
        SandboxClosed: The executor is not open.
    """
    return [one async for one in attack_results(executor, attacks, claimed, try_unclaimed)]


async def attack_results(
    executor: Executor,
    attacks: Iterable[Attack],
    claimed: Collection[Property] | None = None,
    try_unclaimed: bool = False,
) -> AsyncIterator[AttackResult]:
    """Do the same as `run_conformance`, and yield each result as soon as it is known."""
    claimed = claims(executor.name) if claimed is None else claimed
    for attack in attacks:
        is_claimed = attack.property in claimed
        if is_claimed or (try_unclaimed and attack.harmless):
            yield await run_attack(executor, attack, is_claimed)
        else:
            yield AttackResult(
                attack.name, attack.property, False, None, "not claimed, not tried", 0.0
            )


async def run_attack(executor: Executor, attack: Attack, claimed: bool = True) -> AttackResult:
    """Run one attack, even if nothing stops it, and an honest program after it.

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
    return AttackResult(attack.name, attack.property, claimed, why is None, why or "", seconds)


async def _attempt(executor: Executor, attack: Attack) -> str | None:
    with attack.target() if attack.target else nullcontext(Target()) as target:
        # All on one line, so that a program's own lines keep their distances.
        given = "; ".join(f"{name} = {value!r}" for name, value in target.names.items())
        reports = []
        for program in attack.programs:
            if given:
                program = replace(program, source=f"{given}\n{program.source}")
            reports.append(await _run(executor, program, attack.budget))
        # What happened outside comes first: it is worse, and the reports may be forged.
        return target.changed() or attack.judge(tuple(reports))


async def _run(executor: Executor, program: Program, budget: Budget) -> Report:
    if program.tests is not None:
        return await executor.check(program.source, program.tests)
    if program.is_script:
        return await executor.check(program.source, as_script=True)
    return await executor.call(program.source, "f", program.inputs, budget)


async def _served(executor: Executor) -> str | None:
    """Return how the next honest program was not served; None if it was."""
    report = await executor.call(_HONEST, "f", _INPUTS, AMPLE_TIME)
    answers = [
        outcome.text if outcome.kind is OutcomeKind.RETURNED else str(outcome)
        for outcome in report.outcomes
    ]
    if answers == _ANSWERS:
        return None
    return f"the next honest program was not served: {report.status}, {answers}"[:500]

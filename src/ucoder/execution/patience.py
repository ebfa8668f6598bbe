"""Telling a slow program from one that a busy machine kept waiting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ucoder.execution.outcomes import CallReport, OutcomeKind, ProgramStatus
from ucoder.execution.protocol import Limits

RETRY_FACTOR: Final = 3.0
"""How much more wall-clock time a timeout gets that had no CPU time to show for it."""

CPU_SHARE: Final = 0.8
"""A call that used this share of its time on a CPU was slow itself; below it, it waited."""


def timed_out_under_load(report: CallReport, limits: Limits) -> bool:
    """Whether a timeout fired by the wall clock, without the CPU time to show for it."""
    if not any(outcome.kind is OutcomeKind.TIMED_OUT for outcome in report.outcomes):
        return False
    whole_s, call_s = limits.program_timeout_s, limits.call_timeout_s
    times = zip(report.outcomes, report.call_wall_s, report.call_cpu_s, strict=True)
    measured = [
        (wall_s, cpu_s)
        for outcome, wall_s, cpu_s in times
        if outcome.kind is OutcomeKind.TIMED_OUT and not math.isnan(wall_s)
    ]
    # Without a measured one, the program's time was over while it loaded or between two calls.
    if report.status is ProgramStatus.FAILED_TO_LOAD or not measured:
        return report.cpu_s < CPU_SHARE * whole_s
    return any(cpu_s < CPU_SHARE * min(call_s, wall_s) for wall_s, cpu_s in measured)


def merged(first: CallReport, again: CallReport, at: Sequence[int]) -> CallReport:
    """The first report with the second's outcomes at these places."""
    if again.status is ProgramStatus.SANDBOX_FAILED or len(at) == len(first.outcomes):
        return replace(again if len(at) == len(first.outcomes) else first, retried=True)
    outcomes, walls = list(first.outcomes), list(first.call_wall_s)
    cpus = list(first.call_cpu_s)
    for place, index in enumerate(at):
        outcomes[index] = again.outcomes[place]
        walls[index], cpus[index] = again.call_wall_s[place], again.call_cpu_s[place]
    return replace(
        first,
        status=first.status if again.status is ProgramStatus.LOADED else again.status,
        detail=first.detail or again.detail,
        outcomes=tuple(outcomes),
        call_wall_s=tuple(walls),
        call_cpu_s=tuple(cpus),
        cpu_s=first.cpu_s + again.cpu_s,
        wall_s=first.wall_s + again.wall_s,
        retried=True,
    )

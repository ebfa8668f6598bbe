"""The attacks, by theme. Each has a name of its own, which no other has."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.attacks import (
    crashes,
    endless,
    files,
    kernel,
    leftovers,
    network,
    processes,
    resources,
    results,
    verdicts,
)
from ucoder.execution.conformance.records import Attack

ATTACKS: Final[tuple[Attack, ...]] = (
    *endless.ATTACKS,
    *resources.ATTACKS,
    *crashes.ATTACKS,
    *network.ATTACKS,
    *files.ATTACKS,
    *processes.ATTACKS,
    *kernel.ATTACKS,
    *leftovers.ATTACKS,
    *results.ATTACKS,
    *verdicts.ATTACKS,
)
"""All of them; those with `quick` are the short version."""

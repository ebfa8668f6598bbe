"""`ucoder doctor --execution`: what the sandbox holds on this machine, seen by attacking it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from ucoder.execution.conformance import (
    ATTACKS,
    LIMITS,
    Finding,
    Property,
    run_conformance,
)
from ucoder.execution.providers import open_executor


async def print_conformance(
    provider: str, full: bool, as_json: bool, out: Console, url: str | None = None
) -> bool:
    """Attack a provider and print what it holds; whether all that it claims holds.

    Args:
        provider: A provider's name, or `auto`.
        full: All attacks instead of the short version.
        as_json: Print JSON, one object an attack.
        out: Where the table goes.
        url: Where the server listens, for `sandbox-fusion`.

    Raises:
        SandboxUnavailable: The provider cannot start here.
        ConfigError: There is no such provider.
    """
    attacks = [attack for attack in ATTACKS if full or attack.quick]
    async with open_executor(provider, LIMITS, n_workers=1) as executor:
        taken = executor.name
        findings = await run_conformance(executor, attacks)
    if as_json:
        records = [
            {"provider": taken, **asdict(finding), "property": finding.property.title}
            for finding in findings
        ]
        print(json.dumps(records, indent=2))
    else:
        out.print(_table(taken, findings, full))
        by_itself = " (taken by itself)" if provider != taken else ""
        out.print(f"provider: [bold]{taken}[/]{by_itself}")
    return all(finding.held is not False for finding in findings)


def _table(provider: str, findings: Sequence[Finding], full: bool) -> Table:
    kind = "all attacks" if full else "the short version; --full runs all"
    table = Table(title=f"what {provider} holds here: {kind}", title_justify="left")
    for name in ("property", "", "what was seen"):
        table.add_column(name, overflow="fold")
    for property in Property:
        own = [finding for finding in findings if finding.property is property]
        if own:
            table.add_row(property.title, *_row(own))
    return table


def _row(findings: Sequence[Finding]) -> tuple[str, str]:
    failures = [finding for finding in findings if finding.held is False]
    if failures:
        seen = "\n".join(f"{finding.attack}: {finding.why}" for finding in failures)
        return "[red]does not hold[/]", seen.replace("[", "\\[")
    if all(finding.held is None for finding in findings):
        return "[yellow]not claimed[/]", "not tried, because nothing would hold it"
    names = ", ".join(finding.attack for finding in findings)
    return "[green]holds[/]", f"{len(findings)} held: {names}"

"""`ucoder doctor execution`: attack the sandbox on this machine, and show what it holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from ucoder.execution.conformance import ATTACKS, LIMITS, AttackResult, Property, run_conformance
from ucoder.execution.providers import open_executor


async def print_conformance(provider: str, full: bool, as_json: bool, out: Console) -> bool:
    """Attack a provider, print what it holds, and return whether everything it claims holds.

    Args:
        provider: A provider's name, or `auto`.
        full: Run all attacks instead of the short version.
        as_json: Print JSON, one object for each attack.
        out: Where the table goes.

    Raises:
        SandboxUnavailable: The provider cannot start here.
        ConfigError: The provider is unknown.
    """
    attacks = [attack for attack in ATTACKS if full or attack.quick]
    async with open_executor(provider, LIMITS, n_workers=1) as executor:
        chosen = executor.name
        results = await run_conformance(executor, attacks)
    if as_json:
        records = [
            {"provider": chosen, **asdict(result), "property": result.property.title}
            for result in results
        ]
        print(json.dumps(records, indent=2))
    else:
        out.print(_table(chosen, results, full))
        by_auto = " (chosen by auto)" if provider != chosen else ""
        out.print(f"provider: [bold]{chosen}[/]{by_auto}")
    return all(result.held is not False for result in results)


def _table(provider: str, results: Sequence[AttackResult], full: bool) -> Table:
    kind = "all attacks" if full else "the short version; --full runs all"
    table = Table(title=f"what {provider} holds here: {kind}", title_justify="left")
    for name in ("property", "", "what was seen"):
        table.add_column(name, overflow="fold")
    for property in Property:
        own = [result for result in results if result.property is property]
        if own:
            table.add_row(property.title, *_row(own))
    return table


def _row(results: Sequence[AttackResult]) -> tuple[str, str]:
    failures = [result for result in results if result.held is False]
    if failures:
        seen = "\n".join(f"{result.attack}: {result.why}" for result in failures)
        return "[red]does not hold[/]", seen.replace("[", "\\[")
    if all(result.held is None for result in results):
        return "[yellow]not claimed[/]", "not attacked, because nothing would hold it"
    names = ", ".join(result.attack for result in results)
    return "[green]holds[/]", f"{len(results)} held: {names}"

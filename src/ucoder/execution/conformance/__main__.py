"""`python -m ucoder.execution.conformance`: attack a provider, or write the table of claims."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from ucoder.errors import UcoderError
from ucoder.execution.conformance import ATTACKS, LIMITS, Attack, findings
from ucoder.execution.conformance.table import claims_table, with_table
from ucoder.execution.providers import PROVIDERS, open_executor


def main() -> int:
    """Do what the command line says, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ucoder.execution.conformance")
    parser.add_argument("--provider", default="auto", help=", ".join(PROVIDERS))
    parser.add_argument("--url", help="of a SandboxFusion server")
    parser.add_argument("--quick", action="store_true", help="the short version")
    parser.add_argument("--only", metavar="TEXT", default="", help="attacks with this in the name")
    parser.add_argument("--table", action="store_true", help="print the table of claims, and end")
    parser.add_argument("--write", type=Path, help="put the table into a file, and end")
    arguments = parser.parse_args()
    if arguments.table:
        print(claims_table())
        return 0
    if arguments.write:
        path: Path = arguments.write
        path.write_text(with_table(path.read_text("utf-8")), "utf-8")
        return 0
    chosen = [a for a in ATTACKS if arguments.only in a.name and (a.quick or not arguments.quick)]
    try:
        return asyncio.run(_attack(arguments.provider, arguments.url, chosen))
    except UcoderError as error:
        print(error, file=sys.stderr)
        return 2


async def _attack(provider: str, url: str | None, chosen: list[Attack]) -> int:
    n_failures = 0
    async with open_executor(provider, LIMITS, n_workers=1) as executor:
        async for finding in findings(executor, chosen):
            mark = {True: "held    ", False: "NOT HELD", None: "-       "}[finding.held]
            print(f"{mark} {finding.seconds:6.2f} s  {finding.attack}  {finding.why}", flush=True)
            n_failures += finding.held is False
        name = executor.name
    print(f"{name}: {len(chosen)} attacks, {n_failures} not held")
    return 1 if n_failures else 0


sys.exit(main())

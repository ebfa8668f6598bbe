"""`python -m ucoder.execution.conformance`: attack a provider, or write the table of claims."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from ucoder.errors import UcoderError
from ucoder.execution.conformance import ATTACKS, LIMITS, Attack, attack_results
from ucoder.execution.conformance.claims import claims_table, replace_table
from ucoder.execution.providers import PROVIDERS, open_executor


def main() -> int:
    """Run the command line and return the exit status.

    0: everything claimed holds. 1: an attack was not held. 2: the provider cannot start.
    """
    parser = argparse.ArgumentParser(prog="python -m ucoder.execution.conformance")
    parser.add_argument("--provider", default="auto", help=", ".join(PROVIDERS))
    parser.add_argument("--quick", action="store_true", help="the short version")
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="attacks whose name contains TEXT"
    )
    parser.add_argument("--table", action="store_true", help="print the table of claims and exit")
    parser.add_argument(
        "--write", metavar="FILE", type=Path, help="update the table of claims in FILE and exit"
    )
    arguments = parser.parse_args()
    table = claims_table(attack.property for attack in ATTACKS)
    if arguments.table:
        print(table)
        return 0
    if arguments.write:
        path: Path = arguments.write
        path.write_text(replace_table(path.read_text("utf-8"), table), "utf-8")
        return 0
    chosen = [a for a in ATTACKS if arguments.only in a.name and (a.quick or not arguments.quick)]
    try:
        return asyncio.run(_run(arguments.provider, chosen))
    except UcoderError as error:
        print(error, file=sys.stderr)
        return 2


async def _run(provider: str, chosen: Sequence[Attack]) -> int:
    n_failures = 0
    async with open_executor(provider, LIMITS, n_workers=1) as executor:
        async for result in attack_results(executor, chosen):
            mark = {True: "held    ", False: "NOT HELD", None: "-       "}[result.held]
            print(f"{mark} {result.seconds:6.2f} s  {result.attack}  {result.why}", flush=True)
            n_failures += result.held is False
        name = executor.name
    print(f"{name}: {len(chosen)} attacks, {n_failures} not held")
    return 1 if n_failures else 0


if __name__ == "__main__":
    sys.exit(main())

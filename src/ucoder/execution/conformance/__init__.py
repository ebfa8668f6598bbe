"""One suite of attacks for every provider: what does a sandbox hold, seen on this machine?

    import asyncio
    from ucoder.execution import open_executor
    from ucoder.execution.conformance import ATTACKS, LIMITS, run_conformance

    async def main() -> None:
        async with open_executor("bubblewrap", LIMITS, n_workers=1) as executor:
            for finding in await run_conformance(executor, ATTACKS):
                if finding.held is False:
                    print(finding.attack, "was not held:", finding.why)

    asyncio.run(main())

An executor of one's own is put to the same test, with what it claims as `claimed`. Attacks aim at
targets of the suite's own and are bounded by themselves. Still, what nothing holds is not
attacked: only claims are put to the test.

`python -m ucoder.execution.conformance` does the same from the command line.
"""

from ucoder.execution.conformance.attacks import ATTACKS
from ucoder.execution.conformance.claims import CLAIMS, claims
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, Program, Target, attack
from ucoder.execution.conformance.suite import (
    LIMITS,
    Finding,
    findings,
    run_attack,
    run_conformance,
)

__all__ = [
    "ATTACKS",
    "CLAIMS",
    "LIMITS",
    "Attack",
    "Finding",
    "Program",
    "Property",
    "Target",
    "attack",
    "claims",
    "findings",
    "run_attack",
    "run_conformance",
]

"""One suite of attacks for every provider: which properties does a sandbox hold on this machine?

    import asyncio
    from ucoder.execution import open_executor
    from ucoder.execution.conformance import ATTACKS, LIMITS, run_conformance

    async def main() -> None:
        async with open_executor("bubblewrap", LIMITS, n_workers=1) as executor:
            for result in await run_conformance(executor, ATTACKS):
                if result.held is False:
                    print(result.attack, "was not held:", result.why)

    asyncio.run(main())

The attacks are data: one TOML file each in `attacks/PROPERTY/`, in the format that
`ucoder.execution.conformance.loading` describes, beside the table of claims in `CLAIMS`.
`load_attacks` reads a folder of your own.

Any other executor can be tested in the same way, with its claimed properties as `claimed`. Attacks
aim only at targets that belong to the suite, and bombs bound themselves. A property that is not
claimed is not attacked, because nothing would stop the attack.

`python -m ucoder.execution.conformance` does the same from the command line.
"""

from ucoder.execution.conformance.claims import CLAIMS, Property, claims
from ucoder.execution.conformance.judges import Expectation
from ucoder.execution.conformance.loading import ATTACKS, Attack, Program, load_attacks
from ucoder.execution.conformance.suite import (
    LIMITS,
    AttackResult,
    attack_results,
    run_attack,
    run_conformance,
)
from ucoder.execution.conformance.targets import Target

__all__ = [
    "ATTACKS",
    "CLAIMS",
    "LIMITS",
    "Attack",
    "AttackResult",
    "Expectation",
    "Program",
    "Property",
    "Target",
    "attack_results",
    "claims",
    "load_attacks",
    "run_attack",
    "run_conformance",
]

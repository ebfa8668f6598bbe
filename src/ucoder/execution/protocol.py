"""The executor as its users see it: one small protocol, and the limits that bound a program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Protocol, Self

from ucoder.errors import ConfigError
from ucoder.execution.inputs import InputBatch
from ucoder.execution.outcomes import CallReport, CheckReport

_LEAST_MEMORY_MIB: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What one untrusted program may use.

    Attributes:
        call_timeout_s: Seconds for one call of the entry point, CPU time or wall clock.
        program_timeout_s: Seconds for the whole program: loading and every call. Where one of
            the two fires by the wall clock without the CPU time to show for it, the calls that
            it cost are tried once more with `RETRY_FACTOR` times the wall-clock time.
        memory_limit_mib: Address space that the program's process may add to the interpreter's
            own, in MiB; so a preloaded numpy does not eat it up.
        output_limit_bytes: Longest canonical text of one returned value.
        n_processes: Processes and threads that the program may have at a time.
        file_size_mib: Largest file that it may write, in MiB; /tmp itself is as large.
    """

    call_timeout_s: float = 1.0
    program_timeout_s: float = 10.0
    memory_limit_mib: int = 1024
    output_limit_bytes: int = 65_536
    n_processes: int = 32
    file_size_mib: int = 16


def validate_limits(limits: Limits, n_workers: int) -> None:
    """Refuse impossible limits, all of them at once.

    Raises:
        ConfigError: A limit or the number of workers is out of range.
    """
    faults = [
        f"{name}={value!r}: must be a finite number above 0"
        for name, value in [*asdict(limits).items(), ("n_workers", n_workers)]
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0)
    ]
    if limits.memory_limit_mib < _LEAST_MEMORY_MIB:
        faults.append(
            f"memory_limit_mib={limits.memory_limit_mib}: the interpreter itself needs "
            f"{_LEAST_MEMORY_MIB}"
        )
    if faults:
        raise ConfigError("\n".join(faults))


@dataclass(frozen=True, slots=True)
class Budget:
    """What one program may take in `Executor.call`, where that is not what the limits say.

    Attributes:
        call_timeout_s: As in `Limits`; None leaves it as it is there.
        program_timeout_s: As in `Limits`; None leaves it as it is there.
        output_limit_bytes: As in `Limits`; None leaves it as it is there.
        max_timeouts: A program that times out on this many calls in a row is not called again,
            and its other calls are TIMED_OUT as well.
    """

    call_timeout_s: float | None = None
    program_timeout_s: float | None = None
    output_limit_bytes: int | None = None
    max_timeouts: int = 2

    def within(self, limits: Limits) -> Limits:
        """The limits of a program with this budget."""
        return replace(
            limits,
            call_timeout_s=self.call_timeout_s or limits.call_timeout_s,
            program_timeout_s=self.program_timeout_s or limits.program_timeout_s,
            output_limit_bytes=self.output_limit_bytes or limits.output_limit_bytes,
        )


STANDARD_BUDGET = Budget()
"""What the limits say."""


class Executor(Protocol):
    """Runs programs that a model wrote, and lives through it.

    An executor is an async context manager: entering starts its workers, leaving ends every
    process that it started. Its methods may be awaited from many tasks at once; programs queue
    for a free worker. Nothing that a program does raises out of these methods.
    """

    @property
    def name(self) -> str:
        """The provider's name, as the manifest records it."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def call(
        self,
        source: str,
        entry_point: str,
        inputs: Sequence[str] | InputBatch,
        budget: Budget = STANDARD_BUDGET,
    ) -> CallReport:
        """Run `source`, then call its `entry_point` once an input.

        Args:
            source: The program's text; any text at all.
            entry_point: The function's name.
            inputs: Canonical texts of argument tuples, such as `"([3, 1], 'a')"`, or a batch that
                was made ready before (`ucoder.execution.inputs`).
            budget: What this program may take.

        Returns:
            A report whose outcomes answer the inputs one by one.

        Raises:
            SandboxClosed: The executor was not entered, or was left.
        """
        ...

    async def check(
        self,
        source: str,
        tests: str | None = None,
        timeout_s: float | None = None,
        *,
        entry_point: str | None = None,
    ) -> CheckReport:
        """Run a program against a test script, and say how that ended.

        With `tests`, the program and its tests live in two processes. The test script finds the
        program's functions under their names, and the modules of the standard library that it
        imported; a call of one crosses to the program's process as
        canonical text and its result comes back in the same way. So the program never shares
        memory with expected answers, cannot answer with objects that claim to be equal to
        everything, and has no say in the verdict. What cannot cross (generators, functions,
        objects of the program's own classes but dataclasses and enums) fails the test with a
        message that says so.

        Without `tests`, `source` is one script that holds its own tests, as BigCodeBench's do.
        Then everything shares one process, and a program written for that can forge its verdict.

        Args:
            source: The program's text, run as module `__main__` without `tests`.
            tests: The test script; a verdict is PASSED where it runs to its last statement.
            timeout_s: Seconds for all of it; the limits' program timeout where None.
            entry_point: The function under test. It matters where that is named like a builtin:
                any other function of such a name is not offered to the tests.

        Raises:
            SandboxClosed: The executor was not entered, or was left.
        """
        ...

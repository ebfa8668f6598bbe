"""The executor's interface: one protocol, and the limits that bound a program."""

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
        program_timeout_s: Seconds for the whole program: loading and every call. Where either of
            these two limits is reached by the wall clock but not in CPU time, the calls that it
            cost are retried once with three times the wall-clock time.
        memory_limit_mib: Address space that the program's process may add to the interpreter's
            own, in MiB; preloaded modules do not count.
        output_limit_bytes: Longest canonical text of one returned value.
        n_processes: Processes and threads that the program may have at once.
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
    """What one program may use in `Executor.call`, where that differs from the limits.

    Attributes:
        call_timeout_s: As in `Limits`; None leaves it as it is there.
        program_timeout_s: As in `Limits`; None leaves it as it is there.
        output_limit_bytes: As in `Limits`; None leaves it as it is there.
        max_timeouts: After this many timeouts in a row the program is not called again, and its
            remaining calls are TIMED_OUT as well.
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
"""The limits as they are."""


class Executor(Protocol):
    """Runs untrusted programs, such as those that a model wrote.

    An executor is an async context manager: entering starts its workers, leaving ends every
    process that it started. Its methods may be awaited from many tasks at once; programs queue
    for a free worker. Whatever a program does, these methods return a report.
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
        """Run `source`, then call its `entry_point` once per input.

        Args:
            source: The program's text; any text at all.
            entry_point: The function's name.
            inputs: Canonical texts of argument tuples, such as `"([3, 1], 'a')"`, or a batch that
                was prepared before (`ucoder.execution.inputs`).
            budget: What this program may use.

        Returns:
            A report with one outcome per input, in their order.

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
        as_script: bool = False,
    ) -> CheckReport:
        """Run a program against a test script.

        With `tests`, the program and its tests run in two processes. The program is imported, as
        in `call`: what stands under `if __name__ == "__main__"` does not run. The test script,
        which is `__main__`, finds the program's functions and classes, and the standard-library
        modules that the program imported, under their names. A call crosses to the program's
        process, and its result comes back as canonical text. So the program never shares memory
        with expected answers, cannot return objects that claim to be equal to everything, and
        cannot influence the verdict. docs/execution.md says what crosses. A result that cannot
        (a generator, a function, an object of the program's own classes except dataclasses, named
        tuples and enums) fails the test, and the detail says why.

        Without `tests`, `source` is one script that holds its own tests. Then everything shares
        one process, and a program written to cheat can forge its verdict.

        Tests that nothing calls are run: functions `test...`, `check(candidate)`, test cases of
        `unittest` and classes `Test...`. A script that runs no assertion even so, or that never
        calls a program apart from it, is NOT_JUDGED.

        Args:
            source: The program's text.
            tests: The test script; the verdict is PASSED if it runs to its end.
            timeout_s: Seconds for program and tests together; None means the limits'
                `program_timeout_s`.
            entry_point: The function under test. It matters if that is named like a builtin, since
                other functions with such names are hidden from the tests, and for a
                `check(candidate)` that nothing calls.
            as_script: `source` is a whole script whose end is its verdict, such as a benchmark's
                harness: it is run as `__main__` and passes if its last statement is reached,
                whatever it asserts. Not for use with `tests`.

        Raises:
            SandboxClosed: The executor was not entered, or was left.
        """
        ...

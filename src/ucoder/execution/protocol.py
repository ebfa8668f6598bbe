"""The executor as its users see it: one small protocol, and the limits that bound a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from ucoder.execution.outcomes import CallReport, CheckReport


@dataclass(frozen=True, slots=True)
class Limits:
    """What one untrusted program may use.

    Attributes:
        call_timeout_s: Wall-clock seconds for one call of the entry point.
        program_timeout_s: Wall-clock seconds for the whole program: loading and every call.
        memory_limit_mib: Address space of the program's process, in MiB.
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

    async def call(self, source: str, entry_point: str, inputs: Sequence[str]) -> CallReport:
        """Run `source`, then call its `entry_point` once an input.

        Args:
            source: The program's text; any text at all.
            entry_point: The function's name.
            inputs: Canonical texts of argument tuples, such as `"([3, 1], 'a')"`.

        Returns:
            A report whose outcomes answer the inputs one by one.

        Raises:
            SandboxClosed: The executor was not entered, or was left.
        """
        ...

    async def check(self, source: str, timeout_s: float | None = None) -> CheckReport:
        """Run `source`, a program with its test script behind it, and say how it ended.

        Args:
            source: The text to run as `__main__`.
            timeout_s: Wall-clock seconds; the limits' program timeout where None.

        Raises:
            SandboxClosed: The executor was not entered, or was left.
        """
        ...

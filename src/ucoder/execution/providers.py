"""The providers by name, the one without isolation, and `open_executor`."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from ucoder.errors import ConfigError, SandboxClosed, SandboxUnavailable
from ucoder.execution.bubblewrap import BubblewrapExecutor
from ucoder.execution.inputs import InputBatch
from ucoder.execution.landlock import LandlockExecutor
from ucoder.execution.outcomes import CallReport, CheckReport
from ucoder.execution.payload import copy_files, worker_command
from ucoder.execution.pool import PooledExecutor
from ucoder.execution.process import Launch
from ucoder.execution.protocol import STANDARD_BUDGET, Budget, Executor, Limits


class UnsafeProcessExecutor(PooledExecutor):
    """Runs programs in warm interpreters under resource limits only: not a sandbox.

    It bounds time, memory, file size and open files of a program, and nothing else. A program can
    read and change everything that the calling user can: files, other processes, the network. It
    can leave processes behind (a new session escapes the group that is killed), fork without bound,
    and write outside its directory.
    """

    name = "unsafe-process"

    async def _prepare(self) -> None:
        if not hasattr(os, "pidfd_open"):
            raise SandboxUnavailable("unsafe-process needs Linux 5.3 or newer (pidfd_open)")

    def _launch(self) -> Launch:
        directory = Path(tempfile.mkdtemp(prefix="ucoder-unsafe-"))
        root = directory / "payload"
        copy_files(root)
        command = worker_command(str(root), self.settings, contained=False)
        return Launch(command, self.settings.environment(str(directory)), directory)


_LOCAL: Final[dict[str, type[PooledExecutor]]] = {
    "bubblewrap": BubblewrapExecutor,
    "landlock": LandlockExecutor,
    "unsafe-process": UnsafeProcessExecutor,
}
_ISOLATING: Final = ("bubblewrap", "landlock")

PROVIDERS: Final = ("auto", *_LOCAL)
"""Every provider by name. `auto`, the default, takes the first of bubblewrap and landlock that
starts on this machine; `unsafe-process` isolates nothing and is never chosen automatically."""

_log = logging.getLogger(__name__)


def open_executor(
    provider: str = "auto",
    limits: Limits | None = None,
    n_workers: int | None = None,
    *,
    preload: str = "standard",
    hash_seed: int = 0,
) -> Executor:
    """Make the executor of a provider; enter it with `async with`.

    Args:
        provider: A name out of `PROVIDERS`.
        limits: What one program may use; the defaults of `Limits` where None.
        n_workers: Programs that run at once; one more than there are cores where None.
        preload: Modules that workers have ready, a name out of `PRELOADS`: `standard`, or
            `installed`, `numpy` and `data`, which show programs the installed packages.
        hash_seed: PYTHONHASHSEED of every program.

    Raises:
        ConfigError: The provider is unknown, or an argument is out of range.
    """
    if provider == "auto":
        return AutomaticExecutor(lambda cls: cls(limits, n_workers, preload, hash_seed))
    if provider not in _LOCAL:
        allowed = ", ".join(PROVIDERS)
        raise ConfigError(f"execution provider {provider!r} is unknown; allowed: {allowed}")
    return _LOCAL[provider](limits, n_workers, preload, hash_seed)


class AutomaticExecutor:
    """Chooses the first isolating provider that starts; warns if that is not bubblewrap."""

    def __init__(self, make: Callable[[type[PooledExecutor]], PooledExecutor]) -> None:
        """Prepare; the provider is chosen on entering.

        Args:
            make: Makes an executor of a provider's class with the caller's arguments.

        Raises:
            ConfigError: An argument is out of range.
        """
        self._make = make
        self._taken: PooledExecutor | None = None
        make(_LOCAL[_ISOLATING[0]])  # refuses invalid arguments before the executor is entered

    @property
    def name(self) -> str:
        """The name of the chosen provider; `auto` before it is entered."""
        return self._taken.name if self._taken else "auto"

    async def __aenter__(self) -> Self:
        """Start the first provider that can.

        Raises:
            SandboxUnavailable: None of them can; the message holds the reason of each.
        """
        reasons: list[str] = []
        for name in _ISOLATING:
            executor = self._make(_LOCAL[name])
            try:
                self._taken = await executor.__aenter__()
            except SandboxUnavailable as error:
                reasons.append(str(error))
                continue
            if reasons:
                _log.warning(
                    "The %s sandbox cannot start here, so programs run in the %s sandbox, which "
                    "guarantees less (see docs/execution.md).\n%s", _ISOLATING[0], name, reasons[0],
                )  # fmt: skip
            return self
        raise SandboxUnavailable("\n\n".join(reasons))

    async def __aexit__(self, *exc: object) -> None:
        """End the chosen provider."""
        if self._taken is not None:
            taken, self._taken = self._taken, None
            await taken.__aexit__(*exc)

    async def call(
        self,
        source: str,
        entry_point: str,
        inputs: Sequence[str] | InputBatch,
        budget: Budget = STANDARD_BUDGET,
    ) -> CallReport:
        """Run `source`, then call its `entry_point` once per input; see `Executor.call`."""
        return await self._executor.call(source, entry_point, inputs, budget)

    async def check(
        self,
        source: str,
        tests: str | None = None,
        timeout_s: float | None = None,
        *,
        entry_point: str | None = None,
        as_script: bool = False,
    ) -> CheckReport:
        """Run a program against a test script; see `Executor.check`."""
        return await self._executor.check(
            source, tests, timeout_s, entry_point=entry_point, as_script=as_script
        )

    @property
    def _executor(self) -> PooledExecutor:
        if self._taken is None:
            raise SandboxClosed("the executor is not open; use it in `async with`")
        return self._taken

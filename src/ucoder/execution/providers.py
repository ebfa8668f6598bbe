"""The providers by name, and `open_executor`, which makes an executor of one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from ucoder.errors import ConfigError, SandboxClosed, SandboxUnavailable
from ucoder.execution.bubblewrap import BubblewrapExecutor
from ucoder.execution.inputs import InputBatch
from ucoder.execution.landlock import LandlockExecutor
from ucoder.execution.outcomes import CallReport, CheckReport
from ucoder.execution.pool import PooledExecutor
from ucoder.execution.protocol import STANDARD_BUDGET, Budget, Executor, Limits
from ucoder.execution.unsafe import UnsafeProcessExecutor

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
        ConfigError: There is no such provider, or an argument is out of range.
    """
    if provider == "auto":
        return AutomaticExecutor(_Options(limits, n_workers, preload, hash_seed))
    if provider not in _LOCAL:
        allowed = ", ".join(PROVIDERS)
        raise ConfigError(f"execution provider {provider!r} is unknown; allowed: {allowed}")
    return _LOCAL[provider](limits, n_workers, preload, hash_seed)


@dataclass(frozen=True, slots=True)
class _Options:
    limits: Limits | None
    n_workers: int | None
    preload: str
    hash_seed: int

    def executor(self, make: Callable[..., PooledExecutor]) -> PooledExecutor:
        return make(self.limits, self.n_workers, self.preload, self.hash_seed)


class AutomaticExecutor:
    """Takes the best isolating provider that starts here; logs a warning if it is not the first."""

    def __init__(self, options: _Options) -> None:
        """Prepare; the provider is chosen on entering.

        Raises:
            ConfigError: An option is out of range.
        """
        self._options = options
        self._taken: PooledExecutor | None = None
        options.executor(_LOCAL[_ISOLATING[0]])  # refuses wrong options now and not later

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
            executor = self._options.executor(_LOCAL[name])
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
    ) -> CheckReport:
        """Run a program against a test script; see `Executor.check`."""
        return await self._executor.check(source, tests, timeout_s, entry_point=entry_point)

    @property
    def _executor(self) -> PooledExecutor:
        if self._taken is None:
            raise SandboxClosed("the executor is not open; use it in `async with`")
        return self._taken

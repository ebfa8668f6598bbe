"""From a provider's name to an executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ucoder.errors import ConfigError
from ucoder.execution.bubblewrap import BubblewrapExecutor
from ucoder.execution.protocol import Executor, Limits
from ucoder.execution.unsafe import UnsafeProcessExecutor

PROVIDERS: Final[dict[str, Callable[[Limits | None, int | None], Executor]]] = {
    "bubblewrap": BubblewrapExecutor,
    "unsafe-process": UnsafeProcessExecutor,
}
"""Every provider by name; the first is the default and isolates, `unsafe-process` does not."""


def open_executor(
    provider: str = "bubblewrap", limits: Limits | None = None, n_workers: int | None = None
) -> Executor:
    """Make the executor that a provider's name stands for; enter it with `async with`.

    Args:
        provider: A name out of `PROVIDERS`.
        limits: What one program may use; the defaults of `Limits` where None.
        n_workers: Programs that run at a time; one for each available core where None.

    Raises:
        ConfigError: There is no such provider, or a limit is out of range.
    """
    make = PROVIDERS.get(provider)
    if make is None:
        allowed = ", ".join(PROVIDERS)
        raise ConfigError(f"execution provider {provider!r} is unknown; allowed: {allowed}")
    return make(limits, n_workers)

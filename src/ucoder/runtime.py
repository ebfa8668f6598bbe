"""What the edges need of Python and of the operating system.

Bounded work side by side, child processes that end with us, and optional packages.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from ucoder.errors import MissingDependency

T = TypeVar("T")

DEATH_S = 30.0
"""Longest wait until killed processes have ended; one that hangs in a driver can take longer."""


async def gather_bounded(
    work: Callable[[T], Awaitable[None]], units: Iterable[T], max_concurrency: int
) -> None:
    """Work on units side by side, a bounded number at a time; the first failure ends all.

    Units are taken from the iterable as places become free, so millions may come.
    """
    waiting = iter(units)

    async def worker() -> None:
        for unit in waiting:
            await work(unit)

    tasks = [asyncio.create_task(worker()) for _ in range(max_concurrency)]
    try:
        await asyncio.gather(*tasks)
    finally:
        await cancel(tasks)


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """End tasks and wait until they have; what they raise on the way out is of no interest."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def start_process(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """`asyncio.create_subprocess_exec`, of which no process and no hang is left where cancelled.

    Raises:
        OSError: The program cannot be started.
    """
    from ucoder.execution.process import finish_start  # the executor stands by itself

    return await finish_start(asyncio.create_subprocess_exec(*command, **options), end_process)


async def end_process(process: asyncio.subprocess.Process) -> None:
    """Kill a process and wait for its end, but not without end.

    asyncio also waits until nobody holds the process's pipes any more, which the kernel, or a
    grandchild that outlives it, can delay for ever.
    """
    with suppress(ProcessLookupError):
        process.kill()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), DEATH_S)


_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends.

    Linux only; elsewhere nothing happens, and an orphaned process keeps running.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def how_to_add(extra: str) -> str:
    """The command that installs an extra of ucoder."""
    return f'pip install "ucoder[{extra}]"'


def require(purpose: str, *modules: str, extra: str = "cpu") -> None:
    """Check that modules can be found, without importing them.

    Where one of them imports torchvision, a torchvision that is installed must work as well.

    Args:
        purpose: what needs them, for the message.
        modules: their import names.
        extra: of ucoder, that installs them.

    Raises:
        MissingDependency: some are absent; the message names them and the install command. Or
            torchvision is broken; the message names it and how to remove it.
    """
    missing = []
    for module in modules:
        try:
            found = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # the parent package of a dotted name is absent
            found = False
        if not found:
            missing.append(module)
    if missing:
        raise MissingDependency(
            f"{purpose} needs {', '.join(missing)}, not installed here; run: {how_to_add(extra)}"
        )
    if not _IMPORT_TORCHVISION.isdisjoint(modules) and (failure := _torchvision_failure()):
        raise MissingDependency(
            f"{purpose} needs transformers, which imports torchvision, and the torchvision that is "
            f"installed here does not fit torch ({failure}); ucoder needs none, so run: "
            f"pip uninstall torchvision; or install the build that fits torch"
        )


_IMPORT_TORCHVISION = frozenset({"transformers", "trl", "optimum.intel", "vllm"})
"""Packages that import torchvision for every model as soon as it is installed."""


@cache
def _torchvision_failure() -> str:
    """Why an installed torchvision cannot be imported, "" where it can or where there is none.

    An index may pair a CPU torch with a torchvision that was built for CUDA. Importing it loads
    torch, so a process of its own tries it.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return ""
    command = [sys.executable, "-c", "import torchvision"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stderr.strip().splitlines() or [f"its import ended with {done.returncode}"]
    return said[-1] if done.returncode else ""

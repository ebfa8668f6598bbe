"""What the edges need of Python and of the operating system.

Bounded work side by side, child processes that end with us, and optional packages.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import importlib.util
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
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

    asyncio must not be cancelled there half-way: it may then wait without end for a process whose
    pipes are not connected yet. So the start, which takes milliseconds, is finished first.

    Raises:
        OSError: The program cannot be started.
    """
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(*command, **options))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        while not starting.done():
            with suppress(asyncio.CancelledError):  # again: only milliseconds more
                await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            await end_process(starting.result())
        raise


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


def require(purpose: str, *modules: str, extra: str = "cpu") -> None:
    """Check that modules can be found, without importing them.

    Args:
        purpose: what needs them, for the message.
        modules: their import names.
        extra: of ucoder, that installs them.

    Raises:
        MissingDependency: some are absent; the message names them and the install command.
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
            f"{purpose} needs {', '.join(missing)}, not installed here; run: "
            f'pip install "ucoder[{extra}]"'
        )


def hide_broken_torchvision() -> None:
    """Let transformers work beside a torchvision that was built for another torch.

    optimum-intel depends on torchvision, and an index may pair a CPU torch with a CUDA torchvision.
    Importing that one fails (`operator torchvision::nms does not exist`), and transformers imports
    it for every text model as soon as it is installed. Nothing here looks at images, so a
    torchvision that cannot be imported is presented as absent. Call it before importing
    transformers; a torchvision that works is left alone.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"] = _ABSENT


# `None` in sys.modules is how the import system itself spells "not to be found".
_ABSENT: Any = None

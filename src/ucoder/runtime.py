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
from typing import Any, TypeVar

from ucoder.errors import MissingDependency

T = TypeVar("T")


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
            f"{purpose} needs {', '.join(missing)}, not installed here; run: {how_to_add(extra)}"
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

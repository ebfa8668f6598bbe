"""Many units of work side by side, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def gather_bounded(
    work: Callable[[T], Awaitable[None]], units: Iterable[T], at_a_time: int
) -> None:
    """Work on units side by side, a bounded number at a time; the first failure ends all.

    Units are taken from the iterable as places become free, so millions may come.
    """
    waiting = iter(units)

    async def worker() -> None:
        for unit in waiting:
            await work(unit)

    tasks = [asyncio.create_task(worker()) for _ in range(at_a_time)]
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

"""Samples executed once and kept: what every selector, study and benchmark reads.

A pool is one task with its inputs, its candidates and what each distinct program made of each
input. Executing a benchmark's samples takes minutes, and reading them again a second, so pools are
kept: one Parquet shard a task, written whole or not at all, under a name that holds a digest of the
task's line, of the settings and of `FORMAT`. A process that is killed loses the tasks in flight; a
line or a setting that changes is executed anew, and what it replaces stays where it was.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from ucoder.errors import DamagedShard, RunError
from ucoder.execution.outcomes import ProgramStatus
from ucoder.execution.protocol import Executor
from ucoder.execution.providers import open_executor
from ucoder.models.cache import default_cache_dir, locked
from ucoder.progress import Progress, Silent
from ucoder.records import digest
from ucoder.runs import Run
from ucoder.runs.tables import Table
from ucoder.runtime import gather_bounded
from ucoder.studies.executing import Pool, PoolSettings, execute
from ucoder.studies.samples import Samples, read_samples
from ucoder.studies.shards import Shard, Verdict, pack, unpack

__all__ = [
    "Pool",
    "PoolSettings",
    "cached_pools",
    "default_pool_dir",
    "execute",
    "fill_cache",
    "open_pools",
    "pools_of_run",
]

FORMAT = 1
"""Counts up where inputs are made in another way, or shards hold something else."""

MAX_CONCURRENT_TASKS = 3
"""Tasks in flight: while one waits for its last slow program, the next keep the workers busy."""


def open_pools(
    path: Path,
    cache_dir: Path | None = None,
    *,
    settings: PoolSettings | None = None,
    n_tasks: int | None = None,
    provider: str = "auto",
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Pool]:
    """The pools of a file of samples, in its order; what the cache lacks is executed first.

    One pool is in memory at a time. Not for use inside a running event loop: see `fill_cache` and
    `cached_pools`, which this function is made of.

    Args:
        path: The file; see `samples`.
        cache_dir: Where pools are kept; `default_pool_dir()` where None.
        settings: The defaults where None.
        n_tasks: Only the file's first tasks; all where None.
        provider: Which sandbox; see `open_executor`. Started only where something is missing.
        n_workers: Programs at a time; the executor's own default where None.
        progress: Told how far execution is.

    Raises:
        BenchmarkError: The file is not in the format.
        SandboxUnavailable: Something is missing, and no sandbox starts here.
        DamagedShard: A stored pool cannot be read.
        DiskFull: A pool could not be stored.
    """
    cache_dir = cache_dir or default_pool_dir()
    settings, progress = settings or PoolSettings(), progress or Silent()
    keys = _keys(path, settings, n_tasks)
    if not _is_complete(cache_dir, keys):
        with locked(cache_dir / "executions", "executing samples", progress.message):
            for leftover in cache_dir.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)  # of a writer that was killed
            if not _is_complete(cache_dir, keys):
                executor = open_executor(provider, settings.limits, n_workers)
                asyncio.run(_filled(path, cache_dir, executor, settings, n_tasks, progress))
    return cached_pools(path, cache_dir, settings=settings, n_tasks=n_tasks)


def default_pool_dir() -> Path:
    """Where pools are kept: a folder of the cache that holds the models."""
    return default_cache_dir() / "executions"


async def fill_cache(
    path: Path,
    cache_dir: Path,
    executor: Executor,
    *,
    settings: PoolSettings | None = None,
    n_tasks: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Execute the tasks that the cache lacks, a few at a time; the first failure ends all.

    Args:
        path: As in `open_pools`, like all that follow.
        cache_dir: Where pools are kept.
        executor: Entered, with the settings' limits.
        settings: The defaults where None.
        n_tasks: Only the file's first tasks.
        progress: Told how far it is.

    Raises:
        BenchmarkError: The file is not in the format.
        SandboxClosed: The executor is not open.
        DiskFull: A pool could not be stored.
    """
    settings, progress = settings or PoolSettings(), progress or Silent()
    table = Table(cache_dir, Shard)
    keys, there = _keys(path, settings, n_tasks), table.keys()
    done = sum(key in there for key in keys)
    progress.begin("executions", len(keys), done)
    missing = (
        (key, samples)
        for samples in islice(read_samples(path), n_tasks)
        if (key := _key(samples, settings)) not in there
    )

    async def lane(_: int) -> None:
        # Lanes take their next task from one iterator, so that no more than these are in memory.
        nonlocal done
        for key, samples in missing:
            pool = await execute(samples, executor, settings)
            table.put(key, [_shard(pool)])
            done += 1
            progress.advance("executions", done, right=f"{pool.n_correct()}/{len(pool.candidates)}")
            if n_failed := _n_sandbox_failures(pool):
                progress.message(f"{pool.task_id}: the sandbox failed on {n_failed} programs")

    await gather_bounded(lane, range(MAX_CONCURRENT_TASKS), MAX_CONCURRENT_TASKS)
    progress.end("executions")


def cached_pools(
    path: Path,
    cache_dir: Path,
    *,
    settings: PoolSettings | None = None,
    n_tasks: int | None = None,
) -> Iterator[Pool]:
    """The stored pools of a file's tasks, in its order, one in memory at a time.

    Raises:
        BenchmarkError: The file is not in the format.
        DamagedShard: A stored pool cannot be read.
        RunError: A task is not in the cache.
    """
    table = Table(cache_dir, Shard)
    for key in _keys(path, settings or PoolSettings(), n_tasks):
        shards = table.get(key)
        if not shards and not (cache_dir / f"{key}.parquet").exists():
            raise RunError(f"{cache_dir} holds no {key}.parquet; execute {path} first")
        yield _pool(shards, cache_dir / f"{key}.parquet")


def pools_of_run(run: Run, iteration: int) -> Iterator[Pool]:
    """The finished problems of a run, sorted by id; what is right is not known there.

    Raises:
        DamagedShard: A table cannot be read.
    """
    attempts = run.attempts.rows()
    entry_points = {a.problem.id: a.problem.interface.name for a in attempts if a.problem}
    for problem_id in sorted(run.selections(iteration).keys() & entry_points.keys()):
        yield Pool(
            task_id=problem_id,
            entry_point=entry_points[problem_id],
            inputs=tuple(i for suite in run.suites.get(problem_id) for i in suite.inputs),
            candidates=tuple(run.candidates(iteration).get(problem_id)),
            executions=tuple(run.executions(iteration).get(problem_id)),
            correct=(),
        )


async def _filled(
    path: Path,
    cache_dir: Path,
    executor: Executor,
    settings: PoolSettings,
    n_tasks: int | None,
    progress: Progress,
) -> None:
    async with executor:
        await fill_cache(
            path, cache_dir, executor, settings=settings, n_tasks=n_tasks, progress=progress
        )


def _keys(path: Path, settings: PoolSettings, n_tasks: int | None) -> list[str]:
    """The names of the shards of a file's tasks."""
    return [_key(samples, settings) for samples in islice(read_samples(path), n_tasks)]


def _key(samples: Samples, settings: PoolSettings) -> str:
    # Trees, and with them which programs are equal, are those of one version of Python.
    made_by = json.dumps([FORMAT, sys.version_info[:2], asdict(settings)], sort_keys=True)
    name = re.sub(r"[^A-Za-z0-9_=-]", "-", samples.task_id)[:60]
    return f"{name}.{digest(samples.digest, made_by, length=32)}"


def _is_complete(cache_dir: Path, keys: Sequence[str]) -> bool:
    return set(keys) <= Table(cache_dir, Shard).keys()


def _shard(pool: Pool) -> Shard:
    outcomes, executions = pack(pool.executions)
    return Shard(
        task_id=pool.task_id,
        entry_point=pool.entry_point,
        inputs=pool.inputs,
        candidates=pool.candidates,
        outcomes=outcomes,
        executions=tuple(executions),
        verdicts=tuple(Verdict(program_id, correct) for program_id, correct in pool.correct),
    )


def _pool(shards: Sequence[Shard], path: Path) -> Pool:
    try:
        (shard,) = shards
        executions = tuple(unpack(shard))
    except (ValueError, IndexError) as error:
        raise DamagedShard(
            f"{path} holds no executed task ({error}); delete it: only the task in it is "
            f"executed again"
        ) from error
    return Pool(
        task_id=shard.task_id,
        entry_point=shard.entry_point,
        inputs=shard.inputs,
        candidates=shard.candidates,
        executions=executions,
        correct=tuple((verdict.program_id, verdict.correct) for verdict in shard.verdicts),
    )


def _n_sandbox_failures(pool: Pool) -> int:
    return sum(e.status is ProgramStatus.SANDBOX_FAILED for e in pool.executions)

"""Samples executed once and kept: what every selector, study and benchmark reads.

An executed task (a pool) is one task with its inputs, its candidates and what each distinct program
returned for each input. What the truth script says of a program is kept beside that, for scoring
only. Executing a benchmark's samples takes minutes, and reading them again a second, so pools are
kept: one Parquet file a task, written whole or not at all, under a name that holds a digest of the
task's line, of the settings and of `FORMAT`. A process that is killed loses the tasks in flight; a
line or a setting that changes is executed anew, and the file of the old one stays.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

from ucoder.errors import DamagedShard, RunError
from ucoder.execution.outcomes import Outcome, ProgramStatus, Verdict
from ucoder.execution.protocol import Executor, Limits
from ucoder.execution.providers import open_executor
from ucoder.files import TEMPORARY
from ucoder.models.cache import default_cache_dir, locked
from ucoder.progress import Progress, Silent
from ucoder.records import Candidate, Execution, TestInput, digest
from ucoder.runs import Run
from ucoder.runs.tables import Table
from ucoder.runtime import gather_bounded
from ucoder.studies.inputs import InputSettings, make_inputs
from ucoder.studies.samples import TaskSamples, make_candidates, read_samples

FORMAT = 3
"""Raised when inputs are made in another way, or files hold something else."""

MAX_CONCURRENT_TASKS = 3
"""While one task waits for its last slow program, the others keep the workers busy."""

LIMITS = Limits(call_timeout_s=0.4, program_timeout_s=4.0, memory_limit_mib=512)
"""Tighter than a run's: a benchmark's functions are small, and a study waits for all of them."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What the executions of a task depend on besides its samples."""

    inputs: InputSettings = field(default_factory=InputSettings)
    limits: Limits = LIMITS
    check_timeout_s: float = 5.0  # for a program with its truth script


@dataclass(frozen=True, slots=True)
class ExecutedTask:
    """One task, executed.

    `executions` holds one entry for each distinct program, in the order in which they were first
    sampled, with one outcome for each input. `correct` says beside each what the truth script says:
    None where the sandbox failed, and nothing at all where the truth is unknown. It is for scoring
    only.
    """

    task_id: str
    entry_point: str
    inputs: tuple[TestInput, ...]
    candidates: tuple[Candidate, ...]
    executions: tuple[Execution, ...]
    correct: tuple[bool | None, ...]

    def truth(self) -> dict[str, bool | None]:
        """Verdicts by `program_id`, None where the sandbox failed; no entry where unknown.

        Rejected candidates have the `program_id` "", and are wrong.
        """
        programs = (execution.program_id for execution in self.executions)
        return {"": False, **dict(zip(programs, self.correct, strict=False))}

    def n_correct(self) -> int:
        """How many of the candidates are known to be right."""
        truth = self.truth()
        return sum(truth.get(candidate.program_id) is True for candidate in self.candidates)


@dataclass(frozen=True, slots=True)
class PackedTask:
    """An executed task as its file holds it, in which equal outcomes are written once.

    A task of 100 programs and 200 inputs has 20,000 outcomes and a tenth as many different ones:
    packed, it is read several times as fast, and equal outcomes are one object in memory. `numbers`
    says for each execution, whose own outcomes are left out, where in `outcomes` each one is.
    """

    task: ExecutedTask
    outcomes: tuple[Outcome, ...]
    numbers: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, task: ExecutedTask) -> PackedTask:
        """Pack a task."""
        places: dict[Outcome, int] = {}
        numbers = tuple(
            tuple(places.setdefault(outcome, len(places)) for outcome in execution.outcomes)
            for execution in task.executions
        )
        bare = tuple(replace(execution, outcomes=()) for execution in task.executions)
        return cls(replace(task, executions=bare), tuple(places), numbers)

    def unpacked(self) -> ExecutedTask:
        """The task as it was; a ValueError or IndexError where the parts do not fit together."""
        executions = tuple(
            replace(execution, outcomes=tuple(self.outcomes[number] for number in row))
            for execution, row in zip(self.task.executions, self.numbers, strict=True)
        )
        return replace(self.task, executions=executions)


def open_pools(
    path: Path,
    cache_dir: Path | None = None,
    *,
    settings: PoolSettings | None = None,
    n_tasks: int | None = None,
    provider: str = "auto",
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[ExecutedTask]:
    """The pools of a file of samples, in its order; what the cache lacks is executed first.

    One pool is in memory at a time. Not for use inside a running event loop. A sandbox
    (`provider`, see `open_executor`) is started only where something is missing. Without a
    `cache_dir`, pools are kept in a folder of the model cache; without `n_tasks`, all are meant.

    Raises:
        BenchmarkError: The file is not in the format.
        SandboxUnavailable: Something is missing, and no sandbox starts here.
        DamagedShard: A stored pool cannot be read.
        DiskFull: A pool could not be stored.
    """
    settings, progress = settings or PoolSettings(), progress or Silent()
    table = Table(cache_dir or default_cache_dir() / "executions", PackedTask)

    def tasks(known: set[str]) -> Iterator[tuple[str, TaskSamples]]:
        keyed = ((_key(s, settings), s) for s in islice(read_samples(path), n_tasks))
        return ((key, samples) for key, samples in keyed if key not in known)

    keys = {key for key, _ in tasks(set())}
    if not keys <= table.keys():
        with locked(table.folder / "executions", "executing samples", progress.message):
            for leftover in table.folder.glob(TEMPORARY):
                leftover.unlink(missing_ok=True)  # of a writer that was killed
            stored = table.keys() & keys  # another process may have been faster
            if stored != keys:
                progress.begin("executions", len(keys), len(stored))
                executor = open_executor(provider, settings.limits, n_workers)
                asyncio.run(_fill(table, tasks(stored), len(stored), executor, settings, progress))
                progress.end("executions")
    return cached_pools(path, table.folder, settings=settings, n_tasks=n_tasks)


def cached_pools(
    path: Path, cache_dir: Path, *, settings: PoolSettings | None = None, n_tasks: int | None = None
) -> Iterator[ExecutedTask]:
    """The stored pools of a file's tasks, in its order, one in memory at a time.

    Raises:
        BenchmarkError: The file is not in the format.
        DamagedShard: A stored pool cannot be read.
        RunError: A task is not in the cache.
    """
    table = Table(cache_dir, PackedTask)
    for samples in islice(read_samples(path), n_tasks):
        file = cache_dir / f"{_key(samples, settings or PoolSettings())}.parquet"
        if not file.exists():
            raise RunError(f"{cache_dir} holds no {file.name}; execute {path} first")
        try:
            (packed,) = table.get(file.stem)
            yield packed.unpacked()
        except (ValueError, IndexError) as error:
            raise DamagedShard(
                f"{file} holds no executed task ({error}); delete it: only the task in it is "
                f"executed again"
            ) from error


def pools_of_run(run: Run, iteration: int) -> Iterator[ExecutedTask]:
    """The problems of a run that have a selection, sorted by id.

    Which programs are right is known of known answers alone.

    Raises:
        DamagedShard: A table cannot be read.
    """
    attempts = run.attempts.rows()
    entry_points = {a.problem.id: a.problem.interface.name for a in attempts if a.problem}
    for problem_id in sorted(run.selections(iteration).keys() & entry_points.keys()):
        judged = run.judgements(iteration).get(problem_id)
        right = {judgement.program_id: judgement.is_right for judgement in judged}
        executions = tuple(run.executions(iteration).get(problem_id))
        yield ExecutedTask(
            task_id=problem_id,
            entry_point=entry_points[problem_id],
            inputs=tuple(i for suite in run.suites.get(problem_id) for i in suite.inputs),
            candidates=tuple(run.candidates(iteration).get(problem_id)),
            executions=executions,
            correct=tuple(right.get(e.program_id) for e in executions) if right else (),
        )


async def execute(samples: TaskSamples, executor: Executor, settings: PoolSettings) -> ExecutedTask:
    """Make a task's inputs, run every distinct program on them, and look up who is right.

    The executor has been entered, and has the settings' limits.

    Raises:
        SandboxClosed: The executor is not open.
    """
    candidates = make_candidates(samples)
    inputs = await make_inputs(samples, candidates, executor, settings.inputs)
    arguments = [test_input.arguments for test_input in inputs]
    programs = {c.program_id: c.program for c in candidates if c.reason is None}
    executions: dict[str, Execution] = {}
    correct: dict[str, bool | None] = {}

    async def call(program_id: str) -> None:
        report = await executor.call(programs[program_id], samples.entry_point, arguments)
        executions[program_id] = Execution(
            samples.task_id, 0, program_id, report.status, report.detail, report.outcomes,
            report.cpu_s, report.wall_s,
        )  # fmt: skip

    async def check(program_id: str) -> None:
        report = await executor.check(
            programs[program_id], samples.test, settings.check_timeout_s,
            entry_point=samples.entry_point,
        )  # fmt: skip
        unknown = report.verdict in (Verdict.SANDBOX_FAILED, Verdict.NOT_JUDGED)
        correct[program_id] = None if unknown else report.verdict is Verdict.PASSED

    async def both(program_id: str) -> None:
        await gather_bounded(lambda work: work(program_id), (call, check), 2)

    await gather_bounded(both, programs, max(len(programs), 1))
    return ExecutedTask(
        samples.task_id, samples.entry_point, inputs, candidates,
        tuple(executions[program_id] for program_id in programs),
        tuple(correct[program_id] for program_id in programs),
    )  # fmt: skip


async def _fill(
    table: Table[PackedTask],
    tasks: Iterator[tuple[str, TaskSamples]],
    done: int,
    executor: Executor,
    settings: PoolSettings,
    progress: Progress,
) -> None:
    """Execute tasks, a few at a time, and store them; the first failure ends all."""

    async def lane(_: int) -> None:
        # Lanes take their next task from one iterator, so that no more than these are in memory.
        nonlocal done
        for key, samples in tasks:
            pool = await execute(samples, executor, settings)
            table.put(key, [PackedTask.of(pool)])
            done += 1
            progress.advance("executions", done, right=f"{pool.n_correct()}/{len(pool.candidates)}")
            failed = sum(e.status is ProgramStatus.SANDBOX_FAILED for e in pool.executions)
            if failed:
                progress.message(f"{pool.task_id}: the sandbox failed on {failed} programs")

    async with executor:
        await gather_bounded(lane, range(MAX_CONCURRENT_TASKS), MAX_CONCURRENT_TASKS)


def _key(samples: TaskSamples, settings: PoolSettings) -> str:
    # Trees, and with them which programs are equal, are those of one version of Python.
    made_by = json.dumps([FORMAT, sys.version_info[:2], asdict(settings)], sort_keys=True)
    name = re.sub(r"[^A-Za-z0-9_=-]", "-", samples.task_id)[:60]
    return f"{name}.{digest(samples.digest, made_by, length=32)}"

"""Putting benchmarks to a model: sample what is missing, grade it, keep both.

A task's answers are written before its scores and each under the task's key, so whoever is killed
goes on where it stopped: answered tasks are not sampled again, graded ones not graded again.
Sampling and running overlap, because each task's journey is one coroutine.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ucoder.engines.protocol import Engine, Request, SamplingParams
from ucoder.errors import BenchmarkError
from ucoder.evaluation.ledger import Keyed
from ucoder.evaluation.protocol import (
    Benchmark,
    Dataset,
    ExecutionRequirements,
    Grade,
    Grader,
    GradingContext,
    Task,
)
from ucoder.evaluation.records import Answer, Score
from ucoder.execution.protocol import Executor
from ucoder.progress import Progress
from ucoder.records import digest
from ucoder.runtime import gather_bounded
from ucoder.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are drawn.

    Attributes:
        n: Samples a task.
        temperature: 0 is greedy, and n is 1 then.
        top_p: Nucleus.
        max_tokens: Longest answer; each benchmark's own where None.
        seed: Of the whole evaluation; each task's follows from it.
    """

    n: int = 1
    temperature: float = 0.0
    top_p: float = 0.95
    max_tokens: int | None = None
    seed: int = 0

    def sampling(self, benchmark: Benchmark, is_chat: bool) -> SamplingParams:
        """The engine's side of it."""
        return SamplingParams(
            self.temperature,
            self.top_p if self.temperature else 1.0,
            self.max_tokens or benchmark.max_tokens,
            benchmark.stop(is_chat),
        )


class Tables(Protocol):
    """Where answers and scores are kept."""

    def answers(self, prompts: str) -> Keyed[Answer]:
        """Answers to these prompts; key: the task."""
        ...

    def scores(self, benchmark: str) -> Keyed[Score]:
        """A benchmark's verdicts; key: the task."""
        ...


@dataclass(frozen=True, slots=True)
class TaskSubset:
    """A benchmark and the tasks of it that are asked.

    Attributes:
        benchmark: Which.
        dataset: All of its tasks.
        tasks: Those that are asked.
    """

    benchmark: Benchmark
    dataset: Dataset
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """What grading needs, whoever asks.

    Attributes:
        open_executor: Makes the executor for a benchmark's needs, not yet entered.
        cache: Where benchmarks keep what they made from their data.
        progress: Told how far it is.
        max_concurrency: Tasks on their way.
    """

    open_executor: Callable[[ExecutionRequirements], AbstractAsyncContextManager[Executor]]
    cache: Path
    progress: Progress
    max_concurrency: int


def ask(benchmark: Benchmark, n_tasks: int | None = None, path: Path | None = None) -> TaskSubset:
    """Load a benchmark.

    Args:
        benchmark: Which.
        n_tasks: A fixed, evenly spread subset of so many; all of them where None.
        path: The user's own copy of the data.

    Raises:
        BenchmarkError: The data are not to be had, or there are not so many tasks.
    """
    dataset = benchmark.load(path)
    tasks = dataset.tasks
    if n_tasks is not None:
        if n_tasks > len(tasks):
            raise BenchmarkError(f"n_tasks={n_tasks}: {benchmark.title} has {len(tasks)} tasks")
        tasks = tuple(tasks[i * len(tasks) // n_tasks] for i in range(n_tasks))
    return TaskSubset(benchmark, dataset, tasks)


async def evaluate(
    asked: TaskSubset,
    model_index: int,
    engine: Engine,
    decoding: Decoding,
    tables: Tables,
    bench: Bench,
) -> None:
    """Answer and grade the tasks that have no scores yet.

    Raises:
        BenchmarkError: The benchmark cannot be put to this model, or its references fail.
        EngineError: The engine broke.
    """
    benchmark, is_chat = asked.benchmark, engine.info.is_chat
    if not is_chat and not benchmark.base_models:
        raise BenchmarkError(
            f"{benchmark.title} asks in words and cannot be put to a base model, which has no chat "
            f"template; leave it out, or choose bigcodebench-complete"
        )
    table = tables.answers(benchmark.prompts)
    sampling = decoding.sampling(benchmark, is_chat)

    async def answers_to(task: Task) -> list[Answer]:
        if kept := table.get(task_key(task.id)):
            return kept
        seed = derive_seed(decoding.seed, "evaluation", benchmark.prompts, task.id)
        request = Request(benchmark.prompt(task), decoding.n, sampling, seed)
        made = [
            Answer(
                prompts=benchmark.prompts,
                model_index=model_index,
                task_id=task.id,
                index=index,
                completion=completion.text,
                program=benchmark.program(task, completion.text, is_chat),
                n_tokens=completion.n_tokens,
                finish_reason=completion.finish_reason,
            )
            for index, completion in enumerate(await engine.sample(request))
        ]
        table.put(task_key(task.id), made)
        return made

    async def programs_of(task: Task) -> list[str]:
        return [answer.program for answer in await answers_to(task)]

    await grade_all(asked, model_index, programs_of, tables, bench)


async def grade_all(
    asked: TaskSubset,
    model_index: int,
    programs_of: Callable[[Task], Awaitable[Sequence[str]]],
    tables: Tables,
    bench: Bench,
) -> None:
    """Grade every sample of the tasks that have no scores yet.

    Args:
        asked: The benchmark and its tasks.
        model_index: Goes into the scores.
        programs_of: A task's programs, one a sample.
        tables: Where scores are kept.
        bench: What grading needs.
    """
    benchmark = asked.benchmark
    kept = {name: tables.scores(name) for name in benchmark.scores}
    done = set.intersection(*(table.keys() for table in kept.values()))
    missing = [task for task in asked.tasks if task_key(task.id) not in done]
    if not missing:
        return
    n_done = len(asked.tasks) - len(missing)
    label = f"{benchmark.name} M{model_index}"
    async with bench.open_executor(benchmark.needs) as executor:
        context = GradingContext(asked.dataset, executor, bench.progress, bench.cache)
        grade = await benchmark.grader(context)
        bench.progress.begin(label, len(asked.tasks), n_done)

        async def one(task: Task) -> None:
            nonlocal n_done
            programs = await programs_of(task)
            grades = await _grade_each(grade, task, programs)
            for name, table in kept.items():
                rows = [_score(name, model_index, task, i, g[name]) for i, g in enumerate(grades)]
                table.put(task_key(task.id), rows)
            n_done += 1
            bench.progress.advance(label, n_done)

        await gather_bounded(one, missing, bench.max_concurrency)
    bench.progress.end(label)


async def _grade_each(
    grade: Grader, task: Task, programs: Sequence[str]
) -> list[Mapping[str, Grade]]:
    """Grade a task's samples; equal programs once."""
    known: dict[str, Mapping[str, Grade]] = {}
    for program in dict.fromkeys(programs):
        known[program] = await grade(task, program)
    return [known[program] for program in programs]


def _score(benchmark: str, model_index: int, task: Task, index: int, grade: Grade) -> Score:
    return Score(benchmark, model_index, task.id, index, grade.passed, grade.reason, grade.detail)


def task_key(task_id: str) -> str:
    """A task's id as a shard's name: itself where it is plain, but for slashes."""
    plain = task_id.replace("/", "-")
    if re.fullmatch(r"[A-Za-z0-9_.=-]{1,100}", plain):
        return plain
    return f"{re.sub(r'[^A-Za-z0-9_.=-]', '-', plain)[:80]}-{digest(task_id)}"

"""Running a benchmark on a model: sample the answers that are missing, grade them, store both.

A task's answers are stored before its scores, each under the task's key, so a process that was
killed resumes where it stopped. Sampling and grading overlap, because each task is one coroutine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ucoder.engines.continuing import sample_whole
from ucoder.engines.protocol import Engine, Request, SamplingParams, render_plain
from ucoder.errors import BenchmarkError
from ucoder.evaluation.cutting import is_within_program
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
from ucoder.evaluation.records import NOT_RUN, Answer, GradeReason, Score
from ucoder.execution.protocol import Executor
from ucoder.progress import Progress
from ucoder.records import digest
from ucoder.runtime import gather_bounded
from ucoder.seeds import derive_seed

_PLAIN = re.compile(r"[A-Za-z0-9_.=-]{1,100}")
_DIGEST_AT_END = re.compile(r"-[0-9a-f]{16}\Z")

Programs = Callable[[Task], Awaitable[Sequence[str | Grade]]]
"""A task's programs, one for each sample; or the grade of a sample whose completion was lost."""


class Tables(Protocol):
    """Where one model's answers and scores are kept."""

    def answers(self, prompts: str) -> Keyed[Answer]:
        """Answers to these prompts; the key is the task's."""
        ...

    def scores(self, benchmark: str) -> Keyed[Score]:
        """A benchmark's verdicts; the key is the task's."""
        ...


@dataclass(frozen=True, slots=True)
class TaskSubset:
    """A benchmark, and those of its tasks that are asked."""

    benchmark: Benchmark
    dataset: Dataset  # all of its tasks
    tasks: tuple[Task, ...]  # the chosen ones


def choose_tasks(
    benchmark: Benchmark, n_tasks: int | None = None, path: Path | None = None
) -> TaskSubset:
    """Load a benchmark, from the user's own file if one is given, and choose its tasks.

    With `n_tasks`, these are a fixed, evenly spread subset; otherwise all.

    Raises:
        BenchmarkError: The data are not available, hold no task or two of the same id, or there
            are fewer tasks than n_tasks.
    """
    dataset = benchmark.load(path)
    tasks = dataset.tasks
    if not tasks:
        raise BenchmarkError(f"{benchmark.title} has no tasks; its data are {dataset.source}")
    if twice := [one for one, n in Counter(task.id for task in tasks).items() if n > 1]:
        raise BenchmarkError(
            f"{benchmark.title} has several tasks of the id {twice[0]!r} ({len(twice)} such ids); "
            f"give every task an id of its own"
        )
    if n_tasks is not None:
        if n_tasks > len(tasks):
            raise BenchmarkError(
                f"n_tasks={n_tasks}: {benchmark.title} has {len(tasks)} tasks; lower it, or leave "
                f"it out for all of them"
            )
        tasks = tuple(tasks[i * len(tasks) // n_tasks] for i in range(n_tasks))
    return TaskSubset(benchmark, dataset, tasks)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One benchmark, ready to be run on a model: tasks, decoding, and what grading needs."""

    tasks: TaskSubset  # the benchmark, its dataset and the chosen tasks
    n: int  # samples a task
    temperature: float  # of sampling; 0 is greedy decoding, and n is 1 then
    top_p: float  # nucleus sampling: share of the probability mass; unused in greedy decoding
    max_tokens: int | None  # longest answer; the benchmark's own where None
    seed: int  # of the whole evaluation; each task's seed is derived from it
    # Makes the executor that a benchmark's programs need, not yet entered.
    open_executor: Callable[[ExecutionRequirements], AbstractAsyncContextManager[Executor]]
    cache: Path  # folder where benchmarks keep what they made from their data
    max_concurrency: int  # tasks in progress at once

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark that is asked."""
        return self.tasks.benchmark

    @property
    def decoding(self) -> dict[str, Any]:
        """How answers are drawn, as plain values."""
        names = ("n", "temperature", "top_p", "max_tokens", "seed")
        return {name: getattr(self, name) for name in names}

    def label(self, model_index: int) -> str:
        """What progress and the journal call it, such as `humaneval M0`."""
        return f"{self.benchmark.name} M{model_index}"

    def sampling(self, is_chat: bool) -> SamplingParams:
        """How an engine samples one answer, of a model with or without a chat template."""
        return SamplingParams(
            self.temperature,
            self.top_p if self.temperature else 1.0,
            self.max_tokens or self.benchmark.max_tokens,
            self.benchmark.stop(is_chat),
        )

    def check_model(self, is_chat: bool) -> None:
        """Refuse a model that the benchmark's prompts are not for.

        Raises:
            BenchmarkError: The benchmark asks chat models alone, and this is a base model.
        """
        if not is_chat and not self.benchmark.base_models:
            raise BenchmarkError(
                f"{self.benchmark.title} asks in words and cannot be run on a base model (one "
                f"without a chat template, or with model_kind=base); leave it out, or choose "
                f"bigcodebench-complete"
            )

    def request(self, task: Task, is_chat: bool) -> Request:
        """What is asked of a model; see `sampling`."""
        seed = derive_seed(self.seed, "evaluation", self.benchmark.prompts, task.id)
        return Request(self.benchmark.prompt(task), self.n, self.sampling(is_chat), seed)

    def missing(self, tables: Tables) -> list[Task]:
        """The chosen tasks that lack a score; they are all that `run` and `grade` work on."""
        done = set.intersection(*(tables.scores(name).keys() for name in self.benchmark.scores))
        return [task for task in self.tasks.tasks if task_key(task.id) not in done]

    def not_run(self, tables: Tables) -> list[Task]:
        """The chosen tasks with a sample that was not run, though there is an answer to grade."""
        reasons = NOT_RUN - {GradeReason.NO_COMPLETION}
        scores = [tables.scores(name) for name in self.benchmark.scores]
        return [
            task for task in self.tasks.tasks
            if any(row.reason in reasons for of in scores for row in of.get(task_key(task.id)))
        ]  # fmt: skip

    async def run(
        self, model_index: int, engine: Engine, tables: Tables, progress: Progress
    ) -> None:
        """Sample and grade the tasks that have no scores yet.

        Args:
            model_index: 0 for M0, t + 1 for M(t + 1); goes into answers and scores.
            engine: The model, entered.
            tables: Where its answers and scores are kept.
            progress: Told how many tasks are done.

        Raises:
            BenchmarkError: The benchmark cannot be run on this model, or its references fail.
            EngineError: The engine broke.
        """
        benchmark, is_chat = self.benchmark, engine.info.is_chat
        self.check_model(is_chat)
        table = tables.answers(benchmark.prompts)

        async def answers_to(task: Task) -> list[Answer]:
            if stored := table.get(task_key(task.id)):
                return stored
            request = self.request(task, is_chat)
            before = request.prompt.prefill if is_chat else render_plain(request.prompt)

            def is_early(text: str, stop: str) -> bool:
                return is_within_program(before, text, stop, task.entry_point)

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
                for index, completion in enumerate(await sample_whole(engine, request, is_early))
            ]
            table.put(task_key(task.id), made)
            return made

        async def programs_of(task: Task) -> list[str | Grade]:
            return [_program_of(answer) for answer in await answers_to(task)]

        await self.grade(model_index, programs_of, tables, progress)

    async def grade_again(
        self, model_index: int, tasks: Sequence[Task], tables: Tables, progress: Progress
    ) -> None:
        """Grade the stored answers to some tasks once more; see `not_run` and `run`."""
        table = tables.answers(self.benchmark.prompts)

        async def programs_of(task: Task) -> list[str | Grade]:
            return [_program_of(answer) for answer in table.get(task_key(task.id))]

        await self.grade(model_index, programs_of, tables, progress, tasks)

    async def grade(
        self,
        model_index: int,
        programs_of: Programs,
        tables: Tables,
        progress: Progress,
        tasks: Sequence[Task] | None = None,
    ) -> None:
        """Grade every sample of the tasks, those that have no scores yet where None; see `run`.

        Raises:
            BenchmarkError: The benchmark's references fail.
        """
        missing = self.missing(tables) if tasks is None else tasks
        if not missing:
            return
        score_tables = {name: tables.scores(name) for name in self.benchmark.scores}
        n_tasks = len(self.tasks.tasks)
        n_done = n_tasks - len(missing)
        label = self.label(model_index)
        async with self.open_executor(self.benchmark.needs) as executor:
            context = GradingContext(self.tasks.dataset, executor, progress, self.cache)
            grader = await self.benchmark.grader(context)
            progress.begin(label, n_tasks, n_done)

            async def one(task: Task) -> None:
                nonlocal n_done
                programs = await programs_of(task)
                grades = await _grade_each(grader, task, programs, self.benchmark.scores)
                for name, table in score_tables.items():
                    rows = [
                        Score(name, model_index, task.id, i, g[name].passed, g[name].reason,
                              g[name].detail)
                        for i, g in enumerate(grades)
                    ]  # fmt: skip
                    table.put(task_key(task.id), rows)
                n_done += 1
                progress.advance(label, n_done)

            await gather_bounded(one, missing, self.max_concurrency)
        progress.end(label)

    def scores(self, tables: Tables, name: str) -> list[Score]:
        """The stored verdicts on the chosen tasks' samples, in the order of the tasks."""
        table = tables.scores(name)
        return [row for task in self.tasks.tasks for row in table.get(task_key(task.id))]


async def _grade_each(
    grader: Grader, task: Task, programs: Sequence[str | Grade], scores: Sequence[str]
) -> list[Mapping[str, Grade]]:
    """Grade a task's samples; equal programs once."""
    known = {
        program: dict.fromkeys(scores, program)
        if isinstance(program, Grade)
        else await grader(task, program)
        for program in dict.fromkeys(programs)
    }
    return [known[program] for program in programs]


def _program_of(answer: Answer) -> str | Grade:
    """The program; the grade of an answer that was lost, which says nothing about the model."""
    if answer.finish_reason.lost is None:
        return answer.program
    return Grade(GradeReason.NO_COMPLETION, f"it was lost: {answer.finish_reason}")


def task_key(task_id: str) -> str:
    """A task's id as a shard's name, different for different ids.

    Itself where it is plain. Otherwise what can be read of it, and a digest, which no plain name
    ends in: `lists/1-sum` and `lists-1/sum` must not share a key.
    """
    if _PLAIN.fullmatch(task_id) and not _DIGEST_AT_END.search(task_id):
        return task_id
    return f"{re.sub(r'[^A-Za-z0-9_.=-]', '-', task_id)[:80]}-{digest(task_id)}"

"""The steps of the pipeline against a run directory: do what is missing, write each unit whole.

Stages know nothing of tables; tables know nothing of stages. This is where they meet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ucoder.attempts import Accepted
from ucoder.components import Components
from ucoder.errors import NothingToDo
from ucoder.evaluation.contamination import Guard
from ucoder.evaluation.records import Answer, Score
from ucoder.evaluation.registry import find_benchmarks
from ucoder.inputs.distinguishing import has_distinguishing_inputs
from ucoder.models import Model, Origin
from ucoder.progress import Progress
from ucoder.records import Attempt, Checkpoint, Example, Problem
from ucoder.runs import Run
from ucoder.runs.tables import Table
from ucoder.runtime import cancel, gather_bounded
from ucoder.scale.protocol import Scheduler, Solved
from ucoder.seeds import derive_seed
from ucoder.stages.consolidation import make_examples
from ucoder.stages.problems import load_topics, topic_of
from ucoder.training.protocol import TrainingJob

T = TypeVar("T")


class Steps:
    """The pipeline's steps, bound to one run."""

    def __init__(self, run: Run, components: Components, progress: Progress) -> None:
        self.run = run
        self.config = run.config
        self.components = components
        self.progress = progress

    async def find_problems(self, scheduler: Scheduler) -> list[Problem]:
        """Stages 1 to 3: attempts until enough problems are accepted, in their fixed order."""
        table = self.run.attempts
        stored = set(map(int, table.keys()))
        accepted = Accepted()
        index = 0
        while index in stored and self._wants_more(accepted, index):
            accepted.judge(*table.get(_attempt_key(index)))
            index += 1
        if self._wants_more(accepted, index):
            self.progress.begin("problems", self.config.problems.n, len(accepted.problems))
            with self.run.journal.stage("problems", 0):
                await self._attempt_from(index, stored, accepted, scheduler)
            self.progress.end("problems")
        return accepted.problems

    async def _attempt_from(
        self, index: int, stored: Set[int], accepted: Accepted, scheduler: Scheduler
    ) -> None:
        """Make the attempts from `index` on; those behind a shard that was lost are there."""
        wanted, seed, table = self.config.problems, self.config.seed, self.run.attempts
        topics = load_topics(wanted.topics)
        flying: dict[int, asyncio.Task[Attempt]] = {}
        try:
            while self._wants_more(accepted, index):
                # Look ahead only as far as attempts are likely to be needed: what is still on
                # its way when the last problem is accepted was sampled for nothing.
                share = (len(accepted.problems) + 8) / (index + 10)
                ahead = round((wanted.n - len(accepted.problems)) / share) + 1
                for i in range(index, index + min(ahead, scheduler.max_concurrency)):
                    if i not in flying and i not in stored and i < wanted.max_attempts:
                        attempt = scheduler.attempt(i, topic_of(i, topics, seed))
                        flying[i] = asyncio.create_task(attempt)
                if index in stored:
                    accepted.judge(*table.get(_attempt_key(index)))
                else:
                    judged = accepted.judge(await flying.pop(index))
                    table.put(_attempt_key(index), [judged])
                index += 1
                self._advance("problems", 0, len(accepted.problems), attempts=index)
        finally:
            await cancel(flying.values())

    def _wants_more(self, accepted: Accepted, index: int) -> bool:
        wanted = self.config.problems
        return len(accepted.problems) < wanted.n and index < wanted.max_attempts

    async def write_inputs(
        self, problems: Sequence[Problem], scheduler: Scheduler
    ) -> list[Problem]:
        """Stage 4: a suite for every problem; those problems that can go on with theirs."""
        table = self.run.suites
        reasons = {
            row["problem_id"]: row["reason"] for row in table.columns("problem_id", "reason")
        }

        async def write(problem: Problem) -> None:
            written = await scheduler.write_inputs(problem)
            await asyncio.to_thread(table.put_shard, problem.id, written.shard)
            reasons[problem.id] = written.reason

        missing = [problem for problem in problems if problem.id not in reasons]
        await self._each("test_inputs", 0, problems, missing, write, scheduler)
        return [problem for problem in problems if reasons[problem.id] is None]

    async def solve(
        self, iteration: int, problems: Sequence[Problem], scheduler: Scheduler
    ) -> None:
        """Stage 5: candidates, executions and a selection for every problem.

        Where inputs were found that separate, the table of suites gets the longer suite. It is
        written before anything that rests on it: whoever is killed in between finds it, and works
        on it as it is.
        """
        suites, selections = self.run.suites, self.run.selections(iteration)
        candidates, executions = self.run.candidates(iteration), self.run.executions(iteration)

        def store(key: str, solved: Solved) -> None:
            if solved.suite is not None:
                suites.put_shard(key, solved.suite)
            candidates.put_shard(key, solved.candidates)
            executions.put_shard(key, solved.executions)
            # Last: a problem with a selection is finished.
            selections.put_shard(key, solved.selection)

        async def solve(problem: Problem) -> None:
            solved = await scheduler.solve(problem, suites.shard(problem.id), iteration)
            await asyncio.to_thread(store, problem.id, solved)

        done = selections.keys()
        missing = [p for p in problems if p.id not in done or self._is_outdated(p, iteration)]
        await self._each("solutions", iteration, problems, missing, solve, scheduler)

    def _is_outdated(self, problem: Problem, iteration: int) -> bool:
        """Whether a suite was lost and made again, without what stage 5 had found for it.

        Solving the problem again finds the same inputs and the same selection.
        """
        if iteration or not self.config.solutions.distinguishing_inputs:
            return False
        (suite,) = self.run.suites.get(problem.id)
        if has_distinguishing_inputs(suite):
            return False
        executions = self.run.executions(iteration).get(problem.id)
        return any(len(e.outcomes) != len(suite.inputs) for e in executions)

    async def consolidate(self, iteration: int, examples: Sequence[Example], model: Model) -> Model:
        """Stage 6: M(t) fine-tuned on what was selected from its samples.

        Raises:
            TrainingError: Training failed.
        """
        output = self.run.path / "checkpoints" / f"iteration-{iteration}"
        table = self.run.checkpoints
        if not table.get(f"{iteration:03d}"):
            job = TrainingJob(
                model=model.path,
                is_chat=model.is_chat,
                examples=examples,
                output=output,
                config=self.config.consolidation,
                seed=derive_seed(self.config.seed, "consolidation", iteration),
                metrics_dir=self.run.path / "metrics" / f"iteration-{iteration}",
            )
            self.progress.begin(_label("consolidation", iteration), 1)
            with self.run.journal.stage("consolidation", iteration):
                result = await self.components.trainer().train(job, self._on_step(iteration))
                trained = self._trained(iteration, model)
                table.put(
                    f"{iteration:03d}",
                    [
                        Checkpoint(
                            iteration=iteration,
                            path=str(output.relative_to(self.run.path)),
                            sha256=trained.sha256,
                            n_examples=result.n_examples,
                            n_left_out=result.n_left_out,
                            n_steps=result.n_steps,
                            loss=result.loss,
                        )
                    ],
                )
            self.progress.end(_label("consolidation", iteration))
        return self._trained(iteration, model)

    async def evaluate(self, model_index: int, scheduler: Scheduler) -> None:
        """Benchmarks: the tasks that this model has not answered yet."""
        tables = _ModelTables(self.run, model_index)
        for evaluation in self.components.evaluations():
            label = evaluation.label(model_index)
            beating = _Beating(self.progress, partial(self.run.journal.beat, label, model_index))
            bounded = replace(evaluation, max_concurrency=scheduler.max_concurrency)
            with self.run.journal.stage(label, model_index):
                await bounded.run(model_index, scheduler, tables, beating)

    def compare_with_benchmarks(self, problems: Sequence[Problem]) -> None:
        """Find problems that a benchmark asks as well; once, and kept."""
        if self.run.matches.keys():
            return
        config = self.config.evaluation
        names = config.contamination.benchmarks
        names = config.benchmarks if names is None else names
        datasets = {
            benchmark.name: benchmark.load(config.data.get(benchmark.name))
            for benchmark in find_benchmarks(names, config.options())
        }
        guard = Guard((name, dataset.tasks) for name, dataset in datasets.items())
        found = [match for problem in problems for match in guard.matches(problem)]
        self.run.save_manifest(compared={name: data.source for name, data in datasets.items()})
        self.run.matches.put("matches", found)
        if found:
            n_problems = len({match.problem_id for match in found})
            fate = "left out of training" if config.contamination.exclude else "kept all the same"
            self.progress.message(f"{n_problems} problems match a benchmark's prompt: {fate}")

    def choose_examples(self, iteration: int, problems: Sequence[Problem]) -> list[Example]:
        """Stage 6: the training pairs of what was selected.

        Raises:
            NothingToDo: Nothing was selected.
        """
        table = self.run.examples(iteration)
        if not (examples := table.rows()):
            tainted = self._tainted()
            selected = self.run.selected(iteration)
            examples = make_examples(
                {problem.id: problem for problem in problems},
                (candidate for candidate in selected if candidate.problem_id not in tainted),
            )
            if not examples:
                raise NothingToDo(
                    f"iteration {iteration}: no problem reached a consensus, so there is nothing "
                    f"to train on; `ucoder status {self.run.path}` counts the reasons. More "
                    f"problems (problems.n), more candidates (solutions.n) or a lower "
                    f"solutions.tau may help"
                )
            table.put("examples", examples)
        return examples

    def _tainted(self) -> set[str]:
        """Problems that must not be trained on, because a benchmark asks them."""
        if not self.config.evaluation.contamination.exclude:
            return set()
        return {match.problem_id for match in self.run.matches.rows()}

    def _trained(self, iteration: int, model: Model) -> Model:
        output = self.run.path / "checkpoints" / f"iteration-{iteration}"
        trained = self.components.model(str(output))
        return replace(trained, origin=Origin.LOCAL, licence=model.licence)

    def _on_step(self, iteration: int) -> Callable[[int, int], None]:
        def on_step(done: int, total: int) -> None:
            self.progress.begin(_label("consolidation", iteration), total, done)
            self._advance("consolidation", iteration, done)

        return on_step

    async def _each(
        self,
        stage: str,
        iteration: int,
        units: Sequence[T],
        missing: Sequence[T],
        work: Callable[[T], Awaitable[None]],
        scheduler: Scheduler,
    ) -> None:
        """Work on the missing units; the first failure ends the stage."""
        if not missing:
            return
        done = len(units) - len(missing)
        label = _label(stage, iteration)
        self.progress.begin(label, len(units), done)

        async def one(unit: T) -> None:
            nonlocal done
            await work(unit)
            done += 1
            self._advance(stage, iteration, done)

        with self.run.journal.stage(stage, iteration):
            await gather_bounded(one, missing, scheduler.max_concurrency)
        self.progress.end(label)

    def _advance(self, stage: str, iteration: int, done: int, **facts: object) -> None:
        self.run.journal.beat(stage, iteration)
        self.progress.advance(_label(stage, iteration), done, **facts)


def _attempt_key(index: int) -> str:
    return f"{index:06d}"


def _label(stage: str, iteration: int) -> str:
    """What progress calls a stage: stages 5 and 6 come round again."""
    return f"{stage} {iteration}" if stage in ("solutions", "consolidation") else stage


class _Beating:
    """Progress that also tells the journal that a stage is alive; see `Progress`."""

    def __init__(self, progress: Progress, beat: Callable[[], None]) -> None:
        self._beat = beat
        self.begin, self.end, self.message = progress.begin, progress.end, progress.message
        self._advance = progress.advance

    def advance(self, stage: str, done: int, **facts: object) -> None:
        self._beat()
        self._advance(stage, done, **facts)


class _ModelTables:
    """The tables of a run in which one model's answers and scores are."""

    def __init__(self, run: Run, model_index: int) -> None:
        self._run = run
        self._model_index = model_index

    def answers(self, prompts: str) -> Table[Answer]:
        return self._run.answers(prompts, self._model_index)

    def scores(self, benchmark: str) -> Table[Score]:
        return self._run.scores(benchmark, self._model_index)

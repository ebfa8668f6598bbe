"""The steps of the pipeline against a run directory: do what is missing, write each unit whole.

Stages know nothing of tables, and tables know nothing of stages. This is where they meet: a step
reads which units exist, has the scheduler do the rest, and stores each result in a thread, so that
encoding and the disk do not hold up the sampling of others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import asdict, replace
from typing import Self, TypeVar

from ucoder.analysis.ballots import take_ballot
from ucoder.attempts import AcceptedProblems, attempt_given, judged_attempts
from ucoder.components import Components
from ucoder.config.stages import KNOWN_ANSWERS
from ucoder.consensus.explanation import criterion, thresholds
from ucoder.consensus.selection import rule_of
from ucoder.errors import ConfigError, NothingToDo, command
from ucoder.evaluation.benchmarks import known_answers
from ucoder.evaluation.contamination import Guard
from ucoder.evaluation.records import Answer, Score
from ucoder.given import GivenProblems, load_given
from ucoder.inputs.distinguishing import has_distinguishing_inputs
from ucoder.models import Model, Origin
from ucoder.pairs.difficulty import is_filled
from ucoder.pairs.making import make_pairs
from ucoder.progress import Progress, Tee, label_of
from ucoder.records import (
    LOST,
    Attempt,
    Checkpoint,
    Example,
    Judgement,
    PairChoice,
    PreferencePair,
    Problem,
    Reason,
    TestSuite,
    TopicNode,
)
from ucoder.runs import Run
from ucoder.runs.tables import Table
from ucoder.runtime import gather_bounded
from ucoder.scale.protocol import Scheduler, Solved
from ucoder.seeds import derive_seed
from ucoder.stages.topics import InventedTopics, ListedTopics, Topics, listed_topics
from ucoder.training.protocol import TrainingJob
from ucoder.training.recipe import check_checkpoint

T = TypeVar("T")

_JUDGED_AT_ONCE = 4
"""Problems: each has a few programs, which keep the sandbox's workers busy together."""


class Steps:
    """The pipeline's steps, bound to one run.

    Args:
        run: The run directory.
        components: Makes the model, scheduler and trainer.
        progress: Told what happens, beside the run's journal.
    """

    def __init__(self, run: Run, components: Components, progress: Progress) -> None:
        self.run = run
        self.config = run.config
        self.components = components
        self.progress = Tee(run.journal, progress)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Hold the run's lock, and note in journal and log how the block ends.

        Raises:
            RunLocked: Another process writes to the run.
        """
        with self.run.writing(), self.run.journal.session(), self.run.log.session():
            yield

    def first_model(self) -> Model:
        """M(0), as the configuration names it.

        Raises:
            ModelError: It cannot be had.
            ConfigError: `model_kind` does not fit it.
            TrainingError: It can be sampled from, but not trained.
        """
        model = self.components.model(self.config.model)
        if self.config.is_trained(0) and self.config.consolidation.provider == "trl":
            check_checkpoint(model.path)
        return model

    def engine_of(self, model: Model, t: int) -> EngineOnDemand:
        """The scheduler with M(t), opened when a step first asks for it.

        What M(0) is and what sampled it goes into the manifest then.
        """
        exports = self.run.path / "checkpoints" if t else None

        def note(scheduler: Scheduler) -> None:
            if t == 0:
                self.run.save_manifest(
                    model={**asdict(model), "path": str(model.path)},
                    engine=asdict(scheduler.info),
                    executor=scheduler.executor,
                )

        return EngineOnDemand(lambda: self.components.scheduler(model, exports), note)

    async def find_problems(self, engine: EngineOnDemand, n_before: int = 0) -> list[Problem]:
        """Stages 1 to 3: attempts until enough problems are accepted, in their fixed order.

        Problems that came from outside are attempts as well, of which stage 3 alone may be left.

        Args:
            engine: Opened where attempts are missing.
            n_before: Problems of earlier rounds, which come first in what is returned.

        Raises:
            NothingToDo: No problem was accepted.
            ConfigError: The source of the problems has changed since the run began.
        """
        table, config = self.run.attempts, self.config.problems
        given = None if self.run.manifest.given else self._source()
        config = config.model_copy(update={"n": n_before + config.n})
        if self.run.manifest.given:
            config = config.model_copy(update={"max_attempts": self.run.manifest.given["n"]})
        stored = set(map(int, table.keys()))
        accepted = AcceptedProblems(config)
        while accepted.n_judged in stored and not accepted.is_complete:
            accepted.judge(*table.get(_attempt_key(accepted.n_judged)))
        if not accepted.is_complete:
            scheduler = await engine.open()
            given = given or self._source()
            topics = None if given else self._topics(scheduler)

            async def make(index: int) -> Attempt:
                if topics is not None:
                    return await scheduler.attempt(index, await topics.topic(index))
                assert given is not None
                return await attempt_given(index, given.problems[index], scheduler, self.config)

            def read(index: int) -> Attempt:
                (attempt,) = table.get(_attempt_key(index))
                return attempt

            n_lost = 0
            self.progress.begin("problems", config.n, len(accepted.problems))
            judged = judged_attempts(accepted, stored, read, make, scheduler.max_concurrency)
            async with aclosing(judged):  # where storing fails, attempts in flight end at once
                async for attempt, is_new in judged:
                    if is_new:
                        await asyncio.to_thread(table.put, _attempt_key(attempt.index), [attempt])
                        n_lost += attempt.reason in LOST
                    facts = {"attempts": accepted.n_judged, **_lost(n_lost)}
                    self.progress.advance("problems", len(accepted.problems), **facts)
            self.progress.end("problems")
        if not accepted.problems:
            raise NothingToDo(
                f"no problem was accepted in {config.max_attempts} attempts; "
                f"`{command('status', self.run.path)}` counts the reasons"
            )
        return accepted.problems

    async def find_more_problems(
        self, problems: Sequence[Problem], engine: EngineOnDemand
    ) -> list[Problem]:
        """Another round of stages 1 to 3, where more pairs are wanted than these problems give.

        Returns:
            All problems, these first; none where no more are wanted, or the attempts are used up.
        """
        config = self.config.consolidation
        if config.n_pairs is None or is_filled(make_pairs(self.run, 0, problems).choices, config):
            return []
        more = await self.find_problems(engine, len(problems))
        return more if len(more) > len(problems) else []

    def _topics(self, scheduler: Scheduler) -> Topics:
        """The topics of attempts: those of a list, or what the model invents as it goes."""
        config, seed, table = self.config.problems, self.config.seed, self.run.topics
        listed = listed_topics(config.topics)
        if listed is not None:
            return ListedTopics(listed, seed)

        async def store(nodes: list[TopicNode]) -> None:
            await asyncio.to_thread(table.put, f"{nodes[0].generation:06d}", nodes)

        return InventedTopics(config.tree, seed, scheduler, table.rows(), store)

    def _source(self) -> GivenProblems | None:
        """The problems that came from outside, which are noted when they are first read.

        Raises:
            ConfigError: See `find_problems`.
        """
        config, known = self.config.problems, self.run.manifest.given
        given = load_given(config)
        if given is None:
            return None
        if known and known["sha256"] != given.sha256:
            raise ConfigError(
                f"problems.source={config.source} has changed since the run began; put the old "
                f"content back, or start a new run"
            )
        if not known:
            n = len(given.problems)
            self.run.save_manifest(
                given={"source": str(config.source), "n": n, "sha256": given.sha256}
            )
            if config.n < n:
                self.progress.message(
                    f"problems.n={config.n}: the first usable ones of {n} problems"
                )
            for line in given.refused():
                self.progress.message(f"problems.source, left out: {line}")
        return given

    async def write_inputs(
        self, problems: Sequence[Problem], engine: EngineOnDemand
    ) -> list[Problem]:
        """Stage 4: a suite for every problem; returns the problems that can go on with theirs.

        A contaminated problem gets an empty one, with the reason, and costs no sample.
        """
        table = self.run.suites
        reasons = {
            row["problem_id"]: row["reason"] for row in table.columns("problem_id", "reason")
        }

        async def write(problem: Problem, scheduler: Scheduler) -> int:
            written = await scheduler.write_inputs(problem)
            await asyncio.to_thread(table.put, problem.id, written.suite)
            reasons[problem.id] = written.reason
            return written.n_lost

        missing = [problem for problem in problems if problem.id not in reasons]
        held_back = self.run.contaminated() if self.config.makes_pairs else set()
        for problem in missing:
            if problem.id in held_back:
                reason = reasons[problem.id] = Reason.CONTAMINATED
                table.put(problem.id, [TestSuite(problem.id, (), (), reason, 0)])
        missing = [problem for problem in missing if problem.id not in held_back]
        await self._each("test_inputs", problems, missing, write, engine)
        return [problem for problem in problems if reasons[problem.id] is None]

    async def solve(
        self, iteration: int, problems: Sequence[Problem], engine: EngineOnDemand
    ) -> None:
        """Stage 5: candidates, executions and a selection for every problem, and a greedy answer.

        Where distinguishing inputs were found, the table of suites gets the longer suite. It is
        written before anything that rests on it, so a process that is killed in between finds it
        on resuming, and works on it as it is.
        """
        suites, selections = self.run.suites, self.run.selections(iteration)
        candidates, executions = self.run.candidates(iteration), self.run.executions(iteration)
        greedy = self.run.greedy(iteration)

        def store(key: str, solved: Solved) -> None:
            if solved.suite is not None:
                suites.put(key, solved.suite)
            candidates.put(key, solved.candidates)
            executions.put(key, solved.executions)
            if solved.greedy is not None:
                greedy.put(key, solved.greedy)
            # Last: a problem with a selection is finished.
            selections.put(key, solved.selection)

        async def solve(problem: Problem, scheduler: Scheduler) -> int:
            (suite,) = await asyncio.to_thread(suites.get, problem.id)
            solved = await scheduler.solve(problem, suite, iteration)
            await asyncio.to_thread(store, problem.id, solved)
            return solved.n_lost

        await self._select_again(problems, iteration)
        # A shard that was lost or removed takes its problem back into work.
        done = selections.keys() & candidates.keys() & executions.keys()
        if self.config.solutions.greedy:
            done &= greedy.keys()
        missing = [p for p in problems if p.id not in done or self._is_outdated(p, iteration)]
        await self._each(label_of("solutions", iteration), problems, missing, solve, engine)

    async def _select_again(self, problems: Sequence[Problem], iteration: int) -> None:
        """Select from candidates that have run already: no engine and no sandbox is needed."""
        table = self.run.selections(iteration)
        waiting = self.run.candidates(iteration).keys() - table.keys()
        for problem in problems:
            if problem.id in waiting:
                case = await asyncio.to_thread(take_ballot, self.run, iteration, problem)
                if case is not None:
                    table.put(problem.id, [case.ballot.selection])

    def _is_outdated(self, problem: Problem, iteration: int) -> bool:
        """Whether a suite was lost and made again, without the inputs that stage 5 added to it.

        Solving the problem again finds the same inputs and the same selection.
        """
        if iteration or not self.config.solutions.distinguishing_inputs:
            return False
        (suite,) = self.run.suites.get(problem.id)
        if has_distinguishing_inputs(suite):
            return False
        executions = self.run.executions(iteration).get(problem.id)
        return any(len(e.outcomes) != len(suite.inputs) for e in executions)

    async def judge(self, iteration: int, problems: Sequence[Problem]) -> None:
        """Of known answers: which programs are right, for measuring alone."""
        table, done = self.run.judgements(iteration), self.run.judgements(iteration).keys()
        sampled, greedy = self.run.candidates(iteration), self.run.greedy(iteration)
        if self.config.problems.source != KNOWN_ANSWERS:
            return
        tasks = {task.id: task for task in known_answers.load().tasks}
        missing = [p for p in problems if p.id not in done and p.topic in tasks]
        if not missing:
            return
        async with self.components.executor() as executor:

            async def judge(problem: Problem) -> None:
                candidates = [*sampled.get(problem.id), *greedy.get(problem.id)]
                programs = {c.program_id: c.program for c in candidates if c.reason is None}
                right = await known_answers.judge(tasks[problem.topic], programs, executor)
                rows = [Judgement(problem.id, iteration, name, right[name]) for name in programs]
                await asyncio.to_thread(table.put, problem.id, rows)

            await gather_bounded(judge, missing, _JUDGED_AT_ONCE)

    async def fine_tune(self, iteration: int, examples: Sequence[Example], model: Model) -> Model:
        """Stage 6: M(t+1), which is M(t) fine-tuned on what was selected from its samples.

        Raises:
            NothingToDo: It is to learn from preference pairs, and there are none.
            TrainingError: Training failed.
        """
        output = self.run.path / "checkpoints" / f"iteration-{iteration}"
        table, key = self.run.checkpoints, f"{iteration:03d}"
        label = label_of("consolidation", iteration)
        if not table.get(key):
            job = TrainingJob(
                model=model.path,
                is_chat=model.is_chat,
                examples=examples,
                output=output,
                config=self.config.consolidation,
                seed=derive_seed(self.config.seed, "consolidation", iteration),
                metrics_dir=self.run.path / "metrics" / f"iteration-{iteration}",
                preferences=self._preferences(iteration),
            )
            self.progress.begin(label, 1)
            result = await self.components.trainer().train(job, self._on_training_step(label))
            checkpoint = Checkpoint(
                iteration=iteration,
                path=str(output.relative_to(self.run.path)),
                sha256=self.components.model(str(output)).sha256,
                n_examples=result.n_examples,
                n_left_out=result.n_left_out,
                n_steps=result.n_steps,
                loss=result.loss,
                first_loss=result.first_loss,
                first_accuracy=result.first_accuracy,
            )
            table.put(key, [checkpoint])
            self.progress.end(label)
        trained = self.components.model(str(output))
        return replace(trained, origin=Origin.LOCAL, licence=model.licence)

    def _preferences(self, iteration: int) -> list[PreferencePair]:
        """The preference pairs that the objective needs; none for SFT."""
        if self.config.consolidation.objective == "sft":
            return []
        if not (pairs := self.run.preferences(iteration).rows()):
            raise NothingToDo(
                f"iteration {iteration}: no problem has a selected program and one of a rival "
                f"cluster, so there are no preference pairs to train on; "
                f"consolidation.objective=sft learns the selected programs alone"
            )
        return pairs

    def _on_training_step(self, label: str) -> Callable[[int, int], None]:
        def on_step(done: int, total: int) -> None:
            self.progress.begin(label, total, done)
            self.progress.advance(label, done)

        return on_step

    async def evaluate(self, t: int, engine: EngineOnDemand) -> None:
        """Benchmarks: tasks that M(t) has not answered, and those that could not be run before."""
        tables = _ModelTables(self.run, t)
        for evaluation in self.components.evaluations():
            not_run = evaluation.not_run(tables)
            if evaluation.missing(tables):
                scheduler = await engine.open()
                evaluation = replace(evaluation, max_concurrency=scheduler.max_concurrency)
                await evaluation.run(t, scheduler, tables, self.progress)
            await evaluation.grade_again(t, not_run, tables, self.progress)

    def compare_with_benchmarks(self, problems: Sequence[Problem], n_before: int = 0) -> None:
        """Find problems that a benchmark asks as well; once for each round of them, and kept.

        Args:
            problems: All of them.
            n_before: Those of earlier rounds, which were compared then.
        """
        done, key = self.run.matches.keys(), f"matches-{n_before:06d}" if n_before else "matches"
        if key in done:
            return
        problems = problems[n_before:]
        datasets = self.components.compared_datasets()
        guard = Guard((name, dataset.tasks) for name, dataset in datasets.items())
        found = [match for problem in problems for match in guard.matches(problem)]
        self.run.save_manifest(compared={name: data.source for name, data in datasets.items()})
        self.run.matches.put(key, found)
        if found:
            n_problems = len({match.problem_id for match in found})
            is_excluded = self.config.evaluation.contamination.exclude
            fate = "left out of training" if is_excluded else "kept all the same"
            self.progress.message(f"{n_problems} problems match a benchmark's prompt: {fate}")

    def choose_examples(self, iteration: int, problems: Sequence[Problem]) -> list[Example]:
        """Stage 6: the training pairs made of what was selected, and the preference pairs.

        Raises:
            NothingToDo: Nothing was selected, or all of it is left out of training.
        """
        table = self.run.examples(iteration)
        if examples := table.rows():
            return examples
        pairs = make_pairs(self.run, iteration, problems)
        self.run.pair_choices(iteration).put("pair_choices", pairs.choices)
        if not pairs.examples:
            raise NothingToDo(self._why_nothing_to_train_on(iteration, pairs.choices))
        self.run.preferences(iteration).put("preferences", pairs.preferences)
        n, wanted = len(pairs.examples), self.config.consolidation.n_pairs
        if wanted is not None and n < wanted:
            self.progress.message(f"{n} training pairs, and {wanted} were asked for")
        # Last: an iteration with examples has chosen them.
        table.put("examples", pairs.examples)
        return pairs.examples

    def _why_nothing_to_train_on(self, iteration: int, choices: Sequence[PairChoice]) -> str:
        rule = rule_of(self.config.solutions)
        if choices:
            counts = Counter(choice.reason for choice in choices if choice.reason)
            said = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in counts.items())
            return (
                f"iteration {iteration}: every problem with a selected program is left out of "
                f"training ({said}), so nothing is left to train on; start a run with more "
                f"problems (problems.n)"
            )
        if not self.run.selections(iteration).keys():
            return (
                f"iteration {iteration}: no problem came through stage 4, so there is nothing to "
                f"train on; `{command('status', self.run.path)}` counts the reasons. A new run "
                f"with more problems (problems.n) may help"
            )
        *more, last = (
            "more problems (problems.n)", "more candidates (solutions.n)",
            *(f"a lower {name}" for name in thresholds(rule)),
        )  # fmt: skip
        return (
            f"iteration {iteration}: no problem has a program that {rule.selector} selects "
            f"({criterion(rule)}), so there is nothing to train on; "
            f"`{command('status', self.run.path)}` counts the reasons. A new run with "
            f"{', '.join(more)} or {last} may help"
        )

    async def _each(
        self,
        label: str,
        units: Sequence[T],
        missing: Sequence[T],
        work: Callable[[T, Scheduler], Awaitable[int]],
        engine: EngineOnDemand,
    ) -> None:
        """Work on the missing units side by side; the first failure ends the stage.

        `work` returns how many completions were lost on a unit, which ends nothing.
        """
        if not missing:
            return
        scheduler = await engine.open()
        done, n_lost = len(units) - len(missing), 0
        self.progress.begin(label, len(units), done)

        async def one(unit: T) -> None:
            nonlocal done, n_lost
            lost_here = await work(unit, scheduler)
            n_lost += lost_here  # not in one statement with the wait: others add to it meanwhile
            done += 1
            self.progress.advance(label, done, **_lost(n_lost))

        await gather_bounded(one, missing, scheduler.max_concurrency)
        self.progress.end(label)


class EngineOnDemand:
    """A scheduler that is entered by the first step that has something to do.

    Use as an async context manager; leaving it closes the scheduler if it was opened.

    Args:
        make: Makes the scheduler, not yet entered.
        opened: Told when it is open.
    """

    def __init__(self, make: Callable[[], Scheduler], opened: Callable[[Scheduler], None]) -> None:
        self._make = make
        self._opened = opened
        self._scheduler: Scheduler | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def open(self) -> Scheduler:
        """The scheduler, opened now if it was not yet.

        Raises:
            EngineError: The engine cannot start.
            SandboxUnavailable: Programs cannot be run here.
        """
        if self._scheduler is None:
            self._scheduler = await self._stack.enter_async_context(self._make())
            self._opened(self._scheduler)
        return self._scheduler


class _ModelTables:
    """The tables of a run that hold one model's answers and scores."""

    def __init__(self, run: Run, t: int) -> None:
        self._run = run
        self._t = t

    def answers(self, prompts: str) -> Table[Answer]:
        return self._run.answers(prompts, self._t)

    def scores(self, benchmark: str) -> Table[Score]:
        return self._run.scores(benchmark, self._t)


def _lost(n: int) -> dict[str, int]:
    """The fact for progress that completions were lost, if any were in this session."""
    return {"lost": n} if n else {}


def _attempt_key(index: int) -> str:
    return f"{index:06d}"

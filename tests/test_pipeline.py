"""The pipeline in this process: the scripted engine and trainer, the real sandbox and store."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ucoder import Run, load_config, run_pipeline, summarise
from ucoder.cli.exporting import export_examples
from ucoder.cli.terminal import PlainConsole
from ucoder.cli.viewing import print_problem
from ucoder.components import Components
from ucoder.config import RunConfig
from ucoder.engines.protocol import Completion, Engine, Request
from ucoder.engines.scripted import ScriptedEngine, load_script
from ucoder.errors import EngineError, ModelError, NothingToDo, RunLocked
from ucoder.models import Model, Origin
from ucoder.progress import Silent
from ucoder.report import write_report
from ucoder.studies.pools import pools_of_run
from ucoder.studies.tasks import tasks_of
from ucoder.training.protocol import ScriptedTrainer, TrainingJob, TrainingResult

from .fault_tolerance.comparison import shards, tables

SMALL = ["problems.n=3", "evaluation.benchmarks=[]", "solutions.n=8", "test_inputs.n=10"]


def new_run(path: Path, *overrides: str) -> Run:
    return Run.create(path / "run", load_config("scripted", [*SMALL, *overrides]))


class Told(Silent):
    """Keeps the stages in the order in which they began."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        if stage not in self.stages:
            self.stages.append(stage)


class Rewriting(ScriptedEngine):
    """A scripted engine whose answers to some requests are changed."""

    def __init__(self, wording: str, text: str) -> None:
        super().__init__(load_script(None))
        self._wording, self._text = wording, text

    async def sample(self, request: Request) -> list[Completion]:
        completions = await super().sample(request)
        if self._wording not in request.prompt.user:
            return completions
        return [
            dataclasses.replace(one, text=self._text.format(i=i))
            for i, one in enumerate(completions)
        ]


class Failing(ScriptedEngine):
    """A scripted engine that breaks at its n-th request."""

    def __init__(self, n: int) -> None:
        super().__init__(load_script(None))
        self._left = n

    async def sample(self, request: Request) -> list[Completion]:
        self._left -= 1
        if self._left < 0:
            raise EngineError("the engine broke")
        return await super().sample(request)


class Bodies(ScriptedEngine):
    """A scripted engine that continues signatures, and alone says at temperature 0 what it says."""

    def __init__(self) -> None:
        super().__init__(load_script(None))
        self.asked: set[str] = set()

    async def sample(self, request: Request) -> list[Completion]:
        completions = await super().sample(request)
        if not request.prompt.prefill.endswith('    """\n'):
            return completions
        self.asked.add(request.prompt.user.split(" ")[0])
        texts = [one.text.split("\n", 1)[1].rstrip() for one in completions]
        if request.sampling.is_greedy:
            texts = ["    return 'alone'"]
        return [
            dataclasses.replace(one, text=text)
            for one, text in zip(completions, texts, strict=True)
        ]


class With(Components):
    """Components whose n-th engine is given, counted from 0."""

    engines: dict[int, Engine]
    opened: int = 0

    def engine(self, model: Model, exports: Path | None = None) -> Engine:
        self.opened += 1
        return self.engines.get(self.opened - 1) or super().engine(model, exports)


def components(run: Run, engines: dict[int, Engine]) -> With:
    made = With(run.config)
    made.engines = engines
    return made


async def test_a_run_goes_through_all_six_stages_and_improves_the_model_twice(
    tmp_path: Path,
) -> None:
    run, told = new_run(tmp_path), Told()
    await run_pipeline(run, progress=told)
    assert told.stages == [
        "problems", "test_inputs", "solutions 0", "consolidation 0", "solutions 1",
        "consolidation 1",
    ]  # fmt: skip
    problems = [attempt.problem for attempt in run.attempts.rows() if attempt.problem]
    assert len(problems) == 3 and all(problem.rating >= 6 for problem in problems)
    assert {suite.problem_id for suite in run.suites.rows()} == {p.id for p in problems}
    for t in (0, 1):
        assert len(run.candidates(t).rows()) == 3 * 8
        assert run.executions(t).rows() and len(run.selections(t).rows()) == 3
        assert run.examples(t).rows()
    assert [checkpoint.iteration for checkpoint in run.checkpoints.rows()] == [0, 1]
    assert all(time.finished for time in run.journal.times())
    assert run.manifest.engine["provider"] == "scripted" and run.manifest.executor


async def test_resuming_a_finished_run_opens_no_engine_and_changes_no_file(tmp_path: Path) -> None:
    run = new_run(tmp_path, "evaluation.benchmarks=[humaneval]", "evaluation.n_tasks=2")
    await run_pipeline(run)
    before, again = shards(run.path), components(run, {})
    await run_pipeline(run, again)
    assert (again.opened, shards(run.path)) == (0, before)


BODIES = ["solutions.prefill=signature", "solutions.greedy=true",
          "solutions.forms=[statement, docstring, request]"]  # fmt: skip


async def test_a_run_samples_and_learns_bodies_alone_with_prompts_of_several_forms(
    tmp_path: Path,
) -> None:
    # With this seed the five problems have all three forms.
    more = ["seed=1", "problems.n=5", "consolidation.iterations=1"]
    run, engine = new_run(tmp_path, *BODIES, *more), Bodies()
    await run_pipeline(run, components(run, {0: engine}))
    assert engine.asked == {"Write", "Complete", "I"}
    assert len(run.greedy(0).rows()) == 5
    interfaces = {a.problem.id: a.problem.interface for a in run.attempts.rows() if a.problem}
    selected = {candidate.id: candidate for candidate in run.selected(0)}
    assert run.examples(0).rows()
    for example in run.examples(0).rows():
        source = interfaces[example.problem_id].source
        assert example.prefill == f"```python\n{source}"
        assert example.completion == f"{selected[example.candidate_id].completion}\n```"
        assert not example.completion.startswith("def") and example.completion.startswith("    ")


async def test_whatever_reads_a_run_copes_with_an_execution_that_no_candidate_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / "with", tmp_path / "without"]
    pages, shown, summaries = [], [], []
    for folder, greedy in zip(folders, ("true", "false"), strict=True):
        run = new_run(folder, *BODIES, f"solutions.greedy={greedy}", "consolidation.iterations=1")
        await run_pipeline(run, components(run, {0: Bodies()}))
        summaries.append(summarise(run))
        for selection in run.selections(0).rows():
            print_problem(run.path, selection.problem_id, 0, False, PlainConsole())
        shown.append(capsys.readouterr().out)
        pages.append(write_report(run).read_text("utf-8"))
        tasks = list(tasks_of(pools_of_run(run, 0), has_truth=False))
        assert all(len(task.votes.programs) <= len(set(task.programs_N)) for task in tasks)
        assert export_examples(run.path, folder / "pairs.jsonl", None)
    (with_,), (without,) = (summary.iterations for summary in summaries)
    executions = [Run.open(folder / "run").executions(0).rows() for folder in folders]
    assert len(executions[0]) == len(executions[1]) + 3
    # Counts of candidates and their programs are the same; the tokens are not.
    assert (with_.n_greedy, without.n_greedy) == (3, 0)
    assert with_.tokens > without.tokens
    same = dataclasses.replace(with_, n_greedy=0, tokens=without.tokens)
    assert repr(same) == repr(without)  # undefined numbers are NaN
    assert shown[0] == shown[1] and "alone" not in shown[0]
    assert "alone" not in pages[0]


@pytest.mark.parametrize("n_requests", [2, 12, 16, 20])
async def test_a_run_whose_engine_broke_is_resumed_to_the_same_records(
    tmp_path: Path, n_requests: int
) -> None:
    undisturbed, run = new_run(tmp_path / "a"), new_run(tmp_path / "b")
    await run_pipeline(undisturbed)
    with pytest.raises(EngineError, match="the engine broke"):
        await run_pipeline(run, components(run, {0: Failing(n_requests)}))
    stopped = [time for time in run.journal.times() if not time.finished]
    assert len(stopped) == 1
    await run_pipeline(run)
    assert tables(run.path) == tables(undisturbed.path)
    assert all(time.finished for time in run.journal.times())


async def test_a_run_ends_early_where_no_problem_is_accepted(tmp_path: Path) -> None:
    run = new_run(tmp_path, "problems.max_attempts=5")
    refusing = Rewriting("Invent one new", "I would rather not.")
    with pytest.raises(NothingToDo, match=r"no problem was accepted in 5 attempts.*ucoder status"):
        await run_pipeline(run, components(run, {0: refusing}))
    assert [attempt.reason for attempt in run.attempts.rows()] == ["malformed_problem"] * 5
    assert not run.suites.keys() and not run.iterations()


async def test_a_run_ends_where_no_problem_of_the_first_iteration_reaches_a_consensus(
    tmp_path: Path,
) -> None:
    run = new_run(tmp_path, "solutions.tau=8")
    with pytest.raises(NothingToDo, match="iteration 0: no problem has a program that consensus"):
        await run_pipeline(run)
    assert not run.checkpoints.keys()
    assert {selection.reason for selection in run.selections(0).rows()} == {"no_consensus"}


async def test_nothing_selected_at_a_later_iteration_keeps_the_model_before_it(
    tmp_path: Path,
) -> None:
    run = new_run(tmp_path)
    silent = Rewriting("", "no code at all {i}")
    with pytest.raises(NothingToDo, match="iteration 1: no problem has a program that consensus"):
        await run_pipeline(run, components(run, {1: silent}))
    assert [checkpoint.iteration for checkpoint in run.checkpoints.rows()] == [0]
    assert len(run.selections(1).rows()) == 3 and not run.examples(1).rows()


async def test_a_run_for_its_data_alone_trains_and_scores_no_further_model(tmp_path: Path) -> None:
    data_alone = ["consolidation.provider=none", "consolidation.iterations=1"]
    run, told = new_run(tmp_path, *data_alone), Told()
    await run_pipeline(run, progress=told)
    assert told.stages == ["problems", "test_inputs", "solutions 0"]
    assert run.examples(0).rows() and not run.checkpoints.keys()


async def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with run.writing(), pytest.raises(RunLocked, match="another process is writing"):
        await run_pipeline(run)


@pytest.mark.parametrize(("kind", "is_chat"), [("auto", True), ("chat", True), ("base", False)])
async def test_a_model_is_asked_and_trained_as_its_kind_says_and_the_manifest_records_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_chat: bool
) -> None:
    jobs: list[TrainingJob] = []
    train = ScriptedTrainer.train

    async def noting(self: ScriptedTrainer, job: TrainingJob, on_step: Any) -> TrainingResult:
        jobs.append(job)
        return await train(self, job, on_step)

    monkeypatch.setattr(ScriptedTrainer, "train", noting)
    run = new_run(tmp_path, f"model_kind={kind}")
    await run_pipeline(run)
    assert [job.is_chat for job in jobs] == [is_chat, is_chat]
    # Training begins where sampling began: with the prefill.
    assert all(example.prefill for job in jobs for example in job.examples)
    manifest = Run.open(run.path).manifest
    assert manifest.engine["is_chat"] == manifest.model["is_chat"] == is_chat
    assert Run.open(run.path).config.model_kind == kind


@pytest.mark.parametrize("provider", ["openvino", "transformers", "vllm", "openai", "scripted"])
@pytest.mark.parametrize("kind", ["auto", "base"])
def test_every_engine_asks_a_model_as_its_kind_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, kind: str
) -> None:
    monkeypatch.setattr("ucoder.components.openvino_export", lambda *_, **__: tmp_path)
    values = {
        "engine": {"provider": provider, "batching": "static", "server": {"url": "http://x/v1"}},
        "consolidation": {"provider": "none", "iterations": 1},
        "model_kind": kind,
    }
    made = Components(RunConfig.model_validate(values))
    chat = Model("m", tmp_path, "0", None, Origin.SERVER, True)
    monkeypatch.setattr(Components, "_resolved", lambda *_: chat)
    engine: Any = made.engine(made.model("m"))
    asked = engine.engine._settings["is_chat"] if provider == "vllm" else engine.info.is_chat
    assert asked == (kind == "auto")


def test_a_servers_model_may_be_asked_as_a_base_model() -> None:
    values = {
        "engine": {"provider": "openai", "server": {"url": "http://x/v1"}},
        "consolidation": {"provider": "none", "iterations": 1},
    }
    asked = [
        Components(RunConfig.model_validate({**values, "model_kind": kind})).model("their-model")
        for kind in ("auto", "chat", "base")
    ]
    assert [model.is_chat for model in asked] == [True, True, False]


@pytest.mark.parametrize(
    "table", ["attempts", "suites", "candidates/iteration-0", "executions/iteration-0",
              "greedy/iteration-0", "selections/iteration-0"],
)  # fmt: skip
async def test_the_work_in_a_shard_that_was_moved_away_is_done_again(
    tmp_path: Path, table: str
) -> None:
    run = new_run(tmp_path, "consolidation.iterations=1", "solutions.greedy=true")
    await run_pipeline(run)
    before = tables(run.path)
    damaged = sorted((run.path / "tables" / table).glob("*.parquet"))[0]
    damaged.unlink()
    await run_pipeline(Run.open(run.path))
    assert damaged.exists() and tables(run.path) == before
    assert summarise(run).missing == ()


async def test_what_ended_a_run_is_told_by_its_state(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with pytest.raises(EngineError):
        await run_pipeline(run, components(run, {0: Failing(4)}))
    state = Run.open(run.path).state()
    assert state.phase == "failed" and state.error.startswith("EngineError: ")
    assert "Traceback" in run.log.path.read_text()
    await run_pipeline(Run.open(run.path))
    assert Run.open(run.path).state().phase == "finished"


async def test_an_error_before_any_work_is_told_as_well(tmp_path: Path) -> None:
    run = new_run(tmp_path, "model=/nonexistent/model", "engine.provider=openvino")
    with pytest.raises(ModelError):
        await run_pipeline(run)
    state = Run.open(run.path).state()
    assert state.phase == "failed" and "/nonexistent/model" in state.error

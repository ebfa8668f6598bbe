"""Putting a benchmark to a model: what is kept, in which order, and what is not repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ucoder.engines.protocol import Completion, EngineInfo, Prompt, Request
from ucoder.engines.scripted import Script, ScriptedEngine
from ucoder.errors import BenchmarkError, EngineError
from ucoder.evaluation.grading import by_tests
from ucoder.evaluation.ledger import Ledger
from ucoder.evaluation.protocol import (
    Benchmark,
    Dataset,
    ExecutionRequirements,
    Grade,
    Grader,
    GradingContext,
    Task,
)
from ucoder.evaluation.records import Answer, GradeReason, Score
from ucoder.evaluation.running import Evaluation, choose_tasks, task_key
from ucoder.execution import Executor, open_executor
from ucoder.progress import Silent
from ucoder.runs.tables import _KEY as Key

N_TASKS = 7
RIGHT = "def tide(x):\n    return x + 1\n"
WRONG = "def tide(x):\n    return x - 1\n"


def load(path: Path | None) -> Dataset:
    tasks = (Task(f"Tide/{i}", f"Next number, task {i}.", "tide", {}) for i in range(N_TASKS))
    return Dataset(tuple(tasks), "invented", "ab")


async def grader(context: GradingContext) -> Grader:
    return by_tests(context, "tides", lambda task: "assert tide(1) == 2")


TIDES = Benchmark(
    name="tides",
    title="Tides",
    load=load,
    prompt=lambda task: Prompt(task.text),
    program=lambda task, text, is_chat: text,
    grader=grader,
    needs=ExecutionRequirements(),
)


class Listening(ScriptedEngine):
    """A scripted engine that remembers what it was asked."""

    def __init__(self, *answers: str, is_chat: bool = True) -> None:
        rules: Any = [{"when": [], "answers": list(answers)}]
        super().__init__(Script.model_validate({"rules": rules}))
        self.requests: list[Request] = []
        self._is_chat = is_chat

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, is_chat=self._is_chat)

    async def sample(self, request: Request) -> list[Completion]:
        self.requests.append(request)
        return await super().sample(request)


class Kept:
    """Tables in a folder."""

    def __init__(self, folder: Path) -> None:
        self._answers: Ledger[Answer] = Ledger(folder / "answers", Answer)
        self._scores: dict[str, Ledger[Score]] = {}
        self._folder = folder

    def answers(self, prompts: str) -> Ledger[Answer]:
        return self._answers

    def scores(self, benchmark: str) -> Ledger[Score]:
        if benchmark not in self._scores:
            self._scores[benchmark] = Ledger(self._folder / f"scores-{benchmark}", Score)
        return self._scores[benchmark]


def evaluation_of(
    benchmark: Benchmark = TIDES, n_tasks: int | None = 2, cache: Path = Path(), **settings: Any
) -> Evaluation:
    """An evaluation: one greedy answer a task, where the settings do not say otherwise."""

    def executor(needs: ExecutionRequirements) -> Executor:
        return open_executor(limits=needs.limits, n_workers=1, preload=needs.preload)

    greedy = {"n": 1, "temperature": 0.0, "top_p": 0.95, "max_tokens": None, "seed": 0}
    return Evaluation(
        tasks=choose_tasks(benchmark, n_tasks), open_executor=executor, cache=cache,
        max_concurrency=3, **{**greedy, **settings},
    )  # fmt: skip


async def put(
    folder: Path, engine: ScriptedEngine, benchmark: Benchmark = TIDES,
    n_tasks: int | None = 2, **settings: Any,
) -> list[Score]:  # fmt: skip
    evaluation = evaluation_of(benchmark, n_tasks, folder, **settings)
    async with engine:
        await evaluation.run(4, engine, Kept(folder), Silent())
    return evaluation.scores(Kept(folder), benchmark.name)


def graded_by(note: list[str], reasons: Mapping[str, GradeReason] | None = None) -> Any:
    """A benchmark's grader that writes down which programs it was given."""

    async def make(context: GradingContext) -> Grader:
        async def grade(task: Task, program: str) -> Mapping[str, Grade]:
            note.append(program)
            return {"tides": Grade((reasons or {}).get(program, GradeReason.PASSED))}

        return grade

    return make


async def test_right_answers_pass_and_wrong_ones_do_not(tmp_path: Path) -> None:
    right = await put(tmp_path / "right", Listening(RIGHT))
    assert [(row.model_index, row.passed, row.reason) for row in right] == [
        (4, True, GradeReason.PASSED)
    ] * 2
    wrong = await put(tmp_path / "wrong", Listening(WRONG))
    assert {row.reason for row in wrong} == {GradeReason.TESTS_FAILED}
    assert {row.passed for row in wrong} == {False}


async def test_answered_and_graded_tasks_are_not_repeated(tmp_path: Path) -> None:
    first = await put(tmp_path, Listening(RIGHT))
    note: list[str] = []
    engine = Listening(WRONG)
    again = await put(tmp_path, engine, replace(TIDES, grader=graded_by(note)))
    assert again == first
    assert (engine.requests, note) == ([], [])


async def test_more_tasks_of_the_same_benchmark_sample_only_what_is_new(tmp_path: Path) -> None:
    await put(tmp_path, Listening(RIGHT), n_tasks=1)
    engine = Listening(RIGHT)
    scores = await put(tmp_path, engine, n_tasks=N_TASKS)
    assert len(scores) == N_TASKS
    assert len(engine.requests) == N_TASKS - 1


async def test_after_a_kill_between_answer_and_score_only_grading_is_repeated(
    tmp_path: Path,
) -> None:
    async def broken(context: GradingContext) -> Grader:
        async def grade(task: Task, program: str) -> Mapping[str, Grade]:
            raise EngineError("the lights went out")

        return grade

    with pytest.raises(EngineError):
        await put(tmp_path, Listening(RIGHT), replace(TIDES, grader=broken), n_tasks=1)
    kept = Kept(tmp_path)
    assert [row.program for row in kept.answers("tides").get(task_key("Tide/0"))] == [RIGHT]
    assert kept.scores("tides").keys() == set()
    engine = Listening(WRONG)
    (score,) = await put(tmp_path, engine, n_tasks=1)
    assert engine.requests == []
    assert score.passed


async def test_benchmarks_with_the_same_prompts_share_answers(tmp_path: Path) -> None:
    await put(tmp_path, Listening(RIGHT))

    async def strict(context: GradingContext) -> Grader:
        return by_tests(context, "tides+", lambda task: "assert tide(2) == 4")

    plus = replace(TIDES, name="tides+", scores=("tides+",), prompts="tides", grader=strict)
    engine = Listening(WRONG)
    scores = await put(tmp_path, engine, plus)
    assert engine.requests == []
    assert {row.reason for row in scores} == {GradeReason.TESTS_FAILED}


async def test_equal_programs_of_a_task_are_graded_once_and_each_has_a_score(
    tmp_path: Path,
) -> None:
    note: list[str] = []
    benchmark = replace(TIDES, grader=graded_by(note, {WRONG: GradeReason.WRONG_OUTPUT}))
    scores = await put(
        tmp_path, Listening(RIGHT, WRONG), benchmark, n_tasks=1, n=12, temperature=0.8
    )
    assert sorted(note) == sorted({RIGHT, WRONG})
    assert [row.index for row in scores] == list(range(12))
    answers = Kept(tmp_path).answers("tides").get(task_key("Tide/0"))
    assert [row.passed for row in scores] == [row.program == RIGHT for row in answers]


async def test_each_task_has_its_own_reproducible_seed(tmp_path: Path) -> None:
    def seeds(engine: Listening) -> dict[str, int]:
        return {request.prompt.user: request.seed for request in engine.requests}

    one, same, other = Listening(RIGHT), Listening(RIGHT), Listening(RIGHT)
    await put(tmp_path / "one", one, n_tasks=3)
    await put(tmp_path / "same", same, n_tasks=N_TASKS)
    await put(tmp_path / "other", other, seed=1, n_tasks=3)
    assert len(set(seeds(one).values())) == 3
    assert seeds(one).items() <= seeds(same).items()
    assert not seeds(one).items() & seeds(other).items()


def test_greedy_decoding_has_no_nucleus_and_stops_where_the_benchmark_says() -> None:
    benchmark = replace(TIDES, chat_stop=("\n```\n",), base_stop=("\ndef ",), max_tokens=99)
    greedy = evaluation_of(benchmark).sampling(is_chat=True)
    assert (greedy.temperature, greedy.top_p, greedy.max_tokens) == (0.0, 1.0, 99)
    assert greedy.stop == ("\n```\n",)
    several = evaluation_of(benchmark, n=2, temperature=0.8, max_tokens=5)
    drawn = several.sampling(is_chat=False)
    assert (drawn.top_p, drawn.max_tokens, drawn.stop) == (0.95, 5, ("\ndef ",))


def test_subsets_are_fixed_and_spread() -> None:
    def ids(n: int | None) -> list[str]:
        return [task.id for task in choose_tasks(TIDES, n).tasks]

    assert ids(None) == ids(N_TASKS) == [f"Tide/{i}" for i in range(N_TASKS)]
    assert ids(3) == ids(3) == ["Tide/0", "Tide/2", "Tide/4"]
    assert len(choose_tasks(TIDES, 3).dataset.tasks) == N_TASKS
    with pytest.raises(BenchmarkError, match=f"n_tasks=8: Tides has {N_TASKS} tasks"):
        choose_tasks(TIDES, N_TASKS + 1)


async def test_a_benchmark_in_words_is_refused_for_a_base_model(tmp_path: Path) -> None:
    spoken = replace(TIDES, base_models=False)
    engine = Listening(RIGHT, is_chat=False)
    with pytest.raises(BenchmarkError, match=r"Tides asks in words .*model_kind=base"):
        await put(tmp_path, engine, spoken)
    assert engine.requests == []
    assert len(await put(tmp_path, Listening(RIGHT), spoken)) == 2


@pytest.mark.parametrize("reason", [GradeReason.SANDBOX_FAILED, GradeReason.MISSING_LIBRARY])
async def test_a_sample_that_was_not_run_has_no_verdict(
    tmp_path: Path, reason: GradeReason
) -> None:
    benchmark = replace(TIDES, grader=graded_by([], {RIGHT: reason}))
    scores = await put(tmp_path, Listening(RIGHT), benchmark)
    assert {(row.passed, row.reason) for row in scores} == {(None, reason)}


async def test_what_was_not_run_is_graded_again_without_asking_the_model(tmp_path: Path) -> None:
    lacking = replace(TIDES, grader=graded_by([], {RIGHT: GradeReason.MISSING_LIBRARY}))
    await put(tmp_path, Listening(RIGHT), lacking)
    tables, evaluation = Kept(tmp_path), evaluation_of(TIDES, 2, tmp_path)
    not_run = evaluation.not_run(tables)
    assert [task.id for task in not_run] == ["Tide/0", "Tide/3"] and not evaluation.missing(tables)
    await evaluation.grade_again(4, not_run, tables, Silent())  # the library was installed
    assert [row.passed for row in evaluation.scores(Kept(tmp_path), "tides")] == [True, True]
    assert evaluation.not_run(Kept(tmp_path)) == []


async def test_a_lost_answer_of_a_run_stays_lost(tmp_path: Path) -> None:
    lost = replace(TIDES, grader=graded_by([], {RIGHT: GradeReason.NO_COMPLETION}))
    await put(tmp_path, Listening(RIGHT), lost)
    assert evaluation_of(TIDES, 2, tmp_path).not_run(Kept(tmp_path)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("lists/1-sum", "lists-1/sum"),
        ("a/b", "a-b"),
        ("a b", "a?b"),
        ("é", "è"),
        ("x" * 101, "x" * 102),
        ("a/b", task_key("a/b")),
        ("1", "1/"),
    ],
)
def test_two_ids_never_share_a_key(one: str, other: str) -> None:
    assert task_key(one) != task_key(other)


def test_tasks_of_any_name_have_keys_that_are_file_names() -> None:
    ids: Sequence[str] = ["Tide/0", "a b", "x" * 101, "../up", "", "潮", "line\n"]
    keys = [task_key(task_id) for task_id in ids]
    assert len(set(keys)) == len(ids)
    assert keys[0].startswith("Tide-0-") and task_key("Tide_0") == "Tide_0"
    assert all(Key.fullmatch(key) for key in keys)


async def test_a_wrong_program_is_not_scored_as_its_neighbours_right_one(tmp_path: Path) -> None:
    ids = ("lists/1-sum", "lists-1/sum")
    two = Dataset(tuple(Task(one, f"Task {one}.", "tide", {}) for one in ids), "own", "ab")
    rules: Any = [{"when": [ids[0]], "answers": [RIGHT]}, {"when": [], "answers": [WRONG]}]
    engine = ScriptedEngine(Script.model_validate({"rules": rules}))
    scores = await put(tmp_path, engine, replace(TIDES, load=lambda path: two))
    assert [(row.task_id, row.passed) for row in scores] == [(ids[0], True), (ids[1], False)]


def test_integer_ids_are_taken_as_their_digits_and_other_ids_refused() -> None:
    ids: list[Any] = [7, "x", None, 1.5, True]
    assert [Task(one, "", "", {}).id for one in ids[:2]] == ["7", "x"]
    for one in ids[2:]:
        with pytest.raises(TypeError, match="a task's id must be a text or an integer"):
            Task(one, "", "", {})


@pytest.mark.parametrize(
    ("ids", "message"),
    [((), "has no tasks"), (("a", "b", "a"), "several tasks of the id 'a'"),
     ((1, "1"), "several tasks of the id '1'")],
)  # fmt: skip
def test_a_benchmark_without_tasks_or_with_two_of_one_id_is_refused(
    ids: tuple[Any, ...], message: str
) -> None:
    tasks = tuple(Task(one, "", "tide", {}) for one in ids)
    with pytest.raises(BenchmarkError, match=message):
        choose_tasks(replace(TIDES, load=lambda path: Dataset(tasks, "own", "ab")))


FENCED = (
    'def tide(x):\n    """Doc:\n```\ntide(1)\n```\n\nprint(tide(1))\n    """\n    return x + 1\n'
)


@pytest.mark.parametrize("is_chat", [True, False])
async def test_a_stop_string_in_a_docstring_does_not_cut_the_program(
    tmp_path: Path, is_chat: bool
) -> None:
    benchmark = replace(
        TIDES,
        prompt=lambda task: Prompt(task.text, "```python\n", plain="# Next number.\n"),
        chat_stop=("\nprint(", "\n```\n"),
        base_stop=("\nprint(", "\n```\n"),
    )
    engine = Listening(f"{FENCED}```\nDone.\nprint(1)\n", is_chat=is_chat)
    scores = await put(tmp_path, engine, benchmark, n_tasks=1)
    assert [score.passed for score in scores] == [True]
    assert [
        answer.program for answer in Kept(tmp_path).answers("tides").get(task_key("Tide/0"))
    ] == [FENCED.rstrip()]
    assert len(engine.requests) == 4  # the first, and one after each stop string in the docstring

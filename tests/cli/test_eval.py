"""`ucoder eval` as a new user would try it: files, options and changes that could go unnoticed."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from ucoder.cli.evaluation_config import evaluation_config

OWN = """\
from pathlib import Path

from ucoder.engines.protocol import Prompt
from ucoder.evaluation import Benchmark, Task
from ucoder.evaluation.cutting import sanitize
from ucoder.evaluation.data import make_dataset, read_rows
from ucoder.evaluation.grading import by_tests


def load(path):
    path = path or Path(__file__).with_name("questions.jsonl")
    rows, sha256 = read_rows(path)
    return make_dataset(path, rows, sha256, "our questions", make_task)


def make_task(row):
    return Task(row["id"], row["question"], row["function"], {"tests": row["tests"]})


async def grader(context):
    return by_tests(context, "interview", lambda task: task.fields["tests"])


BENCHMARK = Benchmark(
    name="interview", title="Interview", load=load,
    prompt=lambda task: Prompt(task.text),
    program=lambda task, text, is_chat: sanitize(text, task.entry_point),
    grader=grader,
)
"""
ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"


def question(name: Any, tests: str = "assert add(1, 2) == 3", **changed: Any) -> dict[str, Any]:
    return {"id": name, "question": f"Add {name}.", "function": "add", "tests": tests, **changed}


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Desk:
    """A folder with a benchmark of our own, where commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "interview.py").write_text(OWN)
        written(folder / "questions.jsonl", question("A"), question("B"))

    def ucoder(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "UCODER_CACHE": str(self.folder / "cache"), "COLUMNS": "250"}
        return subprocess.run(
            [sys.executable, "-m", "ucoder", *arguments],
            capture_output=True, text=True, cwd=self.folder, env=environment,
        )  # fmt: skip

    def samples(self, *rows: tuple[Any, str | None]) -> str:
        lines = [{"task_id": name, "solution": program} for name, program in rows]
        return str(written(self.folder / "samples.jsonl", *lines))

    def scored(self, samples: str, *options: str) -> Any:
        done = self.ucoder("eval", "--samples", samples, "-b", "interview.py", "--json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str) -> str:
        done = self.ucoder("eval", *arguments)
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
        return " ".join(done.stderr.replace("│", " ").split())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_k_follows_from_the_samples_of_each_task(desk: Desk) -> None:
    ten = desk.samples(*[(name, ADD) for name in "AB" for _ in range(10)])
    (score,) = desk.scored(ten)["scores"]
    assert [(at["k"], at["value"]) for at in score["pass_at"]] == [(1, 1.0), (10, 1.0)]
    two = desk.samples(("A", ADD), ("A", WRONG), ("B", WRONG), ("B", WRONG))
    (score,) = desk.scored(two, "--k", "1,2")["scores"]
    assert [(at["k"], at["value"]) for at in score["pass_at"]] == [(1, 0.25), (2, 0.5)]
    assert [at["k"] for at in desk.scored(two)["scores"][0]["pass_at"]] == [1]


def test_too_few_samples_for_k_are_refused_by_the_tasks_name_before_grading(desk: Desk) -> None:
    uneven = desk.samples(("A", ADD), ("A", ADD), ("B", WRONG))
    said = desk.refused("--samples", uneven, "-b", "interview.py", "--k", "1,2")
    assert "n=1 samples is less than k=2: pass@2 is undefined for the task B;" in said
    assert not (desk.folder / "cache" / "evaluation" / "scores").exists()
    notes = desk.scored(uneven)["notes"]["interview"]
    assert notes[0] == "3 samples for 2 tasks, unevenly: 1 (B) to 2 (A) a task"


def test_where_nothing_was_run_nothing_is_a_number(desk: Desk) -> None:
    own = OWN.replace("return by_tests(", "return not_run or by_tests(") + (
        "\nfrom ucoder.evaluation import Grade\n"
        "from ucoder.evaluation.records import GradeReason\n\n\n"
        "async def not_run(task, program):\n"
        "    return {'interview': Grade(GradeReason.MISSING_LIBRARY, 'no numpy')}\n"
    )
    (desk.folder / "interview.py").write_text(own)
    samples = desk.samples(("A", ADD), ("B", ADD))
    done = desk.ucoder("eval", "--samples", samples, "-b", "interview.py", "-o", "out")
    assert done.returncode == 0 and "2 not run, missing_library" in done.stdout
    compared = desk.ucoder("compare", "out", "out")
    assert compared.returncode == 0 and "no task was run for both" in compared.stdout
    assert "nan" not in (done.stdout + compared.stdout).lower()
    text = (desk.folder / "out" / "results.json").read_text()
    assert "NaN" not in text and json.loads(text)["scores"][0]["value"] is None


def test_results_say_how_many_of_the_tasks_they_are_of(desk: Desk) -> None:
    written(desk.folder / "questions.jsonl", *[question(f"q{at}") for at in range(20)])
    samples = desk.samples(*[(f"q{at}", ADD) for at in range(8)])
    done = desk.ucoder("eval", "--samples", samples, "-b", "interview.py", "-o", "out")
    assert "8 of 20" in done.stdout and "samples for 8 of 20 tasks" in done.stdout
    (score,) = json.loads((desk.folder / "out" / "results.json").read_text())["scores"]
    assert (score["scope"], score["n_tasks"]) == ("8 of 20 tasks", 8)
    (score,) = desk.scored(samples, "--n-tasks", "5")["scores"]
    assert score["scope"] == "2 of 20 tasks"  # of q0, q4, q8, q12 and q16 the file has two


def test_every_column_of_the_scores_has_a_heading(desk: Desk) -> None:
    samples = desk.samples(("A", ADD), ("B", WRONG))
    lines = desk.ucoder("eval", "--samples", samples, "-b", "interview.py").stdout.splitlines()
    heading = next(line for line in lines if "pass@1" in line)
    row = next(line for line in lines if "50.0%" in line)
    names = [cell.strip() for cell in re.split("[┃│]", heading)[1:-1]]
    cells = [cell.strip() for cell in re.split("[┃│]", row)[1:-1]]
    assert all(names) and len(names) == len(cells)
    found = dict(zip(names, cells, strict=True))
    assert (found["tasks"], found["pass@1"], found["passed"]) == ("2", "50.0%", "1/2")


def test_a_file_with_a_bom_a_null_and_integer_ids_loses_the_null_alone(desk: Desk) -> None:
    written(desk.folder / "questions.jsonl", question(1), question(2))
    lines = Path(desk.samples((1, ADD), (2, None), (2, WRONG))).read_bytes()
    packed = desk.folder / "samples.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + lines))
    said = desk.scored(str(packed))
    assert said["scores"][0]["tasks"] == {"1": [True], "2": [False]}
    assert any(
        "1 lines are left out: line 2: solution is null" in n for n in said["notes"]["interview"]
    )


def test_a_program_that_does_not_compile_is_said_not_to(desk: Desk) -> None:
    fenced, broken = f"```python\n{ADD}```\n", "def add(a, b) return a + b"
    samples = desk.samples(("A", fenced), ("B", broken))
    (score,) = desk.scored(samples)["scores"]
    assert score["tasks"] == {"A": [True], "B": [False]}
    assert score["failures"] == {"does_not_compile": 1}
    raised = "def add(a, b):\n    return eval('1 +')\n"  # a failure of the test, not to compile
    assert desk.scored(desk.samples(("A", raised)))["scores"][0]["failures"] == {"tests_failed": 1}


def test_other_tests_change_the_verdict_on_the_same_samples(desk: Desk) -> None:
    samples = desk.samples(("A", ADD), ("B", ADD))
    assert desk.scored(samples)["scores"][0]["value"] == 1.0
    written(desk.folder / "questions.jsonl", question("A", "assert add(1, 2) == 4"), question("B"))
    assert desk.scored(samples)["scores"][0]["tasks"] == {"A": [False], "B": [True]}


def test_another_wording_is_asked_of_the_model_again(desk: Desk) -> None:
    script = "rules:\n  - {when: [Subtract], answers: ['def add(a, b):\\n    return a - b']}\n"
    script += "  - {when: [], answers: ['def add(a, b):\\n    return a + b']}\n"
    (desk.folder / "script.yaml").write_text(script.replace("'def", '"def').replace("']", '"]'))
    command = (
        "eval", "scripted", "--engine", "scripted", "--set", "engine.script=script.yaml",
        "-b", "interview.py", "--json",
    )  # fmt: skip
    first = json.loads(desk.ucoder(*command).stdout)["scores"][0]
    assert first["tasks"] == {"A": [True], "B": [True]}
    changed = question("A", question="Subtract b from a.")
    written(desk.folder / "questions.jsonl", changed, question("B"))
    for option in ([], ["--again"]):
        done = desk.ucoder(*command, *option)
        assert json.loads(done.stdout)["scores"][0]["tasks"] == {"A": [False], "B": [True]}


def test_data_that_are_named_are_read(desk: Desk) -> None:
    other = written(desk.folder / "q2.jsonl", question("A", "assert add(1, 2) == -1"))
    samples = desk.samples(("A", ADD))
    for named in ("q2.jsonl", "interview=q2.jsonl", f"interview.py={other}"):
        (score,) = desk.scored(samples, "--data", named)["scores"]
        assert (score["tasks"], score["scope"]) == ({"A": [False]}, "1 tasks")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "foo=nosuch"], "foo is not asked, only interview; write interview=nosuch"),
        (["--data", "humaneval=x.jsonl"], "humaneval is not asked, only interview"),
        (["--data", "interview=a", "--data", "interview=b"], "names a benchmark twice"),
        (["--data", "interview=a", "--data", "interview.py=b"], "are named twice"),
        (["my/model"], "MODEL has no effect beside --samples"),
        (["-n", "4", "--temperature", "0.5"], "--n, --temperature has no effect beside --samples"),
        (["--engine", "vllm"], "--engine has no effect beside --samples"),
        (["--set", "engine.server.url=http://x"], "the samples are made already"),
        (["--set", "evaluation.top_p=0.5"], "the samples are made already"),
        (["--set", "evaluation.k=[1]"], "write --k"),
        (["--list"], "--benchmark, --samples has no effect beside --list"),
        (["-o", "interview.py"], "a file is where a folder is needed"),
        (["-o", "interview.py/below"], "a part of the path is a file"),
    ],
)
def test_what_would_be_ignored_or_fail_later_is_refused_before_grading(
    desk: Desk, options: list[str], message: str
) -> None:
    said = desk.refused("--samples", desk.samples(("A", ADD)), "-b", "interview.py", *options)
    assert message in said
    assert not (desk.folder / "cache" / "evaluation" / "scores").exists()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("problems.n=5", "it uses engine"),
        ("consolidation.learning_rate=0.1", "it uses engine"),
        ("executor.call_timeout_s=3", "limits of programs are the benchmark's own"),
        ("max_concurrency=3", "it uses engine"),
        ("engine.server.url=http://x/v1", "it is for --engine openai"),
        ("engine.vllm.tensor_parallel=2", "it is for --engine vllm"),
        ("evaluation.livecodebench.release=release_v5", "it is for --benchmark livecodebench"),
        ("evaluation.server_url=http://x", "it is for --benchmark fullstackbench"),
        ("evaluation.top_p=0.5", "greedy decoding has no nucleus"),
        ("evaluation.data.humaneval=x", "write --data name=FILE"),
        ("model=other", "write MODEL"),
    ],
)
def test_settings_that_have_no_effect_on_a_models_score_are_refused(
    setting: str, reason: str
) -> None:
    with pytest.raises(typer.BadParameter, match=reason):
        evaluation_config("my/model", None, {"benchmarks": ["humaneval"]}, [setting], False)


def test_a_servers_model_is_evaluated_without_settings_of_training() -> None:
    settings = ["engine.server.url=http://localhost:8000/v1", "evaluation.max_tokens=99"]
    config = evaluation_config("my/model", "openai", {"benchmarks": ["mbpp"]}, settings, False)
    assert config.engine.server.url and config.evaluation.max_tokens == 99
    settings += ["engine.provider=openai", "executor=landlock", "seed=3", "model_kind=base"]
    assert evaluation_config("m", None, {"benchmarks": ["mbpp"]}, settings, False).seed == 3


@pytest.mark.parametrize(("n", "ks"), [(1, (1,)), (9, (1,)), (10, (1, 10)), (200, (1, 10, 100))])
def test_k_of_a_model_follows_from_its_samples(n: int, ks: tuple[int, ...]) -> None:
    values = {"benchmarks": ["mbpp"], "n": n, "temperature": 0.8}
    assert evaluation_config("m", None, values, [], False).evaluation.k == ks

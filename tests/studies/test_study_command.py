"""`ucoder study` on a small file, executed in the real sandbox, and on a run."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder.config import RunConfig
from ucoder.records import Attempt, Interface, Parameter, Problem, TestSuite
from ucoder.runs import Run

from .cases import pool

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

ENDINGS = ("parquet", "csv", "json", "png", "svg")
TASK = {
    "prompt": "def square(x: int) -> int:\n    '''x times x.'''\n",
    "entry_point": "square",
    "candidate_bodies": ["    return x * x\n", "    return x ** 2\n", "    return x + x\n",
                         "    return x * abs(x)\n", "    return x * x * 1\n"],
    "generated_test_texts": ["square(2) == 4\nassert square(5) == 25\nassert square(-3) == 9\n"],
    "test": "def check(f):\n    assert f(7) == 49\n    assert f(-2) == 4\n",
}  # fmt: skip
TASKS = [{"task_id": "Square/1", **TASK}, {"task_id": "Square\ud800/2", **TASK}]


def ucoder(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ucoder", *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "squares.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(task) for task in TASKS).encode()))
    return path


@pytest.mark.parametrize("name", ["selection", "coverage", "samples", "adversary"])
def test_every_study_of_a_file_writes_all_files(name: str, data: Path, tmp_path: Path) -> None:
    cache = data.parent / "cache"
    done = ucoder("study", name, data, "-o", tmp_path, "--cache", cache, "-s", "consensus",
                  "-s", "agreement", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_tasks"] == 2
    written = {path.name for path in tmp_path.iterdir()}
    assert {f"{name}.{ending}" for ending in ENDINGS} <= written
    assert len(list(cache.glob("*.parquet"))) == 2
    shown = ucoder("study", name, data, "-o", tmp_path, "--cache", cache, "--tasks", 1)
    assert shown.returncode == 0, shown.stderr
    assert "agreement" in shown.stdout and "95% intervals" in shown.stdout


def test_the_known_answers_are_studied_by_their_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ucoder", "study", "selection", "known-answers", "--tasks", "1",
         "--cache", "cache", "-s", "consensus", "--json"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["random"]["n"] == 1
    assert (tmp_path / "studies" / "known-answers" / "selection.csv").exists()


def test_the_benchmark_ends_with_the_best_selector(data: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "selection.py"
    done = subprocess.run(
        [sys.executable, str(script), str(data), "--cache", str(data.parent / "cache")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"best=\w+ pass_at_1=\d+\.\d\d", lines[-1])
    assert lines[-1] == "best=agreement pass_at_1=100.00"
    assert any(line.startswith("random ") and "60.0 [" in line for line in lines)
    assert any(line.startswith("oracle ") and "100.0 [" in line for line in lines)


def test_a_run_is_studied_without_pass_at_1(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", RunConfig(model="m"))
    made = pool({"a": [0, 1, 4], "b": [0, 1, 8]}, {"a": 3, "b": 2}, None, task_id="p")
    interface = Interface("f", (Parameter("x", "int"),), "int", "def f(x): ...")
    problem = Problem("p", "", "", "", "", "", "", 10.0, "", interface)
    run.attempts.put("p", [Attempt(0, 0, "", "", problem, None, "", "", "", "", 0, 0, 0)])
    run.suites.put("p", [TestSuite("p", made.inputs, (), None, 0)])
    run.candidates(0).put("p", list(made.candidates))
    run.executions(0).put("p", list(made.executions))
    run.selections(0).put("p", [])
    done = ucoder("study", "selection", run.path, "-o", tmp_path / "out", "-s", "mbr_soft",
                  "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["oracle"]["value"] is None
    assert [row["inputs"] for row in summary["selectors"]] == ["selector", "all", "own"]
    for row in summary["selectors"]:
        assert row["pass_at_1"]["value"] is None and row["as_paper"]["value"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adversary", "{tmp}"], "give a file of samples"),
        (["selection", "{tmp}"], "holds no manifest.json"),
        (["selection", "{tmp}/none.jsonl.gz"], "none.jsonl.gz"),
    ],
)
def test_data_that_cannot_be_studied_are_refused_with_a_message(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = ucoder("study", *(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_help_names_the_studies() -> None:
    shown = ucoder("study", "--help").stdout
    assert all(name in shown for name in ("selection", "coverage", "samples", "adversary"))

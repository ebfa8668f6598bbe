"""The wheel, installed into an empty environment outside of the repository, works.

Dependencies come from the package index, pinned as in the repository, so this needs the index and
about a minute. What is built is a copy of the tree: building in place would leave files behind, and
files left behind by an older build would end up in the wheel.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ucoder"
EXECUTOR = """
import asyncio
from ucoder.execution import open_executor


async def main():
    async with open_executor() as executor:
        report = await executor.call("def f(x): return sorted(x)", "f", ["([3, 1],)", "(None,)"])
        print([outcome.kind.value for outcome in report.outcomes])
        check = await executor.check("def f(x): return sorted(x)", "assert f([2, 1]) == [1, 2]")
        print(check.verdict.value)


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what belongs to it."""
    source = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--wheel-dir", "dist", "."], cwd=source, check=True)
    (built,) = (source / "dist").glob("ucoder-*.whl")
    return built


class Environment:
    """An empty virtual environment, and commands that are run in it, away from the repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "env" / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)

    def install(self, requirement: str) -> None:
        pip = ["python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        self.run(*pip, "-c", str(ROOT / "constraints.txt"), requirement)

    def run(self, command: str, *arguments: str, fails: bool = False) -> str:
        """The output, standard error included; `fails` says whether an error is expected."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))
        }
        done = subprocess.run(
            [str(self.bin / command), *arguments],
            cwd=self.folder, env=kept, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert bool(done.returncode) == fails, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with nothing but what it depends on."""
    made = Environment(tmp_path_factory.mktemp("elsewhere"))
    made.install(str(wheel))
    return made


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = {
        f"ucoder/{path.relative_to(PACKAGE)}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= packed
    assert not [name for name in packed - files if not name.startswith("ucoder-")]


def test_nothing_is_imported_from_the_repository(environment: Environment) -> None:
    where = environment.run("python", "-c", "import ucoder; print(ucoder.__file__)").strip()
    assert Path(where).is_relative_to(environment.bin.parent)


def test_the_executor_needs_no_extra(environment: Environment) -> None:
    said = environment.run("python", "-c", EXECUTOR)
    assert said.splitlines() == ["['returned', 'raised']", "passed"]


def test_without_extras_a_run_without_benchmarks_ends_and_names_the_reports_extra(
    environment: Environment,
) -> None:
    said = environment.run(
        "ucoder", "run", "scripted", "evaluation.benchmarks=[]", "-o", "runs/bare"
    )
    assert 'pip install "ucoder[report]"' in said
    status = json.loads(environment.run("ucoder", "status", "runs/bare", "--json"))
    assert status


def test_what_needs_an_extra_names_it(environment: Environment) -> None:
    said = environment.run("ucoder", "run", "demo", "-o", "runs/demo", fails=True)
    assert 'pip install "ucoder[' in said
    assert "Traceback" not in said


def test_with_two_extras_the_scripted_preset_runs_whole(
    wheel: Path, environment: Environment
) -> None:
    environment.install(f"{wheel}[eval,report]")
    said = environment.run("ucoder", "run", "scripted", "-o", "runs/scripted")
    assert "report.html" in said
    scores = json.loads(environment.run("ucoder", "status", "runs/scripted", "--json"))["scores"]
    assert [(score["benchmark"], score["n_run"]) for score in scores] == [("humaneval", 8)] * 3
    assert (environment.folder / "runs" / "scripted" / "report.html").stat().st_size > 10_000

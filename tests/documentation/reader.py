"""A reader's folder: everything that documented commands take for granted, made small.

It looks like a checkout after `make setup`: `.venv/bin` holds `python` and `ucoder` of the Python
that runs the tests. Runs are scripted, benchmarks have two tasks, and nothing reaches a network.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ucoder.runs import Run

from .pages import ROOT, blocks

RUN = "runs/demo"
CHECKPOINT = "runs/tiny/checkpoints/iteration-0"
SAMPLES = "samples.jsonl.gz"
BENCHMARKS = ("data/humaneval.jsonl", "data/mbpp.jsonl", "data/bigcodebench.jsonl")
FUNCTION = "    return x * x\n"
TASK = {
    "prompt": "def square(x: int) -> int:\n    '''x times x.'''\n",
    "entry_point": "square",
    "candidate_bodies": [FUNCTION, "    return x ** 2\n", "    return x + x\n",
                         "    return x * abs(x)\n", "    return 2 * x\n"],
    "generated_test_texts": ["square(2) == 4\nassert square(5) == 25\nassert square(-3) == 9\n"],
    "test": "def check(f):\n    assert f(7) == 49\n    assert f(-2) == 4\n",
}  # fmt: skip
HOPELESS = {**TASK, "candidate_bodies": ["    return x + x\n", "    return x + 1\n"] * 2}
SETTINGS = """
model: scripted
engine: {provider: scripted}
problems: {n: 3}
test_inputs: {n: 20, n_completions: 1}
solutions: {n: 12, min_probability: 0.75}  # some problems are selected, some are not
consolidation: {provider: scripted, iterations: 1}
evaluation: {benchmarks: [humaneval], n_tasks: 2}
max_concurrency: 4
"""


class Reader:
    """A folder with what the pages speak of, and a shell in it.

    Args:
        folder: Where it is made, or lies.
        cache: Where ucoder keeps verdicts and rates.
        server: The address of a server that speaks OpenAI's protocol.
    """

    def __init__(self, folder: Path, cache: Path, server: str) -> None:
        self.folder = folder
        self._cache = cache
        self._server = server
        programs = f"{folder / '.venv' / 'bin'}:{Path(sys.executable).parent}"
        copies = dict(zip(("HUMANEVAL", "MBPP", "BIGCODEBENCH"), BENCHMARKS, strict=True))
        self._environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "UCODER_CACHE": str(cache),
            **{f"{name}_OVERRIDE_PATH": str(folder / path) for name, path in copies.items()},
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "200",
        }

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line as a reader's shell would, for ten minutes at most."""
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=600,
        )  # fmt: skip

    def copy(self, folder: Path) -> Reader:
        """The same in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Reader(folder, self._cache, self._server)

    def own(self, text: str) -> str:
        """A command or a snippet with the reader's own things in the place of what stands for them.

        That is words in capitals, `key=value`, and places outside of the folder.
        """
        problem = next(Run.open(self.folder / RUN).selected(0)).problem_id
        for pattern, name in (
            (r"\[PROBLEM\]|\bPROBLEM\b|\bID\b", problem),
            (r"(?<=--samples )FILE\b", "answers.jsonl"),
            (r"(?<=--data )FILE FILE FILE\b", " ".join(BENCHMARKS)),
            (r"\bFILE\.jsonl", "drawn.jsonl"),
            (r"(?<=FILE=)\.\.\.", SAMPLES),
            (r"(?<=[ \"])(FILE|DATA)\b(?!=)|(?<=DATA=)FILE\b", SAMPLES),
            (r"\bRUN/checkpoints/iteration-0\b", CHECKPOINT),
            (r"\bRUN\b", RUN),
            (r"\bMODEL\b", "qwen2.5-coder-0.5b-instruct"),
            (r"\bNEW\b", "runs/new"),
            (r"\bkey=value\b", "max_concurrency=2"),
            (r"/shared/runs/", "runs/"),
            (r"http://localhost:8000/v1", self._server),
        ):
            text = re.sub(pattern, name, text)
        return text

    def make(self, checkpoint: Path) -> None:
        """Fill the folder.

        Args:
            checkpoint: Real weights, which take the place of what a scripted run has trained.
        """
        self._copy_checkout()
        self._write_files()
        self._write_benchmarks()
        shutil.copytree(checkpoint, self.folder / CHECKPOINT)
        for command in (
            f"ucoder run my.yaml -o {RUN}",
            "ucoder eval any --engine scripted -b humaneval -o results/a",
            "cp -r results/a results/b",
        ):
            done = self.shell(command)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    def _copy_checkout(self) -> None:
        self.folder.mkdir(parents=True)
        for name in ("docs", "examples"):
            shutil.copytree(ROOT / name, self.folder / name)
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.folder)
        for name in ("src", "benchmarks"):
            (self.folder / name).symlink_to(ROOT / name)
        programs = self.folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, start in (("python", ""), ("ucoder", "-m ucoder ")):
            path = programs / name
            path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {start}"$@"\n')
            path.chmod(0o755)
        (programs.parent / ".complete").touch()

    def _write_files(self) -> None:
        (self.folder / "my.yaml").write_text(SETTINGS)
        (self.folder / "topics.txt").write_text("mathematics: primes\nstrings: palindromes\n")
        page = ROOT / "docs" / "evaluation.md"
        (self.folder / "interview.py").write_text(blocks(page, "python")[0])
        (self.folder / "questions.jsonl").write_text(blocks(page, "json")[0])
        (self.folder / "own.jsonl").write_text(blocks(ROOT / "docs" / "training.md", "json")[0])
        rows = [{"task_id": f"t/{n}", **(TASK if n % 3 else HOPELESS)} for n in range(6)]
        (self.folder / SAMPLES).write_bytes(
            gzip.compress("\n".join(map(json.dumps, rows)).encode())
        )
        for name, family in (("samples.jsonl", "Mbpp"), ("answers.jsonl", "HumanEval")):
            _write_rows(
                self.folder / name,
                [{"task_id": f"{family}/{n}", "solution": "def square(x):\n" + FUNCTION}
                 for n in (8, 9)],
            )  # fmt: skip

    def _write_benchmarks(self) -> None:
        (self.folder / "data").mkdir()
        for path, task in zip(
            BENCHMARKS,
            (partial(_evalplus_task, "HumanEval"), partial(_evalplus_task, "Mbpp"),
             _bigcodebench_task),
            strict=True,
        ):  # fmt: skip
            _write_rows(self.folder / path, [task(n) for n in (8, 9)])


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _evalplus_task(family: str, number: int) -> dict[str, Any]:
    """A task in EvalPlus's format."""
    return {
        "task_id": f"{family}/{number}",
        "prompt": 'def square(x):\n    """The square of a number."""\n',
        "entry_point": "square",
        "canonical_solution": FUNCTION,
        "base_input": [[1], [2]],
        "plus_input": [[-3]],
        "atol": 0,
    }


def _bigcodebench_task(number: int) -> dict[str, Any]:
    """A task in BigCodeBench's format."""
    signature = "import math\ndef task_func(x):"
    return {
        "task_id": f"BigCodeBench/{number}",
        "complete_prompt": f'{signature}\n    """\n    The square root.\n    """\n',
        "instruct_prompt": f"Give the square root. Start with:\n```\n{signature}\n```",
        "canonical_solution": "    return math.sqrt(x)",
        "code_prompt": f"{signature}\n",
        "test": "import unittest\nclass TestCases(unittest.TestCase):\n"
        "    def test_four(self):\n        self.assertEqual(task_func(4), 2)\n",
        "entry_point": "task_func",
        "doc_struct": "{}",
        "libs": "['math']",
    }

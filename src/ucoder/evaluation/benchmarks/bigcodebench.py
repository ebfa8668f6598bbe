"""BigCodeBench (Zhuo et al. 2024), Complete and Instruct, Full and Hard, as its package 0.2.5 does.

The same prompts, cutting, "calibration" (the task's bare signature precedes the program)
and harness (`_unittest_script`), in the sandbox. Departures, and limits:

- The package waits 240 s for a program, this module `TIMEOUT_S`; few solutions take seconds.
- A chat model's answer also ends at the end of its code block, which saves sampling the explanation
  after it. The package stops there only where the prefill itself holds the fence.
- An answer without a program fails; the package runs the tests on the bare signature.
- A task whose own solution does not pass here (a library, its version, data or the network is
  missing) is not run; the package counts it as failed.
- The tests patch names of the program, so both share one process, and a program that is written to
  cheat can forge its verdict, or answer with objects that equal everything.

Programs see the libraries that are installed beside this package:
`pip install "ucoder[bigcodebench]"`.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

from ucoder.engines.protocol import Prompt
from ucoder.errors import BenchmarkError
from ucoder.evaluation.benchmarks import _unittest_script
from ucoder.evaluation.benchmarks.evalplus import CHAT_STOP, HUMANEVAL_STOP, INSTRUCTION, PREFILL
from ucoder.evaluation.cutting import longest_program, program_text, reachable
from ucoder.evaluation.data import Row, chosen, find_data, make_dataset, read_rows, text_of
from ucoder.evaluation.grading import NO_PROGRAM, grade_of_check
from ucoder.evaluation.protocol import (
    Benchmark,
    Dataset,
    ExecutionRequirements,
    Grade,
    Grader,
    GradingContext,
    Task,
)
from ucoder.evaluation.reference_checks import ReferenceChecks, environment_fingerprint
from ucoder.execution.outcomes import CheckReport
from ucoder.execution.payload import library_folders
from ucoder.execution.protocol import Limits

Split = Literal["complete", "instruct"]
Subset = Literal["full", "hard"]

VERSION: Final = "v0.1.4"
N_TASKS: Final[dict[Subset, int]] = {"full": 1140, "hard": 148}
OVERRIDE: Final = "BIGCODEBENCH_OVERRIDE_PATH"
_FILE: Final = f"data/{VERSION}-00000-of-00001.parquet"
_HUB: Final[dict[Subset, tuple[str, str]]] = {
    "full": ("bigcode/bigcodebench", "b74c0d0bf70d2c0bc459be537895cca163007f1a"),
    "hard": ("bigcode/bigcodebench-hard", "298d2cc7b96612e15e47313c3603ee124cee0c1f"),
}

TIMEOUT_S: Final = 120.0
"""For a program and its tests: some solutions take half a minute on a busy machine."""

REQUIREMENTS: Final = ExecutionRequirements(
    Limits(
        call_timeout_s=TIMEOUT_S,
        program_timeout_s=TIMEOUT_S,
        memory_limit_mib=4096,
        n_processes=128,
        file_size_mib=256,
    ),
    preload="data",
)

_FIELDS: Final = (
    *("complete_prompt", "instruct_prompt", "code_prompt"),
    *("canonical_solution", "test"),
)
_PLACES: Final = (".", "share", "lib")
_HARNESS: Final = Path(_unittest_script.__file__).read_text(encoding="utf-8")
_FAILED: Final = re.compile(r"(?s)(?:__main__\.)?TestsFailed: (.*?)(?: \(line \d+\))?")


def bigcodebench(split: Split, subset: Subset) -> Benchmark:
    """One of the four benchmarks: code to complete or words, all tasks or the 148 hard ones.

    The hard tasks are among all tasks and share their answers.
    """
    prompts = f"bigcodebench-{split}"
    name = prompts if subset == "full" else f"{prompts}-hard"
    title = f"BigCodeBench-{split.capitalize()}"
    return Benchmark(
        name=name,
        title=title if subset == "full" else f"{title} (Hard)",
        load=partial(load, split, subset),
        prompt=complete_prompt if split == "complete" else instruct_prompt,
        program=program,
        grader=partial(make_grader, name),
        chat_stop=CHAT_STOP,
        base_stop=HUMANEVAL_STOP,
        needs=REQUIREMENTS,
        prompts=prompts,
        max_tokens=1280,
        base_models=split == "complete",
    )


def load(split: Split, subset: Subset, path: Path | None) -> Dataset:
    """Read the tasks from `path`, else from $BIGCODEBENCH_OVERRIDE_PATH, else from the hub.

    Raises:
        BenchmarkError: The data are not available, or they are the other subset's.
    """
    local = chosen(path, OVERRIDE)
    repository, revision = _HUB[subset]
    found = find_data(path, OVERRIDE, repository, _FILE, revision)
    rows, sha256 = read_rows(found)
    title = "BigCodeBench" if subset == "full" else "BigCodeBench-Hard"
    other: Subset = "hard" if subset == "full" else "full"
    if len(rows) == N_TASKS[other] or len(rows) > N_TASKS[subset]:
        is_other = f", as many as its {other} set" if len(rows) == N_TASKS[other] else ""
        raise BenchmarkError(
            f"{found} holds {len(rows)} tasks{is_other}; {title} has {N_TASKS[subset]}: name the "
            f"file of the {subset} set (--data or {OVERRIDE}), or none, for {repository}"
        )
    source = f"{title}, a local file" if local else f"{title} {VERSION}"
    return make_dataset(found, rows, sha256, source, partial(make_task, split))


def make_task(split: Split, row: Row) -> Task:
    """Make a task of a row as published.

    Raises:
        KeyError: A field is missing.
        TypeError: A field is not text.
    """
    task_id, entry_point = text_of(row["task_id"]), text_of(row["entry_point"])
    fields = {name: text_of(row[name]) for name in _FIELDS}
    return Task(task_id, fields[f"{split}_prompt"], entry_point, fields)


def complete_prompt(task: Task) -> Prompt:
    """The start of a script: as it is for a base model, with a request for a chat model."""
    text = task.fields["complete_prompt"]
    return Prompt(f"{INSTRUCTION}\n```\n{text.strip()}\n```\n", PREFILL, plain=text)


def instruct_prompt(task: Task) -> Prompt:
    """The task in words."""
    return Prompt(f"{INSTRUCTION}\n{task.fields['instruct_prompt'].strip()}\n", PREFILL)


def program(task: Task, completion: str, is_chat: bool) -> str:
    """Cut the program out of an answer, as `bigcodebench.sanitize` does.

    That is EvalPlus's rule, but functions need no `return`, and what comes at the end beside a
    call of the entry point, at the left margin, is dropped.
    """
    text = completion.replace("\t", "    ")
    if not is_chat:
        text = task.fields["complete_prompt"] + text
    return sanitized(text, task.entry_point)


def sanitized(text: str, entry_point: str) -> str:
    """Cut the program out of a text; "" where there is none."""
    text = program_text(text, entry_point)
    kept = reachable(longest_program(text.strip()), entry_point, needs_return=False)
    lines = kept.splitlines()
    margin = len(lines)  # where the lines at the left margin begin that end the text
    while margin and not lines[margin - 1].startswith(" "):
        margin -= 1
    first = next((i for i in range(margin, len(lines)) if entry_point in lines[i]), None)
    if first is not None:
        kept = "\n".join(lines[:first])
    return kept.strip() or longest_program(text)


async def make_grader(name: str, context: GradingContext) -> Grader:
    """Make the grader; before programs, it runs each task's own solution through the harness."""
    environment = environment_fingerprint(library_folders(REQUIREMENTS.preload))
    harness = hashlib.sha256(_HARNESS.encode()).hexdigest()
    fingerprint = f"{context.executor.name} {REQUIREMENTS} {harness} {environment} {nltk_data()}"
    checks = ReferenceChecks(context.cache, context.dataset.sha256, fingerprint)

    async def grade(task: Task, program: str) -> Mapping[str, Grade]:
        not_run = await checks.verdict(task.id, lambda: run(task, reference(task)))
        if not_run is not None or not program:
            return {name: not_run or NO_PROGRAM}
        return {name: grade_of_check(await run(task, program))}

    async def run(task: Task, program: str) -> CheckReport:
        script = test_script(task, program)
        report = await context.executor.check(script, timeout_s=TIMEOUT_S, as_script=True)
        said = _FAILED.fullmatch(report.detail)
        return replace(report, detail=said[1]) if said else report

    return grade


def nltk_data() -> str:
    """Which of nltk's data programs can see: those in folders of the system or of Python.

    `python -m nltk.downloader -d /usr/share/nltk_data all` puts them where every program looks.
    """
    roots = (Path("/usr/share"), Path("/usr/lib"), *map(Path(sys.base_prefix).joinpath, _PLACES))
    found = [str(path) for root in roots for path in (root / "nltk_data").glob("*/*")]
    return " ".join(sorted(found))


def reference(task: Task) -> str:
    """The task's own solution."""
    return str(task.fields["complete_prompt"] + "\n" + task.fields["canonical_solution"])


def test_script(task: Task, program: str) -> str:
    """A script for `Executor.check` that ends if a program passes its task's tests."""
    tests = task.fields["test"]
    text = f"{task.fields['code_prompt']}\n    pass\n{program}\n{tests}"
    may_skip = "skip" in tests
    return f"{_HARNESS}\njudge({text!a}, {n_tests(tests)}, {may_skip})\n"


def n_tests(tests: str) -> int:
    """The number of methods of the class `TestCases` that `unittest` runs; 0 for invalid Python."""
    try:
        body = ast.parse(tests).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == "TestCases"]
    methods = (ast.FunctionDef, ast.AsyncFunctionDef)
    members = [member for one in classes[-1:] for member in one.body if isinstance(member, methods)]
    return len({member.name for member in members if member.name.startswith("test")})

"""FullStackBench (Liu et al. 2024, arXiv:2412.00535): 1687 tasks for 16 programming languages.

They are put in English or in Chinese. As published (github.com/bytedance/FullStackBench,
`src/main.py`): the task's `content` is the whole prompt, the answer goes through SandboxFusion's
AutoEval with 50 s to compile and 50 s to run, and a task is passed where program and test
together end with exit status 0.

Tasks whose test runs in Python (SQL included) run in this project's sandbox. Those in other
languages need a SandboxFusion server; without its URL they are "not run".

Every task's own solution is run first, in the same way (`ucoder.evaluation.reference_checks`). If
it fails, because a library, a compiler or the network is missing, the task is not run. A task that
was published without a solution is graded without this check.

Limits:

- Program and test share a process and its names, because the published tests need that: they
  extend the program's classes, replace its functions, hold it as a text. So a program that is
  written to cheat can forge its verdict, here and in the original. Only here, a program that ends
  the process itself with status 0 before the tests have finished is caught. Tests may end it
  (`unittest.main` does).
- How well a server isolates programs is up to the server; see `sandbox_fusion`.
- Which of the tasks' own solutions passed on a server is kept under its URL. If the server changes,
  remove the `references-*.jsonl` files from the cache.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from ucoder.engines.protocol import Prompt
from ucoder.evaluation.benchmarks.autoeval import (
    AutoEvalScript,
    Test,
    assemble,
    extract,
    without_entry_point,
)
from ucoder.evaluation.benchmarks.sandbox_fusion import check_url, run_on_server
from ucoder.evaluation.data import (
    Row,
    find_data,
    make_dataset,
    read_rows,
    source_of,
    text_of,
)
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
from ucoder.evaluation.records import GradeReason
from ucoder.evaluation.reference_checks import ReferenceChecks, environment_fingerprint
from ucoder.execution.outcomes import CheckReport, Verdict
from ucoder.execution.payload import library_folders
from ucoder.execution.protocol import Limits

REPOSITORY: Final = "ByteDance/FullStackBench"
REVISION: Final = "eefaaaa25002fe3ed4c6d5c539034fdedb55609e"
"""The last one that changed data (4 December 2024)."""

VARIABLES: Final = {
    "en": "FULLSTACKBENCH_OVERRIDE_PATH",
    "zh": "FULLSTACKBENCH_ZH_OVERRIDE_PATH",
}
"""Environment variables that name a user's own copy."""

TIMEOUT_S: Final = 50.0
"""To compile, and again to run."""

REQUESTS: Final = 8
"""Programs that a server is given at once."""

PRELOAD: Final = "data"

NO_SERVER: Final = "tests in {} need a SandboxFusion server, and none was named"

_KNOWN: Final = {
    "1ebd76465a1f576d3e5452df559100fe989697efbabe3d7adbd6a19571c76aef": "FullStackBench zh, "
    "4 December 2024"
}
# As much as the published harness gives, which sets no limit of its own.
_LIMITS: Final = Limits(
    call_timeout_s=TIMEOUT_S,
    program_timeout_s=TIMEOUT_S,
    memory_limit_mib=4096,
    n_processes=64,
    file_size_mib=64,
)
_DOES_NOT_COMPILE: Final = re.compile(r"(?:Syntax|Indentation|Tab)Error\b")
_OUR_LINE: Final = re.compile(r" \(line \d+\)$")

# The program and its test become a file among the task's files, as they do on a server: tests
# open, import and inspect what stands beside them.
_RUN: Final = """\
def run(source, files, first, last):
    import base64, os, sys
    for name, content in files.items():
        name = os.path.abspath(name)
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(base64.b64decode(content))
    path = os.path.abspath("program_and_test.py")
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(source)
    sys.argv = [path]
    sys.path.insert(0, os.path.dirname(path))
    names = globals()
    del names["run"]
    names["__file__"] = path
    try:
        exec(compile(source, path, "exec", dont_inherit=True), names)
    except SystemExit as stop:
        trace, by_program = stop.__traceback__, False
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == path and first <= trace.tb_lineno <= last:
                by_program = True
            trace = trace.tb_next
        if by_program or not (stop.code is None or isinstance(stop.code, int) and stop.code == 0):
            raise


"""


def fullstackbench(
    language: Literal["en", "zh"] = "en", server_url: str | None = None
) -> Benchmark:
    """FullStackBench.

    Args:
        language: In which the tasks are put.
        server_url: Where a SandboxFusion server listens, such as `http://localhost:8080`; None
            leaves the tasks that need one "not run".

    Raises:
        ConfigError: `server_url` is not an HTTP URL.
    """
    if server_url is not None:
        check_url(server_url)
    name = "fullstackbench" if language == "en" else "fullstackbench-zh"

    async def grader(context: GradingContext) -> Grader:
        return _Grading(context, name, server_url).grade

    return Benchmark(
        name=name,
        title="FullStackBench" if language == "en" else "FullStackBench (Chinese)",
        load=lambda path: _load(path, language),
        prompt=lambda task: Prompt(user=task.text, plain=task.text),
        program=lambda task, completion, _: extract(completion, test_of(task).programming_language),
        grader=grader,
        # An answer may begin with a block in another language, and one in Java may have several.
        chat_stop=(),
        needs=ExecutionRequirements(limits=_LIMITS, preload=PRELOAD),
        max_tokens=2048,
    )


def _load(path: Path | None, language: str) -> Dataset:
    filename = f"{language}/test-00000-of-00001.parquet"
    found = find_data(path, VARIABLES[language], REPOSITORY, filename, REVISION)
    rows, sha256 = read_rows(found)
    source = source_of(sha256, _KNOWN, f"FullStackBench {language}")
    return make_dataset(found, rows, sha256, source, _task)


def _task(row: Row) -> Task:
    """A row of the published format; `labels`, `test` and `asset` may be JSON texts."""
    labels, test = _object(row["labels"]), _object(row["test"])
    programming = labels["programming_language"]
    files = _object(test.get("asset") or {})
    fields = {
        "test": Test(
            programming_language=text_of(programming),
            execution_language=text_of(labels.get("execution_language") or programming),
            code=text_of(test["code"]),
            # Parquet gives every row the names of every row's files, with null for the others'.
            files={
                name: content
                for name, content in files.items()
                if isinstance(content, str) and "IGNORE_THIS_FILE" not in name
            },
        ),
        "solution": str(row.get("canonical_solution") or ""),
        "labels": labels,
    }
    return Task(str(row["id"]), text_of(row["content"]), "", fields)


def _object(value: Any) -> dict[str, Any]:
    value = json.loads(value, strict=False) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise TypeError(f"expected a JSON object, got {type(value).__name__}")
    return value


def test_of(task: Task) -> Test:
    """A task's test."""
    test: Test = task.fields["test"]
    return test


def solution_of(task: Task) -> str:
    """A task's own solution, cut as an answer is; "" where none was published."""
    solution: str = task.fields["solution"]
    language = test_of(task).programming_language
    if solution.lstrip().startswith("```") or language == "java":
        fenced = solution if "```" in solution else f"```java\n{solution}\n```"
        return extract(fenced, language) if solution.strip() else ""
    return without_entry_point(solution, language)


def python_script(script: AutoEvalScript) -> str:
    """A script for the sandbox: writes the files, then runs the Python script as `__main__`."""
    first, last = script.program_lines
    return f"{_RUN}run({script.code!r}, {dict(script.files)!r}, {first}, {last})\n"


class _Grading:
    def __init__(self, context: GradingContext, name: str, server_url: str | None) -> None:
        self._executor, self._name, self._url = context.executor, name, server_url
        self._requests = asyncio.Semaphore(REQUESTS)
        libraries = environment_fingerprint(library_folders(PRELOAD))
        executor = f"{context.executor.name} {_LIMITS} {libraries}"
        self._checks = {
            is_python: ReferenceChecks(context.cache, context.dataset.sha256, fingerprint)
            for is_python, fingerprint in ((True, executor), (False, f"server {server_url}"))
        }

    async def grade(self, task: Task, program: str) -> Mapping[str, Grade]:
        return {self._name: await self._grade(task, program)}

    async def _grade(self, task: Task, program: str) -> Grade:
        language = assemble("", test_of(task)).language
        is_python = language == "python"
        if not is_python and self._url is None:
            return Grade(GradeReason.NO_RUNTIME, NO_SERVER.format(language))
        if solution := solution_of(task):
            not_run = await self._checks[is_python].verdict(
                task.id, lambda: self._report(task, solution)
            )
            if not_run is not None:
                return not_run
        if not program:
            return NO_PROGRAM
        report, compiled = await self._run(task, program)
        grade = grade_of_check(report)
        return grade if compiled else replace(grade, reason=GradeReason.DOES_NOT_COMPILE)

    async def _report(self, task: Task, program: str) -> CheckReport:
        return (await self._run(task, program))[0]

    async def _run(self, task: Task, program: str) -> tuple[CheckReport, bool]:
        """A report, and whether program and test together compiled."""
        script = assemble(program, test_of(task))
        if script.language != "python":
            assert self._url is not None, "_grade has checked it"
            async with self._requests:
                return await run_on_server(self._url, script, TIMEOUT_S)
        report = await self._executor.check(python_script(script), as_script=True)
        # The line of the call in the script around it.
        report = replace(report, detail=_OUR_LINE.sub("", report.detail))
        failed = report.verdict is Verdict.FAILED
        return report, not (failed and _DOES_NOT_COMPILE.match(report.detail))


FULLSTACKBENCH: Final = fullstackbench()
FULLSTACKBENCH_ZH: Final = fullstackbench("zh")

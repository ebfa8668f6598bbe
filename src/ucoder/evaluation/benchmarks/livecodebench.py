"""LiveCodeBench, code generation (Jain et al. 2024), with its prompts, cutting and verdicts.

A task is a whole program that reads standard input (AtCoder, Codeforces), or a method of
`Solution` (LeetCode). Programs see the imports that LiveCodeBench puts before them. Its runner
turns a program into the body of a function and replaces its streams; where that deviates from
Python, this module follows Python. docs/evaluation.md lists the cases.

Source: https://github.com/LiveCodeBench/LiveCodeBench, `prompts/code_generation.py`,
`utils/extraction_utils.py` and `evaluation/testing_util.py`, at 28fef95.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from ucoder.engines.protocol import Prompt
from ucoder.errors import BenchmarkError
from ucoder.evaluation.benchmarks.livecodebench_files import (
    examples_of,
    files_of,
    from_sandbox_fusion,
    read_file,
    read_tests,
)
from ucoder.evaluation.data import Row, chosen, find_data, make_dataset
from ucoder.evaluation.grading import NO_PROGRAM, Cases, grade_cases, make_cases
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
from ucoder.evaluation.standard_input import KEPT, by_output
from ucoder.execution.canonical import ScalarValue
from ucoder.execution.protocol import Limits
from ucoder.texts import chosen_block, parse_module, spoken

NAME: Final = "livecodebench"
VARIABLE: Final = "LIVECODEBENCH_OVERRIDE_PATH"
REPOSITORY: Final = "livecodebench/code_generation_lite"
TIMEOUT_S: Final = 6.0
"""Seconds for each test."""

_SYSTEM = (
    "You are an expert Python programmer. You will be given a question (problem specification) "
    "and will generate a correct Python program that matches the specification and passes all "
    "tests."
)
_WITH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose "
    "your code within delimiters."
)
_WITHOUT_STARTER = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly "
    "test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when "
    "the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT."
)

_STARRED: Final = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random"),
    *("statistics", "itertools", "functools", "operator", "io", "sys", "json"),
    *("builtins", "typing"),
)
_NAMED: Final = [name for name in _STARRED if name not in ("builtins", "typing")]
PREAMBLE: Final = "".join(
    [
        *(f"from {name} import *\n" for name in _STARRED),
        *(f"import {name}\n" for name in _NAMED),
        "sys.setrecursionlimit(50000)\n",
        "sys.set_int_max_str_digits(50000)\n",  # the limit of LiveCodeBench's runner
    ]
)
"""What programs find imported."""

_CALL: Final = "_function_under_test"
_FUNCTIONAL: Final = """\
exec(compile({preamble}, "<preamble>", "exec", dont_inherit=True))
exec(compile({source}, "<program>", "exec", dont_inherit=True))
if "Solution" in globals():
    {entry} = getattr(Solution(), {name}, None)
else:
    {entry} = globals().get({name})
"""
"""One object for all calls, as LiveCodeBench has it."""


def livecodebench(
    release: str = "release_v6", start: date | None = None, end: date | None = None
) -> Benchmark:
    """LiveCodeBench's tasks of one release, and within it of the contests between two dates.

    Args:
        release: LiveCodeBench's name for it, see `files_of`.
        start: The first date; None for no limit.
        end: The last date; None for no limit.

    Raises:
        BenchmarkError: There is no such release, or the window is empty.
    """
    files_of(release)
    if start and end and start > end:
        raise BenchmarkError(f"the window from {start} to {end} holds no day")
    return Benchmark(
        name=NAME,
        title="LiveCodeBench",
        load=partial(load, release=release, start=start, end=end),
        prompt=prompt,
        program=program,
        grader=grader,
        chat_stop=(),  # the last block of an answer counts, so it has to be complete
        base_stop=("###",),
        needs=ExecutionRequirements(Limits(TIMEOUT_S, 60.0, 4096, file_size_mib=64), "numpy"),
        max_tokens=2000,
    )


def load(
    path: Path | None,
    release: str = "release_v6",
    start: date | None = None,
    end: date | None = None,
) -> Dataset:
    """Read a user's file, whatever release it is, or the files of a release from the hub.

    Raises:
        BenchmarkError: The data are not available or not in the published format, or no contest
            was within the dates.
    """
    given = chosen(path, VARIABLE)
    names = [""] if given else files_of(release)
    paths = [find_data(path, VARIABLE, REPOSITORY, name) for name in names]
    parts = [(*read_file(one), one) for one in paths]
    sha256 = "".join(one for _, one, _ in parts)
    if len(parts) > 1:
        sha256 = hashlib.sha256(sha256.encode()).hexdigest()
    rows = [row for rows, _, _ in parts for row in rows]
    source = f"LiveCodeBench {'from a local file' if given else release}"
    dataset = make_dataset(paths[0], rows, sha256, source, make_task)
    if start is None and end is None:
        return dataset
    tasks = tuple(task for task in dataset.tasks if _within(task, start, end))
    window = f"contests from {start or 'the first'} to {end or 'the last'}"
    if not tasks:
        dates = sorted(str(task.fields["date"].date()) for task in dataset.tasks)
        raise BenchmarkError(f"{source} has no {window}: its dates are {dates[0]} to {dates[-1]}")
    return Dataset(tasks, f"{source}, {window}", sha256)


def _within(task: Task, start: date | None, end: date | None) -> bool:
    held = task.fields.get("date")
    if held is None:
        raise BenchmarkError(f"{task.id} has no contest_date: leave the window out for this file")
    # As in LiveCodeBench: the last day counts up to midnight, the time at which contests are dated.
    return (start is None or datetime.combine(start, time.min) <= held) and (
        end is None or held <= datetime.combine(end, time.min)
    )


def make_task(row: Row) -> Task:
    """Make a task of a published row, or of SandboxFusion's form of one.

    Raises:
        KeyError, TypeError, ValueError: It is neither.
    """
    published = "question_id" in row
    fields = dict(row) if published else from_sandbox_fusion(row)
    metadata = json.loads(fields["metadata"])
    entry = metadata.get("func_name") or ""
    texts = (fields["question_id"], fields["question_content"], fields["starter_code"], entry)
    if not all(type(text) is str for text in texts) or not fields["question_id"]:
        raise ValueError("its id, question, starter code and function name have to be texts")
    if published:
        read_tests(fields["public_test_cases"])
        held = fields["contest_date"]
        held = held if isinstance(held, datetime) else datetime.fromisoformat(held)
        fields["date"] = held.replace(tzinfo=None)
        if "private_test_cases" not in fields:
            raise KeyError("private_test_cases")
    return Task(fields["question_id"], fields["question_content"], entry, fields)


def prompt(task: Task) -> Prompt:
    """The generic request, its system message before it, and for a base model the one-shot form."""
    question, starter = task.text, task.fields["starter_code"]
    asked, code = (_WITH_STARTER, starter) if starter else (_WITHOUT_STARTER, "# YOUR CODE HERE")
    form = f"{asked}\n```python\n{code}\n```"
    user = (
        f"{_SYSTEM}\n\n### Question:\n{question}\n\n### Format: {form}\n\n"
        "### Answer: (use the provided format with backticks)\n\n"
    )
    shot = _examples()["functional" if starter else "stdin"]
    plain = _base_form(shot["question"], shot["starter_code"], shot["answer"] + "\n\n")
    return Prompt(user, plain=plain + _base_form(question, starter, ""))


def _base_form(question: str, starter: str, answer: str) -> str:
    begin = f"### Starter Code\n{starter}\n\n" if starter else ""
    return f"### Question\n{question}\n\n{begin}### Answer\n\n{answer}"


@cache
def _examples() -> Any:
    import yaml

    return yaml.safe_load(files(__package__).joinpath("livecodebench.yaml").read_text("utf-8"))


def program(task: Task, completion: str, is_chat: bool) -> str:
    """The lines between the last two lines with a fence; all of a base model's answer.

    Thinking is left out, and where those lines are no program because a fence is in a string, the
    last complete block that is one is taken.
    """
    if not is_chat:
        return completion.strip()
    said = spoken(completion)
    lines = said.text.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    if len(fences) < 2:
        return ""
    between = "\n".join(lines[fences[-2] + 1 : fences[-1]])
    if parse_module(between) is None and (block := chosen_block(said.blocks, "")):
        return block.source.rstrip("\n") if block.is_closed else between
    return between


async def grader(context: GradingContext) -> Grader:
    """Grade by what a program prints, or by what its function returns, as the task has it."""
    by_printing = by_output(
        context, NAME, _printed, same_output, timeout_s=TIMEOUT_S, preamble=PREAMBLE, any_exit=True
    )
    cases_of = lru_cache(maxsize=KEPT)(_call_cases)

    async def grade(task: Task, program: str) -> Mapping[str, Grade]:
        if not task.entry_point:
            return await by_printing(task, program)
        if not program:
            return {NAME: NO_PROGRAM}
        try:
            cases = cases_of(task)
        except (ValueError, RecursionError) as error:  # LiveCodeBench fails every program on it
            reason = f"{task.id} has tests that no program can pass: {error}"
            return {NAME: Grade(GradeReason.TESTS_FAILED, reason)}
        source = _FUNCTIONAL.format(
            preamble=ascii(PREAMBLE), source=ascii(program), entry=_CALL,
            name=ascii(task.entry_point),
        )  # fmt: skip
        executor = context.executor
        return {NAME: await grade_cases(executor, source, _CALL, cases, same_value, TIMEOUT_S)}

    return grade


def _printed(task: Task) -> list[tuple[str, str]]:
    return list(zip(*examples_of(task.fields), strict=True))


def _call_cases(task: Task) -> Cases:
    """The cases of a function: one line of JSON for each argument, and the result as JSON."""
    inputs, outputs = examples_of(task.fields)
    arguments = [tuple(json.loads(line) for line in text.split("\n")) for text in inputs]
    longest = max(map(len, outputs), default=0)
    return make_cases(arguments, [json.loads(text) for text in outputs], longest)


def same_output(printed: str, expected: str) -> bool:
    """Whether stripped lines are equal, or hold the same decimal numbers."""
    got, wanted = printed.strip().split("\n"), expected.strip().split("\n")
    return len(got) == len(wanted) and all(map(_same_line, got, wanted))


def _same_line(got: str, wanted: str) -> bool:
    got, wanted = got.strip(), wanted.strip()
    if got == wanted:
        return True
    try:
        # The expected line first: where it is not a row of numbers, nothing more is read.
        return [Decimal(word) for word in wanted.split()] == [Decimal(word) for word in got.split()]
    except InvalidOperation:  # not a number, or a signalling NaN
        return False


def same_value(value: Any, expected: Any) -> bool:
    """Whether a result equals the expected one; at the top level a tuple may stand for a list."""
    value = _without_numpy(value)
    try:
        return bool((list(value) if type(value) is tuple else value) == expected)
    except (ArithmeticError, RecursionError):  # signalling NaNs
        return False


def _without_numpy(value: Any) -> Any:
    """Numpy's scalars as Python's own, which they are equal to."""
    if type(value) is ScalarValue:
        return value.value
    if type(value) in (list, tuple):
        return type(value)(map(_without_numpy, value))
    return value


BENCHMARK: Final = livecodebench()

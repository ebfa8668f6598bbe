"""HumanEval(+) and MBPP(+) as EvalPlus prompts and grades them (Liu et al. 2023; evalplus 0.3.1).

The data are EvalPlus's own files. A program passes the base benchmark if it is right on the
original inputs, and the + benchmark if it is right on EvalPlus's additional ones as well. What
"right" means is EvalPlus's rule, with its special tasks and tolerances (`evalplus_rule`). The time
limit on an input is EvalPlus's: four times what the canonical solution takes, at least a second.

Departures, on purpose:

- The program's process holds neither expected outputs nor the comparison. Outputs are compared as
  plain data, so an object that equals everything, or that has no plain form, is a wrong answer.
- The time limit of a task's inputs is that of its slowest input, in CPU time; a timeout by the
  wall clock alone is tried again.
- Inputs after a program's first timeout are not run.
- Inputs that take the canonical solution seconds are run in up to eight processes side by side.
- Five inputs of Mbpp/255, with outputs of 50 MB to a gigabyte, are left out.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from ucoder.engines.protocol import Prompt
from ucoder.evaluation.benchmarks import evalplus_rule as rule
from ucoder.evaluation.cutting import sanitize
from ucoder.evaluation.grading import NO_PROGRAM, PASSED, failure, refusal, wrong
from ucoder.evaluation.protocol import ExecutionRequirements, Grade, Grader, GradingContext, Task
from ucoder.evaluation.references import Reference, References, references_of, returned
from ucoder.execution.canonical import CanonicalError, parse
from ucoder.execution.inputs import InputBatch, batch_of_values
from ucoder.execution.outcomes import Outcome, OutcomeKind
from ucoder.execution.protocol import Budget, Executor, Limits

BASE, PLUS = "base", "plus"
CACHE = Path(user_cache_dir("evalplus"))
"""Where EvalPlus keeps what it downloaded."""

REQUIREMENTS = ExecutionRequirements(Limits(memory_limit_mib=4096), preload="installed")
"""EvalPlus gives a program 4 GiB, and the packages of its own environment."""

MIN_TIME_LIMIT_S = 1.0
TIME_FACTOR = 4.0
MAX_TIME_S = 60.0
"""EvalPlus's limits; the last is for all inputs together."""

MAX_CHARS = 1 << 30

_FLOAT = re.compile(r"-?(\d+\.\d+(e[+-]?\d+)?|\d+e[+-]?\d+|inf|nan)")
_TASKS_KEPT = 8
_QUICK_S = 0.1
_FIRST_INPUTS = 8
"""Where the canonical solution takes longer than `_QUICK_S` in all, this many inputs run first."""

_PIECE_S = 1.0
"""Where it takes longer than this, the others run in several processes."""

_MAX_PIECES = 8
_OUTPUT_FACTOR = 4
_LEAST_OUTPUT_BYTES = 65_536

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a "
    "markdown code block:"
)
PREFILL = (
    "Below is a Python script with a self-contained function that solves the problem and passes "
    "corresponding tests:\n```python\n"
)
_STOP = ("<|endoftext|>", "<|endofmask|>", "</s>", "\nif __name__", "\ndef main(", "\nprint(")
CHAT_STOP = (*_STOP, "\n```\n")
HUMANEVAL_STOP = (*_STOP, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ")
MBPP_STOP = (*_STOP, '\n"""', "\nassert")


def prompt(task: Task) -> Prompt:
    """EvalPlus's prompt for a chat model, with its prefill, and for a base model."""
    text = task.fields["prompt"].strip()
    user = f"{INSTRUCTION}\n```\n{text}\n```\n"
    return Prompt(user, PREFILL, plain=f"{text}\n")


def program(task: Task, completion: str, is_chat: bool) -> str:
    """The program in an answer, cut out as EvalPlus does."""
    completion = completion.replace("\t", "    ")
    start = "" if is_chat else task.fields["prompt"].strip() + "\n"
    return sanitize(start + completion, task.entry_point)


def make_task(row: Mapping[str, Any], inputs: Mapping[str, list[tuple[Any, ...]]]) -> Task:
    """A task of a published row and its argument tuples, by BASE and PLUS."""
    fields: dict[str, Any] = {
        "prompt": str(row["prompt"]),
        "canonical_solution": str(row["canonical_solution"]),
        "atol": float(row["atol"]),
        "inputs": inputs,
    }
    return Task(str(row["task_id"]), fields["prompt"], str(row["entry_point"]), fields)


def grader_of(
    family: str, base: str, plus: str | None
) -> Callable[[GradingContext], Awaitable[Grader]]:
    """What makes the grader of a benchmark; see `Benchmark.grader`.

    Args:
        family: `evalplus_rule.HUMANEVAL` or `MBPP`.
        base: Name of the score on the base inputs.
        plus: Name of the score on both lists of inputs; None for the base inputs alone.
    """

    async def make(context: GradingContext) -> Grader:
        references = await references_of(
            context,
            family,
            source=lambda task: task.fields["prompt"] + task.fields["canonical_solution"],
            inputs=lambda task: task.fields["inputs"],
            text=partial(_reference_text, family),
            is_tolerant=partial(_is_tolerant, family),
        )
        return _EvalPlusGrader(context.executor, family, references, base, plus).grade

    return make


@dataclass(frozen=True, slots=True)
class _Part:
    """One list of a task's inputs, ready to be run and compared."""

    values: list[tuple[Any, ...]]  # the argument tuples
    # The same for the sandbox; all but the first run at once, if that one passes.
    batches: tuple[InputBatch, ...]
    reference: Reference  # what the canonical solution returns on them
    budget: Budget  # a program's limits


class _EvalPlusGrader:
    """Grades programs of one family; its arguments are those of `grader_of`."""

    def __init__(
        self, executor: Executor, family: str, references: References, base: str, plus: str | None
    ) -> None:
        self._executor, self._family, self._references = executor, family, references
        self._base, self._plus = base, plus
        # Keeping the parts of all tasks would hold hundreds of megabytes for a few of them.
        self._parts = lru_cache(maxsize=_TASKS_KEPT)(self._read_parts)

    async def grade(self, task: Task, source: str) -> Mapping[str, Grade]:
        """Grade a program on the base inputs and, where it passes, on the additional ones."""
        if not source:
            grades = NO_PROGRAM, NO_PROGRAM
        else:
            parts = self._parts(task)
            base = await self._grade_part(task, source, BASE, parts)
            plus = base
            if self._plus and base.passed:
                plus = await self._grade_part(task, source, PLUS, parts)
            grades = base, plus
        return {self._base: grades[0], **({self._plus: grades[1]} if self._plus else {})}

    def _read_parts(self, task: Task) -> dict[str, _Part]:
        references = self._references.of(task.id)
        return {
            name: _part(values, references[name])
            for name, values in task.fields["inputs"].items()
            if name == BASE or self._plus
        }

    async def _grade_part(
        self, task: Task, source: str, name: str, parts: Mapping[str, _Part]
    ) -> Grade:
        part = parts[name]
        first, *rest = part.batches
        at = 0
        for batches in [[first], rest]:
            calls = [
                self._executor.call(source, task.entry_point, batch, part.budget)
                for batch in batches
            ]
            for report in await asyncio.gather(*calls):
                grade = refusal(report) or self._compare(task, report.outcomes, name, part, at)
                if not grade.passed:
                    return grade
                at += len(report.outcomes)
        return PASSED

    def _compare(
        self, task: Task, outcomes: Sequence[Outcome], name: str, part: _Part, first: int
    ) -> Grade:
        reference = part.reference
        for at, outcome in enumerate(outcomes, first):
            expected = reference.texts[at]
            if outcome.text == expected and outcome.executed and self._is_plain(task, expected):
                continue
            where = f"{name} input {reference.kept[at]}"
            if not outcome.executed and not self._may_be_anything(task, outcome):
                return failure(outcome, where)
            if not self._is_right(task, part, at, outcome):
                return wrong(outcome.text, expected, where)
        return PASSED

    def _is_plain(self, task: Task, text: str) -> bool:
        """Whether equal texts decide: not for NaN, nor for tasks with another comparison."""
        return "nan" not in text and task.entry_point not in rule.NOT_NONE

    def _may_be_anything(self, task: Task, outcome: Outcome) -> bool:
        """Whether an output is accepted for this task although it has no plain form."""
        there = outcome.kind is OutcomeKind.NOT_REPRESENTABLE
        asks_little = task.entry_point in rule.NOT_NONE or task.entry_point == rule.ANY
        return there and self._family == rule.MBPP and asks_little

    def _is_right(self, task: Task, part: _Part, at: int, outcome: Outcome) -> bool:
        try:
            out = parse(outcome.text, max_chars=MAX_CHARS) if outcome.executed else object()
            expected = parse(part.reference.texts[at], max_chars=MAX_CHARS)
        except CanonicalError:
            return False
        atol = task.fields["atol"]
        if atol == 0 and at > part.reference.tolerant_from:
            atol = rule.FLOAT_ATOL
        return rule.is_right(self._family, task.entry_point, part.values[at], out, expected, atol)


def _part(values: list[tuple[Any, ...]], reference: Reference) -> _Part:
    kept = [values[at] for at in reference.kept]
    batches = tuple(batch_of_values(kept[piece]) for piece in _pieces(reference.seconds))
    return _Part(kept, batches, reference, budget_of(reference))


def _pieces(seconds: Sequence[float]) -> list[slice]:
    """Cut inputs into pieces: a single one where the canonical solution is quick.

    Otherwise the first few, on which most wrong programs fail, then pieces of about equal time.
    """
    total_s = sum(seconds)
    if total_s < _QUICK_S or len(seconds) <= _FIRST_INPUTS:
        return [slice(0, len(seconds))]
    n = min(_MAX_PIECES, math.ceil(total_s / _PIECE_S))
    ends = [_FIRST_INPUTS]
    so_far = 0.0
    for at, one in enumerate(seconds[_FIRST_INPUTS:], _FIRST_INPUTS + 1):
        so_far += one
        if so_far >= total_s * len(ends) / n and len(ends) < n:
            ends.append(at)
    if ends[-1] == len(seconds):
        ends.pop()
    return [slice(a, b) for a, b in itertools.pairwise([0, *ends, len(seconds)])]


def budget_of(reference: Reference) -> Budget:
    """A program's limits, from what the canonical solution took."""
    limits_s = [max(MIN_TIME_LIMIT_S, TIME_FACTOR * seconds) for seconds in reference.seconds]
    longest = max(map(len, reference.texts), default=0)
    return Budget(
        call_timeout_s=max(limits_s, default=MIN_TIME_LIMIT_S),
        program_timeout_s=min(MAX_TIME_S, sum(limits_s)) + 1,
        output_limit_bytes=_OUTPUT_FACTOR * longest + _LEAST_OUTPUT_BYTES,
        max_timeouts=1,
    )


def _reference_text(family: str, task: Task, outcome: Outcome) -> str | None:
    if family == rule.MBPP and task.entry_point in rule.NOT_NONE:
        there = outcome.kind is OutcomeKind.NOT_REPRESENTABLE
        return str(there or outcome.text != "None") if there or outcome.executed else None
    return returned(outcome)


def _is_tolerant(family: str, task: Task, text: str) -> bool:
    if family == rule.HUMANEVAL and task.entry_point == "find_zero":
        return False
    # The first item nearly always decides, and parsing a megabyte of them takes seconds.
    first = text[:100].lstrip("[(").partition(",")[0].rstrip("])")
    return _FLOAT.fullmatch(first) is not None and rule.is_floats(parse(text, max_chars=MAX_CHARS))

"""What a benchmark is: one value that answers five questions.

Where its data are (`load`), how a model is prompted (`prompt`, and where an answer ends,
`chat_stop` and `base_stop`), how a program is cut out of the answer (`program`), how that is
graded (`grader`), and what grading needs of the executor (`needs`). Sampling, running, storing,
resuming and counting are the same for all benchmarks and live in other modules.

A benchmark is a `Benchmark` made at the end of a small module (`benchmarks/`). Your own is a file
that defines one as `BENCHMARK`: docs/evaluation.md shows it on a page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ucoder.engines.protocol import Prompt
from ucoder.evaluation.records import NOT_RUN, GradeReason
from ucoder.execution.protocol import Executor, Limits
from ucoder.progress import Progress

MAX_DETAIL = 500
"""Longest detail of a grade, in characters."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a benchmark."""

    id: str  # the benchmark's own; a number is taken as its digits
    text: str  # the problem as a person would read it; contamination is looked for in it
    entry_point: str  # the function that an answer has to define; "" where it is a whole program
    # The task as it was published, for the benchmark's own functions.
    fields: Mapping[str, Any] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        given: object = self.id
        if type(given) is int:  # as many data files have them
            object.__setattr__(self, "id", str(given))
        elif not isinstance(given, str):
            raise TypeError(f"a task's id must be a text or an integer, not {given!r}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A benchmark's tasks, and where they came from."""

    tasks: tuple[Task, ...]  # in their published order
    source: str  # the publication and version for people, such as "HumanEval+ v0.1.10"; not a path
    sha256: str  # of what was read; part of the identity of every reference made from it


@dataclass(frozen=True, slots=True)
class Grade:
    """The result of grading one program: PASSED or why not, and details for people."""

    reason: GradeReason
    detail: str = ""

    @property
    def passed(self) -> bool | None:
        """The verdict; None where there is none."""
        if self.reason in NOT_RUN:
            return None
        return self.reason is GradeReason.PASSED


Grader = Callable[[Task, str], Awaitable[Mapping[str, Grade]]]
"""Grades one program for one task: a grade for each of the benchmark's `scores`."""


@dataclass(frozen=True, slots=True)
class ExecutionRequirements:
    """What the executor of a benchmark's programs has to offer."""

    limits: Limits = field(default_factory=Limits)  # what one program may use
    preload: str = "standard"  # modules that workers have ready, a name out of `PRELOADS`


@dataclass(frozen=True, slots=True)
class GradingContext:
    """What a grader is made with."""

    dataset: Dataset  # all tasks
    executor: Executor  # where programs run; entered, and fulfilling the benchmark's `needs`
    # Told about work ahead of the first grade, such as running reference solutions.
    progress: Progress
    cache: Path  # a folder where a benchmark may keep what it made from its data


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark; see the module's docstring.

    Attributes:
        name: Its name in commands, such as `humaneval+`: letters, digits, `+`, `.` and `-`.
        title: Its name for people, such as "HumanEval+".
        load: Reads the data from the path that the user gave, or, for None, from its own source.
            Raises BenchmarkError where they are not available, saying how to get them.
        prompt: The prompt for a chat model and, in `Prompt.plain`, for a base model.
        program: Cuts the program out of a completion: task, completion, and whether a chat model
            made it. "" where there is none. Any text may come.
        grader: Makes what grades programs. Work that all tasks share, such as running reference
            solutions, is done here, and kept in the context's cache.
        chat_stop: Strings that end a chat model's answer.
        base_stop: Strings that end a base model's.
        needs: What programs need.
        scores: Names of its scores, its own included; grading a program gives them all
            (HumanEval+ gives HumanEval too). Empty: its name.
        prompts: Name of its prompts: benchmarks with equal prompts share answers. "": its name.
        max_tokens: Longest answer, unless the user says otherwise.
        base_models: Whether it can be run on a model without a chat template.
        source: The user's file that defines it, set by whoever reads that; None where it comes with
            ucoder.
    """

    name: str
    title: str
    load: Callable[[Path | None], Dataset]
    prompt: Callable[[Task], Prompt]
    program: Callable[[Task, str, bool], str]
    grader: Callable[[GradingContext], Awaitable[Grader]]
    chat_stop: tuple[str, ...] = ("\n```\n",)
    base_stop: tuple[str, ...] = ()
    needs: ExecutionRequirements = field(default_factory=ExecutionRequirements)
    scores: tuple[str, ...] = ()
    prompts: str = ""
    max_tokens: int = 768
    base_models: bool = True
    source: Path | None = None

    def __post_init__(self) -> None:
        if not self.scores:
            object.__setattr__(self, "scores", (self.name,))
        if not self.prompts:
            object.__setattr__(self, "prompts", self.name)
        if self.name not in self.scores:
            raise ValueError(f"scores={self.scores!r} of {self.name!r} do not hold its own name")

    def stop(self, is_chat: bool) -> tuple[str, ...]:
        """Strings that end an answer."""
        return self.chat_stop if is_chat else self.base_stop

"""The records of an evaluation: a model's answers, and verdicts on them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ucoder.records import FinishReason


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample of a model for a benchmark's task."""

    prompts: str  # the name of its prompts, see `Benchmark.prompts`
    model_index: int  # 0 for M0, t + 1 for the model that iteration t trained
    task_id: str  # the benchmark's own
    index: int  # of n samples of the task, from 0
    completion: str  # the model's text, without the prefill
    program: str  # what was cut out of it and is graded; "" if nothing was
    n_tokens: int  # sampled for it
    finish_reason: FinishReason  # why it ended


class GradeReason(StrEnum):
    """The result of grading one program. Each value is stored, counted and shown as it is."""

    PASSED = "passed"
    # failed
    NO_PROGRAM = "no_program"
    """Nothing to run in the answer, or no function of the wanted name in it."""
    DOES_NOT_COMPILE = "does_not_compile"
    RAISED = "raised"
    WRONG_OUTPUT = "wrong_output"
    TESTS_FAILED = "tests_failed"
    """A test script, which makes its own comparisons, did not reach its end."""
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_TOO_LARGE = "output_too_large"
    NOT_REPRESENTABLE = "not_representable"
    """It returned something other than plain data, which is never a right answer."""
    # not run: says nothing about the model
    MISSING_LIBRARY = "missing_library"
    REFERENCE_FAILS = "reference_fails"
    """The benchmark's own solution does not pass here: no network, another version, ..."""
    NO_RUNTIME = "no_runtime"
    """Nothing here runs this task: another programming language, and no server for it."""
    SANDBOX_FAILED = "sandbox_failed"
    NO_COMPLETION = "no_completion"
    """The model's completion was lost: its engine refused the request, or a filter took it."""


NOT_RUN = frozenset(
    {
        GradeReason.MISSING_LIBRARY,
        GradeReason.REFERENCE_FAILS,
        GradeReason.NO_RUNTIME,
        GradeReason.SANDBOX_FAILED,
        GradeReason.NO_COMPLETION,
    }
)
"""Reasons without a verdict: not run is not wrong."""


@dataclass(frozen=True, slots=True)
class Score:
    """One benchmark's verdict on one sample."""

    benchmark: str  # its name
    model_index: int  # 0 for M0, t + 1 for the model that iteration t trained
    task_id: str  # the benchmark's own
    index: int  # of n samples of the task, from 0
    passed: bool | None  # the verdict; None where it was not run, which is not wrong
    reason: GradeReason  # why, for programs
    detail: str  # why it did not pass, for people

"""Benchmarks, how their answers are sampled, and the contamination check."""

from __future__ import annotations

import difflib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from ucoder.config.section import Positive, Probability, Section

BENCHMARK_NAMES = (
    *("humaneval", "humaneval+", "mbpp", "mbpp+"),
    *("bigcodebench-complete", "bigcodebench-instruct"),
    *("bigcodebench-complete-hard", "bigcodebench-instruct-hard"),
    *("livecodebench", "fullstackbench", "known-answers"),
)
"""Every benchmark that comes with ucoder, in the order of the paper's tables, then our own.
`evaluation.registry` holds what each name stands for; a test keeps the two equal."""


def check_benchmark_name(name: str) -> str:
    """The name of a known benchmark or of a Python file, as it is.

    Raises:
        ValueError: It is neither; the message lists the names and suggests the closest.
    """
    if name in BENCHMARK_NAMES or name.endswith(".py"):
        return name
    close = difflib.get_close_matches(name, BENCHMARK_NAMES, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(
        f"{name!r} is not a benchmark{hint}; known: {', '.join(BENCHMARK_NAMES)}; or the path of a "
        f".py file that defines BENCHMARK"
    )


BenchmarkName = Annotated[str, AfterValidator(check_benchmark_name)]


class LiveCodeBenchConfig(Section):
    """Which of LiveCodeBench's tasks are used."""

    release: str = "release_v6"
    """LiveCodeBench's name of the release: `release_v1` to `release_v6` hold all tasks up to that
    version, `v1` to `v6` those that the version added, `v4_v6` those that versions 4 to 6 added."""
    start: date | None = None
    """Only tasks of contests on this day or later, such as the cutoff of the training data."""
    end: date | None = None
    """Only tasks of contests on this day or earlier."""


class ContaminationConfig(Section):
    """Which benchmarks the run's problems are compared with, and what happens on a match."""

    benchmarks: tuple[BenchmarkName, ...] | None = None
    """Benchmarks to compare with; null: those of `evaluation.benchmarks`. The known answers that
    come with ucoder are always compared as well."""
    exclude: bool = True
    """Leave matching problems out: no inputs and no candidates are sampled for them, and nothing is
    trained on them or exported. They are listed in any case."""


class EvaluationConfig(Section):
    """Benchmark scores of M0 and of every fine-tuned model."""

    benchmarks: tuple[BenchmarkName, ...] = ("humaneval",)
    """Benchmarks to run on M0 and after every iteration; empty: none. `ucoder eval --list` names
    them; a path that ends in .py is a benchmark of your own."""
    data: dict[str, Path] = Field(default_factory=dict)
    """Local copies of benchmark data, by the benchmark's name. Without one, the environment
    variables of EvalPlus and BigCodeBench apply, then the hub or the publisher's release."""
    n_tasks: Positive | None = None
    """A fixed, evenly spread subset of this many tasks; null: all of them."""
    n: Positive = 1
    """Samples a task. pass@k needs at least k."""
    k: tuple[Positive, ...] = (1,)
    """Which pass@k are reported."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """0 is greedy decoding, as pass@1 is usually reported; with n > 1 it must be above 0."""
    top_p: Probability = 0.95
    """Nucleus sampling: share of the probability mass; used where the temperature is above 0."""
    max_tokens: Annotated[int, Field(ge=16, le=32_768)] | None = None
    """Longest answer, in tokens; null: the benchmark's own limit."""
    livecodebench: LiveCodeBenchConfig = LiveCodeBenchConfig()
    server_url: str | None = None
    """A SandboxFusion server for FullStackBench's tasks in other languages than Python; without
    one they are not run."""
    contamination: ContaminationConfig = ContaminationConfig()

    @model_validator(mode="after")
    def _samples_suffice(self) -> Self:
        if self.n > 1 and self.temperature == 0:
            raise ValueError(
                f"n={self.n} samples at temperature=0 are all the same; set a temperature, or n=1"
            )
        if self.k and max(self.k) > self.n:
            raise ValueError(
                f"n={self.n} samples are less than k={max(self.k)}: pass@{max(self.k)} is "
                f"undefined; raise n or lower k"
            )
        return self

    def options(self) -> dict[str, Any]:
        """The options of single benchmarks: the fields of `evaluation.registry.Options`."""
        return {**dict(self.livecodebench), "server_url": self.server_url}

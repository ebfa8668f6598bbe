"""How many answers the benchmarks of a configuration ask for, without their data.

The numbers of tasks are the published ones, so that planning downloads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ucoder.config import RunConfig
from ucoder.evaluation.benchmarks.livecodebench_files import files_of
from ucoder.evaluation.protocol import Benchmark
from ucoder.evaluation.registry import find_benchmarks
from ucoder.planning.assumptions import UNKNOWN_ANSWER
from ucoder.planning.ranges import Range

N_TASKS: Final[Mapping[str, int]] = {
    "humaneval": 164,
    "mbpp": 378,
    "bigcodebench-complete": 1140,
    "bigcodebench-instruct": 1140,
    "bigcodebench-complete-hard": 148,
    "bigcodebench-instruct-hard": 148,
    "fullstackbench": 1687,
}
"""Tasks by benchmark, those with a + as those without; LiveCodeBench's are counted by version."""

LIVECODEBENCH_TASKS: Final[Mapping[str, int]] = {
    "test.jsonl": 400,
    "test2.jsonl": 111,
    "test3.jsonl": 101,
    "test4.jsonl": 101,
    "test5.jsonl": 167,
    "test6.jsonl": 175,
}
"""What each version's file holds: 1,055 tasks in release 6."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A benchmark's prompts, which several benchmarks may share.

    Attributes:
        prompts: Their name.
        tasks: How many.
        tokens: Of one answer.
    """

    prompts: str
    tasks: Range
    tokens: Range


def asked_of(
    config: RunConfig, answer_tokens: Mapping[str, Range]
) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """What every model of a run is asked, and what could not be counted, in sentences."""
    wanted = config.evaluation
    own = [name for name in wanted.benchmarks if name.endswith(".py")]
    ours = [name for name in wanted.benchmarks if name not in own]
    found: dict[str, Asked] = {}
    for benchmark in find_benchmarks(ours, wanted.options()):
        tokens = answer_tokens.get(benchmark.prompts, UNKNOWN_ANSWER)
        longest = wanted.max_tokens or benchmark.max_tokens
        found[benchmark.prompts] = Asked(
            benchmark.prompts, _tasks(config, benchmark), tokens.at_most(longest)
        )
    if wanted.n_tasks is None:
        notes = tuple(
            f"{name} is not counted: its tasks are known only once it is loaded; "
            f"evaluation.n_tasks would say how many are asked"
            for name in own
        )
        return tuple(found.values()), notes
    for name in own:
        tokens = UNKNOWN_ANSWER.at_most(wanted.max_tokens or UNKNOWN_ANSWER.high)
        found[name] = Asked(name, Range.exactly(wanted.n_tasks), tokens)
    return tuple(found.values()), ()


def _tasks(config: RunConfig, benchmark: Benchmark) -> Range:
    """How many of its tasks are asked."""
    wanted = config.evaluation
    if wanted.n_tasks is not None:
        return Range.exactly(wanted.n_tasks)
    if benchmark.name != "livecodebench":
        return Range.exactly(N_TASKS[benchmark.name.removesuffix("+")])
    release = wanted.livecodebench
    n = sum(LIVECODEBENCH_TASKS[file] for file in files_of(release.release))
    if release.start is None and release.end is None:
        return Range.exactly(n)
    return Range(0, n / 2, n)  # how many contests lie between two days, only the data say

"""From a name to a benchmark: the paper's six, and a user's own from a Python file.

A benchmark's module is imported when it is asked for: names and titles cost nothing.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from ucoder.errors import BenchmarkError
from ucoder.evaluation.protocol import Benchmark

_TITLES = {
    "humaneval": "HumanEval", "humaneval+": "HumanEval+", "mbpp": "MBPP", "mbpp+": "MBPP+",
    "bigcodebench-complete": "BigCodeBench-Complete",
    "bigcodebench-instruct": "BigCodeBench-Instruct",
    "bigcodebench-complete-hard": "BigCodeBench-Complete (Hard)",
    "bigcodebench-instruct-hard": "BigCodeBench-Instruct (Hard)",
    "livecodebench": "LiveCodeBench", "fullstackbench": "FullStackBench",
    "known-answers": "Known answers",
}  # fmt: skip
NAMES = tuple(_TITLES)
"""Every built-in benchmark, in the order of the paper's tables, then our own."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,59}")


@dataclass(frozen=True, slots=True)
class Options:
    """What some benchmarks let users choose."""

    release: str = "release_v6"  # LiveCodeBench's name for one, such as `release_v6`
    start: date | None = None  # LiveCodeBench: only tasks of contests on this day or later
    end: date | None = None  # LiveCodeBench: only tasks of contests on this day or earlier
    language: Literal["en", "zh"] = "en"  # FullStackBench: of the tasks' text, `en` or `zh`
    # FullStackBench: a SandboxFusion server for its tasks in other languages than Python.
    server_url: str | None = None


def find_benchmark(name: str, options: Mapping[str, Any] | None = None) -> Benchmark:
    """The benchmark of a name, or of a Python file that defines `BENCHMARK`.

    Args:
        name: Out of `NAMES`, or the path of a .py file: the user's own code, imported and trusted.
        options: The fields of `Options`, by name; defaults for the others.

    Raises:
        BenchmarkError: There is no such benchmark, an option is out of range, or the file defines
            none.
    """
    chosen = Options(**(options or {}))
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name in ("humaneval", "humaneval+"):
        from ucoder.evaluation.benchmarks import humaneval

        return humaneval.HUMANEVAL if name == "humaneval" else humaneval.HUMANEVAL_PLUS
    if name in ("mbpp", "mbpp+"):
        from ucoder.evaluation.benchmarks import mbpp

        return mbpp.MBPP if name == "mbpp" else mbpp.MBPP_PLUS
    if name in NAMES and name.startswith("bigcodebench"):
        from ucoder.evaluation.benchmarks.bigcodebench import bigcodebench

        return bigcodebench(
            "complete" if "complete" in name else "instruct",
            "hard" if name.endswith("-hard") else "full",
        )
    if name == "livecodebench":
        from ucoder.evaluation.benchmarks.livecodebench import livecodebench

        return livecodebench(chosen.release, chosen.start, chosen.end)
    if name == "fullstackbench":
        from ucoder.evaluation.benchmarks.fullstackbench import fullstackbench

        return fullstackbench(chosen.language, chosen.server_url)
    if name == "known-answers":
        from ucoder.evaluation.benchmarks.known_answers import KNOWN_ANSWERS

        return KNOWN_ANSWERS
    raise BenchmarkError(f"{name!r} is not a benchmark; known: {', '.join(NAMES)}")


def find_benchmarks(
    names: Iterable[str], options: Mapping[str, Any] | None = None
) -> list[Benchmark]:
    """The benchmarks of several names, without those whose scores another of them gives too.

    Of `humaneval` and `humaneval+`, the second is kept: it reports both scores.

    Raises:
        BenchmarkError: See `find_benchmark`; or two files define the same name.
    """
    found = [find_benchmark(name, options) for name in dict.fromkeys(names)]
    for at, one in enumerate(found):
        if same := next((other for other in found[:at] if other.name == one.name), None):
            raise BenchmarkError(
                f"{same.source} and {one.source} both define a benchmark of the name "
                f"{one.name!r}, and share its records; rename one of them"
            )
    return [one for one in found if not _is_covered(one, found)]


def copy_of(benchmark: Benchmark, data: Mapping[str, Path]) -> Path | None:
    """The user's copy of a benchmark's data, by its name or by the file that defines it."""
    return next((path for name, path in data.items() if _means(name, benchmark)), None)


def check_copies(
    data: Mapping[str, Path], benchmarks: Sequence[Benchmark], others: Iterable[str] = ()
) -> None:
    """Refuse copies of data that would be ignored.

    Args:
        data: The copies, by the name of a benchmark.
        benchmarks: Those that are asked.
        others: Names that may have a copy all the same.

    Raises:
        BenchmarkError: A name is none of these, or two names are of one benchmark.
    """
    names = [one.name for one in benchmarks]
    for name, path in data.items():
        same = [one for one in benchmarks if _means(name, one)]
        if twice := [key for key in data if key != name and any(_means(key, s) for s in same)]:
            raise BenchmarkError(f"the data of {same[0].name} are named twice: {name}, {twice[0]}")
        if same or name in others:
            continue
        meant = [one for one in names if one.removesuffix("+") == name]  # covered by it
        meant = meant or difflib.get_close_matches(name, names, 1) or names[:1]
        raise BenchmarkError(
            f"the data {name}={path} would be ignored: {name} is not asked"
            + (f", only {', '.join(names)}; write {meant[0]}={path}" if meant else "")
        )


def _means(name: str, benchmark: Benchmark) -> bool:
    source = benchmark.source
    return name == benchmark.name or (
        source is not None and name.endswith(".py") and Path(name).resolve() == source.resolve()
    )


def _is_covered(one: Benchmark, others: Sequence[Benchmark]) -> bool:
    mine = set(one.scores)
    return any(mine < set(other.scores) and other.prompts == one.prompts for other in others)


def title_of(score: str) -> str:
    """A score's name as people write it; a user's own as it is."""
    return {**_TITLES, "fullstackbench-zh": "FullStackBench (Chinese)"}.get(score, score)


def _from_file(path: Path) -> Benchmark:
    if not path.is_file():
        raise BenchmarkError(f"{path} is not a file")
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # it is the user's code, which may raise anything
        raise BenchmarkError(f"{path} cannot be imported: {error!r}") from error
    benchmark = getattr(module, "BENCHMARK", None)
    if not isinstance(benchmark, Benchmark):
        raise BenchmarkError(
            f"{path} defines no BENCHMARK of the class ucoder.evaluation.Benchmark; "
            f"docs/evaluation.md shows one"
        )
    if not all(_NAME.fullmatch(name) for name in (*benchmark.scores, benchmark.prompts)):
        raise BenchmarkError(
            f"{path}: the name {benchmark.name!r} must be letters, digits, + . _ and -, at most 60"
        )
    if {*benchmark.scores, benchmark.prompts} & set(NAMES):
        raise BenchmarkError(f"{path}: the name {benchmark.name!r} is taken; choose another")
    return replace(benchmark, source=path)

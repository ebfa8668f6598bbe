"""Share of executions saved by running programs that are the same only once.

Reads samples in the format of CodeT's published ones: gzipped JSON lines with `prompt` and
`candidate_bodies`. A body is cut where CodeT cuts it and put behind its prompt; samples of one
task that are equal count as one execution. Two measures of equality are compared: the same text,
and the same syntax tree without docstrings (`ucoder.execution.duplicates`). The second is printed
twice: with programs that do not parse compared as text, and with all of them counted as one,
because none of them ever runs.

    python benchmarks/duplicates.py SAMPLES.jsonl.gz
"""

from __future__ import annotations

import ast
import gzip
import json
import sys
import time
import warnings
from collections.abc import Callable

from ucoder.execution.duplicates import program_key
from ucoder.studies.samples import program


def parses(source: str) -> bool:
    """Whether a program has a tree."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def saved(tasks: list[list[str]], key: Callable[[str], str]) -> tuple[float, float]:
    """The share of executions saved, and microseconds per program that telling them apart took."""
    start = time.perf_counter()
    n_distinct = sum(len({key(text) for text in programs}) for programs in tasks)
    n = sum(map(len, tasks))
    return 1 - n_distinct / n, (time.perf_counter() - start) / n * 1e6


def main() -> None:
    """Measure and print."""
    if len(sys.argv) != 2:
        sys.exit(f"got {len(sys.argv) - 1} arguments; usage: {sys.argv[0]} SAMPLES.jsonl.gz")
    with gzip.open(sys.argv[1], "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    tasks = [[program(r["prompt"], body) for body in r["candidate_bodies"]] for r in records]
    print(f"{sum(map(len, tasks))} samples of {len(tasks)} tasks")
    measures: dict[str, Callable[[str], str]] = {
        "text": str,
        "tree_without_docstrings": program_key,
    }
    for name, key in measures.items():
        share, us = saved(tasks, key)
        print(f"{name}={100 * share:.1f}% ({1 / (1 - share):.2f}x, {us:.0f} us a program)")
    parsed = [["" if not parses(text) else text for text in programs] for programs in tasks]
    print(f"programs that do not parse: {sum(p.count('') for p in parsed)}; as one a task:")
    share, _ = saved(parsed, program_key)
    print(f"tree_without_docstrings={100 * share:.1f}% ({1 / (1 - share):.2f}x)")


if __name__ == "__main__":
    main()

"""How well the contamination guard tells copies of benchmark prompts from other problems.

Copies are made of every prompt by editing it; every pair of prompts of different benchmarks, and
every pair of a prompt and a problem of a run, is taken as no copy. Some of these are: the nearest
are printed, to be read. Words are replaced by made-up ones, which is what a synonym is to a
comparison of words.

    python benchmarks/contamination.py --data HumanEvalPlus.jsonl.gz sanitized-mbpp.json \
        [--run RUN ...] [--overlap 0.4 0.5 0.6] [--nearest 30]

`--data` takes benchmark files in their published formats, `--run` directories of runs.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ucoder.evaluation.contamination import ContaminationRule, Guard, Match, prose
from ucoder.evaluation.data import read_rows
from ucoder.evaluation.protocol import Task

Edit = Callable[[str, random.Random], str]
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")


def replaced(share: float) -> Edit:
    """Replaces a share of the words of the prose, at least one, by made-up words."""

    def edit(text: str, chance: random.Random) -> str:
        words = prose(text).split()
        n_replaced = min(len(words), max(1, round(share * len(words))))
        for position in chance.sample(range(len(words)), n_replaced):
            words[position] = "".join(chance.choices("bcdfghklmnprstvwz", k=9))
        return " ".join(words)

    return edit


def reordered(text: str, chance: random.Random) -> str:
    """Shuffles the sentences."""
    sentences = SENTENCE_END.split(prose(text))
    chance.shuffle(sentences)
    return "\n\n".join(sentences)


def first_sentence(text: str, _: random.Random) -> str:
    """Drops all but the first sentence."""
    return next(iter(part for part in SENTENCE_END.split(prose(text)) if len(part) > 9), "")


def reformatted(text: str, _: random.Random) -> str:
    """Upper case, one line, in a code fence, with other numbers and another name."""
    name = re.search(r"def (\w+)", text)
    text = text.replace(name.group(1), "solve_it") if name else text
    text = re.sub(r"\d+", "7", prose(text))
    return f"```\n{' '.join(text.split()).upper()}\n```"


def embedded(text: str, _: random.Random) -> str:
    """Puts sentences of its own before and behind."""
    return f"In this exercise there is a small shop.\n{prose(text)}\nDo not print anything at all."


EDITS: dict[str, Edit] = {
    "reformatted": reformatted,
    "embedded": embedded,
    "reordered": reordered,
    "first sentence": first_sentence,
    "10% of words": replaced(0.1),
    "20% of words": replaced(0.2),
    "30% of words": replaced(0.3),
}


def tasks_of(path: Path) -> list[Task]:
    """The prompts of a benchmark file."""
    rows, _ = read_rows(path)
    tasks = []
    for row in rows:
        text = row.get("complete_prompt") or row.get("prompt") or row.get("content") or ""
        tests = row.get("test_list") or [""]
        tasks.append(Task(str(row.get("task_id", row.get("id"))), f"{text}\n{tests[0]}", "", row))
    return tasks


def problems_of(run: Path) -> Iterator[dict[str, Any]]:
    """The accepted problems of a run of any version."""
    import pyarrow.parquet as pq

    for path in sorted(run.glob("tables/attempts/*.parquet")):
        for row in pq.read_table(path, columns=["problem"]).to_pylist():
            if row["problem"]:
                yield row["problem"]


def texts_of(problem: dict[str, Any]) -> tuple[str, ...]:
    """What the guard compares of a problem."""
    docstring = prose(problem["interface"]["source"])
    return problem["description"], problem["statement"], docstring


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--run", nargs="*", type=Path, default=[])
    parser.add_argument("--overlap", nargs="+", type=float, default=[0.4, 0.45, 0.5, 0.55, 0.6])
    parser.add_argument("--shared", type=float, default=ContaminationRule().min_shared)
    parser.add_argument("--window", type=float, default=ContaminationRule().window)
    parser.add_argument("--nearest", type=int, default=20)
    arguments = parser.parse_args()
    benchmarks = [(path.name, tasks_of(path)) for path in arguments.data]
    runs = {p["description"]: p for run in arguments.run for p in problems_of(run)}
    rule = ContaminationRule(min(arguments.overlap), arguments.shared, arguments.window)
    start = time.perf_counter()
    guard = Guard(benchmarks, rule)
    print(f"{sum(len(t) for _, t in benchmarks)} prompts, {len(runs)} different problems of runs")
    print(f"index: {time.perf_counter() - start:.2f} s")
    print_found(guard, benchmarks, arguments.overlap)
    print_not_copies(guard, benchmarks, runs, arguments.overlap, arguments.nearest)


def print_found(guard: Guard, benchmarks: list[tuple[str, list[Task]]], cuts: list[float]) -> None:
    """The share of edited prompts that match the prompt they were made of, by least overlap."""
    print(f"{'found':<52}" + "".join(f"{cut:>7.2f}" for cut in cuts))
    for name, tasks in benchmarks:
        for label, edit in EDITS.items():
            chance, overlaps = random.Random(0), []
            for task in tasks:
                matches = guard.matching("", [edit(task.text, chance)])
                own = [m.overlap for m in matches if (m.benchmark, m.task_id) == (name, task.id)]
                overlaps.append(max(own, default=0.0))
            shares = (sum(o >= cut for o in overlaps) / len(overlaps) for cut in cuts)
            print(f"{name[:34]:<35}{label:<17}" + "".join(f"{share:7.1%}" for share in shares))


def print_not_copies(
    guard: Guard,
    benchmarks: list[tuple[str, list[Task]]],
    runs: dict[str, dict[str, Any]],
    cuts: list[float],
    n_nearest: int,
) -> None:
    """Matches of texts that were not made of one another, and the nearest of them."""
    near: list[tuple[str, str, Match]] = []
    for name, tasks in benchmarks:
        for task in tasks:
            found = guard.matching(task.id, [task.text])
            near += [("prompts", prose(task.text), m) for m in found if m.benchmark != name]
    start = time.perf_counter()
    for problem in runs.values():
        found = guard.matching(problem["id"], texts_of(problem))
        near += [("runs", problem["description"], m) for m in found]
    if runs:
        print(f"{(time.perf_counter() - start) / len(runs) * 1e3:.2f} ms a problem")
    for kind in ("prompts", "runs"):
        counts = [sum(k == kind and m.overlap >= cut for k, _, m in near) for cut in cuts]
        print(f"{'matches: ' + kind:<52}" + "".join(f"{count:7d}" for count in counts))
    texts = {(name, task.id): task.text for name, tasks in benchmarks for task in tasks}
    for kind, text, match in sorted(near, key=lambda each: -each[2].overlap)[:n_nearest]:
        other = " ".join(prose(texts[match.benchmark, match.task_id]).split())
        print(f"\n{match.overlap:.2f} {kind} {match.task_id}: {match.shared!r}")
        print(f"     {' '.join(text.split())[:200]}\n     {other[:200]}")


if __name__ == "__main__":
    main()

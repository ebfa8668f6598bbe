"""Samples as files: the JSON lines of EvalPlus and BigCodeBench, read and written.

One object a line: `task_id`, and either `solution`, a whole program, or `completion`, which
continues the task's prompt. A task may have several lines. The official tools can score what this
project sampled, and this project can score what was sampled elsewhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ucoder.errors import BenchmarkError
from ucoder.evaluation.data import read_rows
from ucoder.evaluation.protocol import Task
from ucoder.evaluation.records import Answer
from ucoder.files import write_atomically


@dataclass(frozen=True, slots=True)
class Samples:
    """Programs that were made elsewhere."""

    # By task id, in the file's order; tasks without samples are left out.
    programs: dict[str, list[str]]
    sha256: str  # of the file
    unknown: dict[str, int]  # lines of each task id that the benchmark does not have


def read_samples(path: Path, tasks: Iterable[Task]) -> Samples:
    """Read samples for a benchmark's tasks.

    Raises:
        BenchmarkError: The file cannot be read, a line is in neither format, or no line is for a
            task of the benchmark.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path} is not a file; give samples as JSON lines")
    rows, sha256 = read_rows(path)
    known = {task.id: task for task in tasks}
    programs: dict[str, list[str]] = {}
    unknown: Counter[str] = Counter()
    for number, row in enumerate(rows, 1):
        task_id = str(row.get("task_id"))
        text = row.get("solution", row.get("completion"))
        if not isinstance(text, str):
            raise BenchmarkError(
                f"{path}, line {number}: expected task_id and solution or completion, both texts; "
                f"got the keys {', '.join(map(repr, row))[:200]}"
            )
        if task_id not in known:
            unknown[task_id] += 1
            continue
        whole = text if "solution" in row else known[task_id].text + text
        programs.setdefault(task_id, []).append(whole)
    if not programs:
        some = ", ".join(list(unknown)[:3])
        raise BenchmarkError(f"{path}: no sample is for this benchmark; its tasks are {some}, ...")
    return Samples(programs, sha256, dict(unknown))


def write_samples(path: Path, answers: Iterable[Answer]) -> int:
    """Write answers in the same format, with the uncut completion beside each program.

    Returns:
        How many were written.
    """
    lines = [
        {"task_id": one.task_id, "solution": one.program, "raw_solution": one.completion}
        for one in answers
    ]
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))
    return len(lines)

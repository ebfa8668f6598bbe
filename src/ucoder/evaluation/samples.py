"""Samples as files: the JSON lines of EvalPlus and BigCodeBench, read and written.

One object a line: `task_id`, and either `solution`, a whole program, or `completion`, which
continues the task's prompt or, where it defines the function itself, stands alone. A task may have
several lines. The official tools can score what this project sampled, and this project can score
what was sampled elsewhere.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ucoder.errors import BenchmarkError
from ucoder.evaluation.cutting import longest_program
from ucoder.evaluation.data import Row, read_numbered
from ucoder.evaluation.protocol import Task
from ucoder.evaluation.records import Answer
from ucoder.files import write_atomically
from ucoder.texts import MAX_PROGRAM_CHARS, parse_module

_FENCE: Final = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
_IMPORT: Final = re.compile(r"^(?:import|from) .+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Samples:
    """Programs that were made elsewhere."""

    # By task id, in the file's order; tasks without samples are left out.
    programs: dict[str, list[str]]
    sha256: str  # of the file
    unknown: dict[str, int]  # lines of each task id that the benchmark does not have
    # Lines that hold no sample, each with the reason: "line 3: solution is null".
    left_out: tuple[str, ...]
    # What was done to samples: fences taken off, numbers read as ids; as sentences.
    notes: tuple[str, ...]

    def counts(self) -> str:
        """How many samples a task has, in words."""
        n = {task: len(programs) for task, programs in self.programs.items()}
        least, most = min(n.values()), max(n.values())
        said = f"{sum(n.values())} samples for {len(n)} tasks, "
        if least == most:
            return f"{said}{most} a task"
        few, many = (next(task for task in n if n[task] == bound) for bound in (least, most))
        return f"{said}unevenly: {least} ({few}) to {most} ({many}) a task"


def read_samples(path: Path, tasks: Iterable[Task]) -> Samples:
    """Read samples for a benchmark's tasks: JSON lines, plain, gzipped or zstandard.

    A damaged line, or one without a sample, is left out and said. A text in code fences that is
    Python without them is taken without them.

    Raises:
        BenchmarkError: The file cannot be read, or no line is a sample for a task of the benchmark.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path} is not a file; give samples as JSON lines")
    rows, sha256 = read_numbered(path)
    known = {task.id: task for task in tasks}
    numbers = _by_number(known)
    programs: dict[str, list[str]] = {}
    unknown: Counter[str] = Counter()
    left_out: list[str] = []
    n_fenced = n_numbered = 0
    for where, row in rows:
        read = _sample(row)
        if isinstance(read, str):
            left_out.append(f"{where}: {read}")
            continue
        task_id, kind, text = read
        if task_id not in known and task_id in numbers:
            task_id = numbers[task_id]
            n_numbered += 1
        if task_id not in known:
            unknown[task_id] += 1
            continue
        task = known[task_id]
        program = text if kind == "solution" else _continued(task, text)
        if _FENCE.search(text) and not _parses(program):
            unfenced = _unfenced(task, text, kind)
            n_fenced += unfenced is not None
            program = program if unfenced is None else unfenced
        programs.setdefault(task_id, []).append(program)
    if not programs:
        some = [*left_out, *(f"unknown task {name!r}" for name in unknown)]
        raise BenchmarkError(
            f"{path}: no sample is for this benchmark ({'; '.join(some[:3])}); its tasks are "
            f"{', '.join(list(known)[:3])}, ... Each line needs task_id, and solution or completion"
        )
    notes = [f"{n_fenced} samples are in code fences, which are taken off"] * bool(n_fenced)
    notes += [f"{n_numbered} samples name their task by its number alone"] * bool(n_numbered)
    return Samples(programs, sha256, dict(unknown), tuple(left_out), tuple(notes))


def _sample(row: Row | str) -> tuple[str, str, str] | str:
    """A row's task id, kind and text; or why it holds no sample."""
    if isinstance(row, str):
        return row
    task_id = row.get("task_id")
    if type(task_id) not in (str, int):
        return (
            f"task_id is {_brief(task_id)}, not a text or an integer"
            if "task_id" in row
            else (f"no task_id; its keys are {_brief(list(row))}")
        )
    given = [kind for kind in ("solution", "completion") if kind in row]
    for kind in given:
        if isinstance(row[kind], str):
            return str(task_id), kind, row[kind]
    if not given:
        return f"neither solution nor completion; its keys are {_brief(list(row))}"
    return f'{given[0]} is {_brief(row[given[0]])}, not a text; an empty answer is ""'


def _brief(value: Any) -> str:
    return "null" if value is None else ascii(value)[:100]


def _by_number(known: Iterable[str]) -> dict[str, str]:
    """The task ids by the number behind their last slash, where it is one task's alone."""
    found: dict[str, list[str]] = {}
    for task_id in known:
        number = task_id.rpartition("/")[2]
        if number.isdecimal():
            found.setdefault(number, []).append(task_id)
    return {number: ids[0] for number, ids in found.items() if len(ids) == 1}


def _continued(task: Task, text: str) -> str:
    """The program of a completion: behind its prompt, unless it is whole and the prompt no code."""
    program = task.text + text
    if not _parses(program) and _defines(text, task.entry_point):
        return "\n".join([*_imports(task), text])
    return program


def _unfenced(task: Task, text: str, kind: str) -> str | None:
    """The program in a text with code fences; None where there is none."""
    if len(text) > MAX_PROGRAM_CHARS:
        return None
    fences = list(_FENCE.finditer(text))
    start = text.find("\n", fences[0].end()) + 1 or len(text)
    end = fences[-1].start() if len(fences) > 1 else len(text)
    inside = text[start:end]
    if kind == "completion" and _parses(task.text + inside):
        return task.text + inside
    code = inside if _parses(inside) else longest_program(text)
    if not code.strip() or (task.entry_point and not _defines(code, task.entry_point)):
        return None
    return "\n".join([*_imports(task), code]) if kind == "completion" else code


def _imports(task: Task) -> list[str]:
    """The imports at the start of a prompt that is code; an answer in words may rest on them."""
    return [line for line in _IMPORT.findall(task.text) if _parses(line)]


def _defines(text: str, entry_point: str) -> bool:
    module = parse_module(text)
    kinds = (ast.FunctionDef, ast.ClassDef)
    return module is not None and any(
        isinstance(node, kinds) and node.name == entry_point for node in module.body
    )


def _parses(text: str) -> bool:
    return parse_module(text) is not None


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

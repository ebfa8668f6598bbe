"""Outputs of canonical solutions: made once in the sandbox, kept, and read one task at a time.

The outputs are canonical texts, so most comparisons are of two strings. They can be long (one task
of MBPP+ returns 100 MB), so the file has one row group a task, and tasks are read when graded.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ucoder.errors import BenchmarkError
from ucoder.evaluation.protocol import GradingContext, Task
from ucoder.execution.inputs import batch_of_values
from ucoder.execution.outcomes import Outcome, OutcomeKind
from ucoder.execution.protocol import Budget
from ucoder.files import replacing
from ucoder.runtime import gather_bounded

MAX_OUTPUT_BYTES = 32 << 20
"""Longest output that is compared. Inputs on which a canonical solution returns more are left out:
five of Mbpp/255's 109, with outputs of 50 MB to a gigabyte."""

PATIENT = Budget(call_timeout_s=60.0, program_timeout_s=300.0, output_limit_bytes=MAX_OUTPUT_BYTES)
"""For canonical solutions, which are known to terminate."""

_FORMAT = 3
"""Part of the file's name; raise it when the same data give other outputs."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One task's canonical solution on one list of inputs."""

    # Indices of the inputs that are compared: all but those with a very long output.
    kept: tuple[int, ...]
    texts: tuple[str, ...]  # canonical text of the output on each kept input
    # CPU time of each call, writing the text included; wall-clock time for calls that were too
    # short to be measured.
    seconds: tuple[float, ...]
    # Index into `kept` of the input from which on floats are compared with a tolerance; len(kept)
    # if there is none.
    tolerant_from: int


class References:
    """The references of a data set, in one Parquet file."""

    def __init__(self, path: Path) -> None:
        """Open a file that `make_references` wrote."""
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        names = self._file.schema_arrow.metadata[b"tasks"].decode().split("\n")
        self._row_groups = {name: at for at, name in enumerate(names)}

    def of(self, task_id: str) -> dict[str, Reference]:
        """A task's references, by the name of the list of inputs."""
        rows = self._file.read_row_group(self._row_groups[task_id], use_threads=False).to_pylist()
        return {
            row["part"]: Reference(
                tuple(row["kept"]), tuple(row["texts"]), tuple(row["seconds"]), row["tolerant_from"]
            )
            for row in rows
        }


async def references_of(
    context: GradingContext,
    name: str,
    source: Callable[[Task], str],
    inputs: Callable[[Task], Mapping[str, Sequence[tuple[Any, ...]]]],
    text: Callable[[Task, Outcome], str | None],
    is_tolerant: Callable[[Task, str], bool],
) -> References:
    """Run every canonical solution on its inputs, unless the cache holds their outputs.

    Args:
        context: What the benchmark was given.
        name: Of the benchmark's family; part of the file's name and of messages.
        source: Gives a task's canonical solution.
        inputs: Gives its lists of inputs, by name.
        text: Gives an outcome's text; None if a canonical solution must not end that way.
        is_tolerant: Whether an expected output makes later comparisons of floats tolerant.

    Raises:
        BenchmarkError: A canonical solution fails.
    """
    key = f"{name}-{context.dataset.sha256[:16]}-py{platform.python_version()}-{_FORMAT}"
    path = context.cache / "references" / f"{key}.parquet"
    if not path.is_file():
        made: dict[str, list[dict[str, Any]]] = {}
        label = f"{name} references"
        context.progress.begin(label, len(context.dataset.tasks))

        async def make(task: Task) -> None:
            made[task.id] = await _run(context, task, source(task), inputs(task), text, is_tolerant)
            context.progress.advance(label, len(made))

        # A few at a time: some outputs are large, and those in progress are all in memory.
        await gather_bounded(make, context.dataset.tasks, max_concurrency=4)
        _write(path, {task.id: made[task.id] for task in context.dataset.tasks})
        context.progress.end(label)
    return References(path)


async def _run(
    context: GradingContext,
    task: Task,
    source: str,
    inputs: Mapping[str, Sequence[tuple[Any, ...]]],
    text: Callable[[Task, Outcome], str | None],
    is_tolerant: Callable[[Task, str], bool],
) -> list[dict[str, Any]]:
    rows = []
    for part, values in inputs.items():
        batch = batch_of_values(values)
        report = await context.executor.call(source, task.entry_point, batch, PATIENT)
        found: list[tuple[int, str, float]] = []
        for at, outcome in enumerate(report.outcomes):
            if outcome.kind is OutcomeKind.OUTPUT_TOO_LARGE:
                continue
            written = text(task, outcome)
            if written is None:
                raise BenchmarkError(
                    f"the canonical solution of {task.id} does not return on {part} input {at}: "
                    f"{outcome.kind} {outcome.text[:200]} {report.detail}"
                )
            # CPU time where it was measured: on a busy machine, wall-clock time includes waiting.
            seconds = np.fmin(report.call_wall_s[at], report.call_cpu_s[at])
            found.append((at, written, float(seconds)))
        tolerant = (place for place, (_, one, _) in enumerate(found) if is_tolerant(task, one))
        rows.append(
            {
                "part": part,
                "kept": [at for at, _, _ in found],
                "texts": [one for _, one, _ in found],
                "seconds": [seconds for _, _, seconds in found],
                "tolerant_from": next(tolerant, len(found)),
            }
        )
    return rows


def _write(path: Path, made: Mapping[str, list[dict[str, Any]]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        {
            "part": pa.string(),
            "kept": pa.list_(pa.int64()),
            "texts": pa.list_(pa.large_string()),
            "seconds": pa.list_(pa.float64()),
            "tolerant_from": pa.int64(),
        },
        metadata={"tasks": "\n".join(made)},
    )
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for rows in made.values():
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def returned(outcome: Outcome) -> str | None:
    """The text of a returned value; None if the call did not return."""
    return outcome.text if outcome.kind is OutcomeKind.RETURNED else None

"""What a study returns: named tables and a summary; how they are written and printed.

A mean over tasks is four columns of a table: the value under the plain name, and beside it `_low`,
`_high` (the 95% interval) and `_n` (tasks whose value is known). In the JSON summary the four are
one object. What is undefined is NaN in a table, an empty cell in CSV, null in JSON.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable

from ucoder.evaluation.statistics import Interval, bootstrap_interval
from ucoder.files import replacing, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

ENDS = ("low", "high", "n")

Cell = Callable[[Mapping[str, Any]], str]
"""Makes the text of one cell from a row of the table."""


@dataclass(frozen=True)
class Listing:
    """A table as a terminal shows it: headings, each with what makes its cells."""

    title: str
    table: DataFrame
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Study:
    """What a study found.

    Attributes:
        name: Of the study; its main table, its summary and its main figure are called so too.
        tables: By the name of their files.
        summary: The findings for scripts; the keys of the JSON file.
        listings: What is printed.
        notes: Lines printed below.
        figures: By the name of their files; what draws each.
    """

    name: str
    tables: Mapping[str, DataFrame]
    summary: Mapping[str, Any]
    listings: Sequence[Listing]
    notes: Sequence[str]
    figures: Mapping[str, Callable[[], Figure]]


def frame(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], intervals: Sequence[str] = ()
) -> DataFrame:
    """A table, which has its columns even where it has no row.

    Args:
        rows: Each with a value for every column.
        columns: Their names, in order.
        intervals: Those whose values are an `Interval`.
    """
    import pandas as pd

    names = [
        name
        for column in columns
        for name in (column, *(f"{column}_{end}" for end in ENDS if column in intervals))
    ]
    flat = [{**row, **{k: v for name in intervals for k, v in _flat(name, row[name])}}
            for row in rows]  # fmt: skip
    return pd.DataFrame(flat, columns=names)


def _flat(name: str, interval: Interval) -> Iterable[tuple[str, float]]:
    yield name, interval.value
    yield from ((f"{name}_{end}", getattr(interval, end)) for end in ENDS)


def interval_table(
    values: DataFrame, by: Mapping[str, Sequence[Any]], columns: Sequence[str], seed: int
) -> DataFrame:
    """Means over tasks with their intervals, one row for each combination of `by`.

    Values of the same task are averaged first, those that are known; then tasks are resampled.

    Args:
        values: Columns `task` (a number), those of `by`, and `columns`.
        by: The values of each grouping column, in the order of the rows.
        columns: What is averaged.
        seed: Of the resampling of tasks.
    """
    rows = []
    for key in itertools.product(*by.values()):
        places = dict(zip(by, key, strict=True))
        is_shown = np.logical_and.reduce([values[name] == value for name, value in places.items()])
        of_tasks = values[is_shown].groupby("task")[list(columns)].mean()
        found = {name: bootstrap_interval(of_tasks[name].to_numpy(float), seed) for name in columns}
        rows.append({**places, **found})
    return frame(rows, (*by, *columns), columns)


def readable(text: str) -> str:
    """A text that Parquet and CSV can hold: ids may hold lone surrogates, which UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def records(table: DataFrame) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def nested(table: DataFrame) -> list[dict[str, Any]]:
    """The rows of a table for a summary, each mean with its interval as one object."""
    is_mean = {name: f"{name}_n" in table.columns for name in table.columns}
    ends = {f"{name}_{end}" for name in table.columns if is_mean[name] for end in ENDS}
    return [
        {
            name: {"value": value, **{end: row[f"{name}_{end}"] for end in ENDS}}
            if is_mean[name]
            else value
            for name, value in row.items()
            if name not in ends
        }
        for row in records(table)
    ]


def mean_of(row: Mapping[str, Any], column: str) -> Interval:
    """A mean of a row, with its interval."""
    return Interval(row[column], *(row[f"{column}_{end}"] for end in ENDS))


def plain(value: Any) -> Any:
    """A value as JSON can hold it: dataclasses as objects, what is undefined as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def write_study(study: Study, folder: Path) -> list[Path]:
    """Write the tables (Parquet and CSV), the summary (JSON) and the figures (PNG and SVG).

    Raises:
        DiskFull: No space is left; every file that is there is whole.
    """
    from ucoder.studies.figures import styled

    paths = []

    def target(name: str) -> Path:
        paths.append(folder / name)
        return paths[-1]

    for name, table in study.tables.items():
        with replacing(target(f"{name}.parquet")) as temporary:
            table.to_parquet(temporary, compression="zstd", index=False)
        with replacing(target(f"{name}.csv")) as temporary:
            table.to_csv(temporary, index=False)
    summary = json.dumps(plain(study.summary), indent=2)
    write_atomically(target(f"{study.name}.json"), f"{summary}\n")
    with styled():
        for name, draw in study.figures.items():
            figure = draw()
            # Without a date and a version: the same figure is the same bytes.
            with replacing(target(f"{name}.png")) as temporary:
                figure.savefig(temporary, format="png", dpi=160, metadata={"Software": None})
            with replacing(target(f"{name}.svg")) as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None})
    return paths


def print_study(study: Study, out: Console) -> None:
    """Print the listings and the notes."""
    for listing in study.listings:
        shown = RichTable(title=listing.title, title_justify="left")
        for at, heading in enumerate(listing.cells):
            shown.add_column(heading, no_wrap=True, justify="right" if at else "left")
        for row in records(listing.table):
            shown.add_row(*(cell(row) for cell in listing.cells.values()))
        out.print(shown)
    out.print("[dim]in percent, with 95% intervals over tasks[/]")
    for note in study.notes:
        out.print(note, highlight=False, soft_wrap=True, markup=False)


def text(column: str) -> Cell:
    """The value as it is."""
    return lambda row: str(row[column])


def number(column: str) -> Cell:
    """A number, as short as it can be written."""
    return lambda row: f"{row[column]:g}"


def share(column: str) -> Cell:
    """A share in percent, without its interval."""
    return lambda row: f"{100 * row[column]:.0f}"


def percent(column: str) -> Cell:
    """A mean in percent, with its interval."""
    return lambda row: _interval(row, column, "{:.1f} [dim]{:.0f}-{:.0f}[/]")


def difference(column: str) -> Cell:
    """A difference in points, with its sign and its interval."""
    return lambda row: _interval(row, column, "{:+.1f} [dim]{:+.0f} to {:+.0f}[/]")


def _interval(row: Mapping[str, Any], column: str, template: str) -> str:
    if math.isnan(row[column]):
        return "-"
    return template.format(*(100 * row[name] for name in (column, f"{column}_low",
                                                          f"{column}_high")))  # fmt: skip

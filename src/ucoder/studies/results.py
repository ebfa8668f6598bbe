"""What a study returns: named tables and a summary; how they are written and printed.

A mean over tasks is four columns of a table: the value under the plain name, and beside it `_low`,
`_high` (the 95% interval) and `_n` (tasks whose value is known). In the JSON summary the four are
one object. What is undefined is NaN in a table, an empty cell in CSV, null in JSON.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ucoder.analysis.numbers import plain
from ucoder.evaluation.statistics import Interval, bootstrap_interval, mean_interval
from ucoder.files import replacing
from ucoder.records import NAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

ENDS = ("low", "high", "n")

DIFFERENCES = frozenset({"against_paper", "lost"})
"""Measures that are a difference of two shares, from -1 to 1."""
COUNTS = frozenset({"samples"})
"""Measures without an upper bound; every other one is a share, from 0 to 1."""

PLAIN = "{}"
PERCENT = "{:.1f} [dim]{:.0f}-{:.0f}[/]"
DIFFERENCE = "{:+.1f} [dim]{:+.0f} to {:+.0f}[/]"
SHARE = "{:.0f}"
"""How a printed cell shows its column: as it is, or in percent with an interval or without one."""


@dataclass(frozen=True)
class Listing:
    """A table as a terminal shows it: by heading, the column and the form of its cells."""

    title: str
    table: DataFrame
    cells: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Study:
    """What a study found; its main table, its summary and its main figure bear its name.

    `tables` and `figures` (what draws each) are named as their files are, `summary` holds the keys
    of the JSON file, `listings` and then `notes` are printed.
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
    """A table, which has its columns even where it has no row; `intervals` hold an `Interval`."""
    import pandas as pd

    def flat(row: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in columns:
            value = row[name]
            found[name] = value.value if name in intervals else value
            if name in intervals:
                found |= {f"{name}_{end}": getattr(value, end) for end in ENDS}
        return found

    empty = dict.fromkeys(columns, Interval(NAN, NAN, NAN, 0))
    return pd.DataFrame(map(flat, rows), columns=list(flat(empty)))


def interval_table(
    rows: Iterable[Mapping[str, Any]],
    by: Mapping[str, Sequence[Any]],
    columns: Sequence[str],
    seed: int,
) -> DataFrame:
    """Means over tasks with their intervals, one row for each combination of `by`.

    Values of the same task (rows with the same number as `task`) are averaged first, those that
    are known. Columns are shares, but for those of `DIFFERENCES` and of `COUNTS`; `seed` is for
    the last, whose tasks are resampled.
    """

    def mean(column: str, of_tasks: NDArray[np.float64]) -> Interval:
        if column in COUNTS:
            return bootstrap_interval(of_tasks, seed)
        return mean_interval(of_tasks, -1.0 if column in DIFFERENCES else 0.0)

    values, found = frame(rows, ("task", *by, *columns)), []
    for key in itertools.product(*by.values()):
        places = dict(zip(by, key, strict=True))
        is_shown = np.logical_and.reduce([values[name] == value for name, value in places.items()])
        of_tasks = values[is_shown].groupby("task")[list(columns)].mean()
        means = {name: mean(name, of_tasks[name].to_numpy(float)) for name in columns}
        found.append({**places, **means})
    return frame(found, (*by, *columns), columns)


def readable(text: str) -> str:
    """A text that Parquet and CSV can hold: ids may hold lone surrogates, which UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def records(table: DataFrame) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def nested(table: DataFrame) -> list[dict[str, Any]]:
    """The rows of a table for a summary, each mean with its interval as one object."""
    means = [name for name in table.columns if f"{name}_n" in table.columns]
    ends = {f"{name}_{end}" for name in means for end in ENDS}
    return [
        {
            name: asdict(mean_of(row, name)) if name in means else value
            for name, value in row.items()
            if name not in ends
        }
        for row in records(table)
    ]


def mean_of(row: Mapping[str, Any], column: str) -> Interval:
    """A mean of a row, with its interval."""
    return Interval(row[column], *(row[f"{column}_{end}"] for end in ENDS))


def write_study(study: Study, folder: Path) -> list[Path]:
    """Write the tables (Parquet and CSV), the summary (JSON) and the figures (PNG and SVG).

    Raises:
        DiskFull: No space is left; every file that is there is whole.
    """
    from ucoder.studies.figures import styled

    paths = []

    @contextmanager
    def target(name: str) -> Iterator[Path]:
        paths.append(folder / name)
        with replacing(paths[-1]) as temporary:
            yield temporary

    for name, table in study.tables.items():
        with target(f"{name}.parquet") as file:
            table.to_parquet(file, compression="zstd", index=False)
        with target(f"{name}.csv") as file:
            table.to_csv(file, index=False)
    with target(f"{study.name}.json") as file:
        file.write_text(json.dumps(plain(study.summary), indent=2) + "\n", "utf-8")
    with styled():
        for name, draw in study.figures.items():
            figure = draw()
            # Without a date and a version: the same figure is the same bytes.
            with target(f"{name}.png") as file:
                figure.savefig(file, format="png", dpi=160, metadata={"Software": None})
            with target(f"{name}.svg") as file:
                figure.savefig(file, format="svg", metadata={"Date": None})
    return paths


def print_study(study: Study, out: Console) -> None:
    """Print the listings and the notes."""
    for listing in study.listings:
        shown = RichTable(title=listing.title, title_justify="left")
        for at, heading in enumerate(listing.cells):
            shown.add_column(heading, no_wrap=True, justify="right" if at else "left")
        for row in records(listing.table):
            shown.add_row(*(_cell(row, *cell) for cell in listing.cells.values()))
        out.print(shown)
    out.print("in percent, with 95% intervals over tasks", style="dim")
    for note in study.notes:
        out.print(note, highlight=False, soft_wrap=True, markup=False)


def _cell(row: Mapping[str, Any], column: str, form: str) -> str | Text:
    if form not in (PERCENT, DIFFERENCE, SHARE):
        return form.format(row[column])
    if math.isnan(row[column]):
        return "-"
    ends = (column, f"{column}_low", f"{column}_high")
    # The only markup: our own, around numbers.
    return Text.from_markup(form.format(*(100 * row.get(name, NAN) for name in ends)))

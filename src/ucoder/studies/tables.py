"""What a study leaves in its folder: tables as Parquet and CSV, a summary as JSON, figures."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from ucoder.evaluation.statistics import Interval
from ucoder.files import write_atomically

_ENDS = ("low", "high", "n")
_TYPES: Mapping[Any, Any] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
}


class Row(Protocol):
    """A frozen dataclass of texts, numbers and intervals."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a study.

    Attributes:
        name: Of its files.
        kind: The rows' class, which says the columns where there is no row.
        rows: The rows.
    """

    name: str
    kind: type[Row]
    rows: Sequence[Row]


class Study(Protocol):
    """What every study returns."""

    @property
    def name(self) -> str:
        """Of the study, and of its files."""
        ...

    def tables(self) -> list[Table]:
        """Everything that was found, the main table first."""
        ...

    def summary(self) -> dict[str, Any]:
        """The findings, as plain values."""
        ...

    def draw(self, folder: Path) -> list[Path]:
        """Draw the figures, and say where they are.

        Raises:
            MissingDependency: matplotlib is not installed.
        """
        ...


def write_study(study: Study, folder: Path) -> list[Path]:
    """Write a study's tables and its summary, then its figures.

    Raises:
        MissingDependency: Figures need matplotlib; everything else has been written then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [path for table in study.tables() for path in write_table(table, folder)]
    paths.append(folder / f"{study.name}.json")
    write_atomically(paths[-1], json.dumps(plain(study.summary()), indent=2) + "\n")
    return paths + study.draw(folder)


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write one table: `NAME.parquet` and `NAME.csv`.

    An interval becomes four columns: its value under the field's name, and `_low`, `_high`, `_n`.
    What is undefined is NaN in Parquet and an empty cell in CSV.
    """
    columns = _columns(table.kind)
    rows = [_flat(row) for row in table.rows]
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
    parquet = folder / f"{table.name}.parquet"
    temporary = parquet.with_name(f".{parquet.name}.tmp")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")
    temporary.rename(parquet)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    write_atomically(folder / f"{table.name}.csv", text.getvalue())
    return [parquet, folder / f"{table.name}.csv"]


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


def _columns(kind: type[Row]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    columns: dict[str, Any] = {}
    for field in fields(kind):
        if hints[field.name] is Interval:
            columns[field.name] = float
            columns |= {f"{field.name}_{end}": int if end == "n" else float for end in _ENDS}
        else:
            columns[field.name] = hints[field.name]
    return columns


def _flat(row: Row) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Interval):
            cells[field.name] = value.value
            cells |= {f"{field.name}_{end}": getattr(value, end) for end in _ENDS}
        elif isinstance(value, str):
            # Ids come from files of strangers, and may hold what no UTF-8 text can.
            cells[field.name] = value.encode("utf-8", "backslashreplace").decode("utf-8")
        else:
            cells[field.name] = value
    return cells


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value

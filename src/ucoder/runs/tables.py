"""One table of a run: Parquet shards, each written whole or not at all (`ucoder.files`).

A unit of work (an attempt, a problem, a benchmark task) writes its rows under its own key as one
shard. So a unit exists or it does not, doing it again overwrites instead of doubling, and resuming
means: read which keys exist, do the rest.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ucoder.errors import DamagedShard, FileError
from ucoder.files import file_error, undecodable, write_atomically
from ucoder.runs.schema import from_table, to_table

T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z0-9_.=-]{1,120}")


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows of one unit of work as a Parquet file, encoded where they were made.

    A replica on another machine sends its rows like this: encoding them is work, and the process
    that feeds a cluster has none to spare.
    """

    content: bytes

    @classmethod
    def of(cls, record: type, rows: Iterable[Any] | Shard) -> Shard:
        """Encode rows of one record class; rows that are encoded already stay as they are."""
        if isinstance(rows, Shard):
            return rows
        buffer = io.BytesIO()
        pq.write_table(to_table(record, list(rows)), buffer, compression="zstd")
        return cls(buffer.getvalue())


class Table(Generic[T]):
    """Rows of one record class, in one folder.

    Args:
        folder: Where the shards lie; made on the first write.
        record: The record class.
    """

    def __init__(self, folder: Path, record: type[T]) -> None:
        self.folder = folder
        self.record = record

    def put(self, key: str, rows: Iterable[T] | Shard) -> None:
        """Write the rows of one unit of work, durably and at once.

        Args:
            key: The unit: letters, digits and `_.=-`.
            rows: Its records, or what another machine made of them.

        Raises:
            FileError: It cannot be written (DiskFull: no space is left); what was there before is
                untouched.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"key {key!r} is not a plain name")
        shard = Shard.of(self.record, rows)
        write_atomically(self.folder / f"{key}.parquet", shard.content)

    def keys(self) -> set[str]:
        """The units that are there."""
        return {shard.stem for shard in self._shards()}

    def rows(self) -> list[T]:
        """Every row, in the order of the keys.

        Raises:
            DamagedShard: A shard cannot be read.
        """
        return list(self.stream())

    def stream(self) -> Iterator[T]:
        """Every row, in the order of the keys; one shard's at a time are in memory.

        Raises:
            DamagedShard: A shard cannot be read.
        """
        for shard in self._shards():
            yield from self._read(shard)

    def get(self, key: str) -> list[T]:
        """The rows of one unit, none where it is not there.

        Raises:
            DamagedShard: Its shard cannot be read.
        """
        shard = self.folder / f"{key}.parquet"
        return self._read(shard) if shard.exists() else []

    def find(self, key: str, column: str, value: str) -> list[T]:
        """Those rows of one unit that have a value in a column.

        Raises:
            DamagedShard: Its shard cannot be read.
        """
        shard = self.folder / f"{key}.parquet"
        with _reading(shard):
            table = _arrow(shard)
            return from_table(self.record, table.filter(pc.equal(table.column(column), value)))

    def arrow(self, *columns: str) -> Iterator[pa.Table]:
        """These columns of one shard after the other, in the order of the keys, as Arrow has them.

        A part of a nested column is named as in Parquet: `outcomes.list.element.kind`. This is
        for counting: a run of the paper's size holds millions of candidates and hundreds of
        millions of outcomes, too many to make a record of each.

        Raises:
            DamagedShard: A shard cannot be read.
        """
        for shard in self._shards():
            with _reading(shard):
                table = _arrow(shard, list(columns))
            yield table

    def columns(self, *names: str) -> Iterator[dict[str, Any]]:
        """These columns of every row, in the order of the keys.

        Raises:
            DamagedShard: A shard cannot be read.
        """
        for table in self.arrow(*names):
            yield from table.to_pylist()

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet")) if self.folder.is_dir() else []

    def _read(self, shard: Path) -> list[T]:
        with _reading(shard):
            return from_table(self.record, _arrow(shard))


def _arrow(source: Path, columns: list[str] | None = None) -> pa.Table:
    """A small file's rows: `read_table` would spend most of its time on finding out what it is."""
    with pq.ParquetFile(source) as file:
        return file.read(columns=columns, use_threads=False)


@contextmanager
def _reading(shard: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, UnicodeEncodeError):
            raise FileError(undecodable(shard)) from error
        if isinstance(error, OSError) and error.errno is not None:
            raise file_error(error, shard, "read") from error
        raise DamagedShard(
            f"{shard} cannot be read ({error}). Nothing else of the run is affected: move the "
            f"file away and resume; only the work in it is done again"
        ) from error

"""One table of a run: Parquet shards, each written whole or not at all.

A unit of work (an attempt, a problem, a benchmark task) writes its rows under its own key as one
shard: to a temporary name, flushed to the disk, then renamed. So a unit is there or it is not,
doing it again overwrites instead of doubling, and resuming means: read which keys are there, do
the rest.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ucoder.errors import DamagedShard, DiskFull
from ucoder.runs.schema import from_table, to_table

T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z0-9_.=-]{1,120}")


class Table(Generic[T]):
    """Rows of one record class, in one folder.

    Args:
        folder: Where the shards lie; made on the first write.
        record: The record class.
    """

    def __init__(self, folder: Path, record: type[T]) -> None:
        self.folder = folder
        self.record = record

    def put(self, key: str, rows: Iterable[T]) -> None:
        """Write the rows of one unit of work, durably and at once.

        Raises:
            DiskFull: No space is left; what was there before is untouched.
        """
        self.put_shard(key, to_shard(self.record, rows))

    def put_shard(self, key: str, shard: bytes) -> None:
        """Write what `to_shard` made of the rows of one unit of work; see `put`.

        Raises:
            DiskFull: As above.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"key {key!r} is no plain name")
        self._write(self.folder / f"{key}.parquet", shard)

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

    def shard(self, key: str) -> bytes:
        """The shard of one unit as it lies there, for whoever reads it elsewhere.

        Raises:
            DamagedShard: It cannot be read, or is not there.
        """
        path = self.folder / f"{key}.parquet"
        try:
            return path.read_bytes()
        except OSError as error:
            raise _damaged(path, error) from error

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

        A part of a nested column is named as in Parquet: `outcomes.list.element.kind`. For whoever
        counts: a run of the paper's size holds millions of candidates and hundreds of millions of
        outcomes, too many to make a record of each.

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

    def _write(self, shard: Path, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = shard.with_name(f".{shard.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(shard)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(
                    f"no space left for {shard}; free some and resume: everything written "
                    f"before it is kept"
                ) from error
            raise
        _sync_folder(self.folder)


def to_shard(record: type[T], rows: Iterable[T]) -> bytes:
    """The Parquet file of one unit's rows, as a table keeps it: to be written somewhere else."""
    buffer = io.BytesIO()
    pq.write_table(to_table(record, list(rows)), buffer, compression="zstd")
    return buffer.getvalue()


def from_shard(record: type[T], shard: bytes) -> list[T]:
    """The rows in a shard that `Table.shard` gave."""
    return from_table(record, _arrow(io.BytesIO(shard)))


def _arrow(source: Path | io.BytesIO, columns: list[str] | None = None) -> pa.Table:
    """A small file's rows: `read_table` would spend most of its time on finding out what it is."""
    with pq.ParquetFile(source) as file:
        return file.read(columns=columns, use_threads=False)


@contextmanager
def _reading(shard: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(shard, error) from error


def _damaged(shard: Path, error: Exception) -> DamagedShard:
    return DamagedShard(
        f"{shard} cannot be read ({error}). Nothing else of the run is affected: move the file "
        f"away and resume; only the work in it is done again"
    )


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: the folder's own entry must reach the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""One table of a run: Parquet shards, each written whole or not at all.

A unit of work (an attempt, a problem, a benchmark task) writes its rows under its own key as one
shard: to a temporary name, flushed to the disk, then renamed. So a unit is there or it is not,
doing it again overwrites instead of doubling, and resuming means: read which keys are there, do
the rest.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa
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
        if not _KEY.fullmatch(key):
            raise ValueError(f"key {key!r} is no plain name")
        self._write(self.folder / f"{key}.parquet", to_table(self.record, list(rows)))

    def keys(self) -> set[str]:
        """The units that are there."""
        return {shard.stem for shard in self._shards()}

    def rows(self) -> list[T]:
        """Every row, in the order of the keys.

        Raises:
            DamagedShard: A shard cannot be read.
        """
        return [row for shard in self._shards() for row in self._read(shard)]

    def get(self, key: str) -> list[T]:
        """The rows of one unit, none where it is not there.

        Raises:
            DamagedShard: Its shard cannot be read.
        """
        shard = self.folder / f"{key}.parquet"
        return self._read(shard) if shard.exists() else []

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet")) if self.folder.is_dir() else []

    def _read(self, shard: Path) -> list[T]:
        try:
            return from_table(self.record, pq.read_table(shard, partitioning=None))
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise DamagedShard(
                f"{shard} cannot be read ({error}). Nothing else of the run is affected: move "
                f"the file away and resume; only the work in it is done again"
            ) from error

    def _write(self, shard: Path, table: pa.Table) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = shard.with_name(f".{shard.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                pq.write_table(table, file, compression="zstd")
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


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: the folder's own entry must reach the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

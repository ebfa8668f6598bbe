"""Answers and scores outside a run: one line a task, appended, and read again on the next start.

A run keeps Parquet shards, made durable one by one. An evaluation outside a run is shorter and has
to be fast: a line is handed to the operating system as soon as a task is done, so that it survives
the death of this process. A task whose line a crash of the machine cut off is done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from ucoder.files import storing

T = TypeVar("T")


class Keyed(Protocol[T]):
    """Rows by the unit of work that made them: a table of a run, or a `Ledger`."""

    def put(self, key: str, rows: Iterable[T]) -> None:
        """Keep the rows of one unit of work."""
        ...

    def get(self, key: str) -> list[T]:
        """The rows of one unit; empty if the unit is missing."""
        ...

    def keys(self) -> set[str]:
        """The units that are stored."""
        ...


class Ledger(Generic[T]):
    """A file of JSON lines.

    Args:
        path: The file; made on the first write.
        record: The rows' class: a dataclass of plain fields and enumerations.
    """

    def __init__(self, path: Path, record: type[T]) -> None:
        self.path = path
        self.record = record
        hints = get_type_hints(record)
        self._enums = {
            field.name: hints[field.name]
            for field in fields(record)  # type: ignore[arg-type]
            if isinstance(hints[field.name], type) and issubclass(hints[field.name], StrEnum)
        }
        self._rows = self._read()

    def put(self, key: str, rows: Iterable[T]) -> None:
        """See `Keyed.put`."""
        kept = list(rows)
        line = json.dumps({"key": key, "rows": [asdict(row) for row in kept]})  # type: ignore[call-overload]
        with storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="ascii") as file:
                # The first line end terminates a line that a crash cut short.
                file.write(f"\n{line}\n")
        self._rows[key] = kept

    def get(self, key: str) -> list[T]:
        """See `Keyed.get`."""
        return self._rows.get(key, [])

    def keys(self) -> set[str]:
        """See `Keyed.keys`."""
        return set(self._rows)

    def _read(self) -> dict[str, list[T]]:
        found: dict[str, list[T]] = {}
        if not self.path.is_file():
            return found
        with self.path.open(encoding="ascii", errors="replace") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    found[entry["key"]] = [self._row(values) for values in entry["rows"]]
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue  # cut short: the task is done again
        return found

    def _row(self, values: dict[str, Any]) -> T:
        enums = {name: enum(values[name]) for name, enum in self._enums.items()}
        return self.record(**{**values, **enums})

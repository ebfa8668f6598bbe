"""From records to Arrow and back, driven by the records' own annotations.

One rule a type, so that a new field of a record needs no second place to be written down:
`str`, `int`, `float`, `bool`, `StrEnum` -> scalar; `tuple[X, ...]` -> list; a dataclass ->
struct; `X | None` -> nullable X. Text that is not valid Unicode (lone surrogates, which a model
can produce) is stored with its surrogates escaped as `\\udXXX`, because Parquet holds UTF-8.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import pyarrow as pa

T = TypeVar("T")

_SCALARS: dict[type, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
}


@cache
def schema_of(record: type) -> pa.Schema:
    """The Arrow schema of a record class."""
    return pa.schema(_fields(record))


def to_table(record: type, rows: list[Any]) -> pa.Table:
    """An Arrow table of records of one class."""
    schema, hints = schema_of(record), _hints(record)
    columns = []
    for field in schema:
        encode, get = _encoder(hints[field.name]), attrgetter(field.name)
        columns.append(pa.array([encode(get(row)) for row in rows], field.type))
    return pa.table(columns, schema=schema)


def from_table(record: type[T], table: pa.Table) -> list[T]:
    """The records of an Arrow table.

    Raises:
        KeyError: The table lacks a column that the record needs.
    """
    hints = _hints(cast(type, record))
    columns = [
        map(_decoder(hints[field.name]), table.column(field.name).to_pylist())
        for field in dataclasses.fields(record)  # type: ignore[arg-type]
    ]
    return [record(*row) for row in zip(*columns, strict=True)]


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _fields(record: type) -> list[pa.Field]:
    hints = _hints(record)
    return [
        pa.field(field.name, _type(hints[field.name]), nullable=_optional(hints[field.name])[1])
        for field in dataclasses.fields(record)
    ]


def _optional(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        inner = [argument for argument in get_args(hint) if argument is not type(None)]
        return inner[0], True
    return hint, False


def _type(hint: Any) -> pa.DataType:
    hint, _ = _optional(hint)
    if get_origin(hint) is tuple:
        return pa.list_(_type(get_args(hint)[0]))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return pa.struct(_fields(hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return pa.string()
    return _SCALARS[hint]


@cache
def _encoder(hint: Any) -> Callable[[Any], Any]:
    """How values of one type become what Arrow takes: worked out once, and used for millions."""
    hint, is_optional = _optional(hint)
    if is_optional:
        encode = _encoder(hint)
        return lambda value: None if value is None else encode(value)
    if get_origin(hint) is tuple:
        item = _encoder(get_args(hint)[0])
        return lambda values: [item(value) for value in values]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _struct_encoder(hint)
    if issubclass(hint, StrEnum):
        return attrgetter("value")
    return _encode_text if hint is str else _as_it_is


def _struct_encoder(record: type) -> Callable[[Any], Any]:
    hints = _hints(record)
    fields = [(attrgetter(f.name), _encoder(hints[f.name])) for f in dataclasses.fields(record)]
    return lambda value: tuple(encode(get(value)) for get, encode in fields)


def _encode_text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


def _as_it_is(value: Any) -> Any:
    return value


@cache
def _decoder(hint: Any) -> Callable[[Any], Any]:
    """The way back; see `_encoder`."""
    hint, is_optional = _optional(hint)
    if is_optional:
        decode = _decoder(hint)
        return lambda value: None if value is None else decode(value)
    if get_origin(hint) is tuple:
        item = _decoder(get_args(hint)[0])
        return lambda values: tuple(map(item, values))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _struct_decoder(hint)
    if issubclass(hint, StrEnum):
        return {member.value: member for member in hint}.__getitem__
    return _as_it_is


def _struct_decoder(record: type) -> Callable[[Any], Any]:
    hints = _hints(record)
    fields = [(f.name, _decoder(hints[f.name])) for f in dataclasses.fields(record)]
    return lambda value: record(*[decode(value[name]) for name, decode in fields])

"""What `parse` builds for values of a program's own classes and for arrays: plain records.

They describe a value, and can be written again, but programs cannot be called with them. Records
are equal only to themselves, because two values of equal text may be in one set (an object can be
hashed by its identity); compare texts, with `same`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from ucoder.execution.canonical.objects import array_text, dataclass_text, enum_text, scalar_text
from ucoder.execution.canonical.writer import RECORDS, CanonicalWriter

Plain: TypeAlias = Any
"""Built-in values, dates, decimals, fractions and the records below, nested; a static type cannot
express "exactly these types"."""


@dataclass(frozen=True, slots=True, eq=False)
class DataclassValue:
    """An instance of a dataclass: the class's name and its fields in their order."""

    name: str
    fields: tuple[tuple[str, Plain], ...]


@dataclass(frozen=True, slots=True, eq=False)
class EnumValue:
    """A member of an enum; `name` is None for a combination of flags without a name."""

    type_name: str
    name: str | None
    value: Plain


@dataclass(frozen=True, slots=True, eq=False)
class ArrayValue:
    """A numpy array: `items` row by row, whatever the order in memory was.

    `dtype` is numpy's name without the byte order; strings have the letter `U` or `S` and their
    length, and Python objects are `object`.
    """

    dtype: str
    shape: tuple[int, ...]
    items: tuple[Plain, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ScalarValue:
    """A numpy scalar: the name of its type, such as `float64`, and its value."""

    type_name: str
    value: Plain


Record: TypeAlias = DataclassValue | EnumValue | ArrayValue | ScalarValue


def _write_dataclass(writer: CanonicalWriter, value: DataclassValue, depth: int) -> str:
    return dataclass_text(writer, value, value.name, value.fields, depth)


def _write_enum(writer: CanonicalWriter, value: EnumValue, depth: int) -> str:
    return enum_text(writer, value, value.type_name, value.name, value.value, depth)


def _write_array(writer: CanonicalWriter, value: ArrayValue, depth: int) -> str:
    return array_text(writer, value, value.dtype, value.shape, list(value.items), depth)


def _write_scalar(writer: CanonicalWriter, value: ScalarValue, depth: int) -> str:
    return scalar_text(writer, value.type_name, value.value, depth)


RECORDS.update(
    {
        id(DataclassValue): _write_dataclass,
        id(EnumValue): _write_enum,
        id(ArrayValue): _write_array,
        id(ScalarValue): _write_scalar,
    }
)

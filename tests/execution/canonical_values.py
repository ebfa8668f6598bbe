"""Strategies for values that have a canonical text, and what "the same value" means, spelt out."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from ucoder.execution.canonical import (
    ArrayValue,
    DataclassValue,
    EnumValue,
    ScalarValue,
    key,
    write,
)

ZONES = st.builds(
    datetime.timezone,
    st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)),
) | st.builds(
    datetime.timezone,
    st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)),
    st.text(max_size=5),
)
MOMENTS = (
    st.dates()
    | st.times(timezones=st.none() | ZONES)
    | st.datetimes(timezones=st.none() | ZONES)
    | st.datetimes().map(lambda moment: moment.replace(fold=1))
    | st.timedeltas()
    | ZONES
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.booleans()
    | st.decimals(allow_nan=False)
    | st.fractions()
)
TEXTS = st.text(st.characters()) | st.text(st.characters(categories=["Cs"])) | st.binary()
WIDE = st.integers(2040, 9000).map(lambda n_bits: 1 - (1 << n_bits))
ATOMS = st.none() | NUMBERS | TEXTS | WIDE | MOMENTS
HASHABLE = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
BUILTIN = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=5)
        | st.sets(HASHABLE, max_size=5)
    ),
    max_leaves=20,
)
NAMES = st.text(st.characters(exclude_characters="|."), min_size=1, max_size=5) | st.sampled_from(
    ["set", "nan", "Decimal", "np", "x", "True", "1", "a b"]
)


def _array(items: list[Any]) -> ArrayValue:
    return ArrayValue("object", (len(items),), tuple(items))


VALUES = st.recursive(
    BUILTIN,
    lambda inner: (
        st.builds(DataclassValue, NAMES, st.dictionaries(NAMES, inner).map(lambda d: (*d.items(),)))
        | st.builds(EnumValue, NAMES, st.none() | NAMES, inner)
        | st.builds(ScalarValue, st.just("float64"), st.floats())
        | st.lists(inner, max_size=4).map(_array)
        | st.lists(inner, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=10,
)


def identical(one: Any, two: Any) -> bool:
    """Equal with exact types, NaN equal to NaN and -0.0 different from 0.0; dicts in any order."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return (one == two and math.copysign(1, one) == math.copysign(1, two)) or (
            math.isnan(one) and math.isnan(two)
        )
    if isinstance(one, complex):
        return identical(one.real, two.real) and identical(one.imag, two.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(identical, one, two))
    if isinstance(one, set | frozenset):
        by_text = (sorted(one, key=write), sorted(two, key=write))
        return len(one) == len(two) and all(map(identical, *by_text))
    if isinstance(one, dict):
        pairs = [sorted((key(write(k)), key(write(v))) for k, v in d.items()) for d in (one, two)]
        return pairs[0] == pairs[1]
    if isinstance(one, Decimal):
        return one.as_tuple() == two.as_tuple()
    if isinstance(one, datetime.datetime | datetime.time):
        parts = [(d.replace(tzinfo=None), d.fold) for d in (one, two)]
        return parts[0] == parts[1] and identical(one.tzinfo, two.tzinfo)
    if isinstance(one, datetime.timezone):
        return one == two and one.tzname(None) == two.tzname(None)
    if isinstance(one, DataclassValue):
        return one.name == two.name and identical(one.fields, two.fields)
    if isinstance(one, EnumValue):
        return (one.type_name, one.name) == (two.type_name, two.name) and identical(
            one.value, two.value
        )
    if isinstance(one, ArrayValue):
        return (one.dtype, one.shape) == (two.dtype, two.shape) and identical(one.items, two.items)
    if isinstance(one, ScalarValue):
        return one.type_name == two.type_name and identical(one.value, two.value)
    assert isinstance(one, int | str | bytes | Fraction | datetime.date | datetime.timedelta | None)
    return bool(one == two)

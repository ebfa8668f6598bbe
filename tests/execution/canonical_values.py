"""Strategies for values that have a canonical text, and what "the same value" means, spelt out."""

from __future__ import annotations

import datetime
import math
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from ucoder.execution.canonical import (
    ArrayValue,
    DataclassValue,
    EnumValue,
    ScalarValue,
    key,
    write,
)

FEWER = settings(max_examples=settings().max_examples // 2, deadline=None)
"""Half of what the profile asks for: `--hypothesis-profile=thorough` asks for more."""

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
SMALL = st.sampled_from(
    [None, True, False, 0, 1, 2, -1, 1 << 63, 1 << 2048, 0.0, -0.0, 1.0, 1e100, math.nan, math.inf,
     1j, complex(-0.0, math.nan), Decimal("1.0"), Decimal("-0"), Fraction(1, 3), "", "a", "'", '"',
     "1", ", ", ": ", "{}", "\\", b"", b"a", datetime.date(2020, 1, 2), datetime.timedelta(1)]
)  # fmt: skip
"""Values that are easily confused, drawn at hardly any cost: random ones seldom are."""

ATOMS = SMALL | SMALL | st.none() | NUMBERS | TEXTS | WIDE | MOMENTS
HASHABLE = SMALL | st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
FLAT_KEYS = SMALL.filter(lambda x: isinstance(x, int | float | str | None)) | st.tuples(
    st.integers(0, 3), st.text(max_size=2)
)


def _containers(inner: Any) -> Any:
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=2).map(Counter)
        | st.dictionaries(FLAT_KEYS, inner, max_size=3).map(OrderedDict)
        | st.dictionaries(HASHABLE, inner, max_size=2).map(lambda d: defaultdict(None, d))
        | st.lists(inner, max_size=3).map(deque)
    )


BUILTIN = st.recursive(ATOMS, _containers, max_leaves=8)
NAMES = st.text(st.characters(exclude_characters="|."), min_size=1, max_size=5) | st.sampled_from(
    ["set", "nan", "Decimal", "np", "x", "True", "1", "a b"]
)


def _array(items: list[Any]) -> ArrayValue:
    return ArrayValue("object", (len(items),), tuple(items))


VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        _containers(inner)
        | st.builds(
            DataclassValue,
            NAMES,
            st.dictionaries(NAMES, inner, max_size=3).map(lambda d: (*d.items(),)),
        )
        | st.builds(EnumValue, NAMES, st.none() | NAMES, inner)
        | st.builds(ScalarValue, st.just("float64"), st.floats())
        | st.lists(inner, max_size=3).map(_array)
    ),
    max_leaves=8,
)


def identical(one: Any, two: Any) -> bool:
    """Equal with exact types, NaN equal to NaN and -0.0 different from 0.0; dicts in any order,
    unless they keep it.
    """
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return (one == two and math.copysign(1, one) == math.copysign(1, two)) or (
            math.isnan(one) and math.isnan(two)
        )
    if isinstance(one, complex):
        return identical(one.real, two.real) and identical(one.imag, two.imag)
    if isinstance(one, list | tuple | deque):
        return len(one) == len(two) and all(map(identical, one, two))
    if isinstance(one, set | frozenset):
        by_text = (sorted(one, key=write), sorted(two, key=write))
        return len(one) == len(two) and all(map(identical, *by_text))
    if isinstance(one, dict):
        pairs = [[(key(write(k)), key(write(v))) for k, v in d.items()] for d in (one, two)]
        if not isinstance(one, OrderedDict):
            pairs = [sorted(items) for items in pairs]
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

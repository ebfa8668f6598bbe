"""Canonical text of plain values: how results leave the sandbox and how inputs enter it.

`write` turns a value into text, `parse` turns text into a value. The text reads much like Python
and is pure ASCII. It is deterministic (sets are sorted by the text of their elements), injective
(different values have different texts) and type-exact (`1`, `1.0` and `True` differ). A dict keeps
its order in the text; `key` removes that order, except for an OrderedDict, whose equality depends
on it. Two values are the same if their keys are equal as strings. `same` compares two texts, with
a tolerance for floats on request.

| value, of exactly this type | text |
|---|---|
| None, bool, int, float, complex, str, bytes | `None`, `1`, `nan`, `complex(0.0, 1.0)`, `'a'` |
| list, tuple, set, frozenset, dict | `[1]`, `(1,)`, `{1, 2}`, `frozenset({1})`, `{'a': 1}` |
| Counter, OrderedDict, defaultdict, deque | `Counter({'a': 2})`, `deque([1, 2])` |
| an instance of a dataclass | `Point(x=1, y=[2])`: all fields, those with `compare=False` too |
| a member of an enum or flag | `<Color.RED: 1>`, `<Mode.R|W: 3>` |
| date, time, datetime, timedelta, timezone | `datetime.date(2020, 1, 2)` |
| Decimal, Fraction | `Decimal('1.10')`, which is not `Decimal('1.1')`; `Fraction(1, 3)` |
| a numpy array or scalar | `array([1, 2], dtype='int64', shape=(2,))`, `np.float64(1.0)` |

Everything else is *not representable*: subclasses of these, dataclasses that are also a `list`,
time zones of other classes, numpy's dates, long doubles and records, and an OrderedDict whose keys
are other than built-in scalars and flat tuples of them, because iterating over it would run the
code of its keys. Arrays of Python objects are written element by element.

Limits: all NaNs are one value; classes are identified by their name alone; shared references are
written out as often as they occur; the factory of a defaultdict, the maxlen of a deque (which
equality ignores, too) and the byte order of an array do not count. Ints of more than 2048 bits
are written in hexadecimal, because decimal conversion takes quadratic time and Python refuses it
beyond a configurable number of digits.

The sandbox needs `writer` and its imports; `reader` is loaded there only to judge tests.
"""

from ucoder.execution.canonical.comparison import key, same
from ucoder.execution.canonical.errors import CanonicalError, NotRepresentable, TooLarge
from ucoder.execution.canonical.reader import parse
from ucoder.execution.canonical.reflection import type_name
from ucoder.execution.canonical.values import (
    ArrayValue,
    DataclassValue,
    EnumValue,
    Plain,
    Record,
    ScalarValue,
)
from ucoder.execution.canonical.writer import MAX_CHARS, MAX_DEPTH, write

__all__ = [
    "MAX_CHARS",
    "MAX_DEPTH",
    "ArrayValue",
    "CanonicalError",
    "DataclassValue",
    "EnumValue",
    "NotRepresentable",
    "Plain",
    "Record",
    "ScalarValue",
    "TooLarge",
    "key",
    "parse",
    "same",
    "type_name",
    "write",
]

"""The values of calls in a canonical text: `Decimal('1.10')`, `np.int64(3)`, `Point(x=1)`.

Nothing is called by name: each known word has a function here that checks its arguments. Any
other word with keyword arguments only is a dataclass, and becomes a record.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import Any, Final

from ucoder.execution.canonical.objects import MAX_FIELDS, NUMPY_SCALARS, are_flat
from ucoder.execution.canonical.values import ArrayValue, DataclassValue, Plain, ScalarValue

MAX_FRACTION_BITS: Final = 1 << 17
"""Wider fractions are refused: reducing them takes quadratic time."""

Arguments = tuple[list[Plain], dict[str, Plain]]
"""The positional and the named arguments of a call."""

_DECIMAL = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|s?NaN\d*|Infinity)", re.ASCII)
_DTYPE = re.compile(
    r"bool|u?int(?:8|16|32|64)|float(?:16|32|64)|complex(?:64|128)|object|[US]\d{1,10}", re.ASCII
)


_NAMED_TUPLE: Final = "tuple."


@lru_cache(maxsize=256)
def _named_tuple(name: str, *fields: str) -> Any:
    return namedtuple(name, fields, module="solution")


class BadCall(Exception):
    """A word was given arguments that it does not accept; the message says what it accepts."""


def build(word: str, name: str, arguments: Arguments) -> Plain:
    """Build the value of a call.

    Args:
        word: The word before the bracket, as it is written.
        name: The same without escapes: the name of a dataclass.
        arguments: The arguments in the brackets.

    Raises:
        BadCall: The word does not accept these arguments.
    """
    builder = BUILDERS.get(word)
    try:
        if builder is not None:
            return builder(*arguments[0], **arguments[1])
    except (ArithmeticError, TypeError, ValueError) as error:
        raise BadCall(f"invalid {word}(...): {str(error)[:100]}") from None
    if word.startswith(_NAMED_TUPLE) and not arguments[0] and len(arguments[1]) <= MAX_FIELDS:
        try:
            kind = _named_tuple(name.removeprefix(_NAMED_TUPLE), *arguments[1])
        except ValueError as error:
            raise BadCall(f"invalid {word}(...): {error}") from None
        return kind(*arguments[1].values())
    if arguments[0] or "." in word:
        raise BadCall(f"{word}(...) takes named arguments only")
    return DataclassValue(name, tuple(arguments[1].items()))


def _collection(kind: Callable[[Any], Plain]) -> Callable[..., Plain]:
    def collect(items: Plain = (), /) -> Plain:
        if type(items) not in (list, tuple, set):
            raise TypeError("expected a list, tuple or set")
        return kind(items)

    return collect


def _counter(items: Plain = (), /) -> Plain:
    if type(items) not in (dict, list, tuple, set, str):
        raise TypeError("expected a dict, list, tuple, set or text")
    return Counter(items)


def _ordered(items: Plain = (), /) -> Plain:
    if type(items) not in (dict, list, tuple):
        raise TypeError("expected a dict, or a list of pairs")
    ordered = OrderedDict(items)
    if not are_flat([*ordered]):
        raise TypeError("expected numbers, text or flat tuples as keys")
    return ordered


def _defaultdict(*arguments: Plain) -> Plain:
    if arguments[:1] == (None,):  # as Python prints one without a factory
        arguments = arguments[1:]
    if len(arguments) > 1 or any(type(items) is not dict for items in arguments):
        raise TypeError("expected a dict, and no factory")
    return defaultdict(None, *arguments)


def _deque(items: Plain = (), /, maxlen: Plain = None) -> Plain:
    if type(items) not in (list, tuple) or type(maxlen) not in (int, type(None)):
        raise TypeError("expected a list or tuple, and an int as maxlen")
    return deque(items, maxlen)


def _complex(real: Plain, imaginary: Plain, /) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise TypeError("expected complex(float, float)")
    return complex(real, imaginary)


def _decimal(value: Plain, /) -> Decimal:
    if type(value) is int or (type(value) is str and _DECIMAL.fullmatch(value)):
        return Decimal(value)
    raise TypeError("expected the text of a decimal number, or an int")


def _fraction(numerator: Plain, denominator: Plain = 1, /) -> Fraction:
    for part in (numerator, denominator):
        if type(part) is not int or part.bit_length() > MAX_FRACTION_BITS:
            raise TypeError(f"expected ints of at most {MAX_FRACTION_BITS} bits")
    return Fraction(numerator, denominator)


def _moment(kind: Callable[..., Plain]) -> Callable[..., Plain]:
    def build_moment(
        *numbers: Plain, tzinfo: datetime.timezone | None = None, **named: Plain
    ) -> Plain:
        if any(type(number) is not int for number in (*numbers, *named.values())):
            raise TypeError("expected ints")
        if tzinfo is not None:
            named["tzinfo"] = tzinfo
        return kind(*numbers, **named)

    return build_moment


def _timezone(offset: Plain, name: Plain = None, /) -> datetime.timezone:
    if type(offset) is not datetime.timedelta or (name is not None and type(name) is not str):
        raise TypeError("expected a timedelta, and a text or nothing")
    return datetime.timezone(offset) if name is None else datetime.timezone(offset, name)


def _array(items: Plain, /, *, dtype: Plain, shape: Plain) -> ArrayValue:
    if type(items) is not list or type(dtype) is not str or not _DTYPE.fullmatch(dtype):
        raise TypeError("expected a list and the name of a dtype")
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        raise TypeError("expected a tuple of lengths as shape")
    if len(shape) > 64 or prod(shape) != len(items):
        raise TypeError(f"{len(items)} elements for the shape {str(shape)[:80]}")
    return ArrayValue(dtype, shape, tuple(items))


def _scalar(type_name: str) -> Callable[..., Plain]:
    def build_scalar(value: Plain, /) -> ScalarValue:
        if type(value) not in (bool, int, float, complex, str, bytes):
            raise TypeError("expected a number or text")
        return ScalarValue(type_name, value)

    return build_scalar


_COLLECTIONS: Final[dict[str, Callable[..., Plain]]] = {
    "Counter": _counter,
    "OrderedDict": _ordered,
    "defaultdict": _defaultdict,
    "deque": _deque,
}
WRAPPERS: Final = frozenset(("set", "frozenset", "array", *_COLLECTIONS)) | {
    f"collections.{name}" for name in _COLLECTIONS
}
"""Words that form one level of nesting together with the container in their brackets."""

BUILDERS: Final[dict[str, Callable[..., Plain]]] = {
    "set": _collection(set),
    "frozenset": _collection(frozenset),
    "complex": _complex,
    "Decimal": _decimal,
    "Fraction": _fraction,
    "array": _array,
    **_COLLECTIONS,
    **{f"collections.{name}": builder for name, builder in _COLLECTIONS.items()},
    "datetime.date": _moment(datetime.date),
    "datetime.time": _moment(datetime.time),
    "datetime.datetime": _moment(datetime.datetime),
    "datetime.timedelta": _moment(datetime.timedelta),
    "datetime.timezone": _timezone,
    **{f"np.{name}": _scalar(name) for name in NUMPY_SCALARS},
}
"""By word, the function that checks a call's arguments and builds the value."""

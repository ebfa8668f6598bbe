"""Values of a program's own classes, dates, decimals and arrays: one exact text each."""

from __future__ import annotations

import abc
import dataclasses
import datetime
import decimal
import enum
from collections import deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Generic, TypeVar
from zoneinfo import ZoneInfo

import pytest

from ucoder.execution.canonical import (
    CanonicalError,
    DataclassValue,
    EnumValue,
    NotRepresentable,
    key,
    parse,
    same,
    write,
)

T = TypeVar("T")


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = dataclasses.field(default_factory=list, compare=False)
    z: int = dataclasses.field(default=3, init=False, repr=False)
    shared: ClassVar[int] = 4
    seed: dataclasses.InitVar[int] = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    a: int


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class More(Slotted):
    b: str = "b"


@dataclasses.dataclass
class Abstract(abc.ABC):
    a: int


@dataclasses.dataclass
class Box(Generic[T]):
    item: T


class Color(enum.Enum):
    RED = 1
    LIST = [2]  # noqa: RUF012
    ALIAS = 1  # noqa: PIE796


Mode = enum.Flag("Mode", ["R", "W"])
Bits = enum.IntFlag("Bits", ["R", "W"])
Word = enum.StrEnum("Word", ["HI"])
Rank = enum.IntEnum("Rank", ["ONE"])
Odd = dataclasses.make_dataclass("set", [])
Foreign = dataclasses.make_dataclass("naïve", ["é"])
HOUR = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Point(1, [2]), "Point(x=1, y=[2], z=3)"),
        ({1: [Point(Slotted(1))]}, "{1: [Point(x=Slotted(a=1), y=[], z=3)]}"),
        (More(1), "More(a=1, b='b')"),
        (Abstract(1), "Abstract(a=1)"),
        (Box(Box(None)), "Box(item=Box(item=None))"),
        ({Slotted(2), Slotted(1)}, "{Slotted(a=1), Slotted(a=2)}"),
        (Odd(), "\\U00000073et()"),
        (Foreign(1), "na\\U000000efve(\\U000000e9=1)"),
        (Color.RED, "<Color.RED: 1>"),
        ((Color.ALIAS, Color.LIST), "(<Color.RED: 1>, <Color.LIST: [2]>)"),
        ([Word.HI, Rank.ONE], "[<Word.HI: 'hi'>, <Rank.ONE: 1>]"),
        ([Mode.R, Mode.R | Mode.W, Mode(0)], "[<Mode.R: 1>, <Mode.R|W: 3>, <Mode: 0>]"),
        (Bits(8), "<Bits: 8>"),
        (datetime.date(2020, 1, 2), "datetime.date(2020, 1, 2)"),
        (datetime.time(1, 2, fold=1), "datetime.time(1, 2, 0, 0, fold=1)"),
        (datetime.timedelta(hours=-1), "datetime.timedelta(-1, 82800, 0)"),
        (
            datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC),
            "datetime.datetime(2020, 1, 2, 3, 0, 0, 0, tzinfo=datetime.timezone.utc)",
        ),
        (HOUR, "datetime.timezone(datetime.timedelta(0, 3600, 0))"),
        (
            datetime.timezone(datetime.timedelta(0), "é"),
            "datetime.timezone(datetime.timedelta(0, 0, 0), '\\xe9')",
        ),
        ([Decimal("1.10"), Decimal("1E+30")], "[Decimal('1.10'), Decimal('1E+30')]"),
        (
            [Decimal("-0"), Decimal("sNaN12"), Decimal("-Infinity")],
            "[Decimal('-0'), Decimal('sNaN12'), Decimal('-Infinity')]",
        ),
        (Fraction(-2, 6), "Fraction(-1, 3)"),
        (Fraction(1, 1 << 2048), f"Fraction(1, {hex(1 << 2048)})"),
    ],
)
def test_objects_have_one_exact_text(value: Any, text: str) -> None:
    assert write(value) == text
    assert write(parse(text)) == text
    assert write(value, max_chars=len(text)) == text
    with pytest.raises(ValueError, match="more than"):
        write(value, max_chars=len(text) - 1)


def test_records_say_what_a_value_was() -> None:
    point = parse(write(Point(1, Color.RED)))
    assert isinstance(point, DataclassValue) and point.name == "Point"
    color = dict(point.fields)["y"]
    assert isinstance(color, EnumValue) and (color.type_name, color.name) == ("Color", "RED")
    foreign = parse(write(Foreign(1)))
    assert (foreign.name, foreign.fields) == ("naïve", (("é", 1),))


def test_equal_objects_of_different_types_have_different_texts() -> None:
    values = [1, True, 1.0, 1 + 0j, Decimal(1), Decimal("1.0"), Fraction(1), Rank.ONE, Color.RED,
              Bits.R, "1", Slotted(1), Abstract(1)]  # fmt: skip
    assert len({key(write(value)) for value in values}) == len(values)


def test_the_decimal_context_of_the_program_does_not_count() -> None:
    with decimal.localcontext(capitals=0):
        assert str(Decimal("1E+30")) == "1e+30"
        assert write(Decimal("1E+30")) == "Decimal('1E+30')"


class DerivedDate(datetime.date):
    pass


@dataclasses.dataclass
class AlsoList(list):
    x: int


@dataclasses.dataclass
class AlsoDeque(deque):
    x: int


@dataclasses.dataclass
class AlsoError(Exception):
    x: int


@dataclasses.dataclass
class Zone(datetime.tzinfo):
    x: int


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (DerivedDate(2020, 1, 2), "DerivedDate"),
        (type("D", (Decimal,), {})(1), "D"),
        (type("F", (Fraction,), {})(1), "F"),
        (datetime.time(1, tzinfo=ZoneInfo("UTC")), "ZoneInfo"),
        (datetime.time(1, tzinfo=Zone(1)), "Zone"),
        (AlsoList(1), "AlsoList"),
        (AlsoDeque(1), "AlsoDeque"),
        (AlsoError(1), "AlsoError"),
        (Point, "type"),
        (Color, "EnumType"),
        (Point(lambda: 1), "function"),
        (iter([]), "list_iterator"),
        (range(3), "range"),
        (bytearray(b"a"), "bytearray"),
        (..., "ellipsis"),
        (object(), "object"),
        (type("Plain", (), {})(), "Plain"),
        (AlsoError.__init__, "function"),
        (decimal, "module"),
    ],
)
def test_values_of_other_types_are_not_representable(value: Any, name: str) -> None:
    for wrapped in (value, [value], {1: (value,)}, Point(value)):
        with pytest.raises(NotRepresentable, match=f"^{name}$"):
            write(wrapped)


def test_an_object_that_holds_itself_is_not_representable() -> None:
    point = Point([])
    point.x.append(point)
    with pytest.raises(NotRepresentable, match=r"Point \(contains itself\)"):
        write(point)


def test_arrays_have_dtype_shape_and_items() -> None:
    np = pytest.importorskip("numpy")
    cases = [
        (np.arange(4).reshape(2, 2), "array([0, 1, 2, 3], dtype='int64', shape=(2, 2))"),
        (np.arange(4).reshape(2, 2).T, "array([0, 2, 1, 3], dtype='int64', shape=(2, 2))"),
        (np.array([1], dtype=">i4"), "array([1], dtype='int32', shape=(1,))"),
        (np.array(1.5), "array([1.5], dtype='float64', shape=())"),
        (np.zeros((0, 3), dtype=bool), "array([], dtype='bool', shape=(0, 3))"),
        (np.array([1j]), "array([complex(0.0, 1.0)], dtype='complex128', shape=(1,))"),
        (np.array(["é", "ab"]), "array(['\\xe9', 'ab'], dtype='U2', shape=(2,))"),
        (np.array([b"ab"]), "array([b'ab'], dtype='S2', shape=(1,))"),
        (np.array([[1], None], dtype=object), "array([[1], None], dtype='object', shape=(2,))"),
        (np.float32(0.5), "np.float32(0.5)"),
        (np.float64("nan"), "np.float64(nan)"),
        (np.bool_(True), "np.bool(True)"),
        (np.uint8(7), "np.uint8(7)"),
        (np.str_("a"), "np.str_('a')"),
        (np.complex128(1j), "np.complex128(complex(0.0, 1.0))"),
        ([np.int64(1), {np.int8(1)}], "[np.int64(1), {np.int8(1)}]"),
    ]  # fmt: skip
    for value, text in cases:
        assert write(value) == text
        assert write(parse(text)) == text
        with pytest.raises(ValueError, match="more than"):
            write(value, max_chars=len(text) - 1)


def test_arrays_that_python_cannot_hold_exactly_are_refused() -> None:
    np = pytest.importorskip("numpy")
    refused = [np.longdouble(1), np.array([1], dtype="g"), np.ma.array([1]),
               np.array(["2020"], dtype="M8[Y]"), np.datetime64(1, "s"), np.dtype("i4"),
               np.zeros(1, dtype="i4,i4"), np.array([lambda: 1], dtype=object)]  # fmt: skip
    for value in refused:
        with pytest.raises(NotRepresentable):
            write(value)
    loop = np.empty(1, dtype=object)
    loop[0] = loop
    with pytest.raises(NotRepresentable, match="contains itself"):
        write(loop)


def test_a_huge_array_without_memory_is_refused_before_it_is_copied() -> None:
    np = pytest.importorskip("numpy")
    with pytest.raises(ValueError, match="more than"):
        write(np.broadcast_to(np.int8(1), (10**9, 10**9)))


def test_arrays_compare_with_a_tolerance() -> None:
    np = pytest.importorskip("numpy")
    one, two = write(np.array([0.1 + 0.2, 1])), write(np.array([0.3, 1]))
    assert not same(one, two)
    assert same(one, two, rel_tol=1e-9)
    assert not same(one, write(np.array([[0.3, 1]])), rel_tol=1e-9)
    assert not same(one, write(np.array([0.3, 1], dtype="f4")), rel_tol=1e-3)


def test_named_tuples_are_read_as_tuples_with_names() -> None:
    value = parse("tuple.Point(x=1, y=[2])")
    assert value == (1, [2]) and (value.x, value.y) == (1, [2])
    assert write(value) == "tuple.Point(x=1, y=[2])"
    assert parse(write(parse("tuple.\\U000000c4(b=())"))) == ((),)


@pytest.mark.parametrize(
    "text",
    [
        "tuple.P(1, 2)", "tuple.P(_x=1)", "tuple.P(def=1)", "tuple.class(x=1)", "tuple.(x=1)",
        "tuple.P.Q(x=1)", f"tuple.P({', '.join(f'x{n}=0' for n in range(256))})",
    ],
)  # fmt: skip
def test_what_is_not_a_named_tuple_is_refused(text: str) -> None:
    with pytest.raises(CanonicalError):
        parse(text)


def test_a_named_tuple_is_no_input() -> None:
    with pytest.raises(CanonicalError, match="P"):
        parse("(tuple.P(x=1),)", records=False)


def test_a_named_tuple_with_more_than_its_fields_has_no_canonical_text() -> None:
    class Pair(namedtuple("Pair", "a b")):
        pass

    pair = Pair(1, 2)
    assert write(pair) == "tuple.Pair(a=1, b=2)"
    pair.c = 3
    with pytest.raises(NotRepresentable):
        write(pair)

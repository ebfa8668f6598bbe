"""Reading: what people and models write, and what is refused; nothing is ever evaluated."""

from __future__ import annotations

import datetime
import math
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.execution.canonical import CanonicalError, parse, write

from .canonical_values import BUILTIN, FEWER, identical

CHARACTERS = "()[]{}<>|=,:'\"\\brufxNPDn0123456789.eEjJ+-_ \n"
NAMES = {
    "inf": math.inf,
    "nan": math.nan,
    "nanj": complex(0, math.nan),
    "Decimal": Decimal,
    "Fraction": Fraction,
    "datetime": datetime,
    "Counter": Counter,
    "OrderedDict": OrderedDict,
    "defaultdict": defaultdict,
    "deque": deque,
}


@given(st.text() | st.text(CHARACTERS, max_size=60))
@FEWER
def test_parse_refuses_with_its_own_error_only(text: str) -> None:
    try:
        value = parse(text)
    except CanonicalError:
        return
    assert identical(parse(write(value)), value)


@given(BUILTIN.map(repr))
@FEWER
def test_ordinary_literals_are_read(text: str) -> None:
    try:
        expected = eval(text, dict(NAMES))
    except (NameError, SyntaxError, ValueError):  # infj, and ints too long for decimal
        return
    try:
        assert identical(parse(text), expected)
    except CanonicalError:
        assert "j" in text  # repr of complex is not always a literal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("([3, 1], 'a', -1, float('inf'), {1: 2}, 1e9)", ([3, 1], "a", -1, math.inf, {1: 2}, 1e9)),
        ("(-float('inf'), -math.inf, float(\"-Infinity\"))", (-math.inf,) * 3),
        ("[math.nan, nan]", [math.nan, math.nan]),
        ("(1, 0x_ff, 1_000, 0b1)", (1, 255, 1000, 1)),
        ("(.5, 5., 1+2j, -1-2j)", (0.5, 5.0, 1 + 2j, -1 - 2j)),
        ("'a' \"b\" r'\\n' u'c'", "ab\\nc"),
        ("b'a' rb'\\x' b'\\x00\\377'", b"a\\x\x00\xff"),
        ("'''it's\n''' \"\"\"\"q\" \"\"\"", 'it\'s\n"q" '),
        ("'\\ud800\\U0001F600\\t\\q\\\n'", "\ud800\U0001f600\t\\q"),
        ("(set(), set([1]), {1, 2,}, frozenset(), frozenset({2}))",
         (set(), {1}, {1, 2}, frozenset(), frozenset({2}))),
        (" ( ( 1 ) , ) ", (1,)),
        ("()", ()),
        ("{'a': [], }", {"a": []}),
        ("datetime.date(2020, day=2, month=1)", datetime.date(2020, 1, 2)),
        ("datetime.timedelta( hours = 1 )", datetime.timedelta(hours=1)),
        ("[Decimal(5), Decimal('-.5e3'), Fraction(2, 4)]",
         [Decimal(5), Decimal("-.5e3"), Fraction(1, 2)]),
    ],
)  # fmt: skip
def test_what_people_and_models_write_is_read(text: str, value: Any) -> None:
    assert identical(parse(text), value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[" * 100_000, "(" * 5000 + ")" * 5000, "9" * 10**6, "x", "f(1)", "1 if 1 else 2"),
        *('"\ud800', "\0", "'a\0", "[1, 2", "1, 2", "{[1]: 2}", "{1: 2, 3}", "{**{}}", "[*[1]]"),
        *("01", "1__0", "1_", "0x", "--", "- 'a'", "-True", "f'{1}'", "'\\N{DIGIT ONE}'", "'\\x1'"),
        *("'\\U00110000'", "b'\\x1'", "b'é'", "'a' b'b'", "__import__('os')", "set(range(3))"),
        *("float('1')", "float(1)", "complex(1, 2)", "[1 2]", "(,)", "lambda: 1", "10**9", "1+1"),
        *("'" * 3 + "a" * 10**5, "'" + "\\'" * 10**5, "-" * 10**5, "1" + "+1j" * 10**4, "é", "٣"),
        *("Decimal('x')", "Decimal(1.5)", "Fraction(1, 0)", "Fraction('1/2')", "Fraction(1.0)"),
        *("datetime.date(0, 1, 1)", "datetime.date('a')", "datetime.date(x=1)", "datetime.now()"),
        *("datetime.timedelta(10**9)", f"datetime.date({'9' * 4000}, 1, 1)", "Decimal('1E+9' * 9)"),
        *("datetime.time(1, tzinfo=2)", "datetime.timezone(1)", "np.int64([1])", "np.array([1])"),
        *("array([1], dtype='int64', shape=(2,))", "array([1], dtype='x', shape=(1,))"),
        *("array([], dtype='bool', shape=(-1, 0))", "P(1)", "P(x=1, x=2)", "P(x=1, 2)", "P.Q(x=1)"),
        *("a.b()", "<A: 1", "<A.: 1>", "<A.B.C: 1>", "<A>", "<: 1>", "<A.B 1>", "None()", "nan()"),
        *("\\Uffffffff()", "\\U0000(x=1)", "P(\\Uffffffff=1)", "complex(real=1.0, imag=1.0)"),
        *("set(set(set(" * 10**5, "datetime.date(" * 10**5, "P(x=" * 10**5, "<A: " * 10**5),
        *("1e5x", "None.x", "True()", "Ellipsis", "...", "'a'.join([])", "[]\n[]", "#"),
    ],
)
def test_text_that_is_not_plain_data_is_refused(text: str) -> None:
    with pytest.raises(CanonicalError):
        parse(text)


def test_many_adjacent_strings_take_linear_time() -> None:
    assert parse("'a'" * 100_000) == "a" * 100_000


@pytest.mark.parametrize(
    "text",
    ["P(x=1)", "[P()]", "{1: <A.B: 1>}", "np.int64(1)", "(array([], dtype='bool', shape=(0,)),)"],
)
def test_records_are_refused_where_a_program_is_to_be_called_with_the_value(text: str) -> None:
    assert write(parse(text)) == text
    with pytest.raises(CanonicalError, match="allowed here"):
        parse(text, records=False)

"""Canonical text: round trips, order, exact types, and texts and values from nobody's friend."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.execution.canonical import CanonicalError, NotRepresentable, TooLarge, parse, write

NUMBERS = st.integers() | st.floats() | st.complex_numbers() | st.booleans()
TEXTS = st.text(st.characters()) | st.text(st.characters(categories=["Cs"])) | st.binary()
WIDE = st.integers(2040, 9000).map(lambda n_bits: 1 - (1 << n_bits))
ATOMS = st.none() | NUMBERS | TEXTS | WIDE
HASHABLE = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=5)
        | st.sets(HASHABLE, max_size=5)
    ),
    max_leaves=20,
)


def same(one: Any, two: Any) -> bool:
    """Equal with exact types, NaN equal to NaN and -0.0 different from 0.0."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return (one == two and math.copysign(1, one) == math.copysign(1, two)) or (
            math.isnan(one) and math.isnan(two)
        )
    if isinstance(one, complex):
        return same(one.real, two.real) and same(one.imag, two.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, set | frozenset):
        by_text = (sorted(one, key=write), sorted(two, key=write))
        return len(one) == len(two) and all(map(same, *by_text))
    if isinstance(one, dict):
        return same(frozenset(one), frozenset(two)) and sorted(
            (write(k), write(v)) for k, v in one.items()
        ) == sorted((write(k), write(v)) for k, v in two.items())
    return bool(one == two)


@given(VALUES)
def test_what_is_written_is_read_back_with_exact_types(value: Any) -> None:
    text = write(value)
    assert text.isascii() and "\n" not in text
    assert same(parse(text), value)
    assert write(parse(text)) == text


@given(VALUES)
def test_limits_on_length_are_exact(value: Any) -> None:
    length = len(write(value))
    assert write(value, max_chars=length) == write(value)
    with pytest.raises(TooLarge):
        write(value, max_chars=length - 1)


@given(st.dictionaries(HASHABLE, st.integers()), st.randoms())
def test_the_order_of_insertion_does_not_count(value: dict[Any, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert write(dict(items)) == write(value)
    assert write({key for key, _ in items}) == write(set(value))


@given(st.text() | st.text("()[]{},:'\"\\brufx0123456789.eEjJ+-_ \n", max_size=60))
def test_parse_refuses_with_its_own_error_only(text: str) -> None:
    try:
        value = parse(text)
    except CanonicalError:
        return
    assert same(parse(write(value)), value)


@given(VALUES.map(repr))
def test_ordinary_literals_are_read(text: str) -> None:
    try:
        expected = eval(text, {"inf": math.inf, "nan": math.nan, "nanj": complex(0, math.nan)})
    except (NameError, SyntaxError, ValueError):  # infj, and ints too long for decimal
        return
    try:
        assert same(parse(text), expected)
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
    ],
)  # fmt: skip
def test_what_people_and_models_write_is_read(text: str, value: Any) -> None:
    assert same(parse(text), value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[" * 100_000, "(" * 5000 + ")" * 5000, "9" * 10**6, "x", "f(1)", "1 if 1 else 2"),
        *('"\ud800', "\0", "'a\0", "[1, 2", "1, 2", "{[1]: 2}", "{1: 2, 3}", "{**{}}", "[*[1]]"),
        *("01", "1__0", "1_", "0x", "--", "- 'a'", "-True", "f'{1}'", "'\\N{DIGIT ONE}'", "'\\x1'"),
        *("'\\U00110000'", "b'\\x1'", "b'é'", "'a' b'b'", "__import__('os')", "set(range(3))"),
        *("float('1')", "float(1)", "complex(1, 2)", "[1 2]", "(,)", "lambda: 1", "10**9", "1+1"),
        *("'" * 3 + "a" * 10**5, "'" + "\\'" * 10**5, "-" * 10**5, "1" + "+1j" * 10**4, "é", "٣"),
        *("1e5x", "None.x", "True()", "Ellipsis", "...", "'a'.join([])", "[]\n[]", "#"),
    ],
)
def test_what_is_no_plain_data_is_refused(text: str) -> None:
    with pytest.raises(CanonicalError):
        parse(text)


def test_many_adjacent_strings_take_linear_time() -> None:
    assert parse("'a'" * 300_000) == "a" * 300_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 1.0, True, "1"), "(1, 1.0, True, '1')"),
        ([-0.0, 1e100, math.nan, -math.inf], "[-0.0, 1e+100, nan, -inf]"),
        ({3, 1, 2}, "{1, 2, 3}"),
        ({"b": 1, "a": {2: ()}}, "{'a': {2: ()}, 'b': 1}"),
        (frozenset(), "frozenset()"),
        (set(), "set()"),
        ((1,), "(1,)"),
        ("é\ud800'", '"\\xe9\\ud800\'"'),
        (complex(-0.0, 2), "complex(-0.0, 2.0)"),
    ],
)
def test_canonical_text_reads_like_python(value: Any, text: str) -> None:
    assert write(value) == text


def test_wide_ints_are_hexadecimal_whatever_the_setting() -> None:
    assert write((1 << 2048) - 1).isdigit()
    assert write(-(1 << 2048)) == "-0x1" + "0" * 512
    assert parse(write(10**5000)) == 10**5000


def liar() -> Any:
    """An object that raises whatever is asked of it or of its class.

    Made here, because at module level pytest would ask it.
    """

    def refuse(*args: Any) -> Any:
        raise SystemExit

    names = ("__hash__", "__eq__", "__getattribute__", "__instancecheck__", "__repr__", "__str__")
    hostile = type("Hostile", (type,), dict.fromkeys(names, refuse))
    return hostile("Liar", (), dict.fromkeys(names, refuse))()


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {1: (x,)}])
def test_no_code_of_a_hostile_class_runs(wrap: Any) -> None:
    with pytest.raises(NotRepresentable, match=r"^Liar$"):
        write(wrap(liar()))


@pytest.mark.parametrize("base", [int, str, float, list, dict, set, tuple, bytes, complex])
def test_subclasses_of_plain_types_are_not_plain(base: type) -> None:
    with pytest.raises(NotRepresentable, match=r"^Sub$"):
        write(type("Sub", (base,), {})())


def test_cycles_depth_and_width_are_bounded() -> None:
    loop: list[Any] = []
    loop.append([loop, loop])
    with pytest.raises(NotRepresentable, match="contains itself"):
        write(loop)
    deep: list[Any] = []
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(NotRepresentable, match="nested deeper"):
        write(deep)
    wide: list[Any] = []
    for _ in range(60):
        wide = [wide, wide]
    with pytest.raises(TooLarge):
        write(wide)

"""Canonical text: what is written is read back, exactly, and nothing has two texts."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import pytest
from hypothesis import given

from ucoder.execution.canonical import NotRepresentable, TooLarge, parse, write

from .canonical_values import BUILTIN, FEWER, VALUES, identical


@given(VALUES)
@FEWER
def test_what_is_written_is_read_back_with_exact_types(value: Any) -> None:
    text = write(value)
    assert text.isascii() and "\n" not in text
    assert identical(parse(text), value)
    assert write(parse(text)) == text


@given(VALUES, VALUES)
@FEWER
def test_different_values_have_different_texts(one: Any, two: Any) -> None:
    if write(one) == write(two):
        assert identical(one, two)


@given(VALUES)
@FEWER
def test_limits_on_length_are_exact(value: Any) -> None:
    length = len(write(value))
    assert write(value, max_chars=length) == write(value)
    with pytest.raises(TooLarge):
        write(value, max_chars=length - 1)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, (*value, *value.values())), default=0)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(BUILTIN)
@FEWER
def test_limits_on_depth_are_exact(value: Any) -> None:
    depth = depth_of(value)
    text = write(value, max_depth=depth)
    assert text == write(value)
    assert identical(parse(text, max_depth=depth), value)
    if depth:
        with pytest.raises(NotRepresentable, match="nested deeper"):
            write(value, max_depth=depth - 1)


@given(BUILTIN)
@FEWER
def test_a_value_has_one_text_wherever_it_stands(value: Any) -> None:
    alone = write(value)
    assert write([value]) == f"[{alone}]"
    assert write([value, 1j]) == f"[{alone}, complex(0.0, 1.0)]"
    assert write({None: (value,)}) == f"{{None: ({alone},)}}"
    assert write([[[value, {1}]]]) == f"[[[{alone}, {{1}}]]]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 1.0, True, "1"), "(1, 1.0, True, '1')"),
        ([-0.0, 1e100, math.nan, -math.inf], "[-0.0, 1e+100, nan, -inf]"),
        ({3, 1, 2}, "{1, 2, 3}"),
        ({"b": 1, "a": {2: ()}}, "{'b': 1, 'a': {2: ()}}"),
        (frozenset(), "frozenset()"),
        (set(), "set()"),
        ((1,), "(1,)"),
        ("é\ud800'", '"\\xe9\\ud800\'"'),
        (complex(-0.0, 2), "complex(-0.0, 2.0)"),
    ],
)
def test_canonical_text_reads_like_python(value: Any, text: str) -> None:
    assert write(value) == text
    assert write([value, {None}]) == f"[{text}, {{None}}]"


def test_wide_ints_are_hexadecimal_whatever_the_setting() -> None:
    assert write((1 << 2048) - 1).isdigit()
    assert write(-(1 << 2048)) == "-0x1" + "0" * 512
    assert write([1 << 2048, "a"]) == f"[{write(1 << 2048)}, 'a']"
    assert parse(write(10**5000)) == 10**5000


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

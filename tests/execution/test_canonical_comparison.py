"""Comparing texts: dict order never counts, types do, and a tolerance is for floats only."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.execution.canonical import MAX_DEPTH, DataclassValue, key, parse, same, write

from .canonical_values import FEWER, HASHABLE, VALUES, identical


def shuffled(value: Any, random: Any) -> Any:
    """The same value with every dict in another order, unless it keeps its order."""
    if isinstance(value, dict):
        items = [(k, shuffled(v, random)) for k, v in value.items()]
        if isinstance(value, OrderedDict):
            return OrderedDict(items)
        random.shuffle(items)
        made = value.__class__()
        dict.update(made, items)  # what a Counter does of its own is to add
        return made
    if isinstance(value, list | tuple | deque):
        return type(value)(shuffled(item, random) for item in value)
    if isinstance(value, DataclassValue):
        return DataclassValue(value.name, shuffled(value.fields, random))
    return value


@given(VALUES, st.randoms())
@FEWER
def test_the_order_of_a_dict_is_kept_in_the_text_and_not_in_the_key(
    value: Any, random: Any
) -> None:
    other = shuffled(value, random)
    assert key(write(other)) == key(write(value))
    assert same(write(other), write(value))


@given(VALUES, VALUES)
@FEWER
def test_equal_keys_mean_equal_values(one: Any, two: Any) -> None:
    assert (key(write(one)) == key(write(two))) == identical(one, two)


@given(VALUES)
@FEWER
def test_a_key_is_a_text_of_the_same_value_and_its_own_key(value: Any) -> None:
    text = key(write(value))
    assert identical(parse(text), value)
    assert key(text) == text


@given(st.dictionaries(HASHABLE, st.integers()), st.randoms())
@FEWER
def test_sets_are_sorted_in_the_text_already(value: dict[Any, int], random: Any) -> None:
    items = list(value)
    random.shuffle(items)
    assert write(set(items)) == write(set(value)) == key(write(set(value)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{2: 1, 1: {'b': 1, 'a': 2}}", "{1: {'a': 2, 'b': 1}, 2: 1}"),
        ("[{'}: {': 1, \"a, '\": {2}}, {}]", "[{\"a, '\": {2}, '}: {': 1}, {}]"),
        ("{P(x={2: 1, 1: 1}), P(x=1)}", "{P(x=1), P(x={1: 1, 2: 1})}"),
        ("{P(x={3: 0, 1: 0}), P(x={2: 0})}", "{P(x={1: 0, 3: 0}), P(x={2: 0})}"),
        ("{P(x={3: 0}), P(x={4: 0, 1: 0})}", "{P(x={1: 0, 4: 0}), P(x={3: 0})}"),
        ("{<A.B: {2: 1, 1: 1}>: 1}", "{<A.B: {1: 1, 2: 1}>: 1}"),
        ("{(2, 1): 1, (1, {2: 3}): 4}", "{(1, {2: 3}): 4, (2, 1): 1}"),
    ],
)
def test_keys_sort_dicts_at_every_level(text: str, expected: str) -> None:
    assert key(text) == expected


@pytest.mark.parametrize(
    "text",
    ["{", "}", "{2: 1, 1: ", "{2: 1, 1: 1", "{2: 1, 1: 1]", "{2: 1, 1}", "{2: 1: 3, 1: 1}", "': {",
     "{1: 2}}", "{" * 10**5 + ": ", "{2: " * 10**5 + "}" * 10**5, "'" * 10**5 + "{: ",
     "[{2: 1, 1: 1]}"],
)  # fmt: skip
def test_a_text_that_is_not_canonical_is_its_own_key(text: str) -> None:
    assert key(text) == text


@given(st.text("{}[]()<>:, '\"\\a1", max_size=40))
def test_any_text_has_a_key(text: str) -> None:
    assert sorted(key(text)) == sorted(text)
    assert same(text, text, rel_tol=0.1)


@pytest.mark.parametrize("quote", ["\\'", "'", "' ", '\\"', '"', "\\", "[", "{: ", "'{", "}"])
@pytest.mark.parametrize("start", ["{: ", "{: '", '{: "', "OrderedDict({: '"])
def test_a_hostile_text_of_any_length_has_a_key_at_once(start: str, quote: str) -> None:
    # Were the time to grow with the square of the length, this would take hours.
    for n in (2_000_000, 2_000_001):
        assert isinstance(key(start + quote * n), str)


def test_the_deepest_values_have_keys() -> None:
    value: Any = {2: 1, 1: 2}
    for _ in range(MAX_DEPTH - 1):
        value = frozenset([value]) if isinstance(value, frozenset) else [value]
    assert "{1: 2, 2: 1}" in key(write(value))
    deep: Any = frozenset()
    for _ in range(MAX_DEPTH - 1):
        deep = frozenset([deep])
    text = write(deep)
    assert key(text[:-2] + ": ".join(text[-2:])) == text[:-2] + ": ".join(text[-2:])


CLOSE = [
    (0.1 + 0.2, 0.3),
    (1, 1.0),
    (0.0, -0.0),
    ([{"a": (1, 0.1 + 0.2)}], [{"a": (1, 0.3)}]),
    ({"b": 1, "a": 1.0}, {"a": 1, "b": 1.0000000001}),
    (complex(0.1 + 0.2, 1), complex(0.3, 1)),
    ({0.1 + 0.2, 5.0, 9.99}, {0.3, 4.9999999999, 9.99}),
    (math.nan, -math.nan),
    ({math.nan, 1.0}, {1, math.nan}),
    (DataclassValue("P", (("x", 0.1 + 0.2),)), DataclassValue("P", (("x", 0.3),))),
]
FAR = [
    (1, 2),
    (10**9, 10**9 + 1),
    (True, 1),
    (True, 1.0),
    ("0.1", 0.1),
    (1.0, 1.1),
    (1.0, complex(1, 0)),
    ([1.0], (1.0,)),
    ([1.0], [1.0, 1.0]),
    ({1.0: 1}, {1.0000000001: 1}),
    ({1.0, 2.0}, {1.0}),
    ({(1.0,)}, {(1.0000000001,)}),
    (math.nan, 1.0),
    (math.inf, 1e308),
    (10**400, 1e308),
    (DataclassValue("P", (("x", 1.0),)), DataclassValue("Q", (("x", 1.0),))),
    (DataclassValue("P", (("x", 1.0),)), DataclassValue("P", (("y", 1.0),))),
]


@pytest.mark.parametrize(("one", "two"), CLOSE)
def test_close_floats_are_the_same_with_a_tolerance_only(one: Any, two: Any) -> None:
    for a, b in itertools.permutations((write(one), write(two))):
        assert same(a, b, rel_tol=1e-9)
        assert same(a, b, abs_tol=1e-6)
        assert same(a, b) == (a == b)


@pytest.mark.parametrize(("one", "two"), FAR)
def test_a_tolerance_forgives_nothing_else(one: Any, two: Any) -> None:
    for a, b in itertools.permutations((write(one), write(two))):
        assert not same(a, b, rel_tol=1e-6)
        assert not same(a, b, abs_tol=1e-6)


@given(VALUES, VALUES)
@FEWER
def test_a_tolerance_never_separates_what_is_the_same(one: Any, two: Any) -> None:
    a, b = write(one), write(two)
    assert same(a, a, rel_tol=1e-9)
    assert same(a, b, rel_tol=1e-9) == same(b, a, rel_tol=1e-9)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan])
def test_a_tolerance_below_zero_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerances must be 0 or more"):
        same("1", "1", rel_tol=tolerance)
    with pytest.raises(ValueError, match="tolerances must be 0 or more"):
        same("1", "1", abs_tol=tolerance)

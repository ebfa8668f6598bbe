"""Containers of the module `collections`: their texts, what is read for them, and forged ones."""

from __future__ import annotations

import collections
import datetime
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import pytest

from ucoder.execution.canonical import (
    CanonicalError,
    NotRepresentable,
    TooLarge,
    key,
    parse,
    same,
    write,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Counter("abb"), "Counter({'a': 1, 'b': 2})"),
        (Counter(), "Counter({})"),
        (Counter(a=0), "Counter({'a': 0})"),
        (OrderedDict([((1, 2), {3}), (None, [])]), "OrderedDict({(1, 2): {3}, None: []})"),
        (OrderedDict(), "OrderedDict({})"),
        (defaultdict(None, {"a": [1]}), "defaultdict({'a': [1]})"),
        (deque([1, (deque(),)]), "deque([1, (deque([]),)])"),
        ({1: [Counter([2])]}, "{1: [Counter({2: 1})]}"),
        (deque([{b"a": {1j}}]), "deque([{b'a': {complex(0.0, 1.0)}}])"),
    ],
)
def test_containers_of_collections_have_one_exact_text(value: Any, text: str) -> None:
    assert write(value) == text
    read = parse(text)
    assert read == value and type(read) is type(value)
    assert write(read) == text
    assert write(value, max_chars=len(text)) == text
    with pytest.raises(TooLarge):
        write(value, max_chars=len(text) - 1)


def test_a_type_of_container_is_not_another() -> None:
    content = {"a": 1}
    values = [content, Counter(content), OrderedDict(content), defaultdict(None, content)]
    assert len({key(write(value)) for value in values}) == len(values)
    assert write(deque([1])) != write([1])


def test_neither_a_factory_nor_a_maxlen_is_a_part_of_the_value() -> None:
    assert write(defaultdict(list, {1: []})) == write(defaultdict(None, {1: []}))
    assert write(deque([1, 2, 3], maxlen=2)) == write(deque([2, 3]))


def test_the_order_of_an_ordered_dict_counts_and_that_of_the_others_does_not() -> None:
    one, two = {1: {3: 4, 5: 6}, 2: 0}, {2: 0, 1: {5: 6, 3: 4}}
    for kind in (Counter, lambda items: defaultdict(None, items)):
        assert key(write(kind(one))) == key(write(kind(two)))
        assert same(write(kind(one)), write(kind(two)))
    ordered = [write(OrderedDict(items)) for items in (one, two)]
    assert not same(*ordered) and not same(*ordered, rel_tol=1e-9)
    assert key(ordered[1]) == "OrderedDict({2: 0, 1: {3: 4, 5: 6}})"
    assert key(f"{{2: 1, 1: {ordered[1]}}}") == f"{{1: {key(ordered[1])}, 2: 1}}"
    assert key("{'OrderedDict(': {2: 1, 1: 1}}") == "{'OrderedDict(': {1: 1, 2: 1}}"


def test_an_ordered_dict_is_written_in_its_own_order_not_that_of_its_dict() -> None:
    value = OrderedDict(a=1, b=2)
    value.move_to_end("a")
    assert write(value) == "OrderedDict({'b': 2, 'a': 1})"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Counter(a=0.1 + 0.2), Counter(a=0.3)),
        (OrderedDict(b=0.1 + 0.2, a=1), OrderedDict(b=0.3, a=1)),
        (defaultdict(None, b=0.1 + 0.2, a=1), defaultdict(None, a=1, b=0.3)),
        (deque([0.1 + 0.2]), deque([0.3])),
    ],
)
def test_floats_in_collections_are_compared_with_a_tolerance(one: Any, two: Any) -> None:
    assert not same(write(one), write(two))
    assert same(write(one), write(two), rel_tol=1e-9)
    assert not same(write(one), write([*two]), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Counter('aab')", Counter("aab")),
        ("Counter(['a', 'a'])", Counter(["a", "a"])),
        ("collections.Counter()", Counter()),
        ("OrderedDict([('a', 1), ('b', 2)])", OrderedDict(a=1, b=2)),
        ("collections.OrderedDict()", OrderedDict()),
        ("defaultdict(None, {'a': 1})", defaultdict(None, a=1)),
        ("defaultdict()", defaultdict()),
        ("deque((1, 2, 3), maxlen=2)", deque([2, 3], maxlen=2)),
        ("[ collections.deque( [ ] ) ]", [deque()]),
    ],
)
def test_other_spellings_of_collections_are_read(text: str, value: Any) -> None:
    assert parse(text, records=False) == value
    assert write(parse(text)) == write(value)


@pytest.mark.parametrize(
    "text",
    ["Counter(1)", "Counter([[1]])", "Counter(Counter())", "Counter(" * 10**5, "Counter({1})()",
     "OrderedDict({1})", "OrderedDict([1])", "OrderedDict({Decimal('1'): 1})", "OrderedDict('a')",
     "OrderedDict({P(x=1): 1})", "defaultdict(<class 'int'>, {})", "defaultdict(int, {})",
     "defaultdict({}, {})", "defaultdict([])", "deque({1})", "deque([], maxlen=True)",
     "deque([], maxlen=-1)", f"deque([], maxlen={10**30})", "deque('ab')", "collections.Counter",
     "collections.namedtuple(x=1)", "collections"],
)  # fmt: skip
def test_malformed_collections_are_refused(text: str) -> None:
    with pytest.raises(CanonicalError):
        parse(text)


def nested(kind: Any, depth: int) -> Any:
    value: Any = kind([])
    for _ in range(depth - 1):
        value = kind([value]) if kind is deque else kind({1: value})
    return value


@pytest.mark.parametrize(
    "kind", [Counter, OrderedDict, lambda items: defaultdict(None, items), deque]
)
def test_each_collection_is_one_level_of_nesting(kind: Any) -> None:
    value = nested(kind, 7)
    text = write(value, max_depth=7)
    assert write(parse(text, max_depth=7)) == text
    with pytest.raises(NotRepresentable, match="nested deeper than 6"):
        write(value, max_depth=6)
    with pytest.raises(CanonicalError, match="nested deeper than 6"):
        parse(text, max_depth=6)


def test_a_collection_that_holds_itself_is_not_representable() -> None:
    for loop in (deque(), OrderedDict(), Counter(), defaultdict()):
        loop.append([loop]) if isinstance(loop, deque) else loop.update({1: [loop]})
        with pytest.raises(NotRepresentable, match=r"\(contains itself\)"):
            write(loop)


def refuse(*args: Any) -> Any:
    raise SystemExit


METHODS = dict.fromkeys(
    ["__iter__", "__len__", "__getitem__", "__reversed__", "__repr__", "__copy__", "items", "keys",
     "values", "copy", "get", "__reduce__", "__eq__", "__contains__", "__missing__"],
    refuse,
)  # fmt: skip


@pytest.mark.parametrize("base", [Counter, OrderedDict, defaultdict, deque])
def test_subclasses_are_not_representable_whatever_their_name(base: type) -> None:
    for name in ("Sub", base.__name__):
        for methods in ({}, METHODS):
            with pytest.raises(NotRepresentable, match=f"^{name}$"):
                write([base.__new__(type(name, (base,), dict(methods)))])


@pytest.mark.parametrize("name", ["Counter", "OrderedDict", "defaultdict", "deque"])
def test_no_code_of_a_class_forged_into_the_module_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(collections, name)
    for bases in ((), (original,)):
        forged: Any = type(name, bases, dict(METHODS))
        monkeypatch.setattr(collections, name, forged)
        value = (bases or (object,))[0].__new__(forged)
        # What it inherits, it may be; it has then forged what it could have returned.
        try:
            text = write(value)
        except NotRepresentable:
            continue
        assert text == f"{name}({{}})" and bases


class Key:
    """A key that can be hashed while it is put into a container, and not any more after that."""

    armed = False

    def __hash__(self) -> int:
        return refuse() if Key.armed else 1


def test_writing_an_ordered_dict_runs_no_code_of_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Counter, OrderedDict, lambda items: defaultdict(None, items)):
        for wrap in (lambda x: x, lambda x: (1, x), lambda x: frozenset([x])):
            value = kind({wrap(Key()): 1})
            with monkeypatch.context() as patch:
                patch.setattr(Key, "armed", True)
                with pytest.raises(NotRepresentable):
                    write(value)


def test_an_ordered_dict_has_plain_keys_only() -> None:
    color = enum.Enum("Color", ["RED"])
    for odd in (color.RED, datetime.date(2020, 1, 2), ((1, 2), 3), frozenset([1])):
        assert write({odd: 1})
        with pytest.raises(NotRepresentable, match=r"^OrderedDict$"):
            write(OrderedDict({odd: 1}))


def test_an_ordered_dict_that_was_changed_by_methods_of_dict_is_refused() -> None:
    for change in (lambda d: dict.__delitem__(d, "a"), lambda d: dict.__setitem__(d, "c", 1),
                   dict.clear):  # fmt: skip
        value = OrderedDict(a=1, b=2)
        change(value)
        with pytest.raises(NotRepresentable, match=r"^OrderedDict$"):
            write(value)

"""Boundary values of an annotated type.

An annotation is text that a model wrote: one that cannot be parsed gets a mixture of types, and
nothing is evaluated. Values stay small, because a recursive Fibonacci of 1000 says nothing about a
candidate.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any, Final

from ucoder.execution.canonical import CanonicalError, write
from ucoder.texts import parse_module

MAX_VALUES: Final = 24
"""Most values of one annotation."""

_MAX_ANNOTATION_CHARS: Final = 500
_MAX_NESTING: Final = 6
_MAX_CHARS: Final = 4_000

_INTS: Final = (
    0, 1, -1, 2, 3, 10, 7, 12, 25, 100, -7, 4, 8, 5, 13, 6, 9, 37, -10, 50, 255, 121, 30, 1000
)  # fmt: skip
_FLOATS: Final = (
    0.0, 1.0, -1.0, 0.5, 2.5, 3.14, -2.75, 10.0, 0.1, 3.0, 1.25, -0.5, 100.0, 7.999, 1e-6, 1e6
)  # fmt: skip
_STRINGS: Final = (
    "", "a", "ab", "abba", "Hello World", "aaa", "123", "abc def", "aAbB", "(()())", "a1b2",
    "zyxcba", "banana", "hello, world!", "racecar", " ", "[{}]()", "A", "12 3", "3.5", "  a  b ",
    "The quick brown fox", "-7", "aabbccdd",
)  # fmt: skip
_SCALARS: Final[dict[str, tuple[Any, ...]]] = {
    "int": _INTS,
    "float": _FLOATS,
    "complex": (0j, 1 + 0j, 1j, -1 - 2j, 2.5 + 1.5j),
    "bool": (False, True),
    "str": _STRINGS,
    "bytes": (b"", b"a", b"ab", b"abba", b"Hello World", b"\x00\xff", b"123"),
    "None": (None,),
    "NoneType": (None,),
}
_LISTS: Final[dict[str, tuple[list[Any], ...]]] = {
    "int": (
        [], [1], [1, 2, 3], [3, 1, 2], [2, 2, 1, 4, 4], [5, -3, 0, 8], [4, 3, 2, 1], [0],
        [-1, -2, -3], [10, 7, 11, 24, 5, 9], [1, 0, -5, 100, 33, 15], [1, 3, 2, 5, 4, 2],
        [21, 38, 15, 47, 102, 9], [101, 222, -39, 350, 77], [12, 345, -6, 7890, 33],
        [64, 27, 8, 1000], [7, 7, 7],
        [2, 1], [0, 0], [1, 2, 3, 2, 1], [1, 3, 5, 7, 9, 11], [5, 2, 8, 1, 9, 3, 7, 4, 6],
        [-10, 10, -10, 10],
    ),
    "float": (
        [], [0.5], [1.0, 2.5], [3.0, -1.5, 2.0], [1.5, 1.5, 0.25], [1.0, 2.0, 3.0, 4.0],
        [0.0], [-1.0, -2.5], [1.1, 1.2, 5.0, 1.15], [10.0, 0.1, 7.5, 3.25, -4.0, 2.0],
    ),
    "str": (
        [], ["a"], ["abc", "de", ""], ["b", "a", "c", "a"], ["Hello", "World", "aa"], [""],
        ["a", "bb", "ccc"], ["same", "same"], ["zeta", "Alpha", "beta"], ["1", "22", "3"],
        ["apple", "ape", "april"], ["a b", "c,d", "(e)"],
        ["one", "two", "three", "four", "five", "six"],
    ),
    "list[int]": (
        [], [[]], [[1]], [[1, 2], [3]], [[1, 2], [3, 4]], [[5, 1], [2, 2], [0]], [[3, 4], [1, 2]],
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[0, 0], [0, 0]], [[1], [1], [1]], [[], [1], [2, 3]],
        [[-1, 2, 0], [3, -4, 5]],
    ),
}  # fmt: skip
"""Lists of common types, written by hand: sorted, reversed, with duplicates, of several sizes."""

_ALIASES: Final = {
    **dict.fromkeys(("list", "List", "Sequence", "Iterable", "Collection", "MutableSequence"),
                    "list"),
    **dict.fromkeys(("tuple", "Tuple"), "tuple"),
    **dict.fromkeys(("set", "Set", "MutableSet", "AbstractSet"), "set"),
    **dict.fromkeys(("frozenset", "FrozenSet"), "frozenset"),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping"), "dict"),
}  # fmt: skip


def boundary_values(annotation: str) -> tuple[Any, ...]:
    """Values worth trying for a parameter, the boundaries first.

    Args:
        annotation: Source text of the annotation: `int`, `List[str]`, `dict[str, int] | None`,
            `Literal['a', 'b']`. Any text is accepted; one that cannot be parsed, `Any` and ""
            give a mixture of types.

    Returns:
        1 to `MAX_VALUES` values with different canonical texts, in new objects at every call. Each
        fits the annotation, where that could be parsed.
    """
    text = annotation.strip()
    module = parse_module(text) if len(text) <= _MAX_ANNOTATION_CHARS else None
    if module is None or len(module.body) != 1 or not isinstance(module.body[0], ast.Expr):
        return _mixture()
    return tuple(_distinct(_values(module.body[0].value, _MAX_NESTING))) or _mixture()


def _values(node: ast.expr, depth: int) -> list[Any]:
    """The values of an annotation; [] where it has none or is nested too deeply."""
    if depth == 0:
        return []
    if isinstance(node, ast.Constant):
        if node.value is None:
            return [None]
        inner = parse_module(node.value.strip()) if isinstance(node.value, str) else None
        if inner and len(inner.body) == 1 and isinstance(inner.body[0], ast.Expr):
            return _values(inner.body[0].value, depth - 1)
        return list(_mixture())
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union(_alternatives(node), depth)
    if isinstance(node, ast.Subscript):
        several = isinstance(node.slice, ast.Tuple) and node.slice.elts
        items = several or [node.slice]
        return _generic(_name(node.value), items, depth)
    return _generic(_name(node), [], depth)


def _generic(name: str, items: list[ast.expr], depth: int) -> list[Any]:
    if name in _SCALARS:
        return list(_SCALARS[name])
    if name == "Optional" and items:
        return _interleaved([_values(items[0], depth - 1), [None]])
    if name == "Union" and items:
        return _union(items, depth - 1)
    if name == "Literal":
        return [v for item in items if (v := _literal(item)) is not _NO_LITERAL]
    if name in ("Annotated", "Final") and items:
        return _values(items[0], depth - 1)
    kind = _ALIASES.get(name)
    if kind is None:
        return list(_mixture())
    if kind == "dict":
        key, value = items[:2] if len(items) >= 2 else (None, None)
        return _dicts(key, value, depth)
    is_open = bool(items) and isinstance(items[-1], ast.Constant) and items[-1].value is ...
    if kind == "tuple" and items and not is_open:
        return _tuples(items, depth)
    lists = _lists(items[0] if items else None, depth)
    makers: dict[str, Callable[[list[Any]], Any]] = {
        "list": list, "tuple": tuple, "set": set, "frozenset": frozenset,
    }  # fmt: skip
    return _made(makers[kind], lists)


def _lists(item: ast.expr | None, depth: int) -> list[list[Any]]:
    """Lists of a type: from `_LISTS` where it is common, otherwise built on the same pattern."""
    if item is None or (isinstance(item, ast.Name) and item.id in ("Any", "object")):
        made = [_LISTS[name] for name in ("int", "str", "float")]
        mixed: list[Any] = [[1, "a", 2.5], [0, "", None, True], [[1, 2], 3, "b"]]
        return [list(items) for items in _interleaved([*made, mixed])]
    text = _plain_text(item)
    if text in _LISTS:
        return copy.deepcopy([*_LISTS[text]])
    values = _distinct(_values(item, depth - 1))
    if not values:
        return [[]]
    some = values[:5]
    again = [values[-1], some[0], values[-1], some[-1], some[0]]
    return [
        *([], some[-1:], some[:1], some[:3], some[::-1], again),
        *(some[:2] * 2, some[1:2] * 3, values[:8], values[3:10:2]),
    ]


def _tuples(items: list[ast.expr], depth: int) -> list[Any]:
    """Tuples of fixed length: every item at its boundaries, then shifted against each other."""
    if any(isinstance(item, ast.Tuple) and not item.elts for item in items):  # Tuple[()]
        return [()]
    columns = [_distinct(_values(item, depth - 1)) for item in items[:16]]
    if not all(columns) or len(items) > len(columns):
        return []
    # A column is shifted by its position at every turn; otherwise (1, 1) comes, but never (1, 2).
    return [
        tuple(
            column[(turn + turn // 2 * at + at) % len(column)] for at, column in enumerate(columns)
        )
        for turn in range(12)
    ]


def _dicts(key: ast.expr | None, value: ast.expr | None, depth: int) -> list[Any]:
    keys = _hashable(_values(key, depth - 1)) if key else ["a", "b", "c", "B", "key", "x"]
    values = _distinct(_values(value, depth - 1)) if value else [1, 2, 0, "a", -1, 3]
    if not keys or not values:
        return [{}]
    ordinary = values[1:] + values[:1]
    repeated = ordinary[:1] * len(keys)
    rows = ((keys[1:2], ordinary), (keys[1:3], ordinary), (keys[1:3], repeated),
            (keys[:1], values), (keys[1:5], ordinary[::-1]), (keys[:4][::-1], ordinary),
            (keys[1:8], ordinary * 2))  # fmt: skip
    return [{}, *(dict(zip(some, row, strict=False)) for some, row in rows)]


def _union(items: Iterable[ast.expr], depth: int) -> list[Any]:
    return _interleaved([_values(item, depth - 1) for item in list(items)[:8]])


def _alternatives(node: ast.expr) -> list[ast.expr]:
    """The members of `X | Y | Z`, without recursion: such a chain is nested on the left."""
    right: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        right.append(node.right)
        node = node.left
    return [node, *right[::-1]]


_NO_LITERAL: Final = object()


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and node.value is not ...:
        return node.value
    is_negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    if is_negative and isinstance(node.operand, ast.Constant):  # type: ignore[attr-defined]
        value = node.operand.value  # type: ignore[attr-defined]
        return -value if type(value) is int else _NO_LITERAL
    return _NO_LITERAL


def _mixture() -> tuple[Any, ...]:
    """Values for a parameter of unknown type."""
    lists = [list(items) for items in _LISTS["int"]], [list(items) for items in _LISTS["str"]]
    turns = _interleaved([_INTS, _STRINGS, *lists, _FLOATS, (None, True, {}, {"a": 1, "b": 2})])
    return tuple(turns[:MAX_VALUES])


def _name(node: ast.expr) -> str:
    """`List` for `List`, `typing.List` and `t.List`; "" for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Constant) and node.value is None:
        return "None"
    return node.id if isinstance(node, ast.Name) else ""


def _plain_text(node: ast.expr) -> str:
    """The key in `_LISTS`: `List[int]` and `list[int]` have the same one."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
        return f"{_ALIASES.get(_name(node.value), '')}[{node.slice.id}]"
    return _name(node)


def _made(kind: Callable[[list[Any]], Any], lists: list[list[Any]]) -> list[Any]:
    if kind is set or kind is frozenset:
        return [kind(items) for items in lists if len(_hashable(items)) == len(_distinct(items))]
    return [kind(items) for items in lists]


def _hashable(values: Iterable[Any]) -> list[Any]:
    kept = []
    for value in _distinct(values):
        try:
            hash(value)
        except TypeError:
            continue
        kept.append(value)
    return kept


def _interleaved(columns: Iterable[Iterable[Any]]) -> list[Any]:
    """The first item of each column, then the second of each, and so on."""
    gap = object()
    return [v for row in zip_longest(*columns, fillvalue=gap) for v in row if v is not gap]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """The first `MAX_VALUES` values with different canonical texts."""
    found: dict[str, Any] = {}
    for value in values:
        try:
            found.setdefault(write(value, max_chars=_MAX_CHARS), value)
        except CanonicalError:
            continue
        if len(found) == MAX_VALUES:
            break
    return list(found.values())

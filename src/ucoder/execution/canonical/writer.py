"""Writing canonical text, inside the sandbox and outside of it.

The value comes from an untrusted program. So types are compared by identity, and nothing of a value
is called, compared, hashed or printed unless its type is exactly a built-in one; `objects` reads
all others. A program may still forge the classes and modules that its values come from; that only
forges its own results, which it could have returned right away.

This file and what it imports go into the sandbox, where every page of a worker's memory makes
each of its forks slower. So they import only `sys` and each other, and all of it at the start,
because the files are out of reach by the time that a program runs.
"""

from __future__ import annotations

# Bound here: a program that replaces one of these in `builtins` breaks nothing below.
from builtins import (  # noqa: UP029
    ascii,
    bool,
    bytes,
    complex,
    dict,
    float,
    frozenset,
    hex,
    id,
    int,
    len,
    list,
    min,
    repr,
    set,
    str,
    tuple,
    type,
)

from ucoder.execution.canonical.errors import NotRepresentable, TooLarge
from ucoder.execution.canonical.objects import object_text
from ucoder.execution.canonical.reflection import type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

MAX_DEPTH: Final = 100
"""Deepest nesting of containers, for writing and for parsing."""

MAX_CHARS: Final = 1_000_000
"""Longest text, for writing and for parsing, by default."""

DECIMAL_BITS: Final = 2048
"""Ints up to this width are decimal: 617 digits, below the 640 that Python always converts."""

RECORDS: Final[dict[int, Callable[[CanonicalWriter, Any, int], str]]] = {}
"""How to write what `parse` builds for a program's own classes, by the id of its class; empty in
the sandbox, filled by `values` outside."""


def write(value: object, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH) -> str:
    """Write a value's canonical text.

    Args:
        value: Any object at all.
        max_chars: Longest text allowed; writing stops as soon as it is passed.
        max_depth: Deepest nesting of containers allowed.

    Raises:
        NotRepresentable: The value is or holds something that is not plain data, contains
            itself, or is nested too deeply. The message starts with the offending type's name.
        TooLarge: The text would be longer than `max_chars`.
    """
    # Most results end here, and their cost is a good part of a short call's.
    kind = type(value)
    text = None
    if kind is int:
        if -0x8000_0000_0000_0000 < value < 0x8000_0000_0000_0000:  # type: ignore[operator]
            text = f"{value!r}"
    elif kind is bool or value is None or kind is float:
        text = f"{value!r}"
    elif kind is str:
        if len(value) <= max_chars:  # type: ignore[arg-type]
            text = f"{value!a}"
    elif kind is list or kind is tuple or kind is dict:
        if _plain(value, kind, max_chars, max_depth) >= 0:
            text = f"{value!a}"
    elif kind is set or kind is frozenset:
        if _plain(value, kind, max_chars, max_depth) >= 0:
            text = _set_text(value, kind)
    elif kind is bytes and len(value) <= max_chars:  # type: ignore[arg-type]
        text = f"{value!a}"
    if text is not None and len(text) <= max_chars:
        return text
    return CanonicalWriter(max_chars, max_depth).text(value, 0)


def _plain(value: Any, kind: type, left: int, depth: int) -> int:
    """Find out whether `ascii` writes the elements of a container as their canonical texts.

    That holds for short ints, floats, bools, None, text, and lists, tuples and dicts of these. One
    loop in Python to check it, and then writing everything in C, is faster than writing each
    element by itself.

    Args:
        value: The container.
        kind: Its type: list, tuple, dict, set or frozenset, exactly.
        left: Characters that it may have.
        depth: Levels of containers that it may have.

    Returns:
        Roughly how many characters are left; negative if the answer is no, or too long to check.
    """
    if depth <= 0:
        return -1
    if not value:
        return left
    left -= 3 * len(value)  # at least an element, a comma and a blank
    if left < 0:
        return -1
    for item in [*value, *value.values()] if kind is dict else value:
        item_kind = type(item)
        if item_kind is int:
            if -0x8000_0000_0000_0000 < item < 0x8000_0000_0000_0000:
                continue
            return -1
        if item_kind is str:
            left -= len(item)
            if left < 0:
                return -1
        elif item_kind is list or item_kind is tuple or item_kind is dict:
            left = _plain(item, item_kind, left, depth - 1)
            if left < 0:
                return -1
        elif item_kind is not float and item_kind is not bool and item is not None:
            return -1
    return left


def _set_text(value: Any, kind: type) -> str:
    """Write a set that passed `_plain`."""
    items = [f"{item!a}" for item in value]
    items.sort()
    text = f"{{{', '.join(items)}}}" if items else "set()"
    if kind is frozenset:
        return f"frozenset({text})" if items else "frozenset()"
    return text


class CanonicalWriter:
    """One call of `write`: the characters that are left, and the containers being written."""

    __slots__ = ("left", "max_chars", "max_depth", "open", "plans")

    def __init__(self, max_chars: int, max_depth: int) -> None:
        self.max_chars = max_chars
        self.max_depth = max_depth
        self.left = max_chars
        self.open: set[int] = set()
        self.plans: dict[int, Any] = {}

    def spend(self, n_chars: int) -> None:
        """Count characters as written.

        Raises:
            TooLarge: There are more than allowed.
        """
        self.left -= n_chars
        if self.left < 0:
            raise TooLarge(f"more than {self.max_chars} characters")

    def spent(self, text: str) -> str:
        """Count a text as written, and return it."""
        self.spend(len(text))
        return text

    def text(self, value: Any, depth: int) -> str:
        """Write a value that is enclosed by `depth` containers."""
        # A chain of identity tests, not a table: looking a type up hashes it.
        kind = type(value)
        if kind is int:
            if -0x8000_0000_0000_0000 < value < 0x8000_0000_0000_0000:
                text = f"{value!r}"
            else:
                text = self.int_text(value)
        elif kind is str or kind is bytes:
            if len(value) > self.left:
                self.spend(len(value))
            text = f"{value!a}"
        elif kind is float or kind is bool or value is None:
            text = f"{value!r}"
        elif kind is complex:
            text = f"complex({value.real!r}, {value.imag!r})"
        elif kind is list or kind is tuple or kind is dict or kind is set or kind is frozenset:
            return self.container_text(value, kind, depth)
        else:
            record = RECORDS.get(id(kind))
            if record is not None:
                return record(self, value, depth)
            return object_text(self, value, kind, depth)
        self.left -= len(text)
        if self.left < 0:
            self.spend(0)
        return text

    def int_text(self, value: int) -> str:
        """Write an int: decimal conversion of a wide one takes quadratic time."""
        n_bits = value.bit_length()
        if n_bits <= DECIMAL_BITS:
            return repr(value)
        if n_bits // 4 > self.left:
            self.spend(n_bits // 4)
        return hex(value)

    def enter(self, value: object, depth: int) -> int:
        """Open a container and return the depth of its elements; `leave` closes it."""
        if depth >= self.max_depth:
            raise NotRepresentable(f"{type_name(value)} (nested deeper than {self.max_depth})")
        if id(value) in self.open:
            raise NotRepresentable(f"{type_name(value)} (contains itself)")
        self.open.add(id(value))
        return depth + 1

    def leave(self, value: object, text: str, left_before: int) -> str:
        """Close a container and count the characters around its elements."""
        self.open.discard(id(value))
        self.spend(len(text) - (left_before - self.left))
        return text

    def container_text(self, value: Any, kind: type, depth: int) -> str:
        """Write one of the built-in containers."""
        is_set = kind is set or kind is frozenset
        # Not deeper, or each level of a deep value would check everything below it again.
        levels = min(2, self.max_depth - depth)
        if _plain(value, kind, self.left, levels) >= 0:
            return self.spent(_set_text(value, kind) if is_set else ascii(value))
        left_before = self.left
        inner = self.enter(value, depth)
        if kind is dict:
            pairs = [f"{self.text(k, inner)}: {self.text(v, inner)}" for k, v in value.items()]
            text = "{" + ", ".join(pairs) + "}"
        elif is_set:
            items = [self.text(item, inner) for item in value]
            items.sort()
            text = "{" + ", ".join(items) + "}"
            if kind is frozenset:
                text = f"frozenset({text})"
        else:
            body = ", ".join([self.text(item, inner) for item in value])
            comma = "," if kind is tuple and len(value) == 1 else ""
            text = f"[{body}]" if kind is list else f"({body}{comma})"
        return self.leave(value, text, left_before)

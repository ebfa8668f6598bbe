"""Containers that the program and its tests both hold, although they share no memory.

Values cross as copies. So that `is`, a changed argument and two names of one list mean in the tests
what they mean in one process, each side numbers the containers that cross and keeps the numbers of
its own. Beside the value travel the numbers of the containers in it, in the order in which a walk
meets them; the other side puts its own object in the place of a number that it knows, and gives it
the content that has arrived. Containers that nothing else refers to are forgotten.

What is not kept: the identity of what cannot change (text, numbers, tuples), and changes of an
object that takes no part in the call which changes it.
"""

from __future__ import annotations

# Bound here, because a program may replace them in `builtins`.
from builtins import dict, id, isinstance, iter, len, list, map, next, set, tuple, type, zip  # noqa: UP029
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from sys import getrefcount
from typing import Any, Final

from ucoder.execution.canonical.errors import NotRepresentable
from ucoder.execution.canonical.reflection import type_name

_ATOMS: Final = frozenset((int, str, float, bool, bytes, complex, type(None), frozenset))
_DICTS: Final = (dict, OrderedDict, defaultdict, Counter)
_MAX_DEPTH: Final = 100  # as in canonical text
_UNSHARED: Final = 2  # references to an object that only the table holds, while they are counted


class SharedObjects:
    """One side's table of the containers that have crossed."""

    def __init__(
        self,
        first: int,
        parts_of_others: Callable[[Any], list[Any] | None],
        rebuild: Callable[[Any, list[Any] | None, Any], Any] = lambda value, inner, known: value,
    ) -> None:
        """Start empty.

        Args:
            first: 0 on one side and 1 on the other, so that both may give numbers.
            parts_of_others: What an object of another type holds; None if it is not a container.
            rebuild: Makes this side's object of such a type, from what has arrived, from its
                parts, and from what this side knows by its number.
        """
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._next = first
        self._n_kept = 0
        self._parts_of_others = parts_of_others
        self._rebuild = rebuild

    def label(self, values: Sequence[Any]) -> list[int]:
        """Return the numbers of the containers in values that are about to cross.

        Raises:
            NotRepresentable: They contain themselves, or are nested too deeply.
        """
        if len(self._objects) > 2 * self._n_kept:
            self._forget()
        labels: list[int] = []
        for value in values:
            self._label(value, labels, 0)
        return labels

    def _label(self, value: Any, labels: list[int], depth: int) -> None:
        parts = self._parts(value)
        if parts is None:
            return
        if depth > _MAX_DEPTH:
            raise NotRepresentable(f"{type_name(value)} (nested too deeply, or contains itself)")
        if not isinstance(value, tuple):
            number = self._numbers.get(id(value))
            if number is None:
                number = self._next
                self._next += 2
                self._keep(number, value)
            labels.append(number)
        if not _ATOMS.issuperset(map(type, parts)):
            for part in parts:
                self._label(part, labels, depth + 1)

    def adopt(self, values: Sequence[Any], labels: Sequence[int]) -> list[Any]:
        """Return values that have crossed, with this side's objects where they are known here.

        Raises:
            ValueError: The labels are not those of the values.
        """
        numbers = iter(labels)
        try:
            return [self._adopt(value, numbers) for value in values]
        except StopIteration:
            raise ValueError("too few labels") from None

    def _adopt(self, value: Any, numbers: Iterator[int]) -> Any:
        parts = self._parts(value)
        if parts is None:
            return self._rebuild(value, None, None)
        kind: Any = type(value)
        if isinstance(value, tuple):
            inner = self._adopt_all(parts, numbers)
            return value if inner is parts else tuple.__new__(kind, inner)
        number = next(numbers)
        known: Any = self._objects.get(number)
        if kind is not list and kind is not set and kind is not deque and kind not in _DICTS:
            known = self._rebuild(value, [self._adopt(part, numbers) for part in parts], known)
            self._keep(number, known)
            return known
        if type(known) is not kind:
            known = value
            self._keep(number, value)
        inner = self._adopt_all(parts, numbers)
        if kind is list:
            known[:] = inner
        elif kind in _DICTS:
            items = list(zip(value, inner, strict=True))
            known.clear()
            for key, item in items:
                known[key] = item
        elif known is not value or inner is not parts:  # a set or a deque
            known.clear()
            (known.update if kind is set else known.extend)(inner if kind is deque else value)
        return known

    def _adopt_all(self, parts: Any, numbers: Iterator[int]) -> Any:
        if _ATOMS.issuperset(map(type, parts)):
            return parts
        return [self._adopt(part, numbers) for part in parts]

    def _parts(self, value: Any) -> Any:
        """What a container holds that could be a container; None for what is none."""
        kind = type(value)
        if kind in _ATOMS:
            return None
        if kind is list or kind is deque:
            return value
        if kind is tuple:  # itself not numbered; only what it holds matters
            return None if _ATOMS.issuperset(map(type, value)) else value
        if kind in _DICTS:
            return list(value.values())
        return () if kind is set else self._parts_of_others(value)

    def _keep(self, number: int, value: Any) -> None:
        if number in self._objects:
            self._numbers.pop(id(self._objects[number]), None)
        self._objects[number] = value
        self._numbers[id(value)] = number

    def _forget(self) -> None:
        for number in list(self._objects):
            if getrefcount(self._objects[number]) <= _UNSHARED:
                del self._numbers[id(self._objects.pop(number))]
        self._n_kept = len(self._objects)

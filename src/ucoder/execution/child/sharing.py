"""Containers that the program and its tests both hold, although they share no memory.

Values cross as copies. So that `is`, a changed argument and two names of one list mean in the tests
what they mean in one process, each side numbers the containers that cross and keeps the numbers of
its own. Beside the value travel the numbers of the containers in it, in the order in which a walk
meets them; the other side puts its own object in the place of a number that it knows, and gives it
the content that has arrived. Containers that nothing else refers to are forgotten.

What is not kept: the identity of text, numbers and sets that cannot change, and changes of an
object that takes no part in the call which changes it.
"""

from __future__ import annotations

# Bound here, because a program may replace them in `builtins`.
from builtins import dict, id, isinstance, iter, len, list, next, set, tuple, type, zip  # noqa: UP029
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
        number = self._numbers.get(id(value))
        if number is None:
            number = self._next
            self._next += 2
            self._keep(number, value)
        labels.append(number)
        for part in parts:
            if type(part) not in _ATOMS:
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
        if type(value) in _ATOMS:
            return value
        parts = self._parts(value)
        if parts is None:
            return self._rebuild(value, None, None)
        number = next(numbers)
        known: Any = self._objects.get(number)
        kind: Any = type(value)
        if isinstance(value, tuple):
            inner = [self._adopt(part, numbers) for part in parts]
            is_known = type(known) is kind and len(known) == len(inner)
            if is_known and all(a is b for a, b in zip(known, inner, strict=True)):
                return known
            value = tuple.__new__(kind, inner)
            self._keep(number, value)
            return value
        if kind is not list and kind is not set and kind is not deque and kind not in _DICTS:
            inner = [self._adopt(part, numbers) for part in parts]
            value = self._rebuild(value, inner, known)
            self._keep(number, value)
            return value
        if type(known) is not kind:
            known = value
            self._keep(number, value)
        inner = [self._adopt(part, numbers) for part in parts]
        if kind is list:
            known[:] = inner
        elif kind is deque:
            known.clear()
            known.extend(inner)
        elif kind in _DICTS:
            items = list(zip(value, inner, strict=True))
            known.clear()
            for key, item in items:
                known[key] = item
        elif known is not value:  # a set
            known.clear()
            known.update(value)
        return known

    def _parts(self, value: Any) -> list[Any] | None:
        """What a container holds that could be a container; None for what is none."""
        kind = type(value)
        if kind is list or kind is deque:
            return list(value)
        if kind is tuple:
            return list(value) or None  # there is only one empty tuple
        if kind in _DICTS:
            return list(value.values())
        if kind is set:
            return []
        return None if kind in _ATOMS else self._parts_of_others(value)

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

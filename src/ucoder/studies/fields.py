"""The fields of a JSON object from a stranger: typed values, or an error that says what was got."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ucoder.records import NAN, FinishReason

_MAX_COUNT = 1 << 62


class FormatError(Exception):
    """What is wrong with a record; the caller knows which line of which file it is."""


def _field(record: dict[str, Any], name: str) -> Any:
    if name not in record:
        raise FormatError(f"lacks the field {name!r}; it has {short(', '.join(record))}")
    return record[name]


def text(record: dict[str, Any], name: str, *, empty: bool = False) -> str:
    """A text; one that holds more than white space, unless `empty` allows for less."""
    value = _field(record, name)
    if not isinstance(value, str):
        raise FormatError(f"{name} must be a text, got {kind_of(value)}")
    if not empty and not value.strip():
        raise FormatError(f"{name} must not be empty")
    return value


def texts(record: dict[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts."""
    return tuple(_checked(value, str, name, at) for at, value in enumerate(_list(record, name)))


def _list(record: dict[str, Any], name: str) -> list[Any]:
    value = _field(record, name)
    if not isinstance(value, list):
        raise FormatError(f"{name} must be a list, got {kind_of(value)}")
    return value


def _column(record: dict[str, Any], name: str, n: int, unknown: Any) -> list[Any]:
    """A list with one value a candidate, `unknown` for each where the file has no such field."""
    if record.get(name) is None:
        return [unknown] * n
    values = _list(record, name)
    if len(values) != n:
        raise FormatError(f"{name} has {len(values)} values for {n} candidates")
    return values


def counts(record: dict[str, Any], name: str, n: int) -> Iterator[int]:
    """One count a candidate, 0 where the record has no such field."""
    for at, value in enumerate(_column(record, name, n, 0)):
        if _checked(value, int, name, at) not in range(_MAX_COUNT):
            raise FormatError(f"{name}[{at}] must be a count, got {short(str(value))}")
        yield value


def logprobs(record: dict[str, Any], name: str, n: int) -> Iterator[float]:
    """One finite number a candidate, NaN where it is unknown."""
    for at, value in enumerate(_column(record, name, n, None)):
        number = NAN if value is None else _checked(value, (float, int), name, at)
        if abs(number) > _MAX_COUNT:
            raise FormatError(f"{name}[{at}] must be finite, or null where unknown")
        yield float(number)


def finishes(record: dict[str, Any], name: str, n: int) -> Iterator[FinishReason]:
    """Why each candidate ended, STOP where the record does not say."""
    for at, value in enumerate(_column(record, name, n, "stop")):
        if value not in ("stop", "length"):
            raise FormatError(f'{name}[{at}] must be "stop" or "length", got {short(str(value))}')
        yield FinishReason(value)


def _checked(value: Any, kind: type | tuple[type, ...], name: str, at: int) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = {str: "a text", int: "a whole number"}.get(kind, "a number")  # type: ignore[arg-type]
        raise FormatError(f"{name}[{at}] must be {wanted}, got {kind_of(value)}")
    return value


def kind_of(value: object) -> str:
    """What a JSON value is, in JSON's words."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    for kind, name in ((str, "a text"), (dict, "an object"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return f"the number {short(str(value))}"


def short(text: str) -> str:
    """A text as a message can show it: one line, ASCII, not too long."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")

"""Type-aware mutation: more inputs, made from those that the model wrote.

A mutant has the types of its parent: an int stays an int, a list of strings a list of strings, so
that it is valid wherever validity depends on types alone. Values stay near those that the model
used, because the factorial of 10**9 says nothing about a candidate. Boundary values of each type
(0, 1, -1, empty, one element, repeated elements) are among them; inputs made from the signature
alone are in `boundaries`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ucoder.execution.canonical import CanonicalError, parse, write

MAX_ELEMENTS = 64
"""Largest size to which mutation lets containers and strings grow."""

TRIES_PER_INPUT = 30
"""Mutants drawn for each input wanted before giving up: a `bool` has only two values."""


def mutations(
    parents: Sequence[str], n: int, seed: int, known: Iterable[str] = ()
) -> Iterator[str]:
    """Up to n new argument tuples, different from all parents, as canonical texts.

    Args:
        parents: Canonical texts of valid argument tuples.
        n: How many are wanted; there are fewer where the types do not allow as many.
        seed: Of the random choices.
        known: Further texts to exclude, such as boundary inputs.
    """
    random_ = random.Random(seed)
    tuples = [parse(parent) for parent in parents]
    seen = {*parents, *known}
    found = 0
    for _ in range(n * TRIES_PER_INPUT):
        if found >= n:
            return
        parent = random_.choice(tuples)
        if not parent:
            continue
        mutant = list(parent)
        # Mostly one argument, sometimes two: small steps keep the relations between arguments.
        for _ in range(1 if random_.random() < 0.75 else 2):
            at = random_.randrange(len(mutant))
            donors = [other[at] for other in tuples if len(other) > at]
            mutant[at] = _mutate(mutant[at], donors, random_)
        try:
            text = write(tuple(mutant), max_chars=4_000)
        except CanonicalError:
            continue
        if text not in seen:
            seen.add(text)
            found += 1
            yield text


def _mutate(value: Any, donors: Sequence[Any], random_: random.Random) -> Any:
    """A neighbour of a value, of the same type where that type has another value."""
    if random_.random() < 0.15:
        return random_.choice(donors)
    kind = type(value)
    if kind is bool:
        return not value
    if kind is int:
        return _mutate_int(value, random_)
    if kind is float:
        whole = round(value) if math.isfinite(value) else 0
        return random_.choice([0.0, -value, value + 1.0, value / 2, value * 2, whole, -1.5])
    if kind is str:
        return _mutate_text(value, donors, random_)
    if kind in (list, tuple):
        return kind(_mutate_sequence(list(value), donors, random_))
    if kind in (set, frozenset):
        return kind(_mutate_sequence(sorted(value, key=write), donors, random_))
    if kind is dict:
        return _mutate_dict(value, donors, random_)
    return value


def _mutate_int(value: int, random_: random.Random) -> int:
    reach = max(abs(value), 10)
    return random_.choice(
        [0, 1, -1, 2, value + 1, value - 1, -value, random_.randint(0, 2 * reach),
         random_.randint(-reach, reach), value // 2]
    )  # fmt: skip


def _mutate_text(value: str, donors: Sequence[Any], random_: random.Random) -> str:
    alphabet = "".join(d for d in donors if type(d) is str) or "ab c"
    at = random_.randrange(len(value) + 1)
    choices = [
        "",
        value[::-1],
        value.upper(),
        value.lower(),
        value.swapcase(),
        value[:at],
        value[at:],
        value[:at] + random_.choice(alphabet) + value[at:],
        value[:at] + value[at + 1 :],
        value[:at] + random_.choice(alphabet) + value[at + 1 :],
        (value + value)[:MAX_ELEMENTS],
        "".join(random_.sample(value, len(value))),
        value + " " + value[:at],
    ]
    return random_.choice(choices)


def _mutate_sequence(items: list[Any], donors: Sequence[Any], random_: random.Random) -> list[Any]:
    pool = [item for d in donors if type(d) in (list, tuple, set, frozenset) for item in d]
    if not items:
        return [random_.choice(pool)] if pool else items
    at = random_.randrange(len(items))
    moves = ["element", "element", "drop", "insert", "duplicate", "swap", "reverse", "sort",
             "empty", "one", "same", "half"]  # fmt: skip
    move = random_.choice(moves)
    if move == "element":
        return [*items[:at], _mutate(items[at], pool, random_), *items[at + 1 :]]
    if move == "drop":
        return [*items[:at], *items[at + 1 :]]
    if move == "insert" and len(items) < MAX_ELEMENTS:
        return [*items[:at], _mutate(random_.choice(pool), pool, random_), *items[at:]]
    if move == "duplicate" and len(items) < MAX_ELEMENTS:
        return [*items, items[at]]
    if move == "swap":
        other = random_.randrange(len(items))
        items[at], items[other] = items[other], items[at]
        return items
    if move == "sort":
        return sorted(items, key=write)
    return {
        "reverse": items[::-1],
        "empty": [],
        "one": [items[at]],
        "same": [items[at]] * len(items),
        "half": items[: (len(items) + 1) // 2],
    }.get(move, items)


def _mutate_dict(
    value: dict[Any, Any], donors: Sequence[Any], random_: random.Random
) -> dict[Any, Any]:
    others = [item for d in donors if type(d) is dict for item in d.items()]
    changed = dict(value)
    move = random_.choice(["value", "value", "drop", "add", "empty"])
    if move == "value" and changed:
        key = random_.choice(list(changed))
        changed[key] = _mutate(changed[key], [v for _, v in others], random_)
    elif move == "drop" and changed:
        del changed[random_.choice(list(changed))]
    elif move == "add" and others:
        key, item = random_.choice(others)
        changed[key] = item
    elif move == "empty":
        changed = {}
    return changed

"""Boundary inputs: the inputs on which programs most often differ, made from a signature alone.

A model writes ordinary inputs. Incorrect programs often fail at 0, at a negative number, at an
empty or a one-element list, at duplicates, at an unsorted list, or at mixed case. Which inputs are
*valid* is unknown here and only seen from the executions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from typing import Any, Final

from ucoder.execution.canonical import CanonicalError, write
from ucoder.inputs.boundary_values import MAX_VALUES, boundary_values

MAX_SHAPES: Final = 64
"""Most shapes for one number of parameters."""

_MAX_CHARS: Final = 4_000
_N_FIRST: Final = 6
"""Values tried for each argument on its own before combinations are drawn."""
_N_ORDINARY: Final = 3
_TRIES_PER_INPUT: Final = 30


def boundary_inputs(annotations: Sequence[str], n: int, seed: int) -> list[str]:
    """Argument tuples made of boundary values.

    First each argument in turn takes its boundary values while the others are ordinary, so that
    only one is unusual at a time; then all are drawn at random, to cover their combinations.

    Args:
        annotations: Source text of each parameter's annotation.
        n: How many are wanted; there are fewer where the types do not allow as many.
        seed: Of the combinations. A larger n only appends inputs.

    Returns:
        Distinct canonical texts of argument tuples.
    """
    choices = [boundary_values(annotation) for annotation in annotations]
    if not choices:
        return ["()"][: max(n, 0)]
    n_first = MAX_VALUES if len(choices) == 1 else _N_FIRST
    found: dict[str, None] = {}
    for turn in range(n_first):
        ordinary = [_ordinary(values, turn) for values in choices]
        for at, values in enumerate(choices):
            if turn < len(values):
                _add(found, [*ordinary[:at], values[turn], *ordinary[at + 1 :]])
    random_ = random.Random(seed)
    for _ in range(n * _TRIES_PER_INPUT if len(choices) > 1 else 0):
        if len(found) >= n:
            break
        _add(found, [random_.choice(values) for values in choices])
    return list(found)[: max(n, 0)]


def shapes(n_parameters: int) -> list[tuple[str, ...]]:
    """Annotations to try for a function without any, the most common combinations first.

    Running programs shows which one is right: the one on which most of them do not raise and on
    which their outputs vary.

    Args:
        n_parameters: How many parameters the function has.

    Returns:
        Up to `MAX_SHAPES` tuples of `n_parameters` annotations each.
    """
    if n_parameters < 1:
        return [()]
    if n_parameters == 1:
        single = ("int", "str", "list[int]", "float", "list[str]", "list[float]", "list[list[int]]",
                  "dict[str, int]", "dict[str, str]", "tuple[int, int]", "list[list[str]]",
                  "list", "bool")  # fmt: skip
        return [(annotation,) for annotation in single]
    common = ("int", "list[int]", "str", "list[str]", "float")
    same = [(annotation,) * n_parameters for annotation in (*common, "list[float]")]
    # Three parameters are mostly of two types, more of them the first and the rest alike.
    firsts = common if n_parameters == 2 else common[:4]
    lead = [(first, *(rest,) * (n_parameters - 1)) for first, rest in product(firsts, common)]
    rare = ("list[list[int]]", "dict[str, int]", "list[float]")
    lead += [(first, *(rest,) * (n_parameters - 1)) for first, rest in product(rare, common)]
    last = [(*(first,) * (n_parameters - 1), last) for first, last in product(common, common[:3])]
    mixed = list(product(common[:3], repeat=n_parameters)) if n_parameters == 3 else []
    tail = [(*(first,) * (n_parameters - 1), "bool") for first in common[:3]]
    return list(dict.fromkeys([*same, *lead, *tail, *last, *mixed]))[:MAX_SHAPES]


def _ordinary(values: Sequence[Any], turn: int) -> Any:
    """A value from the middle: after the boundaries, before the longest; it varies with `turn`."""
    return values[(len(values) // 2 + turn % _N_ORDINARY) % len(values)]


def _add(found: dict[str, None], arguments: list[Any]) -> None:
    try:
        found.setdefault(write(tuple(arguments), max_chars=_MAX_CHARS))
    except CanonicalError:
        return

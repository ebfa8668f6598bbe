"""Inputs prepared for the sandbox: parsed once in the parent, sent once to each worker."""

from __future__ import annotations

import itertools
import marshal
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ucoder.execution.canonical import CanonicalError, parse
from ucoder.execution.child.runner import MARSHAL_VERSION, MUTABLE, PICKLED

BATCHES_KEPT: Final = 4
"""Batches that a worker keeps, because all candidates of a problem are called on the same one."""

_SHORT: Final = 1000
"""Inputs up to this length are cached one by one, because mutation makes the same ones again."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class InputBatch:
    """The inputs of one call of the executor.

    Attributes:
        number: Identifies it between the parent and the workers; 0 for one that is not kept.
        arguments: One entry per input: the argument tuple as bytes, or why it cannot be read.
        flags: One byte per input: 0, or `MUTABLE` or `PICKLED` of `child.runner`.
    """

    number: int
    arguments: tuple[bytes | str, ...]
    flags: bytes

    def part(self, indices: Sequence[int]) -> InputBatch:
        """The inputs at these indices, as a batch that workers do not keep."""
        arguments = tuple(self.arguments[index] for index in indices)
        return InputBatch(0, arguments, bytes(self.flags[index] for index in indices))


def batch_of_values(values: Sequence[tuple[Any, ...]]) -> InputBatch:
    """Make a batch of argument tuples that are given as values instead of texts.

    Args:
        values: Plain data, as a canonical text could hold it. It must be trusted: it is pickled.
    """
    encoded = [_bytes_of(arguments) for arguments in values]
    return InputBatch(
        next(_numbers), tuple(data for data, _ in encoded), bytes(flag for _, flag in encoded)
    )


@lru_cache(maxsize=2 * BATCHES_KEPT)
def batch_of(inputs: tuple[str, ...]) -> InputBatch:
    """Parse a batch of inputs; one that cannot be parsed carries the reason in its place."""
    encoded = [_recent(text) if len(text) <= _SHORT else _encoded(text) for text in inputs]
    return InputBatch(
        next(_numbers), tuple(data for data, _ in encoded), bytes(flag for _, flag in encoded)
    )


def _encoded(text: str) -> tuple[bytes | str, int]:
    try:
        value = parse(text, records=False)  # an input cannot hold objects of a program's classes
        if type(value) is not tuple:
            return f"an input must be a tuple of arguments, got {type(value).__name__}", 0
        return _bytes_of(value)
    except (CanonicalError, ValueError) as error:
        return f"unreadable input: {ascii(str(error))[1:300]}", 0


_recent = lru_cache(maxsize=4096)(_encoded)


def _bytes_of(arguments: tuple[Any, ...]) -> tuple[bytes, int]:
    # marshal copies faster than anything else, but knows the builtin types only.
    try:
        data = marshal.dumps(arguments, MARSHAL_VERSION)
    except ValueError:  # dates, Decimals, Fractions
        return pickle.dumps(arguments), PICKLED
    return data, 0 if all(map(_is_immutable, arguments)) else MUTABLE


def _is_immutable(value: object) -> bool:
    if type(value) is tuple:
        return all(map(_is_immutable, value))
    return type(value) not in (list, dict, set)

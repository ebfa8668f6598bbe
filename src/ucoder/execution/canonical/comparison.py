"""Comparing values by their canonical texts."""

from __future__ import annotations

import math
import re
from collections import OrderedDict, deque
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from ucoder.execution.canonical.errors import CanonicalError
from ucoder.execution.canonical.reader import parse
from ucoder.execution.canonical.values import ArrayValue, DataclassValue, Plain, ScalarValue
from ucoder.execution.canonical.writer import MAX_DEPTH, write

_CACHED_CHARS: Final = 2_000
_MAX_BRACKETS: Final = 3 * MAX_DEPTH  # `frozenset({...})` opens two for one container
# A string without an end is one token up to the text's end: were it none, the search would begin
# again behind each of its quotes, and take time that grows with the square of the length.
_TOKEN: Final = re.compile(
    r"""'(?:[^'\\]++|\\.)*+(?:'|\\?\Z)|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\](){}<>]|, |: """,
    re.DOTALL,
)
_ORDERED: Final = "OrderedDict("
_CLOSING: Final = {"[": "]", "(": ")", "{": "}", "<": ">"}


def key(text: str) -> str:
    """Return the form of a canonical text by which values are compared.

    It is the text itself with every dict sorted by the text of its keys, and the sets around
    them sorted again; an OrderedDict keeps its order. Two values have the same key exactly if they
    are the same apart from the order of other dicts. A text that is not canonical has some key,
    mostly itself.
    """
    # Other texts have no dict: sets are sorted already.
    if "{" not in text or ": " not in text:
        return text
    return _cached_sorted(text) if len(text) <= _CACHED_CHARS else _sorted(text)


def _sorted(text: str) -> str:
    """Sort the elements within braces, in one pass from left to right."""
    closing: list[str] = []
    # For each open brace: the pieces of the element around it, the elements and the key before that
    # one, and whether the brace keeps its order.
    outer: list[tuple[list[str], list[tuple[str, ...]], list[str], bool]] = []
    pieces: list[str] = []
    elements: list[tuple[str, ...]] = []
    dict_key: list[str] = []
    at = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _CLOSING:
            if len(closing) == _MAX_BRACKETS:
                return text
            closing.append(_CLOSING[token])
            if token == "{":
                pieces.append(text[at : match.end()])
                at = match.end()
                is_ordered = text.endswith(_ORDERED, 0, match.start())
                outer.append((pieces, elements, dict_key, is_ordered))
                pieces, elements, dict_key = [], [], []
        elif token in "])>}":
            if not closing or closing.pop() != token:
                return text
            if token == "}":
                pieces.append(text[at : match.start()])
                at = match.start()
                if elements or dict_key or pieces != [""]:
                    elements.append((*dict_key, "".join(pieces)))
                if len({len(element) for element in elements}) > 1:
                    return text  # neither a dict nor a set
                if not outer[-1][3]:
                    elements.sort()
                joined = ", ".join([": ".join(element) for element in elements])
                pieces, elements, dict_key, _ = outer.pop()
                pieces.append(joined)
        elif closing and closing[-1] == "}":
            if token == ", ":
                pieces.append(text[at : match.start()])
                elements.append((*dict_key, "".join(pieces)))
                pieces, dict_key = [], []
                at = match.end()
            elif token == ": ":
                if dict_key:
                    return text
                pieces.append(text[at : match.start()])
                dict_key = ["".join(pieces)]
                pieces = []
                at = match.end()
    return text if closing else "".join(pieces) + text[at:]


_cached_sorted = lru_cache(maxsize=2_048)(_sorted)


def same(a: str, b: str, *, rel_tol: float = 0.0, abs_tol: float = 0.0) -> bool:
    """Whether two canonical texts represent the same value.

    Exact by default: types count, `-0.0` differs from `0.0`, every NaN is the same, and the order
    of a dict does not count, unless it is an OrderedDict. With a tolerance, floats in the same
    place are the same if `math.isclose` says so. Then

    - a float may replace an int, but two ints must be equal, and a bool is not a number;
    - both parts of a complex are compared in this way, and so are the items of numpy arrays and
      scalars, provided that dtype and shape are the same;
    - sets of ints and floats of the same length are paired in ascending order; all other sets, and
      the keys of dicts, must be exactly equal;
    - decimals, fractions, dates, text and the values of enum members must be exactly equal.

    Args:
        a: One text.
        b: The other.
        rel_tol: Tolerance relative to the larger magnitude.
        abs_tol: Absolute tolerance.

    Raises:
        ValueError: A tolerance is negative or NaN.
    """
    if not (rel_tol >= 0 and abs_tol >= 0):
        raise ValueError(
            f"rel_tol={rel_tol}, abs_tol={abs_tol}: tolerances must be 0 or more; 0 is exact"
        )
    if key(a) == key(b):
        return True
    if not rel_tol and not abs_tol:
        return False
    try:
        return _Tolerance(rel_tol, abs_tol).close(parse(a), parse(b))
    except CanonicalError:  # a text that is not canonical is the same as itself only
        return False


class _Tolerance:
    """One comparison with a tolerance."""

    def __init__(self, rel_tol: float, abs_tol: float) -> None:
        self.rel_tol = rel_tol
        self.abs_tol = abs_tol

    def close(self, a: Plain, b: Plain) -> bool:
        """Whether two parsed values are the same."""
        kinds = (type(a), type(b))
        if kinds in ((float, float), (float, int), (int, float)):
            return self.numbers(a, b)
        if kinds[0] is not kinds[1]:
            return False
        if isinstance(a, complex):
            return self.numbers(a.real, b.real) and self.numbers(a.imag, b.imag)
        if isinstance(a, list | tuple | deque):
            return self.items(a, b)
        if isinstance(a, dict):
            one, two = _by_key_text(a), _by_key_text(b)
            return [k for k, _ in one] == [k for k, _ in two] and self.items(
                [v for _, v in one], [v for _, v in two]
            )
        if isinstance(a, set | frozenset) and all(type(x) in (int, float) for x in (*a, *b)):
            return self.items(_by_size(a), _by_size(b))
        if isinstance(a, DataclassValue):
            names = [[name for name, _ in value.fields] for value in (a, b)]
            return (
                a.name == b.name
                and names[0] == names[1]
                and self.items([v for _, v in a.fields], [v for _, v in b.fields])
            )
        if isinstance(a, ArrayValue):
            return (a.dtype, a.shape) == (b.dtype, b.shape) and self.items(a.items, b.items)
        if isinstance(a, ScalarValue):
            return bool(a.type_name == b.type_name) and self.close(a.value, b.value)
        return key(write(a)) == key(write(b))

    def numbers(self, a: float, b: float) -> bool:
        if a != a or b != b:
            return a != a and b != b
        try:
            return math.isclose(a, b, rel_tol=self.rel_tol, abs_tol=self.abs_tol)
        except OverflowError:  # an int beyond the largest float
            return False

    def items(self, a: Collection[Plain], b: Collection[Plain]) -> bool:
        return len(a) == len(b) and all(map(self.close, a, b))


def _by_key_text(value: dict[Plain, Plain]) -> list[tuple[str, Plain]]:
    """Items with their keys' texts, sorted by these; an OrderedDict keeps its own order."""
    pairs = [(key(write(k)), v) for k, v in value.items()]
    return pairs if type(value) is OrderedDict else sorted(pairs, key=lambda pair: pair[0])


def _by_size(values: set[Plain] | frozenset[Plain]) -> list[Plain]:
    """In ascending order, NaNs last."""
    return sorted(values, key=lambda value: (value != value, 0 if value != value else value))

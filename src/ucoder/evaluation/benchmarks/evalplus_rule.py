"""EvalPlus's rule for a right output, applied to values outside the program's process.

The same steps as in `evalplus.eval.unsafe_execute` (0.3.1), where they run inside it: equality,
the tasks that it treats specially, and a tolerance for floats.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

HUMANEVAL: Final = "humaneval"
MBPP: Final = "mbpp"

NOT_NONE: Final = {"check_str", "text_match_three", "text_starta_endb"}
"""MBPP functions that return match objects: only whether there is one counts."""

ANY: Final = "are_equivalent"
"""Mbpp/164: its reference is wrong, so every output is right."""

_AS_SETS: Final = {
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
}  # fmt: skip

FLOAT_ATOL: Final = 1e-6


def is_right(
    family: str, entry_point: str, arguments: Any, out: Any, expected: Any, atol: float
) -> bool:
    """Whether a program's output counts as the expected one.

    Args:
        family: HUMANEVAL or MBPP.
        entry_point: The task's function.
        arguments: The argument tuple.
        out: What the program returned.
        expected: What the canonical solution returned; for `NOT_NONE`, whether it was not None.
        atol: EvalPlus's own tolerance for the task, or FLOAT_ATOL from the first input on whose
            expected output `is_floats`.
    """
    try:
        if family == HUMANEVAL and entry_point == "find_zero":  # HumanEval/32: any root will do
            return bool(abs(_polynomial(arguments[0], out)) <= atol)
        exact = bool(out == expected)
        if family == MBPP:
            exact = _special(entry_point, arguments, out, expected, atol, exact)
        if atol == 0 and is_floats(expected):
            atol = FLOAT_ATOL
        if exact or atol == 0:
            return exact
        if type(out) is not type(expected):
            return False
        if isinstance(expected, list | tuple) and len(out) != len(expected):
            return False
        return bool(np.allclose(out, expected, rtol=1e-07, atol=atol))
    except Exception:  # EvalPlus counts any error in here as a wrong output
        return False


def is_floats(value: Any) -> bool:
    """Whether an expected output makes EvalPlus compare with a tolerance from there on."""
    if isinstance(value, list | tuple) and value:
        return all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _special(name: str, arguments: Any, out: Any, expected: Any, atol: float, exact: bool) -> bool:
    if name == ANY:
        return True
    if name == "sum_div":  # Mbpp/295
        return exact or bool(out == 0)
    if name == "surface_Area":  # Mbpp/581: the height may be the apex's
        return exact or bool(abs(out - _surface_area(*arguments)) <= atol)
    if name == "digit_distance_nums":  # Mbpp/558
        return exact or bool(out == _digit_distance(*arguments))
    if name in NOT_NONE:
        return bool(expected == (out if isinstance(out, bool) else out is not None))
    if name in _AS_SETS:
        return set(out) == set(expected)
    return exact


def _polynomial(coefficients: list[float], x: float) -> float:
    return sum(c * math.pow(x, i) for i, c in enumerate(coefficients))


def _surface_area(base_edge: float, height: float) -> int:
    slant_height = math.sqrt((base_edge / 2) ** 2 + height**2)
    return round(base_edge**2 + 2 * base_edge * slant_height)


def _digit_distance(one: int, two: int) -> int:
    width = max(len(str(one)), len(str(two)))
    pairs = zip(str(one).zfill(width), str(two).zfill(width), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in pairs)

"""Literals in a model's calls, and the constant expressions that stand for long ones.

Models write `[0] * 100`, `10**6`, `float('inf')` and `list(range(5))` where a literal would be
long. These are folded here, by a closed list of operations within limits; no name is looked up and
no code is evaluated.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, Final, TypeGuard

from ucoder.execution.canonical import CanonicalError, parse, write
from ucoder.inputs.text import unparse

MAX_ELEMENTS: Final = 1_000
"""Longest list that `*`, `+` and `range` may produce."""
MAX_TEXT: Final = 4_000
"""Longest string that `*` and `+` may produce."""
MAX_BITS: Final = 1_024
"""Widest int that arithmetic may produce."""

_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_NUMBERS: Final = (int, float, complex)
_SEQUENCES: Final = (str, bytes, list, tuple)
_COLLECTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset,
}  # fmt: skip


class _NotLiteral(Exception):
    """The expression is neither a literal nor one of the supported operations."""


def read_literal(node: ast.expr, max_chars: int) -> tuple[str, bool] | None:
    """The canonical text of a literal or of a constant expression.

    Args:
        node: Any expression.
        max_chars: Longest text wanted.

    Returns:
        The text, and whether it is exactly the value that Python would compute: a bare `range` is
        written as a list, which is not exact. None for anything that would need evaluation.
    """
    reader = _Reader()
    try:
        return write(reader.value(node), max_chars=max_chars), reader.exact
    # Beyond the first two: unhashable keys, overflow, division by zero, and deep nesting.
    except (_NotLiteral, CanonicalError, TypeError, ValueError, ArithmeticError, RecursionError):
        return None


class _Reader:
    """Reads one literal; `exact` becomes False where a value's type had to be changed."""

    __slots__ = ("exact",)

    def __init__(self) -> None:
        self.exact = True

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            if node.value is Ellipsis:
                raise _NotLiteral
            return node.value
        if isinstance(node, ast.List):
            return [self.value(item) for item in node.elts]
        if isinstance(node, ast.Tuple):
            return tuple([self.value(item) for item in node.elts])
        if isinstance(node, ast.Set):
            return {self.value(item) for item in node.elts}
        if isinstance(node, ast.Dict):
            if None in node.keys:  # {**other}
                raise _NotLiteral
            keys = [self.value(key) for key in node.keys if key is not None]
            return dict(zip(keys, [self.value(item) for item in node.values], strict=True))
        if isinstance(node, ast.UnaryOp):
            return self.signed(node)
        if isinstance(node, ast.BinOp):
            return _folded(node.op, self.value(node.left), self.value(node.right))
        if _is_call_of(node, "range"):
            self.exact = False
            return _range(node)
        if _is_call_of(node, *_COLLECTIONS) and len(node.args) <= 1:
            return self.collection(node)
        # Dates, decimals, deques, `math.inf`: the canonical reader knows these by name.
        source = unparse(node)
        if source is None:
            raise _NotLiteral
        return parse(source, records=False)

    def signed(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        if type(value) in _NUMBERS and isinstance(node.op, ast.USub | ast.UAdd):
            return -value if isinstance(node.op, ast.USub) else value
        raise _NotLiteral

    def collection(self, node: ast.Call) -> Any:
        """`list(range(3))`, `set([1, 2])`, `tuple('ab')`, `set()`."""
        kind = _COLLECTIONS[ast.unparse(node.func)]
        if not node.args:
            return kind(())
        inner = node.args[0]
        if _is_call_of(inner, "range"):
            return kind(_range(inner))
        items = self.value(inner)
        ordered = kind in (list, tuple)
        if type(items) in _SEQUENCES or (type(items) in (set, frozenset) and not ordered):
            return kind(items)
        raise _NotLiteral  # a list made of a set has no predictable order


def _is_call_of(node: ast.expr, *names: str) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in names
        and not node.keywords
    )


def _range(node: ast.Call) -> list[int]:
    bounds = [ast.literal_eval(argument) for argument in node.args]
    if not 1 <= len(bounds) <= 3 or any(type(bound) is not int for bound in bounds):
        raise _NotLiteral
    numbers = range(*bounds)
    if len(numbers) > MAX_ELEMENTS:
        raise _NotLiteral
    return list(numbers)


def _folded(op: ast.operator, left: Any, right: Any) -> Any:
    """The value of one operation, whose size is checked before it is computed."""
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return _arithmetic(op, left, right)
    if isinstance(op, ast.Mult):
        if type(left) is int:
            left, right = right, left
        if type(left) in _SEQUENCES and type(right) is int:
            _check_length(left, len(left) * right)
            return left * right
    if isinstance(op, ast.Add) and type(left) is type(right) and type(left) in _SEQUENCES:
        _check_length(left, len(left) + len(right))
        return left + right
    raise _NotLiteral


def _check_length(sequence: Any, length: int) -> None:
    if length > (MAX_TEXT if isinstance(sequence, str | bytes) else MAX_ELEMENTS):
        raise _NotLiteral


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Pow):
        if type(left) is int and type(right) is int and left.bit_length() * right > MAX_BITS:
            raise _NotLiteral
        value = left**right
    elif type(op) in _ARITHMETIC:
        value = _ARITHMETIC[type(op)](left, right)
    else:
        raise _NotLiteral
    if type(value) is int and value.bit_length() > MAX_BITS:
        raise _NotLiteral
    return value

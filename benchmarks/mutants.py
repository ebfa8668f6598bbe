"""Programs with one small, seeded change to the syntax tree of a right one.

Some changes change nothing that a test sees (see `rewrites`), many give wrong values, some raise,
loop for ever or fill memory: what a benchmark's verdicts have to cope with.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator

from rewrites import GENTLE, RESULTS, Change

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.FloorDiv,
    ast.FloorDiv: ast.Div, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip


def swap_comparison(node: ast.AST) -> bool:
    """`<` becomes `<=`, `==` becomes `!=`."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        node.ops[0] = _COMPARISONS[type(node.ops[0])]()
        return True
    return False


def swap_arithmetic(node: ast.AST) -> bool:
    """`+` becomes `-`, `*` becomes `+`, `/` becomes `//`."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        node.op = _ARITHMETIC[type(node.op)]()
        return True
    return False


def swap_logic(node: ast.AST) -> bool:
    """`and` becomes `or`."""
    if isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return True
    return False


def one_more(node: ast.AST) -> bool:
    """Constants, and so indices, bounds and defaults, are off by one; texts are longer by one."""
    if isinstance(node, ast.Constant):
        if type(node.value) is bool:
            node.value = not node.value
        elif type(node.value) in (int, float):
            node.value += 1
        elif type(node.value) is str:
            node.value += "x"
        else:
            return False
        return True
    return False


def one_less(node: ast.AST) -> bool:
    """Likewise in the other direction."""
    if isinstance(node, ast.Constant):
        if type(node.value) in (int, float):
            node.value -= 1
        elif type(node.value) is str and node.value:
            node.value = node.value[1:]
        else:
            return False
        return True
    return False


def negate(node: ast.AST) -> bool:
    """A condition is turned around."""
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return True
    return False


def swap_arguments(node: ast.AST) -> bool:
    """The first two arguments of a call change places."""
    if isinstance(node, ast.Call) and len(node.args) >= 2:
        node.args[:2] = reversed(node.args[:2])
        return True
    return False


def return_none(node: ast.AST) -> bool:
    """A result is forgotten."""
    if isinstance(node, ast.Return) and node.value is not None:
        node.value = ast.Constant(None)
        return True
    return False


def drop_first(node: ast.AST) -> bool:
    """The first statement of a body is gone."""
    return _drop(node, 0)


def drop_last(node: ast.AST) -> bool:
    """The last statement of a body is gone."""
    return _drop(node, -1)


def _drop(node: ast.AST, at: int) -> bool:
    if isinstance(node, ast.FunctionDef | ast.For | ast.While | ast.If):
        node.body[at] = ast.Pass()
        return True
    return False


CLUMSY: dict[str, Change] = {
    change.__name__: change
    for change in (
        swap_comparison, swap_arithmetic, swap_logic, one_more, one_less, negate, swap_arguments,
        return_none, drop_first, drop_last,
    )
}  # fmt: skip

FAMILIES: dict[str, tuple[int, dict[str, Change]]] = {
    "clumsy": (50, CLUMSY),
    "gentle": (30, GENTLE),
    "result": (20, RESULTS),
}
"""Kinds of changes, each with its share in percent. Nearly all clumsy ones are noticed by a task's
tests and hardly any gentle one is, so that both verdicts get their turn."""


def mutants(source: str, seed: str) -> Iterator[tuple[str, str]]:
    """Every changed program once, in random order, with the name of the change.

    Args:
        source: A program without syntax errors.
        seed: Of the order.
    """
    rng = random.Random(seed)
    indices = range(len(list(ast.walk(_bare(source)))))
    shares = {family: share for family, (share, _) in FAMILIES.items()}
    sites = {
        family: {name: rng.sample(indices, len(indices)) for name in changes}
        for family, (_, changes) in FAMILIES.items()
    }
    seen = {ast.unparse(_bare(source))}
    while sites:
        family = rng.choices(list(sites), [shares[name] for name in sites])[0]
        names = sites[family]
        while names:
            name = rng.choice(list(names))
            found = _change(source, FAMILIES[family][1][name], names[name], seen)
            if found is not None:
                line, text = found
                yield f"{family}: {name} in line {line}", text
                break
            del names[name]
        else:
            del sites[family]


def _change(
    source: str, change: Change, places: list[int], seen: set[str]
) -> tuple[int, str] | None:
    """Make a change at the first of the places where it is possible; used places are dropped."""
    while places:
        tree = _bare(source)
        node = list(ast.walk(tree))[places.pop()]
        line = getattr(node, "lineno", 0)
        if not change(node):
            continue
        text = ast.unparse(ast.fix_missing_locations(tree))
        if text not in seen:
            seen.add(text)
            return line, text
    return None


def _bare(source: str) -> ast.Module:
    """The tree without docstrings, which are no place for a mistake."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text and len(node.body) > 1:
                del node.body[0]
    return tree

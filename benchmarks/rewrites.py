"""Changes to a program that should change nothing, or only the type of a result.

`GENTLE` changes keep the meaning, with rare exceptions (a list under two names, a NaN in a
comparison). `RESULTS` changes return nearly the same value: a tuple for a list, a float for an int,
a number that is off by less than a tolerance. Whether that passes depends on how results are
compared, so two harnesses may differ there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

Change = Callable[[ast.AST], bool]

_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
}  # fmt: skip
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ENDS = ast.Return | ast.Raise | ast.Continue | ast.Break


def mirror_comparison(node: ast.AST) -> bool:
    """`a < b` becomes `b > a`."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _MIRRORED:
        node.ops[0] = _MIRRORED[type(node.ops[0])]()
        node.left, node.comparators[0] = node.comparators[0], node.left
        return True
    return False


def deny_opposite(node: ast.AST) -> bool:
    """`if a < b` becomes `if not a >= b`."""
    if isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(node.test, ast.Compare):
        test = node.test
        if len(test.ops) == 1 and type(test.ops[0]) in _OPPOSITE:
            test.ops[0] = _OPPOSITE[type(test.ops[0])]()
            node.test = ast.UnaryOp(ast.Not(), test)
            return True
    return False


def swap_branches(node: ast.AST) -> bool:
    """`if a: b else: c` becomes `if not a: c else: b`."""
    if isinstance(node, ast.If | ast.IfExp) and node.orelse:
        node.test = ast.UnaryOp(ast.Not(), node.test)
        node.body, node.orelse = node.orelse, node.body  # type: ignore[assignment]
        return True
    return False


def commute(node: ast.AST) -> bool:
    """`x + 1` becomes `1 + x`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
        for side in (node.left, node.right):
            if isinstance(side, ast.Constant) and type(side.value) in (int, float):
                node.left, node.right = node.right, node.left
                return True
    return False


def spell_out_update(node: ast.AST) -> bool:
    """`x += y` becomes `x = x + y`."""
    for body in _bodies(node):
        for i, found in enumerate(body):
            if isinstance(found, ast.AugAssign) and isinstance(found.target, ast.Name):
                old = ast.Name(found.target.id, ast.Load())
                value = ast.BinOp(old, found.op, found.value)
                body[i] = ast.copy_location(ast.Assign([found.target], value), found)
                return True
    return False


def name_result(node: ast.AST) -> bool:
    """`return x` becomes `result_ = x; return result_`."""
    for body in _bodies(node):
        for i, found in enumerate(body):
            if isinstance(found, ast.Return) and found.value is not None:
                name = ast.Name("result_", ast.Load())
                body[i : i + 1] = [
                    ast.Assign([ast.Name("result_", ast.Store())], found.value),
                    ast.Return(name),
                ]
                return True
    return False


def needless_else(node: ast.AST) -> bool:
    """What follows `if a: return b` moves into its `else`."""
    for body in _bodies(node):
        for i, found in enumerate(body[:-1]):
            if isinstance(found, ast.If) and not found.orelse and isinstance(found.body[-1], _ENDS):
                found.orelse = body[i + 1 :]
                del body[i + 1 :]
                return True
    return False


def reorder(node: ast.AST) -> bool:
    """Two independent assignments change places."""
    for body in _bodies(node):
        for i in range(len(body) - 1):
            one, other = _simple(body[i]), _simple(body[i + 1])
            if one and other and not one[0] & (other[0] | other[1]) and not other[0] & one[1]:
                body[i : i + 2] = [body[i + 1], body[i]]
                return True
    return False


def dead_code(node: ast.AST) -> bool:
    """An unused variable, and a branch without effect."""
    if isinstance(node, ast.FunctionDef):
        node.body[:0] = ast.parse("unused_ = [0]\nif not unused_:\n    unused_.append(1)").body
        return True
    return False


def rename_local(node: ast.AST) -> bool:
    """A local variable gets another name."""
    if not isinstance(node, ast.FunctionDef):
        return False
    inside = [found for statement in node.body for found in ast.walk(statement)]
    fixed = {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
    for found in inside:
        if isinstance(found, ast.Global | ast.Nonlocal):
            fixed.update(found.names)
        elif isinstance(found, ast.alias):
            fixed.add((found.asname or found.name).partition(".")[0])
        elif isinstance(found, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            fixed.add(found.name or "")
    names = [found for found in inside if isinstance(found, ast.Name)]
    local = [f.id for f in names if isinstance(f.ctx, ast.Store) and f.id not in fixed]
    for found in names:
        if found.id in local[:1]:
            found.id = "renamed_"
    return bool(local)


def copy_iterable(node: ast.AST) -> bool:
    """`for x in y` becomes `for x in list(y)`."""
    if isinstance(node, ast.For | ast.comprehension):
        node.iter = ast.Call(ast.Name("list", ast.Load()), [node.iter], [])
        return True
    return False


def range_from_zero(node: ast.AST) -> bool:
    """`range(n)` becomes `range(0, n, 1)`."""
    if not (isinstance(node, ast.Call) and len(node.args) == 1):
        return False
    if not (isinstance(node.func, ast.Name) and node.func.id == "range"):
        return False
    node.args = [ast.Constant(0), node.args[0], ast.Constant(1)]
    return True


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse"):
        body = getattr(node, field, None)
        if isinstance(body, list):
            yield body


def _simple(statement: ast.stmt) -> tuple[set[str], set[str]] | None:
    """The names that a simple assignment writes and reads; None for anything else."""
    if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
        return None
    inside = list(ast.walk(statement))
    if any(isinstance(found, ast.Call | ast.Await | ast.NamedExpr) for found in inside):
        return None
    names = [found for found in inside if isinstance(found, ast.Name)]
    return (
        {name.id for name in names if isinstance(name.ctx, ast.Store)},
        {name.id for name in names if isinstance(name.ctx, ast.Load)},
    )


class _Fill(ast.NodeTransformer):
    def __init__(self, value: ast.expr) -> None:
        self.value = value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.value if node.id == "_" else node


def returning(template: str) -> Change:
    """Make the change that puts a result into an expression, in which it is called `_`."""

    def change(node: ast.AST) -> bool:
        if not isinstance(node, ast.Return) or node.value is None:
            return False
        node.value = _Fill(node.value).visit(ast.parse(template, mode="eval").body)
        return True

    return change


GENTLE: dict[str, Change] = {
    change.__name__: change
    for change in (
        mirror_comparison, deny_opposite, swap_branches, commute, spell_out_update, name_result,
        needless_else, reorder, dead_code, rename_local, copy_iterable, range_from_zero,
    )
}  # fmt: skip

RESULTS: dict[str, Change] = {
    f"return {template}": returning(template)
    for template in (
        "tuple(_)", "list(_)", "float(_)", "int(_)", "str(_)", "sorted(_)", "bool(_)", "_ + 1e-7",
        "_ * (1 + 1e-9)", "_ + 1e-5", "round(_, 9)", "complex(_)", "_ or None", "set(_)", "iter(_)",
        "[_][0]", "(lambda: _)()", "__import__('copy').deepcopy(_)",
    )
}  # fmt: skip

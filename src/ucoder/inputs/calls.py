"""Calls of the entry point in the tests that a model wrote: inputs, and predicted outputs.

Models write `assert f(x) == y`, but also `y == f(x)`, `assert sorted(f(x)) == [...]`,
`self.assertEqual(f(x), y)`, `print(f(x))`, calls within a message, and truncated last lines. Every
call whose arguments are constants gives an *input*. A *predicted output* is taken only from the few
forms that state exactly which value is returned: a wrong prediction is worse than none. Nothing is
evaluated, and no text makes the parser raise.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeGuard

from ucoder.inputs.literals import read_literal
from ucoder.inputs.text import MAX_CHARS, Refusal
from ucoder.records import Interface, Reason
from ucoder.texts import parse_module

MAX_INPUT_CHARS = 4_000
"""Longer argument tuples are refused, because they would dominate the suite's cost."""

CUT = "\u2026"
"""Appended to a text that ended at a token limit. Its last line may be incomplete (`== 12` of
`== 125`), so that it gives an input but no prediction."""

PLACEHOLDER = "candidate"
"""An alias that tests may use for the entry point, as HumanEval's `check(candidate)` does."""

_ASSERT = re.compile(r"^[ \t]*(?:assert\b|(?:#[ \t]*)?>>>)", re.MULTILINE)
_TOKEN = re.compile(r""""(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|[()\[\]{}]""", re.DOTALL)
_MAX_CALLS = 100
"""Calls searched for in one piece; bounds the time spent on a hostile text."""
_MAX_LINES = 4
"""Lines that one statement may span in a text that is not valid Python as a whole."""
_EQUAL = frozenset(
    (*("assertEqual", "assertEquals", "assert_equal", "assertIs", "assertListEqual"),
     *("assertTupleEqual", "assertDictEqual", "assertSetEqual", "assertMultiLineEqual"))
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the model wrote: canonical arguments, and the predicted output or None."""

    arguments: str
    predicted: str | None


@dataclass(frozen=True, slots=True)
class _Claim:
    """A call, and the expression that it is claimed to return, if any."""

    call: ast.Call
    returns: ast.expr | None


def read_calls(text: str, interface: Interface) -> list[Call | Refusal]:
    """Every call in a text of assert lines. Accepts any text and never raises.

    Each assert without a usable call gives one refusal instead. A call is listed once for
    each claim about it, and once if there is none.
    """
    text = text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + CUT
    marks = list(_ASSERT.finditer(text))
    if not marks:
        return _read_piece(text.strip().strip("`").strip(), interface)
    head = _read_piece(text[: marks[0].start()], interface)
    calls: list[Call | Refusal] = [call for call in head if isinstance(call, Call)]
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=True):
        asserted = mark[0].endswith("assert")
        piece = text[mark.end() : end].strip()
        # A doctest may compare and expect `False`, so its comparison is not a claim.
        calls += _read_piece(piece, interface, asserted=asserted, claims=asserted)
    return calls


def _read_piece(
    piece: str, interface: Interface, *, asserted: bool = False, claims: bool = True
) -> list[Call | Refusal]:
    """The calls between one assert and the next: those with a claim first, then all others."""
    names = (interface.name, PLACEHOLDER)
    found: list[Call | Refusal] = []
    if any(name in piece for name in names):
        expressions = _expressions(piece, names, asserted=asserted) if claims else ()
        for expression, is_asserted in expressions:
            for claim in _claims(expression, interface, asserted=is_asserted):
                found.append(_bound(claim, interface))
        claimed = {call.arguments for call in found if isinstance(call, Call)}
        for node in _calls_in(piece, names):
            call = _bound(_Claim(node, None), interface)
            if isinstance(call, Refusal) or call.arguments not in claimed:
                found.append(call)
                claimed |= {call.arguments} if isinstance(call, Call) else set()
    calls = [call for call in found if isinstance(call, Call)]
    if calls:
        return [*calls]
    return found[:1] or [Refusal(Reason.NOT_A_CALL, f"{piece[:80]!r}")]


def _expressions(
    piece: str, names: tuple[str, ...], *, asserted: bool
) -> Iterator[tuple[ast.expr, bool]]:
    """The expressions that are statements, and whether each is asserted to be true."""
    lines = piece.split("\n")
    at = 0
    whole = parse_module(piece)
    while at < len(lines):
        module, n_lines = whole, len(lines)
        if whole is None:
            module, n_lines = _parse_lines(lines, at, names)
        for index, statement in enumerate(module.body if module else ()):
            if isinstance(statement, ast.Assert):
                yield statement.test, True
            elif isinstance(statement, ast.Expr):
                yield statement.value, asserted and at == index == 0
        at += n_lines


def _parse_lines(
    lines: list[str], at: int, names: tuple[str, ...]
) -> tuple[ast.Module | None, int]:
    """The fewest lines from `at` on that are valid Python, and how many they are."""
    if any(name in lines[at] for name in names):
        for n_lines in range(1, min(_MAX_LINES, len(lines) - at) + 1):
            module = parse_module("\n".join(lines[at : at + n_lines]).strip())
            if module is not None:
                return module, n_lines
    return None, 1


def _claims(node: ast.expr, interface: Interface, *, asserted: bool) -> Iterator[_Claim]:
    """What an expression states exactly about calls of the entry point.

    That `f(x)` or `not f(x)` is asserted determines the returned value only where the function
    returns a `bool`: `not f(x)` is also true of 0 and of an empty list.
    """
    is_bool = asserted and interface.returns == "bool"
    if isinstance(node, ast.Tuple):
        if _is_with_message(node, interface):  # assert f(x) == y, "message"
            for item in node.elts:
                if item is node.elts[0] or isinstance(item, ast.Compare):
                    yield from _claims(item, interface, asserted=asserted)
    elif isinstance(node, ast.BoolOp):
        if isinstance(node.op, ast.And):
            for item in node.values:
                yield from _claims(item, interface, asserted=asserted)
    elif isinstance(node, ast.Compare):
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.Is):
            yield from _equality(node.left, node.comparators[0], interface)
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not) and is_bool and _is_entry(node.operand, interface):
            yield _Claim(node.operand, ast.Constant(False))
    elif _is_entry(node, interface):
        yield _Claim(node, ast.Constant(True) if is_bool else None)
    elif isinstance(node, ast.Call):
        yield from _unittest_claims(node, interface)


def _unittest_claims(node: ast.Call, interface: Interface) -> Iterator[_Claim]:
    """`self.assertEqual(f(x), y)` and its like."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else None
    name = node.func.id if isinstance(node.func, ast.Name) else name
    if name in _EQUAL and len(node.args) >= 2:
        yield from _equality(node.args[0], node.args[1], interface)
    elif node.args and name == "assertIsNone":
        yield from _equality(node.args[0], ast.Constant(None), interface)
    elif node.args and name == "assertTrue":
        yield from _claims(node.args[0], interface, asserted=True)
    elif node.args and name == "assertFalse":
        yield from _claims(ast.UnaryOp(ast.Not(), node.args[0]), interface, asserted=True)


def _equality(left: ast.expr, right: ast.expr, interface: Interface) -> Iterator[_Claim]:
    if _is_entry(left, interface):
        yield _Claim(left, right)
    elif _is_entry(right, interface):
        yield _Claim(right, left)


def _is_with_message(node: ast.Tuple, interface: Interface) -> bool:
    """Tell `f(x) == 1, "message"` from `f(x) == 1, 2`, which may have meant a tuple."""
    if not node.elts:
        return False
    first = node.elts[0]
    if isinstance(first, ast.Compare) and isinstance(first.comparators[-1], ast.Tuple | ast.List):
        return True
    if interface.returns.lower().startswith("tuple"):
        return False
    for item in node.elts[1:]:
        is_text = isinstance(item, ast.JoinedStr) or _is_string(item)
        if isinstance(item, ast.BinOp):  # "got %s" % result
            is_text = any(_is_string(part) for part in ast.walk(item))
        if not is_text and not isinstance(item, ast.Compare | ast.Call):
            return False
    return True


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_entry(node: ast.expr, interface: Interface) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in (interface.name, PLACEHOLDER)
    )


def _calls_in(piece: str, names: tuple[str, ...]) -> Iterator[ast.Call]:
    """Every complete call of one of the names, also within another call or a message.

    Method calls on a literal (`'abc'.count('a')`) and definitions do not count.
    """
    either = "|".join(re.escape(name) for name in names)
    pattern = re.compile(rf"(?<!\w)(?<!def )(?<!['\"\])}}]\.)(?:{either})[ \t]*\(")
    for match in islice(pattern.finditer(piece), _MAX_CALLS):
        end = closing(piece, match.end())
        module = None if end is None else parse_module(piece[match.start() : end])
        if module and len(module.body) == 1 and isinstance(module.body[0], ast.Expr):
            expression = module.body[0].value
            if isinstance(expression, ast.Call):
                yield expression


def closing(piece: str, at: int) -> int | None:
    """Where the bracket that was opened before `at` is closed; None where it is not."""
    depth = 1
    for match in _TOKEN.finditer(piece, at, at + MAX_INPUT_CHARS):
        if match[0] in "([{":
            depth += 1
        elif match[0] in ")]}":
            depth -= 1
            if depth == 0:
                return match.end()
    return None


def _bound(claim: _Claim, interface: Interface) -> Call | Refusal:
    """The call with canonical arguments in the signature's order."""
    call = claim.call
    names = [parameter.name for parameter in interface.parameters]
    given: dict[str, ast.expr] = {}
    if len(call.args) > len(names):
        return Refusal(Reason.DOES_NOT_BIND, f"{len(call.args)} arguments for {len(names)}")
    for name, value in zip(names, call.args, strict=False):
        given[name] = value
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg not in names or keyword.arg in given:
            return Refusal(Reason.DOES_NOT_BIND, f"argument {keyword.arg!r}")
        given[keyword.arg] = keyword.value
    values = [given.get(name) for name in names]
    while values and values[-1] is None:
        values.pop()
    if len(values) < interface.n_required or None in values:
        return Refusal(Reason.DOES_NOT_BIND, f"{len(values)} of {interface.n_required} arguments")
    read = [read_literal(value, MAX_INPUT_CHARS) for value in values if value is not None]
    literals = [literal for literal in read if literal is not None]
    if len(literals) < len(read):
        return Refusal(Reason.NOT_LITERAL, "an argument is not a literal")
    joined = ", ".join(text for text, _ in literals)
    if len(joined) > MAX_INPUT_CHARS:
        return Refusal(Reason.NOT_LITERAL, f"{len(joined)} characters of arguments")
    arguments = f"({joined},)" if len(literals) == 1 else f"({joined})"
    if claim.returns is None or not all(is_exact for _, is_exact in literals):
        return Call(arguments, None)
    returned = read_literal(claim.returns, MAX_CHARS)
    return Call(arguments, returned[0] if returned and returned[1] else None)

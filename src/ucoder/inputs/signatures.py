"""Parsing a function signature that a model wrote."""

from __future__ import annotations

import ast
import copy
import inspect
import keyword
from dataclasses import replace

from ucoder.inputs.text import Refusal, unparse
from ucoder.records import Interface, Parameter, Reason
from ucoder.texts import parse_module

_BUILTIN_TYPES = frozenset(
    (*("int", "float", "complex", "str", "bytes", "bool", "None", "object"),
     *("list", "tuple", "dict", "set", "frozenset"))
)  # fmt: skip
_TYPING_NAMES = frozenset(
    (*("Any", "List", "Tuple", "Dict", "Set", "FrozenSet", "Optional", "Union"),
     *("Sequence", "Mapping", "Iterable", "Collection"))
)  # fmt: skip
"""Annotations whose values can be written as literals. A `Callable`, an `Iterator` or a class that
the problem defines could be neither passed as an input nor compared as an output."""

MAX_PARAMETERS = 8


def read_signature(line: str, docstring: str | None = None) -> Interface | Refusal:
    """Parse `def name(param: type) -> return_type:` and normalise it.

    Args:
        line: The signature, with or without its colon.
        docstring: The contract to add; None in stage 1, before there is one.

    Returns:
        The interface, whose `source` starts with the imports that its annotations need, or the
        reason for refusing the signature.
    """
    head = line.strip().strip("`").strip().rstrip(":").strip()
    module = parse_module(f"{head}:\n    pass\n")
    if module is None or len(module.body) != 1 or not isinstance(module.body[0], ast.FunctionDef):
        return Refusal(Reason.BAD_SIGNATURE, f"not one function signature: {head[:120]!r}")
    return read_function(module.body[0], docstring)


def read_function(node: ast.FunctionDef, docstring: str | None) -> Interface | Refusal:
    """The interface of a parsed function; its body is ignored.

    Args:
        node: The function.
        docstring: As in `read_signature`.
    """
    arguments = node.args
    if node.decorator_list or arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        return Refusal(Reason.BAD_SIGNATURE, "only plain positional parameters are supported")
    positional = _positional(node)
    if not positional:
        return Refusal(Reason.NO_PARAMETERS, f"{node.name} takes no arguments")
    if len(positional) > MAX_PARAMETERS:
        return Refusal(Reason.BAD_SIGNATURE, f"{len(positional)} parameters")
    if not all(is_literal(default) for default in arguments.defaults):
        return Refusal(Reason.BAD_SIGNATURE, "a default value is not a literal")
    if keyword.iskeyword(node.name) or node.name.startswith("__") or node.name == "function_name":
        return Refusal(Reason.BAD_SIGNATURE, f"{node.name!r} is not a name for a function")
    if node.returns is None or unparse(node.returns) in ("None", "'None'"):
        return Refusal(Reason.NO_RETURN_VALUE, f"{node.name} returns nothing to compare")
    first_default = len(positional) - len(arguments.defaults)
    parameters = []
    needed: set[str] = set()
    for index, argument in enumerate(positional):
        if argument.annotation is None:
            return Refusal(Reason.BAD_SIGNATURE, f"parameter {argument.arg!r} has no annotation")
        text = _read_annotation(argument.annotation, needed)
        if isinstance(text, Refusal):
            return text
        parameters.append(Parameter(argument.arg, text, index >= first_default))
    returns = _read_annotation(node.returns, needed)
    if isinstance(returns, Refusal):
        return returns
    defaults = [unparse(default) or "None" for default in arguments.defaults]
    source = _skeleton(node.name, parameters, defaults, returns, docstring, needed)
    if parse_module(source) is None:
        return Refusal(Reason.BAD_SIGNATURE, "the signature cannot be written back")
    return Interface(node.name, tuple(parameters), returns, source)


def read_given_function(
    node: ast.FunctionDef, docstring: str, imports: tuple[str, ...] = ()
) -> Interface | Refusal:
    """The interface of a function that a user wrote: its signature is kept as it is.

    Unlike a model's, it may leave annotations out.

    Args:
        node: The function; its body is ignored.
        docstring: Its contract.
        imports: Statements that stand before it, such as those of its file.
    """
    bodiless = copy.copy(node)
    bodiless.body = [ast.Pass()]
    checked = copy.copy(bodiless)
    checked.args = copy.deepcopy(node.args)
    anything = ast.Name("object", ast.Load())
    bare = {argument.arg for argument in _positional(node) if argument.annotation is None}
    for argument in _positional(checked):
        argument.annotation = argument.annotation or anything
    checked.returns = checked.returns or anything
    interface = read_function(checked, docstring)
    if isinstance(interface, Refusal):
        return interface
    head = (unparse(bodiless) or "").removesuffix("    pass")
    source = "".join(f"{line}\n" for line in imports) + "\n\n" * bool(imports)
    lines = inspect.cleandoc(docstring).split("\n")
    source += _documented(head, "\n".join(f"    {line}".rstrip() for line in lines))
    if not head or parse_module(source) is None:
        return Refusal(Reason.BAD_SIGNATURE, "the signature cannot be written back")
    parameters = tuple(
        replace(parameter, annotation="") if parameter.name in bare else parameter
        for parameter in interface.parameters
    )
    returns = interface.returns if node.returns else ""
    return Interface(node.name, parameters, returns, source)


def _positional(node: ast.FunctionDef) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args]


def is_literal(node: ast.expr) -> bool:
    """Whether an expression is a literal, which can be parsed without executing anything."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def _read_annotation(node: ast.expr, needed: set[str]) -> str | Refusal:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        inner = parse_module(node.value)
        if inner is None or len(inner.body) != 1 or not isinstance(inner.body[0], ast.Expr):
            return Refusal(Reason.BAD_SIGNATURE, f"annotation {node.value[:60]!r}")
        return _read_annotation(inner.body[0].value, needed)
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute):
            return Refusal(Reason.BAD_SIGNATURE, f"annotation with a dot: .{part.attr}")
        if isinstance(part, ast.Name):
            if part.id in _TYPING_NAMES:
                needed.add(part.id)
            elif part.id not in _BUILTIN_TYPES:
                return Refusal(Reason.BAD_SIGNATURE, f"annotation {part.id!r} is not a plain type")
        elif not isinstance(part, ast.Subscript | ast.Tuple | ast.BinOp | ast.BitOr | ast.Load):
            allowed = isinstance(part, ast.Constant) and part.value in (None, ...)
            if not allowed and not isinstance(part, ast.List):
                return Refusal(Reason.BAD_SIGNATURE, f"annotation {(unparse(node) or '')[:60]!r}")
    return unparse(node) or "object"


def _skeleton(
    name: str,
    parameters: list[Parameter],
    defaults: list[str],
    returns: str,
    docstring: str | None,
    needed: set[str],
) -> str:
    first_default = len(parameters) - len(defaults)
    written = [
        f"{p.name}: {p.annotation}"
        + (f" = {defaults[i - first_default]}" if i >= first_default else "")
        for i, p in enumerate(parameters)
    ]
    imports = f"from typing import {', '.join(sorted(needed))}\n\n\n" if needed else ""
    head = f"{imports}def {name}({', '.join(written)}) -> {returns}:\n"
    return head + "    pass\n" if docstring is None else _documented(head, docstring)


def _documented(head: str, docstring: str) -> str:
    """A signature with its docstring, whose lines after the first are indented already."""
    lines = docstring.replace("\\", "\\\\").replace('"""', "'''").strip().split("\n")
    body = "\n".join(f"    {line.strip()}" if i == 0 else line for i, line in enumerate(lines))
    return f'{head}    """{body.strip()}\n    """\n'

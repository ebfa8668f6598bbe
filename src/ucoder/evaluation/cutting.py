"""Cutting a program out of a completion, as EvalPlus does it.

Published scores of chat models are made with this rule (`evalplus.sanitize`, 0.3.1), so it is kept
with its edge cases: the longest run of lines that is Python; of it the imports, and the functions,
classes and assignments that the entry point reaches by name. A second definition of a name is
dropped, as are decorated definitions and functions that return nothing. EvalPlus uses tree-sitter,
this module Python's own parser; on text that parses the two agree. The work is always bounded.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence

MAX_CHARS = 20_000
"""Of a completion; the rest is ignored."""

MAX_PARSED = 2_000_000
"""Characters given to the parser in search of the longest run of lines; the longest found so far is
taken after them."""

_MAX_PARSED_FROM_ONE_START = 300_000


def sanitize(text: str, entry_point: str, needs_return: bool = True) -> str:
    """Cut out the program.

    Args:
        text: The completion; for a base model the prompt and its continuation.
        entry_point: The function that the task asks for; "" keeps every definition.
        needs_return: Whether functions without a `return` are dropped, as EvalPlus does and
            BigCodeBench does not.

    Returns:
        The program, stripped; the longest run of lines itself where the rule keeps nothing of it;
        "" where no line is Python.
    """
    code = longest_program(text)
    return reachable(code, entry_point, needs_return).strip() or code


def longest_program(text: str) -> str:
    """The longest run of lines that parses, counted in lines that are not blank; the first of such.

    Where the whole text parses, which is usual, one look is enough. An error in the middle of a
    run of lines ends all longer runs from the same start, so few are tried.
    """
    lines = text[:MAX_CHARS].split("\n")
    n_full = [0]
    for line in lines:
        n_full.append(n_full[-1] + bool(line.strip()))
    best, best_n, left = (0, 0), 0, MAX_PARSED
    for start, line in enumerate(lines):
        if n_full[-1] - n_full[start] <= best_n or left <= 0:
            break
        if line[:1] in (" ", "\t") and line.strip() and not line.lstrip().startswith("#"):
            continue  # an unexpected indent, whatever follows
        end, left_here = len(lines), min(left, _MAX_PARSED_FROM_ONE_START)
        left -= left_here
        while n_full[end] - n_full[start] > best_n and left_here > 0:
            tried = "\n".join(lines[start:end])
            left_here -= len(tried) + 1
            shorter = _parses_up_to(tried, start, end)
            if shorter == end:
                best, best_n = (start, end), n_full[end] - n_full[start]
                break
            end = shorter
        left += max(left_here, 0)
    start, end = best
    while end > start and not lines[end - 1].strip():
        if end - 1 > start and lines[end - 2].endswith("\\"):
            break  # a continued line does not parse without the blank one that it continues on
        end -= 1
    return "\n".join(lines[start:end])


def _parses_up_to(text: str, start: int, end: int) -> int:
    """`end` where the text, which is the lines from start to end, parses; else one that may."""
    try:
        parsed(text)
    except SyntaxError as error:
        # An error in a line stays one whatever follows, and what a line opens stays open without
        # the last lines: only the lines before it can parse.
        at = start + (error.lineno or 1) - 1
        return at if at < end and error.filename != "<fstring>" else end - 1
    except (ValueError, RecursionError, MemoryError):
        return end - 1
    return end


def parsed(code: str) -> ast.Module:
    """The syntax tree of a text, without Python's warnings about its style."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def reachable(code: str, entry_point: str, needs_return: bool) -> str:
    """Imports, and the definitions that the entry point reaches; "" where nothing parses.

    The arguments are those of `sanitize`.
    """
    try:
        module = parsed(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    imports = [node for node in module.body if _is_import(node)]
    definitions: dict[str | None, ast.stmt] = {}
    for node in module.body:
        if _is_definition(node, needs_return):
            definitions.setdefault(_defined_name(node), node)
    wanted = _reached(entry_point, definitions) if entry_point else set(definitions)
    kept = [node for name, node in definitions.items() if name in wanted]
    lines = [line.encode("utf-8", "surrogatepass") for line in _parser_lines(code)]
    return "\n".join(_source_of(lines, node) for node in [*imports, *kept])


def _parser_lines(code: str) -> list[str]:
    """Lines as the parser counts them: a form feed does not end one."""
    return code.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _source_of(lines: Sequence[bytes], node: ast.stmt) -> str:
    """A statement's text. `ast.get_source_segment` would split the whole text for each."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    found = list(lines[node.lineno - 1 : node.end_lineno])
    found[-1] = found[-1][: node.end_col_offset]
    found[0] = found[0][node.col_offset :]
    return b"\n".join(found).decode("utf-8", "surrogatepass")


def _is_import(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module != "__future__"  # a kind of its own for tree-sitter
    return isinstance(node, ast.Import)


def _is_definition(node: ast.stmt, needs_return: bool) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        returns = any(isinstance(inner, ast.Return) for inner in ast.walk(node))
        return not node.decorator_list and (returns or not needs_return)
    if isinstance(node, ast.ClassDef):
        return not node.decorator_list
    return isinstance(node, ast.Assign | ast.AnnAssign)


def _defined_name(node: ast.stmt) -> str | None:
    """The name of a definition.

    For an assignment, the first part that is a plain name, on either side: `pair` for
    `a, b = pair`, as EvalPlus reads it.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    assert isinstance(node, ast.Assign | ast.AnnAssign)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for part in [*targets[:1], *([] if len(targets) > 1 else [node.value])]:
        if isinstance(part, ast.Name):
            return part.id
    return None


def _reached(entry_point: str, definitions: dict[str | None, ast.stmt]) -> set[str | None]:
    reached: set[str | None] = {entry_point}
    queue = [entry_point]
    while queue:
        node = definitions.get(queue.pop())
        if node is None:
            continue
        for name in _names(node):
            if name not in reached:
                reached.add(name)
                queue.append(name)
    return reached


def _names(node: ast.AST) -> Iterator[str]:
    """Every identifier in a piece of code, attributes and parameters among them."""
    for inner in ast.walk(node):
        for _, value in ast.iter_fields(inner):
            if isinstance(inner, ast.Constant):
                continue
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    yield from text.split(".")

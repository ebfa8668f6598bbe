"""Cutting a program out of a completion, as EvalPlus does it.

Published scores of chat models are made with this rule (`evalplus.sanitize`, 0.3.1), so it is kept
with its edge cases: the longest run of lines that is Python; of it the imports, and the functions,
classes and assignments that the entry point reaches by name. A second definition of a name is
dropped, as are decorated definitions and functions that return nothing. EvalPlus uses tree-sitter,
this module Python's own parser; on text that parses the two agree. The work is always bounded.

One rule comes before EvalPlus's, for models that think or correct themselves: thinking sections are
left out, and where a fenced block defines the entry point, the last complete one is what is cut.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from ucoder.texts import (
    MAX_PROGRAM_CHARS,
    chosen_block,
    ends_in_string,
    ends_in_thinking,
    parse_module,
    parsed,
    spoken,
)

MAX_CHARS = MAX_PROGRAM_CHARS
"""Of an answer without its thinking; of a longer one, the end is read."""

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
    code = longest_program(program_text(text, entry_point))
    return reachable(code, entry_point, needs_return).strip() or code


def program_text(text: str, entry_point: str) -> str:
    """The part of an answer that holds its program: the block, or what is not thinking."""
    if parse_module(text[: MAX_CHARS + 1]) is not None and len(text) <= MAX_CHARS:
        return text  # a program; what looks like a block or thinking is in its strings
    said = spoken(text, entry_point)
    block = chosen_block(said.blocks, entry_point) if entry_point else None
    return block.source if block and block.is_closed else said.text


def is_within_program(before: str, text: str, stop: str, entry_point: str) -> bool:
    """Whether a stop string ended an answer before its program was complete.

    That is so within a string or a thinking section; and where the stop string is a statement, such
    as `print(` at the left margin, before the entry point is defined, or the start of a function
    that the program calls.

    Args:
        before: What the answer continues: its prefill, or a base model's prompt.
        text: The answer up to the stop string.
        stop: The stop string.
        entry_point: The function that the task asks for; "" where it is a whole program.
    """
    code = before + text
    at_margin = stop[:1] == "\n"
    if ends_in_string(f"{code}\n" if at_margin else code) or ends_in_thinking(code):
        return True
    if not at_margin or "```" in stop or not text.strip():
        return False
    started = re.match(r"\ndef (\w+)\(", stop)
    if started and re.search(rf"\b{started[1]}\(", text):
        return True
    name = re.escape(entry_point)
    defined = re.compile(rf"^(?:(?:async +)?def|class) +{name}\b|^{name} *=", re.MULTILINE)
    return bool(entry_point) and not defined.search(code)


def longest_program(text: str) -> str:
    """The longest run of lines that parses, counted in lines that are not blank; the first of such.

    Where the whole text parses, which is usual, one look is enough. An error in the middle of a
    run of lines ends all longer runs from the same start, so few are tried.
    """
    lines = text[-MAX_CHARS:].split("\n")
    n_full = [0]
    for line in lines:
        n_full.append(n_full[-1] + bool(line.strip()))
    best, best_n, left = (0, 0), 0, MAX_PARSED
    for start, line in enumerate(lines):
        if n_full[-1] - n_full[start] <= best_n or left <= 0:
            break
        if line[:1] in (" ", "\t") and line.strip() and not line.lstrip().startswith("#"):
            continue  # an unexpected indent, whatever follows
        end, n_read = _first_line_in_error(lines, start)
        left = max(left - n_read, 0)
        left_here = min(left, _MAX_PARSED_FROM_ONE_START)
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
        end -= 1
    code = "\n".join(lines[start:end])
    # A continued line does not parse without the blank lines that it continues on.
    return code if parse_module(code) is not None else "\n".join(lines[start : best[1]])


def _first_line_in_error(lines: Sequence[str], start: int) -> tuple[int, int]:
    """A line that no run from `start` reaches past, and how many characters it took to find it.

    Found in the first few lines where these are prose, so that pages of it are cheap.
    """
    n_lines, n_read = 4, 0
    while start + n_lines < len(lines):
        tried = list(lines[start : start + n_lines])
        while tried and tried[-1].strip()[:1] in ("", "#"):
            tried.pop()
        text = "\n".join(tried)
        n_read += len(text) + 1
        try:
            parsed(text)
        except SyntaxError as error:
            at = error.lineno or 1
            is_open = "never closed" in error.msg or "triple-quoted" in error.msg
            # What is wrong with the last line may be that the next one is missing.
            if at < len(tried) and not is_open and error.filename != "<fstring>":
                return start + at, n_read
        except (ValueError, RecursionError, MemoryError):
            break
        n_lines *= 4
    return len(lines), n_read


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


def reachable(code: str, entry_point: str, needs_return: bool) -> str:
    """Imports, and the definitions that the entry point reaches; "" where nothing parses.

    The arguments are those of `sanitize`.
    """
    module = parse_module(code)
    if module is None:
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

"""What a model's text is made of: words of any script, thinking sections, and blocks of code.

Model text is hostile input: nothing here raises, whatever the string, and the work is bounded.

A fence, three backticks or tildes at the start of a line, may also stand in a docstring or in
another string of a program. So a block ends at the first fence outside of its strings.
"""

from __future__ import annotations

import ast
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_PROGRAM_CHARS: Final = 200_000
"""Longer blocks are not parsed: a syntax tree takes a hundred times the memory of its text."""

_MAX_SCANNED: Final = 4_000_000
"""Characters of blocks looked at in one answer: nested openings could be as many as lines."""

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\ua980-\ua9df"  # kana, Javanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
"""Scripts that put no spaces between words."""

_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")

_MARK: Final = re.compile(
    r"(?P<fence>^[ \t]*(?:```|~~~)|```(?=py\w*[ \t]*$))[^\n]*\n?"
    r"|^[ \t]*(?P<begin><think(?:ing)?>)"
    r"|^(?P<end>[ \t]*</think(?:ing)?>|[^\n<]*</think(?:ing)?>[ \t]*$)",
    re.MULTILINE | re.IGNORECASE,
)
_THINKING_END: Final = re.compile(r"</think(?:ing)?>", re.IGNORECASE)

_CODE: Final = re.compile(
    r"(?P<fence>^[ \t]*(?:```|~~~))|\#[^\n]*"
    r"|(?P<quotes>\"\"\"|''')(?:[^\\]|\\.)*?(?:(?P=quotes)|(?P<open>\\?\Z))"
    r"|\"(?:[^\"\\\n]|\\.)*(?:\"|(?=\n)|(?P<open_1>\\?\Z))"
    r"|'(?:[^'\\\n]|\\.)*(?:'|(?=\n)|(?P<open_2>\\?\Z))",
    re.MULTILINE | re.DOTALL,
)
"""What matters in Python for where a block ends: its strings, its comments, and fences."""


def words(text: str) -> list[str]:
    """The words of a text in any language, without case and punctuation, for comparing texts.

    A word is a run of letters, marks, digits and underscores; in scripts without spaces between
    words, such as Chinese, Japanese and Thai, every character is one.
    """
    if text.isascii():
        return re.findall(r"\w+", text.lower())
    folded = unicodedata.normalize("NFKC", text).casefold()
    spaced = "".join(map(_spaced, unicodedata.normalize("NFKC", folded)))
    # Once more, because letter and accent may have had a joiner between them.
    return _WORD.findall(unicodedata.normalize("NFKC", spaced))


def _spaced(character: str) -> str:
    # Joiners are within words, and variation selectors tell how an emoji is drawn.
    if unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return ""
    # `\w` lacks the combining marks that are the vowels of Hindi; identifiers may hold them.
    return character if character.isalnum() or f"_{character}".isidentifier() else " "


def parsed(source: str) -> ast.Module:
    """The syntax tree, without Python's warnings, such as those about invalid escape sequences.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError, OverflowError: It is not valid Python;
            `parse_module` gives None instead.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def parse_module(source: str) -> ast.Module | None:
    """The syntax tree, or None for anything that is not valid Python.

    Deep nesting, null bytes, lone surrogates and huge literals give None instead of an exception.
    """
    try:
        return parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def ends_in_string(code: str) -> bool:
    """Whether a piece of Python ends within a string that is not closed."""
    return any((token.lastgroup or "").startswith("open") for token in _CODE.finditer(code))


def ends_in_thinking(text: str) -> bool:
    """Whether a text ends within a thinking section that it began."""
    begins = [mark.end() for mark in _MARK.finditer(text) if mark["begin"]]
    return bool(begins) and not _THINKING_END.search(text, begins[-1])


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block of an answer; `module` is None where it is not Python."""

    source: str
    module: ast.Module | None
    is_closed: bool  # False where the answer ends before a closing fence


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an answer says: the text without its thinking sections, and the blocks in it."""

    text: str
    blocks: tuple[CodeBlock, ...]


def chosen_block(blocks: Sequence[CodeBlock], entry_point: str) -> CodeBlock | None:
    """The last complete block that defines the entry point, or an open one where none is complete.

    Models correct themselves: what they settle for comes last.
    """
    found = [block for block in blocks if defines(block.module, entry_point)]
    closed = [block for block in found if block.is_closed]
    return next(reversed(closed or found), None)


def spoken(answer: str, entry_point: str = "") -> Spoken:
    """Read an answer with thinking sections (`<think>...</think>`) and fenced blocks.

    A chat template may have begun the thinking, so that the answer holds only its end: all before
    it is thinking then. A section that is never closed reaches to the end of the answer.

    Args:
        answer: Any text.
        entry_point: What a block has to define to be a program, within which nothing is a mark;
            "" where any Python is one.
    """
    kept: list[str] = []
    blocks: list[CodeBlock] = []
    at = start = 0
    left = _MAX_SCANNED
    # A prefill may have opened the first block.
    first = _block(answer, 0) if entry_point else None
    if first and defines(first[1].module, entry_point):
        blocks.append(first[1])
        at = len(first[1].source)
    while left > 0 and (mark := _MARK.search(answer, at)):
        at = mark.end()
        if mark["fence"]:
            end, block = _block(answer, at, mark["fence"])
            left -= end - at
            blocks.append(block)
            if defines(block.module, entry_point):
                at = end
        elif mark["begin"]:
            kept.append(answer[start : mark.start()])
            closing = _THINKING_END.search(answer, at)
            at = start = closing.end() if closing else len(answer)
        else:
            kept, blocks, start = [], [], at
    return Spoken("".join(kept) + answer[start:], tuple(blocks))


def closing_fence(text: str, start: int, fence: str = "```") -> int | None:
    """Where the first line with a fence outside of Python's strings begins; None without one."""
    for token in _CODE.finditer(text, start):
        if token["fence"] and token["fence"].strip() == fence:
            return token.start()
    return None


def _block(answer: str, start: int, fence: str = "```") -> tuple[int, CodeBlock]:
    """The block that begins at `start`, and where it ends: after its closing fence, if any."""
    end = closing_fence(answer, start, fence.strip())
    after = -1 if end is None else answer.find("\n", end)
    source = answer[start:end]
    if fence[0] in " \t":  # within a list, say
        source = textwrap.dedent(source)
    module = parse_module(source) if len(source) <= MAX_PROGRAM_CHARS else None
    return len(answer) if after < 0 else after, CodeBlock(source, module, end is not None)


def defines(module: ast.Module | None, name: str) -> bool:
    """Whether a module defines a name at top level; for "", whether it holds any statement."""
    if module is None or not name:
        return bool(module and module.body)
    return name in top_level_names(module)


def top_level_names(module: ast.Module) -> set[str]:
    """The names that a module binds when it is loaded, outside of functions and classes."""
    names: set[str] = set()
    nodes: list[ast.AST] = [*module.body]  # a list, because a tree can be deeper than the stack
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(node, ast.Lambda):
            nodes.extend(ast.iter_child_nodes(node))
    return names

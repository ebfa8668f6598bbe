"""Tell programs that are the same but for their looks, so that each runs once."""

from __future__ import annotations

import ast
import hashlib
import re
import symtable
import warnings
from functools import lru_cache
from typing import Final

from ucoder.execution.introspection import may_see_names
from ucoder.execution.renaming import UnsupportedSyntax, rename_locals

_MAX_CHARS: Final = 100_000
"""Longer programs are compared as text: a tree costs a hundred times the text's memory."""

_READS_DOCSTRINGS: Final = re.compile(r"__doc__|inspect|doctest|pydoc|\bhelp\b|argparse|optparse")
_READS_LINES: Final = re.compile(
    r"lineno|traceback|tb_|_getframe|currentframe|co_|__code__|linecache|getsource|findsource"
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def program_key(source: str) -> str:
    """Hash a program so that equal keys mean equal behaviour.

    Comments, formatting, docstrings and the names of local variables do not count; all other
    names do (`renaming` says which are which). Two programs with one key return the same values
    and raise exceptions of the same types when their functions are called with the same
    positional arguments. The messages of exceptions that leave a call may differ in the names of
    local variables and parameters ("cannot access local variable 'x'").

    A program that may read its docstrings or see its names keeps them, and one that may read its
    own lines is hashed as text, as is one that does not parse. Every doubt counts as yes, so that
    programs which behave alike may have different keys. The key is stable within one version of
    Python, whose trees it is made of.
    """
    return _key(source, renames=True)


def tree_key(source: str) -> str:
    """Hash a program as `program_key` does, but let the names of local variables count."""
    return _key(source, renames=False)


@lru_cache(maxsize=512)  # a model often writes the very same text again
def _key(source: str, *, renames: bool) -> str:
    text = source
    if len(source) <= _MAX_CHARS and not _READS_LINES.search(source):
        text = _normalised(source, renames=renames) or source
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _normalised(source: str, *, renames: bool) -> str | None:
    """The dump of a program's tree; None where it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in string literals, mostly
            tree = ast.parse(source)
            if not _READS_DOCSTRINGS.search(source):
                for node in ast.walk(tree):
                    if isinstance(node, _DOCUMENTED) and _has_docstring(node):
                        node.body = node.body[1:] or [ast.Pass()]
            if renames and not may_see_names(tree):
                _rename(tree, source)
        # A prefix that no source can start with keeps trees and texts apart.
        return "\0tree\0" + ast.dump(tree, annotate_fields=False)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _rename(tree: ast.Module, source: str) -> None:
    """Rename local variables in place; leave a program as it is that does not compile or is rare.

    The new names are numbers, which no name in a source can be.
    """
    try:
        symtable.symtable(source, "<program>", "exec")
        rename_locals(tree)
    except (SyntaxError, UnsupportedSyntax):
        return


def _has_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> bool:
    if not node.body or not isinstance(node.body[0], ast.Expr):
        return False
    value = node.body[0].value
    return isinstance(value, ast.Constant) and isinstance(value.value, str)

"""Tell programs that are the same but for their looks, so that each runs once."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from typing import Final

_MAX_CHARS: Final = 100_000
"""Longer programs are compared as text: a tree costs a hundred times the text's memory."""

_READS_DOCSTRINGS: Final = re.compile(r"__doc__|inspect|doctest|pydoc|\bhelp\b|argparse|optparse")
_READS_LINES: Final = re.compile(
    r"lineno|traceback|tb_|_getframe|currentframe|co_|__code__|linecache|getsource|findsource"
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def program_key(source: str) -> str:
    """Hash a program so that equal keys mean equal behaviour.

    Comments, formatting and docstrings do not count; names do. A program that may read its
    docstrings keeps them, and one that may read its own lines is hashed as text, as is one that
    does not parse. The key is stable within one version of Python, whose trees it is made of.
    """
    text = source
    if len(source) <= _MAX_CHARS and not _READS_LINES.search(source):
        text = _normalised(source) or source
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _normalised(source: str) -> str | None:
    """The dump of a program's tree; None where it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in string literals, mostly
            tree = ast.parse(source)
        if not _READS_DOCSTRINGS.search(source):
            for node in ast.walk(tree):
                if isinstance(node, _DOCUMENTED) and _has_docstring(node):
                    node.body = node.body[1:] or [ast.Pass()]
        # A prefix that no source can start with keeps trees and texts apart.
        return "\0tree\0" + ast.dump(tree, annotate_fields=False)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _has_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> bool:
    if not node.body or not isinstance(node.body[0], ast.Expr):
        return False
    value = node.body[0].value
    return isinstance(value, ast.Constant) and isinstance(value.value, str)

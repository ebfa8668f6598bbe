"""Recognise programs that are the same except for comments, layout and docstrings.

Each of them then runs once. Names of local variables count: ignoring them saves about five points
more executions and needs rules for every way in which a program can see its names
(docs/design/sandbox.md).
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from functools import lru_cache
from typing import Final

_MAX_CHARS: Final = 100_000
"""Longer programs are compared as text: a tree takes a hundred times the memory of the text."""

_READS_DOCSTRINGS: Final = re.compile(r"__doc__|inspect|doctest|pydoc|\bhelp\b|argparse|optparse")
_READS_LINES: Final = re.compile(
    r"lineno|traceback|tb_|_getframe|currentframe|co_|__code__|linecache|getsource|findsource"
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@lru_cache(maxsize=512)  # a model often writes the very same text again
def program_key(source: str) -> str:
    """Hash a program so that equal keys mean equal behaviour.

    Comments, formatting and docstrings do not count. A program that may read its docstrings keeps
    them; one that may read its own lines, or does not parse, is hashed as text. Every doubt counts
    as yes, so programs that behave alike may have different keys. A key is stable within one
    version of Python, because it is made of that version's syntax tree.
    """
    text = source
    if len(source) <= _MAX_CHARS and not _READS_LINES.search(source):
        text = _normalised(source) or source
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _normalised(source: str) -> str | None:
    """The dump of a program's syntax tree; None where the program does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in string literals, mostly
            tree = ast.parse(source)
            if not _READS_DOCSTRINGS.search(source):
                for node in ast.walk(tree):
                    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, False) is not None:
                        node.body = node.body[1:] or [ast.Pass()]
        # A prefix that no source can start with keeps trees and texts apart.
        return "\0tree\0" + ast.dump(tree, annotate_fields=False)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None

"""Tell whether a program may see the names of its own variables.

TaskSubset before names are changed, so every doubt counts as yes. A program may see them

- by the builtins and attributes made for it (`locals`, `eval`, frames, code objects);
- by a library that looks at its caller or takes keyword arguments from a dictionary (numpy's
  `bmat`, pandas' `query`, `threading`): only modules known to do neither may be imported;
- in the message of an exception that it caught ("cannot access local variable 'x'");
- by an attribute whose name is made at run time;
- by the order in which closures drop their variables, which is alphabetical: what runs then is a
  `__del__`, or the `finally` of a generator that was left half way.
"""

from __future__ import annotations

import ast
import re
from typing import Final

_BLIND_MODULES: Final = frozenset({
    "__future__", "abc", "array", "base64", "binascii", "bisect", "calendar", "cmath",
    "collections", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions",
    "functools", "hashlib", "heapq", "io", "itertools", "math", "numbers", "operator", "os",
    "queue", "random", "re", "secrets", "statistics", "string", "struct", "sys", "textwrap", "time",
    "typing", "unicodedata", "zlib",
})  # fmt: skip
"""Modules that neither look at their callers nor call functions by keyword of their own accord."""

_TELLING: Final = frozenset({
    "_sys", "attrgetter", "bltns", "breakpoint", "builtins", "compile", "dir", "eval", "exec",
    "format_map", "get_type_hints", "globals", "help", "inspect", "locals", "methodcaller",
    "modules", "threading", "types", "vars", "vformat", "weakref",
})  # fmt: skip
"""What gives a program a view of its names, or of itself, or leads to a module that does."""

_SPECIAL_NAMES: Final = frozenset({
    "__future__", "__main__", "__name__", "__init__", "__new__", "__post_init__", "__repr__",
    "__str__", "__bytes__", "__format__", "__hash__", "__bool__", "__len__", "__iter__", "__next__",
    "__reversed__", "__contains__", "__getitem__", "__setitem__", "__delitem__", "__missing__",
    "__call__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__add__", "__sub__",
    "__mul__", "__matmul__", "__truediv__", "__floordiv__", "__mod__", "__divmod__", "__pow__",
    "__lshift__", "__rshift__", "__and__", "__xor__", "__or__", "__radd__", "__rsub__", "__rmul__",
    "__rtruediv__", "__rfloordiv__", "__rmod__", "__rpow__", "__rand__", "__rxor__", "__ror__",
    "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__",
    "__iand__", "__ixor__", "__ior__", "__neg__", "__pos__", "__abs__", "__invert__", "__int__",
    "__float__", "__complex__", "__index__", "__round__", "__trunc__", "__floor__", "__ceil__",
    "__slots__", "__copy__", "__deepcopy__",
})  # fmt: skip
"""The special names that show nothing; `__name__` does so only of what keeps its name."""

_VIEW: Final = re.compile(r"__|\b(?:gi|cr|ag|tb|co)_|\bf_(?:back|builtins|code|globals|locals)")
"""The attributes of frames, generators and code, in names and in texts."""

_SYS: Final = frozenset({
    "argv", "byteorder", "exit", "float_info", "getrecursionlimit", "getsizeof", "int_info",
    "maxsize", "maxunicode", "platform", "set_int_max_str_digits", "setrecursionlimit", "stderr",
    "stdin", "stdout", "version", "version_info",
})  # fmt: skip
_BY_NAME: Final = ("getattr", "setattr", "hasattr", "delattr")


def may_see_names(tree: ast.Module) -> bool:
    """Whether the program may see how its variables are called."""
    look = _Look()
    for node in ast.walk(tree):
        look.at(node)
    n_by_name = sum(look.names.count(name) for name in _BY_NAME)
    return (
        look.sees
        or n_by_name > look.n_harmless_by_name
        or look.names.count("sys") > look.n_harmless_sys
        or bool(look.caught.intersection(look.names))
        or (look.has_generator and look.has_cleanup)
    )


class _Look:
    """What was seen of a tree so far."""

    def __init__(self) -> None:
        self.sees = False
        self.names: list[str] = []
        self.caught: set[str] = set()
        self.n_harmless_by_name = 0
        self.n_harmless_sys = 0
        self.has_generator = False
        self.has_cleanup = False

    def at(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name, ctx=context):
                self._check(name)
                if isinstance(context, ast.Load):
                    self.names.append(name)
                elif name in _BY_NAME or name == "sys":
                    self.sees = True
            case ast.Attribute(value=value, attr=name):
                if name != "compile":  # that of `re`
                    self._check(name)
                self._attribute(value, name)
            case (
                ast.Call(func=ast.Name(id=name), args=[_, ast.Constant(value=str())])
                | ast.Call(func=ast.Name(id=name), args=[_, ast.Constant(value=str()), _])
            ) if name in _BY_NAME:
                self.n_harmless_by_name += 1  # the constant is looked at like any other
            case ast.Constant(value=str(text)):
                self.sees |= text not in _SPECIAL_NAMES and (
                    bool(_VIEW.search(text)) or text in _TELLING
                )
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.ExceptHandler(name=name):
                self.has_cleanup = True
                if name is not None:
                    self._check(name)
                    self.caught.add(name)
            case ast.Try() | ast.With():
                self.has_cleanup = True
            case ast.Yield() | ast.YieldFrom():
                self.has_generator = True
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                self._check(name)
            case ast.arg(arg=name) | ast.keyword(arg=name) if name is not None:
                self._check(name)
            case ast.MatchAs(name=name) | ast.MatchStar(name=name) if name is not None:
                self._check(name)
            case ast.MatchMapping(rest=name) if name is not None:
                self._check(name)
            case ast.MatchClass(kwd_attrs=names) | ast.Global(names=names):
                for name in names:
                    self._check(name)

    def _check(self, name: str) -> None:
        # Names with two underscores in front also change their spelling inside classes.
        if name in _TELLING or (_VIEW.match(name) and name not in _SPECIAL_NAMES):
            self.sees = True

    def _attribute(self, value: ast.expr, name: str) -> None:
        if isinstance(value, ast.Name) and value.id == "sys" and name in _SYS:
            self.n_harmless_sys += 1
        elif name == "sys":
            self.sees = True
        elif name == "format":
            # A template may ask for attributes; a constant one was looked at.
            self.sees |= not isinstance(value, ast.Constant)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
            self.sees |= any(a.asname and a.name == "sys" for a in node.names)
        else:
            modules = [node.module or ""]
            self.sees |= node.level > 0
            if node.module == "sys":
                self.sees |= any(alias.name not in _SYS for alias in node.names)
        self.sees |= any(name.partition(".")[0] not in _BLIND_MODULES for name in modules)
        for alias in node.names:
            for name in (alias.name, alias.asname):
                self.sees |= name == "sys" and isinstance(node, ast.ImportFrom)
                if name is not None:
                    self._check(name)

"""Give the local names of a program canonical spellings, in place (alpha-renaming).

Every variable of a function, lambda or comprehension that nothing but its own scope can see gets
a number, counted through the program in the order in which names first occur. So two trees are
equal afterwards if and only if some consistent renaming of such variables makes one into the
other, and since each number belongs to one variable of one scope, no name can capture another.

What keeps its name: everything of modules, classes and builtins; attributes; what an `import` or
a `class` statement binds; names in annotations; parameters that a call may pass by keyword; a
method's parameters, because what inherits from a library's class is called as the library likes;
and a function's own name wherever the function is used for anything but being called, because a
function shows its name. Whether a program looks at its names in other ways is not asked here but
in `introspection`.

The rules for scopes are those of CPython's `symtable.c`. The tree must have passed it: a program
that is wrong only because two names are the same may be right after renaming.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

_Function = ast.FunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class UnsupportedSyntax(Exception):
    """The program uses a construct whose scopes are not modelled; the tree is unchanged."""


class _Use(Enum):
    """What a name is used for where it stands."""

    PLAIN = auto()
    READ = auto()
    PARAMETER = auto()
    FUNCTION = auto()
    FIXED = auto()


@dataclass(slots=True, eq=False)
class _Variable:
    number: int | None = None
    keeps_name: bool = False
    is_function: bool = False
    is_parameter: bool = False
    is_read: bool = False


@dataclass(slots=True, eq=False)
class _Scope:
    """One scope; a name may be bound here and yet belong elsewhere, if declared so."""

    kind: str
    parent: _Scope | None
    bound: dict[str, _Variable] = field(default_factory=dict)
    declared_global: set[str] = field(default_factory=set)
    declared_nonlocal: set[str] = field(default_factory=set)

    def find(self, name: str) -> _Variable | None:
        """The local variable that a name here stands for; None for a module's or a class's."""
        scope: _Scope | None = self
        while scope is not None:
            if scope is self or scope.kind != "class":
                if name in scope.declared_global:
                    return None
                if name in scope.bound and name not in scope.declared_nonlocal:
                    return scope.bound[name] if scope.kind in ("function", "inline") else None
            scope = scope.parent
        return None


@dataclass(slots=True, frozen=True)
class _Occurrence:
    scope: _Scope
    name: str
    use: _Use
    rename: Callable[[str], None]


def rename_locals(tree: ast.Module, prefix: str = "") -> None:
    """Rename local variables to numbers, in place.

    Args:
        tree: The program; it passes the compiler's symbol table.
        prefix: What stands before each number. Without one no name of the program can be equal
            to a new one, and the tree is only good for comparing; a prefix that makes names of
            the numbers, and that the program does not use, gives a tree that runs.

    Raises:
        UnsupportedSyntax: See there.
        RecursionError: The tree is too deep.
    """
    walk = _Walk()
    walk.visit(tree)
    found = [(each, each.scope.find(each.name)) for each in walk.occurrences]
    for occurrence, variable in found:
        if variable is None:
            continue
        match occurrence.use:
            case _Use.FIXED:
                variable.keeps_name = True
            case _Use.PARAMETER:
                variable.is_parameter = True
                by_keyword = walk.has_unknown_keywords or occurrence.name in walk.keywords
                variable.keeps_name |= by_keyword
            case _Use.FUNCTION:
                variable.is_function = True
            case _Use.READ:
                variable.is_read = True
    n_renamed = 0
    for occurrence, variable in found:
        if variable is None or variable.keeps_name or (variable.is_function and variable.is_read):
            continue
        if variable.number is None:
            variable.number = n_renamed
            n_renamed += 1
        occurrence.rename(f"{prefix}{variable.number}")


class _Walk:
    """Goes through a tree in the order of its fields, which no name can change."""

    def __init__(self) -> None:
        self.occurrences: list[_Occurrence] = []
        self.keywords: set[str] = set()
        self.has_unknown_keywords = False
        self._scope = _Scope("module", None)
        self._in_annotation = False

    def visit(self, node: ast.AST) -> None:
        special = _SPECIAL.get(type(node))
        if special is not None:
            special(self, node)
        else:
            self._fields(node)

    def _all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _fields(self, node: ast.AST) -> None:
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                self.visit(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, ast.AST):
                        self.visit(item)
                    elif isinstance(item, str):
                        raise UnsupportedSyntax(type(node).__name__)
            elif isinstance(value, str):  # a name, in a kind of node that is not known here
                raise UnsupportedSyntax(type(node).__name__)

    def _occurs(
        self, node: ast.AST, attribute: str, use: _Use, *, binds: bool, scope: _Scope | None = None
    ) -> None:
        scope = scope or self._scope
        name = getattr(node, attribute)
        if name is None:
            return
        if binds and name not in scope.bound:
            scope.bound[name] = _Variable()

        def rename(new: str) -> None:
            setattr(node, attribute, new)

        use = _Use.FIXED if self._in_annotation else use
        self.occurrences.append(_Occurrence(scope, name, use, rename))

    def _name(self, node: ast.Name) -> None:
        is_read = isinstance(node.ctx, ast.Load)
        self._occurs(node, "id", _Use.READ if is_read else _Use.PLAIN, binds=not is_read)

    def _call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            self._occurs(node.func, "id", _Use.PLAIN, binds=False)
        else:
            self.visit(node.func)
        self._all(node.args)
        self._all(node.keywords)

    def _keyword(self, node: ast.keyword) -> None:
        if node.arg is None:
            self.has_unknown_keywords = True
        else:
            self.keywords.add(node.arg)
        self.visit(node.value)

    def _attribute(self, node: ast.Attribute) -> None:
        self.visit(node.value)

    def _walrus(self, node: ast.NamedExpr) -> None:
        scope = self._scope
        while scope.kind == "inline" and scope.parent is not None:
            scope = scope.parent
        self._occurs(node.target, "id", _Use.PLAIN, binds=True, scope=scope)
        self.visit(node.value)

    def _annotated(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name) and not node.simple:
            raise UnsupportedSyntax(
                "an annotated name in brackets"
            )  # binds only where a value stands
        self.visit(node.target)
        self._annotation(node.annotation)
        self._all([node.value])

    def _annotation(self, node: ast.expr | None) -> None:
        outer, self._in_annotation = self._in_annotation, True
        self._all([node])
        self._in_annotation = outer

    def _declaration(self, node: ast.Global | ast.Nonlocal) -> None:
        if isinstance(node, ast.Global):
            self._scope.declared_global.update(node.names)
            return
        self._scope.declared_nonlocal.update(node.names)
        for place, name in enumerate(node.names):

            def rename(new: str, place: int = place) -> None:
                node.names[place] = new

            self.occurrences.append(_Occurrence(self._scope, name, _Use.PLAIN, rename))

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            attribute = "name" if alias.asname is None else "asname"
            if "." in alias.name and alias.asname is None:
                top = ast.Name(alias.name.partition(".")[0])
                self._occurs(top, "id", _Use.FIXED, binds=True)
            elif alias.name != "*":
                self._occurs(alias, attribute, _Use.FIXED, binds=True)

    def _handler(self, node: ast.ExceptHandler) -> None:
        self._all([node.type])
        self._occurs(node, "name", _Use.PLAIN, binds=True)
        self._all(node.body)

    def _capture(self, node: ast.MatchAs | ast.MatchStar) -> None:
        if isinstance(node, ast.MatchAs):
            self._all([node.pattern])
        self._occurs(node, "name", _Use.PLAIN, binds=True)

    def _match_mapping(self, node: ast.MatchMapping) -> None:
        self._all(node.keys)
        self._all(node.patterns)
        self._occurs(node, "rest", _Use.PLAIN, binds=True)

    def _match_class(self, node: ast.MatchClass) -> None:
        self._all([node.cls, *node.patterns, *node.kwd_patterns])

    def _class(self, node: ast.ClassDef) -> None:
        self._refuse_type_parameters(node)
        self._all(node.decorator_list)
        self._occurs(node, "name", _Use.FIXED, binds=True)
        # What a library's class expects of its children, the library may pass by keyword.
        self.has_unknown_keywords |= bool(node.bases)
        self._all(node.bases)
        self._all(node.keywords)
        outer, self._scope = self._scope, _Scope("class", self._scope)
        self._all(node.body)
        self._scope = outer

    def _function(self, node: _Function) -> None:
        arguments = node.args
        if isinstance(node, ast.FunctionDef):
            self._refuse_type_parameters(node)
            self._all(node.decorator_list)
            use = _Use.FIXED if node.decorator_list or _shows_its_name(node) else _Use.FUNCTION
            self._occurs(node, "name", use, binds=True)
        self._all(arguments.defaults)
        self._all(arguments.kw_defaults)
        if isinstance(node, ast.FunctionDef):
            self._annotation(node.returns)
        named = [*arguments.args, *arguments.kwonlyargs]
        others = [*arguments.posonlyargs, arguments.vararg, arguments.kwarg]
        for argument in [*named, *others]:
            if argument is not None:
                self._annotation(argument.annotation)
        is_method = self._scope.kind == "class"
        outer, self._scope = self._scope, _Scope("function", self._scope)
        for argument in named:
            use = _Use.FIXED if is_method else _Use.PARAMETER
            self._occurs(argument, "arg", use, binds=True)
        for argument in others:
            if argument is not None:
                self._occurs(argument, "arg", _Use.PLAIN, binds=True)
        self._all(node.body if isinstance(node, ast.FunctionDef) else [node.body])
        self._scope = outer

    def _comprehension(self, node: _Comprehension) -> None:
        first, *rest = node.generators
        self.visit(first.iter)  # in the scope around; all the rest is inside
        outer, self._scope = self._scope, _Scope("inline", self._scope)
        self.visit(first.target)
        self._all(first.ifs)
        self._all(rest)
        self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._scope = outer

    def _nothing(self, node: ast.AST) -> None:
        """A constant holds text that is no name."""

    def _refuse(self, node: ast.AST) -> None:
        raise UnsupportedSyntax(type(node).__name__)

    def _refuse_type_parameters(self, node: ast.AST) -> None:
        if getattr(node, "type_params", None):  # since 3.12: a scope of their own
            raise UnsupportedSyntax("type parameters")


def _shows_its_name(node: ast.FunctionDef) -> bool:
    """Whether what a function makes may show the function's name: generators, classes."""
    shows = (ast.Yield, ast.YieldFrom, ast.ClassDef, ast.FunctionDef, ast.Lambda, ast.GeneratorExp)
    return any(isinstance(inner, shows) for inner in ast.walk(node) if inner is not node)


_SPECIAL: Final[dict[type[ast.AST], Callable[[_Walk, Any], None]]] = {
    ast.AnnAssign: _Walk._annotated,
    ast.AsyncFunctionDef: _Walk._refuse,
    ast.Attribute: _Walk._attribute,
    ast.Call: _Walk._call,
    ast.ClassDef: _Walk._class,
    ast.Constant: _Walk._nothing,
    ast.DictComp: _Walk._comprehension,
    ast.ExceptHandler: _Walk._handler,
    ast.FunctionDef: _Walk._function,
    ast.GeneratorExp: _Walk._comprehension,
    ast.Global: _Walk._declaration,
    ast.Import: _Walk._import,
    ast.ImportFrom: _Walk._import,
    ast.Lambda: _Walk._function,
    ast.ListComp: _Walk._comprehension,
    ast.MatchAs: _Walk._capture,
    ast.MatchClass: _Walk._match_class,
    ast.MatchMapping: _Walk._match_mapping,
    ast.MatchStar: _Walk._capture,
    ast.Name: _Walk._name,
    ast.NamedExpr: _Walk._walrus,
    ast.Nonlocal: _Walk._declaration,
    ast.SetComp: _Walk._comprehension,
    ast.keyword: _Walk._keyword,
}

"""Test scripts that count their assertions, and the tests that nothing calls.

A script that reaches its end has passed, so one that never ran an assertion would pass every
program. Tests are therefore compiled with a mark before each statement that can fail a program,
and at the start of each test function. At the end, tests that nothing has called are run, in the
forms that people and models write: functions `test...`, `check(candidate)` as in HumanEval,
methods `test...` of `unittest.TestCase` and of pytest's plain classes. If no assertion has run even
then, `NothingTested` is raised.

What can fail a program: `assert`, unless its condition is a constant; a call of a function whose
name begins with assert, fail or raises; an `if` that raises or exits; a `try` that holds one of
these.
"""

from __future__ import annotations

import sys
from builtins import compile, exec, getattr, isinstance, issubclass, len, type  # noqa: UP029
from collections.abc import Iterator, Sequence
from typing import Any, Final

_ONLY_AST: Final = 0x400  # `ast.PyCF_ONLY_AST`: the module `ast` would make every fork larger
_MARK: Final = "<mark>"  # no program can have a variable of this name
_ASSERTED: Final = ""  # what is marked where an assertion runs; test functions mark their names
_FAILS: Final = ("assert", "fail", "raises")
_EXITS: Final = ("exit", "_exit", "quit")
_FUNCTIONS: Final = ("FunctionDef", "AsyncFunctionDef")
_SCOPES: Final = (*_FUNCTIONS, "ClassDef", "Lambda")
_BLOCKS: Final = ("body", "orelse", "finalbody", "handlers", "cases")
_CANDIDATES: Final = ("candidate", "func", "function", "fn", "f", "solution")


class NothingTested(Exception):
    """The tests say nothing about the program; the message says why, and what to do."""


class TestScript:
    """A script whose tests are run even if nothing in it calls them."""

    __test__ = False  # for pytest, which takes it for a test

    def __init__(self, text: str, filename: str) -> None:
        """Compile it.

        Args:
            text: The script.
            filename: Its name in tracebacks.

        Raises:
            SyntaxError, ValueError: It is not Python.
        """
        tree: Any = compile(text, filename, "exec", _ONLY_AST, dont_inherit=True)
        # Marks are made of its parts.
        call: Any = compile("mark('')", "", "exec", _ONLY_AST)
        self._call = call.body[0]
        self._seen: set[str] = set()
        self._tests: dict[str, Any] = {}
        self.functions: list[str] = []  # other functions of the module, by name
        self._defined = {node.name for node in _walk(tree, True) if _kind(node) in _FUNCTIONS}
        self._mark_block(tree, "")
        self._code = compile(tree, filename, "exec", dont_inherit=True)

    def run(self, names: dict[str, Any], candidates: Sequence[str], may_exit: bool) -> None:
        """Run the script, and then the tests that it did not call.

        Args:
            names: The module's namespace.
            candidates: Names of what `check(candidate)` may be meant for; it has to be one.
            may_exit: Whether the script may end itself by `sys.exit(0)`; `unittest.main` always
                may.

        Raises:
            NothingTested: No assertion was run, or a test needs arguments that nobody gives.
            BaseException: Whatever the script raises.
        """
        names[_MARK] = self._seen.add
        try:
            exec(self._code, names)
        except SystemExit as end:
            main = _unittest_main(end)
            if end.code or type(end) is not SystemExit or not (may_exit or main):
                if main is not None:
                    _raise_failures(main.result)
                raise
        else:
            _run_cases(names)
        for name, node in self._tests.items():
            if name not in self._seen:
                self._run(name, node, names, candidates)
        if _ASSERTED not in self._seen:
            raise NothingTested(
                "nothing was tested: the tests ended without running an assertion; use assert, or "
                "unittest, and call the functions that hold them"
            )

    def _run(self, name: str, node: Any, names: dict[str, Any], candidates: Sequence[str]) -> None:
        owner, _, method = name.rpartition(".")
        found = names.get(owner or name)
        if found is None or _is_case(found):
            return
        if owner:
            found = found()
            getattr(found, "setup_method", lambda *_: None)(None)
            found = getattr(found, method)
        needed = _needed(node)[1 if owner else 0 :]
        arguments = []
        if len(needed) == 1 and (name == "check" or needed[0] in _CANDIDATES):
            if len(candidates) != 1:
                raise NothingTested(
                    f"nothing calls {name}({needed[0]}), and which function it tests is not known: "
                    "pass entry_point, or call it in the tests"
                )
            arguments = [names[candidates[0]]]
        elif needed:
            raise NothingTested(
                f"nothing calls the test {name}, which needs {', '.join(needed)}: call it in the "
                "tests"
            )
        result = found(*arguments)
        if _kind(node) == "AsyncFunctionDef":
            import asyncio

            asyncio.run(result)

    def _mark_block(self, parent: Any, scope: str | None) -> None:
        """Mark the statements below a node; `scope` is None within functions."""
        for field in _BLOCKS:
            block = getattr(parent, field, None)
            if not isinstance(block, list):
                continue
            marked = []
            for node in block:
                if self._may_fail(node):
                    marked.append(self._marker(node, _ASSERTED))
                marked.append(node)
                kind = _kind(node)
                is_scope = kind in _SCOPES
                self._mark_block(node, scope if not is_scope else self._note(node, scope))
            setattr(parent, field, marked)

    def _note(self, node: Any, scope: str | None) -> str | None:
        """Note a function or class; returns the scope of what it holds."""
        if scope is None:
            return None
        if _kind(node) == "ClassDef":
            return None if scope else f"{node.name}."
        name = f"{scope}{node.name}"
        if node.name.startswith("test") or name == "check":
            if not scope or scope.startswith("Test"):
                self._tests[name] = node
                first = node.body[0]
                is_doc = _kind(first) == "Expr" and _kind(first.value) == "Constant"
                node.body.insert(int(is_doc), self._marker(first, name))
        elif not scope:
            self.functions.append(name)
        return None

    def _marker(self, at: Any, mark: str) -> Any:
        """A statement that notes `mark`, at the place of another."""
        place = {
            "lineno": at.lineno, "col_offset": at.col_offset,
            "end_lineno": at.lineno, "end_col_offset": at.col_offset,
        }  # fmt: skip
        statement, call = type(self._call), type(self._call.value)
        function, argument = self._call.value.func, self._call.value.args[0]
        callee = type(function)(id=_MARK, ctx=function.ctx, **place)
        text = type(argument)(value=mark, **place)
        return statement(value=call(func=callee, args=[text], keywords=[], **place), **place)

    def _may_fail(self, node: Any) -> bool:
        kind = _kind(node)
        if kind == "Assert":
            # `assert (x, "text")` always holds.
            return _kind(node.test) not in ("Constant", "Tuple")
        if kind == "If":
            return any(_kind(part) == "Raise" or self._calls(part, _EXITS) for part in _walk(node))
        if kind in ("Try", "TryStar"):
            inner = list(_walk(node))
            return any(
                _kind(part) in ("Raise", "Assert") or self._calls(part, _FAILS) for part in inner
            )
        headers = [
            child
            for field in getattr(node, "_fields", ())
            if field not in _BLOCKS and kind not in _SCOPES
            for child in _listed(getattr(node, field, None))
        ]
        return any(
            self._calls(part, _FAILS) for header in headers for part in (header, *_walk(header))
        )

    def _calls(self, node: Any, beginnings: tuple[str, ...]) -> bool:
        """Whether a node calls a function of such a name that is not the script's own."""
        if _kind(node) != "Call":
            return False
        name = str(getattr(node.func, "id", None) or getattr(node.func, "attr", ""))
        return name.lstrip("_").startswith(beginnings) and name not in self._defined


def _kind(node: Any) -> str:
    return type(node).__name__


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _walk(node: Any, into_scopes: bool = False) -> Iterator[Any]:
    """All nodes below one, without those of functions and classes defined there."""
    for field in getattr(node, "_fields", ()):
        for child in _listed(getattr(node, field, None)):
            if hasattr(child, "_fields"):
                yield child
                if into_scopes or _kind(child) not in _SCOPES:
                    yield from _walk(child, into_scopes)


def _needed(node: Any) -> list[str]:
    """The parameters of a function that have no default."""
    positional = [*node.args.posonlyargs, *node.args.args]
    n_needed = len(positional) - len(node.args.defaults)
    only_named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return [one.arg for one in positional[:n_needed]] + [
        one.arg for one, default in only_named if default is None
    ]


def _is_case(value: Any) -> bool:
    """Whether a value is a class of unittest's tests."""
    base = getattr(sys.modules.get("unittest"), "TestCase", None)
    return base is not None and isinstance(value, type) and issubclass(value, base)


def _run_cases(names: dict[str, Any]) -> None:
    """Run the module's test cases. Where it ran them itself, it may have ignored the result."""
    cases = [
        case for case in list(names.values())
        if _is_case(case) and case.__module__ == names["__name__"]
    ]  # fmt: skip
    if cases:
        import unittest

        result = unittest.TestResult()
        for case in cases:
            unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        _raise_failures(result)


def _raise_failures(result: Any) -> None:
    for test, text in (*result.errors, *result.failures):
        said = text.strip().rpartition("\n")[2]
        raise AssertionError(f"{test.id().rpartition('.')[2]}: {said}")
    for test in result.unexpectedSuccesses:
        raise AssertionError(f"{test.id().rpartition('.')[2]}: passed, and was expected to fail")


def _unittest_main(end: BaseException) -> Any:
    """The `unittest.main` that raised SystemExit, or None."""
    trace, frame = end.__traceback__, None
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
    unittest = sys.modules.get("unittest")
    main = None if frame is None else frame.f_locals.get("self")
    if unittest is None or not isinstance(main, unittest.TestProgram):
        return None
    return main if getattr(main, "result", None) is not None else None

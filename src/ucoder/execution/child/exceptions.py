"""Exceptions that cross from the program to its tests.

Their classes stay behind, so they are described: a class of the standard library by its module and
name, one of the program by a number, its name and its bases. The tests then find what `except` and
`assertRaises` need. Arguments and attributes cross where they are plain data; if an argument is
not, the message takes the place of them all. Causes, contexts and tracebacks stay behind.
"""

from __future__ import annotations

import importlib
import sys

# Bound here, because a program may replace them in `builtins`.
from builtins import BaseException, Exception, getattr, isinstance, issubclass, str, type  # noqa: UP029
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ucoder.execution.canonical.errors import NotRepresentable, TooLarge
from ucoder.execution.canonical.reflection import class_name, instance_dict, namespace
from ucoder.execution.canonical.writer import write

_MAX_CHARS: Final = 20_000
_MESSAGE: Final = "<message>"
_C_ATTRIBUTES: Final = ("filename", "filename2", "name", "path", "value", "code")
"""Attributes that some built-in exceptions keep outside of their `__dict__` and `args`."""

Description = tuple[Any, ...]
"""`(module, name)` of a class that both sides have; `(number, name, bases, attributes)` of a class
of the program."""


class DescribedExceptions:
    """The program's side: numbers for its exception classes."""

    def __init__(self) -> None:
        self._classes: list[type] = []  # by number; kept, so that no other class gets their ids

    def of_class(self, kind: type) -> Description:
        """Describe a class."""
        module, name = type.__dict__["__module__"].__get__(kind), class_name(kind)
        if type(module) is str and namespace(module).get(name) is kind and module != "solution":
            return module, name
        if kind not in self._classes:
            self._classes.append(kind)
        bases = [base for base in kind.__bases__ if issubclass(base, BaseException)]
        own = {k: v for k, v in vars(kind).items() if not k.startswith("__") and _is_plain(v)}
        return self._classes.index(kind), name, tuple(map(self.of_class, bases)), own

    def of(self, error: BaseException) -> tuple[Any, ...]:
        """Describe an exception: its class, message, arguments and attributes."""
        try:
            message = str.__str__(str(error))[:_MAX_CHARS]
        except Exception:  # its own `__str__` fails
            message = ""
        arguments = error.args if _is_plain(error.args) else (message,)
        found = {name: getattr(error, name, None) for name in _C_ATTRIBUTES}
        found = {name: value for name, value in found.items() if value is not None}
        found |= instance_dict(error, type(error))
        plain = {name: value for name, value in found.items() if _is_plain(value)}
        return self.of_class(type(error)), message, arguments, plain


def _is_plain(value: Any) -> bool:
    try:
        write(value, _MAX_CHARS)
    except (NotRepresentable, TooLarge):
        return False
    return True


class RaisedExceptions:
    """The tests' side: makes exceptions out of descriptions, which may be forged."""

    def __init__(self, refuse: Callable[[str], BaseException]) -> None:
        """Start without classes.

        Args:
            refuse: Makes what ends the tests, of a reason.
        """
        self._classes: dict[int, type[BaseException]] = {}
        self._refuse = refuse

    def class_of(self, description: Description) -> type[BaseException]:
        """Find or make a class.

        Raises:
            ValueError, TypeError: The description is not one of an exception class.
        """
        if len(description) == 2:
            return _library_class(*description)
        number, name, bases, own = description
        if number not in self._classes:
            attributes: dict[str, Any] = {k: v for k, v in own.items() if not k.startswith("__")}
            attributes |= {
                "__module__": "solution", "__str__": _message, "__getattr__": self._missing,
                "__init__": self._made_by_tests,
            }  # fmt: skip
            found = tuple(map(self.class_of, bases)) or (Exception,)
            self._classes[number] = type(name, found, attributes)
        return self._classes[number]

    def make(
        self, kind: Description, message: str, arguments: tuple[Any, ...], own: dict[str, Any]
    ) -> BaseException:
        """Make an exception.

        Raises:
            ValueError, TypeError: The description is not one of an exception.
        """
        found = self.class_of(kind)
        if len(kind) == 2 and not issubclass(found, Exception):
            # Tests may exit themselves: what the program raised must not be taken for that.
            found = type(found.__name__, (found,), {})
        try:
            error = found.__new__(found, *arguments)
        except Exception:  # a class that wants other arguments than it keeps
            error = found.__new__(found, *arguments[:1]) if arguments else found.__new__(found)
        library = next(base for base in found.__mro__ if base.__module__ != "solution")
        start = vars(library).get("__init__")
        if isinstance(start, _C_INIT):
            with suppress(Exception):  # keeps the arguments where C code keeps them
                start(error, *arguments)
        error.args = arguments
        for name, value in own.items():
            with suppress(AttributeError, TypeError):
                setattr(error, name, value)
        if len(kind) != 2:
            error.__dict__[_MESSAGE] = message
        return error

    def _missing(self, error: BaseException, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._refuse(f"the tests use {type(error).__name__}.{name}, which")

    def _made_by_tests(self, error: BaseException, *_: Any, **__: Any) -> None:
        raise self._refuse(f"the tests make a {type(error).__name__}, whose class")


_C_INIT: Final = type(BaseException.__init__)


def _message(error: BaseException) -> str:
    return str(error.__dict__.get(_MESSAGE, ""))


def _library_class(module: str, name: str) -> type[BaseException]:
    if module.partition(".")[0] in sys.stdlib_module_names:
        with suppress(ImportError):
            importlib.import_module(module)
    found = namespace(module).get(name) if type(module) is str else None
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise ValueError(f"{module}.{name} is not an exception")
    return found

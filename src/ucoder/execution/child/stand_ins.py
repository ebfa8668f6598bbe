"""What tests hold in the place of a program's functions, classes and objects.

Objects of the program's classes cross as records (`canonical.values`). In the tests a dataclass is
an object of a dataclass with the same name and fields, and an enum member has its name and value;
both are compared by these, never by the program's code. What would need that code, a method or an
operator, ends the tests with a reason: a guess could be a wrong verdict.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

Refuse = Callable[[str], BaseException]
"""Makes what ends the tests, of the start of a reason."""

_BEHIND: Final = (
    *("lt", "le", "gt", "ge", "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "floordiv"),
    *("mod", "neg", "abs", "int", "float", "index", "iter", "len", "getitem", "contains"),
    *("and", "or", "xor", "enter", "next"),
)
"""Operators that code of the program may implement."""


class ProgramFunction:
    """A function or class of the program: calls and attributes are asked for in its process."""

    def __init__(self, path: str, is_class: bool, ask: Callable[..., Any], refuse: Refuse) -> None:
        """Stand in for what is found under a dotted path; `ask` takes an operation and the path."""
        self.__dict__.update(
            _path=path, _is_class=is_class, _ask=ask, _refuse=refuse,
            __name__=path.rpartition(".")[2], __qualname__=path,
        )  # fmt: skip

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it in its process."""
        return self._ask("call", self._path, arguments, keywords)

    def __getattr__(self, name: str) -> Any:
        if name == "__signature__":
            raise self._refuse(f"the tests inspect {self._path}, which")
        return self._ask("get", f"{self._path}.{name}")

    def __bool__(self) -> bool:
        return True

    def __setattr__(self, name: str, value: Any) -> None:
        raise self._refuse(f"the tests change {self._path}.{name}, which")

    __delattr__ = __setattr__  # type: ignore[assignment]

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._ask("get", f"{self._path}.__doc__")

    def __instancecheck__(self, value: Any) -> bool:
        kind = type(value)
        if kind.__module__ != "solution":
            return False
        if kind.__name__ == self.__name__:
            return True
        raise self._refuse(f"the tests ask whether a {kind.__name__} is a {self._path}, which")


class EnumMember:
    """A member of an enum of the program."""

    __module__ = "solution"

    def __init__(self, kind: str, name: str | None, value: Any, refuse: Refuse) -> None:
        """Stand in for a member; one member is one object."""
        self._kind, self.name, self.value, self._refuse = kind, name, value, refuse

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, EnumMember) and other == self.value:  # an IntEnum would be equal
            raise self._refuse(f"the tests compare {self} with a value; its class")
        return False

    def __hash__(self) -> int:
        return hash(self.name)

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self._kind}.{self.name}"

    def __repr__(self) -> str:
        return f"<{self}: {self.value!r}>"


class StandIns:
    """Makes stand-ins for records."""

    def __init__(self, records: Any, refuse: Refuse) -> None:
        """Start without classes; `records` is a module with the records of `canonical.values`."""
        self._records = records
        self._refuse = refuse
        self._classes: dict[tuple[str, ...], type] = {}
        self._members: dict[str, EnumMember] = {}

    def parts(self, value: Any) -> list[Any] | None:
        """What a record or a named tuple holds; None for a value that is not a container."""
        if isinstance(value, tuple):
            return list(value)
        if type(value) is self._records.DataclassValue:
            return [item for _, item in value.fields]
        return None

    def rebuild(self, value: Any, inner: list[Any] | None, known: Any) -> Any:
        """The stand-in for a record; any other value as it is."""
        records = self._records
        if type(value) is records.DataclassValue:
            names = [name for name, _ in value.fields]
            kind = self._dataclass(value.name, names)
            if type(known) is not kind:
                known = object.__new__(kind)
            known.__dict__.update(zip(names, inner or [], strict=True))
            return known
        if type(value) is records.EnumValue:
            text = f"{value.type_name}.{value.name}: {value.value!r}"
            member = EnumMember(value.type_name, value.name, value.value, self._refuse)
            return self._members.setdefault(text, member)
        if type(value) is records.ArrayValue:
            numpy = importlib.import_module("numpy")
            return numpy.array(list(value.items), dtype=value.dtype).reshape(value.shape)
        if type(value) is records.ScalarValue:
            return getattr(importlib.import_module("numpy"), value.type_name)(value.value)
        return value

    def _dataclass(self, name: str, fields: list[str]) -> type:
        key = (name, *fields)
        if key not in self._classes:
            from dataclasses import make_dataclass

            def missing(own: Any, attribute: str) -> Any:
                if attribute.startswith("__"):
                    raise AttributeError(attribute)
                raise self._refuse(f"the tests use {name}.{attribute}, which")

            behind = {f"__{one}__": _refusing(self._refuse, one) for one in _BEHIND}
            own = {"__getattr__": missing, "__bool__": lambda own: True, **behind}
            self._classes[key] = make_dataclass(name, fields, namespace=own, unsafe_hash=True)
            self._classes[key].__module__ = "solution"
        return self._classes[key]


def _refusing(refuse: Refuse, operator: str) -> Callable[..., Any]:
    def refused(own: Any, *_: Any) -> Any:
        raise refuse(f"the tests use the operator {operator} of {type(own).__name__}, which")

    return refused


def _refused(own: Any, *_: Any) -> Any:
    raise own._refuse(f"the tests use {own}, or an operator of it, which")


for _operator in _BEHIND:
    for _class in (ProgramFunction, EnumMember):
        setattr(_class, f"__{_operator}__", _refused)

"""Types and attributes of untrusted objects, read without running any of their code.

Attributes are read by functions written in C that belong to an object's type. Types are compared by
identity, and looked up in the modules that are loaded.

This file goes into the sandbox; see `writer` about imports.
"""

from __future__ import annotations

import sys

# Bound here: a program that replaces one of these in `builtins` breaks nothing below.
from builtins import ascii, dict, frozenset, id, len, map, object, str, tuple, type  # noqa: UP029

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

_MODULE: Final = type(sys)
_MODULES: Final = sys.modules  # this dict, whatever a program binds `sys.modules` to
_GETSET: Final = type(type.__dict__["__dict__"])
_MEMBER: Final = type(type.__dict__["__basicsize__"])
METHOD: Final = type(str.lower)
WRAPPER: Final = type(object.__str__)

_module_dict: Final = type.__dict__["__dict__"].__get__(_MODULE)["__dict__"].__get__
_class_dict: Final = type.__dict__["__dict__"].__get__
_class_mro: Final = type.__dict__["__mro__"].__get__
_raw_type_name: Final = type.__dict__["__name__"].__get__
_LAYOUT: Final = [
    type.__dict__[f"__{name}__"].__get__
    for name in ("basicsize", "itemsize", "dictoffset", "weakrefoffset")
]
_POINTER: Final = 8
_OBJECT_SIZE: Final = object.__basicsize__

# Ids, because looking a type up by itself would hash it.
_TEXT: Final = frozenset([id(str)])


def type_name(value: object) -> str:
    """Name a value's type without running any code of that type.

    A metaclass can lie about `__name__`, and a name can be a subclass of `str` with methods of
    its own: neither is used.
    """
    return ascii(class_name(type(value))[:100])[1:-1]


def class_name(kind: type) -> str:
    """The name of a class, as an exact `str`."""
    return str.__str__(_raw_type_name(kind))


def namespace(module_name: str) -> dict[str, Any]:
    """The names in a loaded module; empty if it is not loaded, or is not a module any more."""
    module = _MODULES.get(module_name)
    return _module_dict(module) if type(module) is _MODULE else {}


def read(owner: type, name: str, value: object) -> Any:
    """Read an attribute that is implemented in C.

    Raises:
        TypeError: It is not implemented in C.
    """
    descriptor = _class_dict(owner)[name]
    if type(descriptor) is not _GETSET and type(descriptor) is not _MEMBER:
        raise TypeError(name)
    return descriptor.__get__(value)


def method(owner: type, name: str, kind: type) -> Callable[..., Any]:
    """Find a method that is implemented in C.

    Raises:
        TypeError: It is not implemented in C.
    """
    found: Callable[..., Any] = _class_dict(owner)[name]
    if type(found) is not kind:
        raise TypeError(name)
    return found


def instance_dict(value: object, kind: type) -> dict[str, Any]:
    """The instance attributes of an object, bypassing properties and hooks; {} without a dict."""
    for base in _class_mro(kind):
        descriptor = _class_dict(base).get("__dict__")
        if type(descriptor) is _GETSET:
            own = descriptor.__get__(value)
            # Other keys than plain strings would compare themselves with the ones looked up.
            if type(own) is not dict or not _TEXT.issuperset(map(id, map(type, own))):
                raise TypeError("__dict__")
            return own
    return {}


def named_fields(kind: type) -> tuple[str, ...] | None:
    """The fields of a named tuple; None for any other class."""
    if tuple not in _class_mro(kind):
        return None
    for base in _class_mro(kind):
        fields = _class_dict(base).get("_fields")
        if type(fields) is tuple and _TEXT.issuperset(map(id, map(type, fields))):
            return fields
    return None


def fields_of(kind: type) -> list[tuple[str, Any]]:
    """The fields of a dataclass by name, each with its slot's descriptor or None.

    Raises:
        TypeError: It is not a dataclass, or its objects hold more than attributes, like those of a
            subclass of `list`; their size shows that, as in pickling.
    """
    module, fields, n_slots = namespace("dataclasses"), None, 0
    slots: dict[str, Any] = {}
    for base in _class_mro(kind):
        names = _class_dict(base)
        if fields is None:
            fields = names.get("__dataclass_fields__")
        members = {k: v for k, v in names.items() if type(v) is _MEMBER and type(k) is str}
        n_slots += len(members)
        slots = {**members, **slots}
    size, item_size, dict_at, weakrefs_at = [read(kind) for read in _LAYOUT]
    n_pointers = n_slots + (dict_at > 0) + (weakrefs_at > 0)
    if item_size or size != _OBJECT_SIZE + _POINTER * n_pointers:
        raise TypeError("layout")
    if type(fields) is not dict or not _TEXT.issuperset(map(id, map(type, fields))):
        raise TypeError("__dataclass_fields__")
    # Class variables and init-only ones are listed too, with another mark.
    return [
        (name, slots.get(name))
        for name, field in fields.items()
        if read(module["Field"], "_field_type", field) is module["_FIELD"]
    ]


def field_values(
    value: object, kind: type, plan: list[tuple[str, Any]]
) -> Iterable[tuple[str, Any]]:
    """The fields of a dataclass instance by name, as `fields_of` its class found them.

    Raises:
        AttributeError: A field has no value.
    """
    own = instance_dict(value, kind)
    for name, slot in plan:
        if slot is not None:
            yield name, slot.__get__(value)
        elif name in own:
            yield name, own[name]
        else:  # a default that `__init__` leaves on the class
            for base in _class_mro(kind):
                if name in _class_dict(base):
                    yield name, _class_dict(base)[name]
                    break
            else:
                raise AttributeError(name)

"""Writing canonical text, inside the sandbox and outside of it.

The value comes from a program that nobody trusts. So types are told apart by identity, and what
is read of a value is read by functions written in C that belong to the type: no attribute is
looked up on the value, and nothing of it is called, compared, hashed or printed unless its type
is exactly one of the built-in ones. A program may still forge the classes and modules that its
values come from; it thereby forges its own results, which it could have returned right away.

This file alone goes into the sandbox, and every page that a worker loads makes each of its forks
slower: it imports nothing but `sys`, and looks types of other modules up where they are loaded.
"""

from __future__ import annotations

import sys

# Bound here: a program that replaces one of these in `builtins` breaks nothing below.
from builtins import (  # noqa: UP029
    ascii,
    bool,
    bytes,
    complex,
    dict,
    float,
    frozenset,
    hex,
    id,
    int,
    len,
    list,
    map,
    min,
    object,
    ord,
    repr,
    set,
    str,
    tuple,
    type,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

MAX_DEPTH: Final = 100
"""Deepest nesting of containers, for writing and for parsing."""

MAX_CHARS: Final = 1_000_000
"""Longest text, for writing and for parsing, unless the caller says otherwise."""

DECIMAL_BITS: Final = 2048
"""Ints up to this width are decimal: 617 digits, below the 640 that no setting can forbid."""

RESERVED: Final = frozenset(
    ("None", "True", "False", "nan", "inf", "float", "complex", "set", "frozenset", "Decimal",
     "Fraction", "array", "datetime", "np", "math")
)  # fmt: skip
"""Words with a meaning of their own; a dataclass of such a name has its first letter escaped."""

RECORDS: Final[dict[int, Callable[[Writer, Any, int], str]]] = {}
"""How to write what `parse` builds for a program's own classes, by the id of its class; empty in
the sandbox, filled by `values` outside."""

_SMALL: Final = 1 << 63
_TEXT: Final = frozenset([id(str)])  # ids, because looking a type up by itself would hash it

_MODULE: Final = type(sys)
_MODULES: Final = sys.modules  # this dict, whatever a program binds `sys.modules` to
_GETSET: Final = type(type.__dict__["__dict__"])
_MEMBER: Final = type(type.__dict__["__basicsize__"])
_METHOD: Final = type(str.lower)
_WRAPPER: Final = type(object.__str__)

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

NUMPY_SCALARS: Final = (
    "bool", "int8", "int16", "int32", "int64", "longlong", "uint8", "uint16", "uint32", "uint64",
    "ulonglong", "float16", "float32", "float64", "complex64", "complex128", "str_", "bytes_",
)  # fmt: skip
"""The names of numpy's scalar types that have a text; the first was `bool_` before numpy 2."""

_DTYPES: Final = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}


class CanonicalError(ValueError):
    """The value has no canonical text, or the text is none."""


class NotRepresentable(CanonicalError):
    """The value is, or holds, something that is not plain data; the message is the type's name."""


class TooLarge(CanonicalError):
    """The canonical text would be longer than allowed."""


def type_name(value: object) -> str:
    """Name a value's type without running any code of that type.

    A metaclass can lie about `__name__`, and a name can be a subclass of `str` with methods of
    its own: both are passed by.
    """
    return ascii(_class_name(type(value))[:100])[1:-1]


def write(value: object, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH) -> str:
    """Write a value's canonical text.

    Args:
        value: Any object at all.
        max_chars: Longest text allowed; writing stops as soon as it is passed.
        max_depth: Deepest nesting of containers allowed.

    Raises:
        NotRepresentable: The value is or holds something that is not plain data, contains
            itself, or is nested too deeply. The message starts with the offending type's name.
        TooLarge: The text would be longer than `max_chars`.
    """
    kind = type(value)
    text = None
    if kind is int:
        if -_SMALL < value < _SMALL:  # type: ignore[operator]
            text = repr(value)
    elif kind is bool or value is None or kind is float:
        text = repr(value)
    elif kind is str:
        if len(value) <= max_chars:  # type: ignore[arg-type]
            text = ascii(value)
    elif (kind is list or kind is tuple or kind is dict) and (
        _plain(value, kind, max_chars, max_depth) >= 0
    ):
        text = ascii(value)
    if text is None:
        return Writer(max_chars, max_depth).text(value, 0)
    if len(text) > max_chars:
        raise TooLarge(f"more than {max_chars} characters")
    return text


def _plain(value: Any, kind: type, left: int, depth: int) -> int:
    """Tell whether `ascii` writes a list, tuple or dict as its canonical text.

    That holds where nothing is inside but short ints, floats, bools, None, text and more of the
    same containers. One loop in Python to make sure of it, and all writing in C, is faster than
    writing each element.

    Args:
        value: The container.
        kind: Its type: list, tuple or dict, exactly.
        left: Characters that it may have.
        depth: Levels of containers that it may have.

    Returns:
        Characters left, give or take; negative where the answer is no, or not worth finding out.
    """
    if depth <= 0:
        return -1
    left -= 3 * len(value)  # at least an element, a comma and a blank
    if left < 0:
        return -1
    for item in [*value, *value.values()] if kind is dict else value:
        item_kind = type(item)
        if item_kind is int:
            if not -_SMALL < item < _SMALL:
                return -1
        elif item_kind is str:
            left -= len(item)
            if left < 0:
                return -1
        elif item_kind is list or item_kind is tuple or item_kind is dict:
            left = _plain(item, item_kind, left, depth - 1)
            if left < 0:
                return -1
        elif item_kind is not float and item_kind is not bool and item is not None:
            return -1
    return left


class Writer:
    """One call of `write`: what may still be written, and the containers being written."""

    __slots__ = ("left", "max_chars", "max_depth", "open", "plans")

    def __init__(self, max_chars: int, max_depth: int) -> None:
        self.max_chars = max_chars
        self.max_depth = max_depth
        self.left = max_chars
        self.open: set[int] = set()
        self.plans: dict[int, Any] = {}

    def spend(self, n_chars: int) -> None:
        """Count characters as written.

        Raises:
            TooLarge: There are more than allowed.
        """
        self.left -= n_chars
        if self.left < 0:
            raise TooLarge(f"more than {self.max_chars} characters")

    def text(self, value: Any, depth: int) -> str:
        """Write a value that stands `depth` containers deep."""
        # A chain of identity tests, not a table: looking a type up hashes it.
        kind = type(value)
        if kind is int:
            text = repr(value) if -_SMALL < value < _SMALL else self.int_text(value)
        elif kind is str or kind is bytes:
            if len(value) > self.left:
                self.spend(len(value))
            text = ascii(value)
        elif kind is float or kind is bool or value is None:
            text = repr(value)
        elif kind is complex:
            text = f"complex({value.real!r}, {value.imag!r})"
        elif kind is list or kind is tuple or kind is dict or kind is set or kind is frozenset:
            return self.container_text(value, kind, depth)
        else:
            return self.object_text(value, kind, depth)
        self.left -= len(text)
        if self.left < 0:
            self.spend(0)
        return text

    def int_text(self, value: int) -> str:
        """Write an int: decimal conversion of a wide one takes quadratic time."""
        n_bits = value.bit_length()
        if n_bits <= DECIMAL_BITS:
            return repr(value)
        if n_bits // 4 > self.left:
            self.spend(n_bits // 4)
        return hex(value)

    def enter(self, value: object, depth: int) -> int:
        """Open a container and give the depth of what it holds; `leave` closes it."""
        if depth >= self.max_depth:
            raise NotRepresentable(f"{type_name(value)} (nested deeper than {self.max_depth})")
        if id(value) in self.open:
            raise NotRepresentable(f"{type_name(value)} (contains itself)")
        self.open.add(id(value))
        return depth + 1

    def leave(self, value: object, text: str, left_before: int) -> str:
        """Close a container; what stands around its elements has not been counted yet."""
        self.open.discard(id(value))
        self.spend(len(text) - (left_before - self.left))
        return text

    def container_text(self, value: Any, kind: type, depth: int) -> str:
        """Write one of the built-in containers."""
        is_sequence = kind is list or kind is tuple
        # Not deeper, or each level of a deep value would look at everything below it.
        levels = min(2, self.max_depth - depth)
        if (is_sequence or kind is dict) and _plain(value, kind, self.left, levels) >= 0:
            return self.spent(ascii(value))
        left_before = self.left
        inner = self.enter(value, depth)
        if kind is dict:
            pairs = [f"{self.text(k, inner)}: {self.text(v, inner)}" for k, v in value.items()]
            text = "{" + ", ".join(pairs) + "}"
        elif is_sequence:
            body = ", ".join([self.text(item, inner) for item in value])
            comma = "," if kind is tuple and len(value) == 1 else ""
            text = f"[{body}]" if kind is list else f"({body}{comma})"
        else:
            items = [self.text(item, inner) for item in value]
            items.sort()
            text = "{" + ", ".join(items) + "}" if items else "set()"
            if kind is frozenset:
                text = f"frozenset({text})" if items else "frozenset()"
        return self.leave(value, text, left_before)

    def object_text(self, value: Any, kind: type, depth: int) -> str:
        """Write what is no built-in: a record, a dataclass, an enum member, a date, an array."""
        record = RECORDS.get(id(kind))
        if record is not None:
            return record(self, value, depth)
        meta = type(kind)
        name = _class_name(kind)
        try:
            if meta is _namespace("enum").get("EnumType"):
                own = _instance_dict(value, kind)
                return self.enum_text(value, name, own["_name_"], own["_value_"], depth)
            if meta is type or meta is _namespace("abc").get("ABCMeta"):
                found = _KINDS.get(name)
                if found is not None:
                    module = _namespace(found[0])
                    if module.get(name) is kind:
                        return found[1](self, value, name, module, depth)
                plan = self.plans.get(id(kind))
                if plan is None:
                    self.plans[id(kind)] = plan = _fields(kind)
                fields = _field_values(value, kind, plan)
                return self.dataclass_text(value, name, fields, depth)
        except (AttributeError, KeyError, TypeError):  # an object of a class that was tampered with
            pass
        raise NotRepresentable(type_name(value))

    def dataclass_text(
        self, value: object, name: str, fields: Iterable[tuple[str, Any]], depth: int
    ) -> str:
        """Write `Name(x=1, y=[2])`."""
        left_before = self.left
        inner = self.enter(value, depth)
        texts = [f"{_word(field)}={self.text(item, inner)}" for field, item in fields]
        text = f"{_word(name, RESERVED)}({', '.join(texts)})"
        return self.leave(value, text, left_before)

    def enum_text(
        self, value: object, kind_name: str, name: str | None, inner: object, depth: int
    ) -> str:
        """Write `<Color.RED: 1>`, `<Mode.R|W: 3>`, or `<Mode: 0>` for what has no name."""
        left_before = self.left
        inner_text = self.text(inner, self.enter(value, depth))
        if name is not None and type(name) is not str:
            raise NotRepresentable(type_name(value))
        dotted = "" if name is None else "." + "|".join([_word(part) for part in name.split("|")])
        text = f"<{_word(kind_name)}{dotted}: {inner_text}>"
        return self.leave(value, text, left_before)

    def array_text(
        self, value: object, dtype: str, shape: tuple[int, ...], items: list[Any], depth: int
    ) -> str:
        """Write `array([1, 2, 3, 4], dtype='int64', shape=(2, 2))`."""
        left_before = self.left
        self.enter(value, depth)
        body = self.container_text(items, list, depth)
        text = f"array({body}, dtype={dtype!a}, shape={shape!a})"
        return self.leave(value, text, left_before)

    def call_text(self, head: str, value: object, depth: int) -> str:
        """Write `head(value)` for a head that needs no escape."""
        self.spend(len(head) + 2)
        return f"{head}({self.text(value, depth)})"

    def moment_text(self, value: Any, name: str, module: dict[str, Any], depth: int) -> str:
        """Write a date, time, datetime or timedelta."""
        parts = [repr(_read(module[owner], part, value)) for owner, part in _PARTS[name]]
        if name == "datetime" or name == "time":
            zone = _read(module[name], "tzinfo", value)
            if zone is not None:
                if type(zone) is not module["timezone"]:
                    raise NotRepresentable(type_name(zone))
                parts.append(f"tzinfo={_zone_text(zone, module)}")
            if _read(module[name], "fold", value):
                parts.append("fold=1")
        return self.spent(f"datetime.{name}({', '.join(parts)})")

    def zone_text(self, value: Any, name: str, module: dict[str, Any], depth: int) -> str:
        """Write a timezone of a fixed offset."""
        return self.spent(_zone_text(value, module))

    def decimal_text(self, value: Any, name: str, module: dict[str, Any], depth: int) -> str:
        """Write a Decimal as it is, trailing zeros included."""
        digits = _method(module[name], "__str__", _WRAPPER)(value)
        # The program's decimal context chooses between e and E.
        return self.spent(f"Decimal('{digits.replace('e', 'E')}')")

    def fraction_text(self, value: Any, name: str, module: dict[str, Any], depth: int) -> str:
        """Write a Fraction."""
        left_before = self.left
        parts = [_read(module[name], part, value) for part in ("_numerator", "_denominator")]
        if type(parts[0]) is not int or type(parts[1]) is not int:
            raise NotRepresentable(type_name(value))
        text = f"Fraction({self.text(parts[0], depth)}, {self.text(parts[1], depth)})"
        self.spend(len(text) - (left_before - self.left))
        return text

    def numpy_array_text(self, value: Any, name: str, module: dict[str, Any], depth: int) -> str:
        """Write an array: dtype and shape exactly, but neither byte order nor memory layout."""
        array = module[name]
        dtype = _read(array, "dtype", value)
        letter = _read(module["dtype"], "kind", dtype)
        size = _read(module["dtype"], "itemsize", dtype)
        if letter in "biufc" and size <= (16 if letter == "c" else 8):
            dtype_name = _DTYPES[letter] + ("" if letter == "b" else str(8 * size))
        elif letter in "US":
            dtype_name = letter + str(size // 4 if letter == "U" else size)
        elif letter == "O":
            dtype_name = "object"
        else:
            raise NotRepresentable(f"ndarray (dtype of kind {letter!r})")
        self.spend(n_chars := 3 * _read(array, "size", value))  # at least; refuse before copying
        self.left += n_chars
        items = _method(array, "tolist", _METHOD)(_method(array, "ravel", _METHOD)(value))
        return self.array_text(value, dtype_name, _read(array, "shape", value), items, depth)

    def numpy_scalar_text(self, value: Any, name: str, module: dict[str, Any], depth: int) -> str:
        """Write `np.float64(1.0)`."""
        item = _method(module["generic"], "item", _METHOD)(value)
        return self.call_text("np.bool" if name == "bool_" else f"np.{name}", item, depth)

    def spent(self, text: str) -> str:
        """Count a text as written, and hand it on."""
        self.spend(len(text))
        return text


_DATE: Final = [("date", "year"), ("date", "month"), ("date", "day")]
_CLOCK: Final = ("hour", "minute", "second", "microsecond")
_PARTS: Final = {
    "date": _DATE,
    "datetime": _DATE + [("datetime", part) for part in _CLOCK],
    "time": [("time", part) for part in _CLOCK],
    "timedelta": [("timedelta", part) for part in ("days", "seconds", "microseconds")],
}
_KINDS: Final[dict[str, tuple[str, Callable[..., str]]]] = {
    **dict.fromkeys(_PARTS, ("datetime", Writer.moment_text)),
    "timezone": ("datetime", Writer.zone_text),
    "Decimal": ("decimal", Writer.decimal_text),
    "Fraction": ("fractions", Writer.fraction_text),
    "ndarray": ("numpy", Writer.numpy_array_text),
    **dict.fromkeys((*NUMPY_SCALARS, "bool_"), ("numpy", Writer.numpy_scalar_text)),
}
"""By the name of a class: the module that it must be found in, and how to write its objects."""


def _class_name(kind: type) -> str:
    return str.__str__(_raw_type_name(kind))


def _word(name: str, reserved: frozenset[str] = frozenset()) -> str:
    """Make a name a word of letters, digits and `_`, the rest as `\\U` and eight hex digits."""
    if name.isascii() and name.isidentifier() and name not in reserved:
        return name
    if not name:
        raise NotRepresentable("a class or field without a name")
    letters = [c if c == "_" or (c.isascii() and c.isalnum()) else f"\\U{ord(c):08x}" for c in name]
    if name in reserved or name[0] in "0123456789":
        letters[0] = f"\\U{ord(name[0]):08x}"
    return "".join(letters)


def _namespace(module_name: str) -> dict[str, Any]:
    """The names in a loaded module; none where it is not loaded, or is no module any more."""
    module = _MODULES.get(module_name)
    return _module_dict(module) if type(module) is _MODULE else {}


def _read(owner: type, name: str, value: object) -> Any:
    """Read an attribute that is implemented in C; a TypeError where it is not that."""
    descriptor = _class_dict(owner)[name]
    if type(descriptor) is not _GETSET and type(descriptor) is not _MEMBER:
        raise TypeError(name)
    return descriptor.__get__(value)


def _method(owner: type, name: str, kind: type) -> Callable[..., Any]:
    """Find a method that is implemented in C; a TypeError where it is not that."""
    method: Callable[..., Any] = _class_dict(owner)[name]
    if type(method) is not kind:
        raise TypeError(name)
    return method


def _zone_text(zone: object, module: dict[str, Any]) -> str:
    offset, *names = _method(module["timezone"], "__getinitargs__", _METHOD)(zone)
    parts = [_read(module["timedelta"], part, offset) for _, part in _PARTS["timedelta"]]
    if parts == [0, 0, 0] and not names:
        return "datetime.timezone.utc"
    text = f"datetime.timezone(datetime.timedelta({', '.join(map(repr, parts))})"
    if names and type(names[0]) is not str:
        raise NotRepresentable(type_name(names[0]))
    return f"{text}, {names[0]!a})" if names else text + ")"


def _instance_dict(value: object, kind: type) -> dict[str, Any]:
    """The real attributes of an object, past any property or hook; {} where it has no dict."""
    for base in _class_mro(kind):
        descriptor = _class_dict(base).get("__dict__")
        if type(descriptor) is _GETSET:
            own = descriptor.__get__(value)
            # Other keys than plain strings would compare themselves with the ones looked up.
            if type(own) is not dict or not _TEXT.issuperset(map(id, map(type, own))):
                raise TypeError("__dict__")
            return own
    return {}


def _fields(kind: type) -> list[tuple[str, Any]]:
    """The fields of a dataclass by name, each with its slot's descriptor or None.

    Raises:
        TypeError: It is no dataclass, or an object of it holds more than attributes, like a
            subclass of `list`: told by its size, as pickling does.
    """
    module, fields, n_slots = _namespace("dataclasses"), None, 0
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
        if _read(module["Field"], "_field_type", field) is module["_FIELD"]
    ]


def _field_values(
    value: object, kind: type, plan: list[tuple[str, Any]]
) -> Iterable[tuple[str, Any]]:
    own = _instance_dict(value, kind)
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

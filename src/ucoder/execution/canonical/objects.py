"""Canonical text of all but built-in values: dataclasses, enums, dates, numbers, containers.

No attribute is looked up on an object, and nothing of it is called, compared or hashed; it is
read through `reflection`. This file goes into the sandbox; see `writer` about imports.
"""

from __future__ import annotations

# Bound here: a program that replaces one of these in `builtins` breaks nothing below.
from builtins import (  # noqa: UP029
    bool,
    bytes,
    complex,
    dict,
    float,
    frozenset,
    id,
    int,
    len,
    list,
    map,
    object,
    ord,
    repr,
    str,
    tuple,
    type,
    zip,
)

from ucoder.execution.canonical.errors import NotRepresentable
from ucoder.execution.canonical.reflection import (
    METHOD,
    WRAPPER,
    class_name,
    field_values,
    fields_of,
    instance_dict,
    method,
    named_fields,
    namespace,
    read,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final, TypeAlias

    from ucoder.execution.canonical.writer import CanonicalWriter

    Names: TypeAlias = dict[str, Any]  # the global names of a module

RESERVED: Final = frozenset(
    ("None", "True", "False", "nan", "inf", "float", "complex", "set", "frozenset", "Decimal",
     "Fraction", "array", "datetime", "np", "math", "collections", "Counter", "OrderedDict",
     "defaultdict", "deque")
)  # fmt: skip
"""Words of the format itself; a dataclass of such a name has its first letter escaped."""

NUMPY_SCALARS: Final = (
    "bool", "int8", "int16", "int32", "int64", "longlong", "uint8", "uint16", "uint32", "uint64",
    "ulonglong", "float16", "float32", "float64", "complex64", "complex128", "str_", "bytes_",
)  # fmt: skip
"""The numpy scalar types that have a canonical text; the first was `bool_` before numpy 2."""

MAX_FIELDS: Final = 255
"""Named tuples with more fields have no canonical text: making their class takes too long."""

_DTYPES: Final = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}

_dict_items: Final = dict.items
_dict_keys: Final = dict.keys
_tuple_iter: Final = tuple.__iter__
# Ids, because looking a type up by itself would hash it.
_ATOMS: Final = frozenset(map(id, (int, str, float, bool, bytes, complex, type(None))))


def object_text(writer: CanonicalWriter, value: Any, kind: type, depth: int) -> str:
    """Write a dataclass, an enum member, a date, a number, an array or a further container.

    Args:
        writer: The running call of `write`.
        value: The object.
        kind: Its type.
        depth: How many containers enclose it.

    Raises:
        NotRepresentable: It is something else, or holds something that is not plain data.
        TooLarge: The text would be longer than allowed.
    """
    meta = type(kind)
    name = class_name(kind)
    try:
        if meta is namespace("enum").get("EnumType"):
            own = instance_dict(value, kind)
            return enum_text(writer, value, name, own["_name_"], own["_value_"], depth)
        if meta is type or meta is namespace("abc").get("ABCMeta"):
            found = _KINDS.get(name)
            if found is not None:
                module = namespace(found[0])
                if module.get(name) is kind:
                    return found[1](writer, value, name, module, depth)
            named = named_fields(kind)
            if named is not None:
                return named_text(writer, value, name, named, depth)
            plan = writer.plans.get(id(kind))
            if plan is None:
                writer.plans[id(kind)] = plan = fields_of(kind)
            return dataclass_text(writer, value, name, field_values(value, kind, plan), depth)
    except (AttributeError, KeyError, TypeError):  # an object of a class that was tampered with
        pass
    raise NotRepresentable(type_name(value))


def dataclass_text(
    writer: CanonicalWriter, value: object, name: str, fields: Iterable[tuple[str, Any]], depth: int
) -> str:
    """Write `Name(x=1, y=[2])`."""
    left_before = writer.left
    inner = writer.enter(value, depth)
    texts = [f"{_word(field)}={writer.text(item, inner)}" for field, item in fields]
    return writer.leave(value, f"{_word(name, RESERVED)}({', '.join(texts)})", left_before)


def named_text(
    writer: CanonicalWriter, value: Any, name: str, fields: tuple[str, ...], depth: int
) -> str:
    """Write `tuple.Name(x=1, y=2)`."""
    items = [*_tuple_iter(value)]
    if len(items) != len(fields) or len(items) > MAX_FIELDS or instance_dict(value, type(value)):
        raise NotRepresentable(type_name(value))
    pairs = list(zip(fields, items, strict=True))
    writer.spend(len("tuple."))
    return "tuple." + dataclass_text(writer, value, name, pairs, depth)


def enum_text(
    writer: CanonicalWriter,
    value: object,
    kind_name: str,
    name: str | None,
    inner: object,
    depth: int,
) -> str:
    """Write `<Color.RED: 1>`, `<Mode.R|W: 3>`, or `<Mode: 0>` for a member without a name."""
    left_before = writer.left
    inner_text = writer.text(inner, writer.enter(value, depth))
    if name is not None and type(name) is not str:
        raise NotRepresentable(type_name(value))
    dotted = "" if name is None else "." + "|".join([_word(part) for part in name.split("|")])
    return writer.leave(value, f"<{_word(kind_name)}{dotted}: {inner_text}>", left_before)


def array_text(
    writer: CanonicalWriter,
    value: object,
    dtype: str,
    shape: tuple[int, ...],
    items: list[Any],
    depth: int,
) -> str:
    """Write `array([1, 2, 3, 4], dtype='int64', shape=(2, 2))`."""
    left_before = writer.left
    writer.enter(value, depth)
    body = writer.container_text(items, list, depth)
    text = f"array({body}, dtype={dtype!a}, shape={shape!a})"
    return writer.leave(value, text, left_before)


def scalar_text(writer: CanonicalWriter, name: str, item: object, depth: int) -> str:
    """Write `np.float64(1.0)`."""
    writer.spend(len(name) + 5)
    return f"np.{name}({writer.text(item, depth)})"


def _mapping(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    """A Counter or a defaultdict: its items only."""
    return _items_text(writer, value, name, [*_dict_items(value)], depth)


def _ordered(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    """An OrderedDict in its own order, which may differ from that of the dict beneath."""
    keys = [*_dict_keys(value)]
    if not are_flat(keys):  # its iterator hashes every key to look it up
        raise TypeError("keys with code of their own")
    try:
        items = [*method(module[name], "items", METHOD)(value)]
    except RuntimeError:  # changed through methods of `dict`
        items = []
    if len(items) != len(keys):
        raise TypeError("tampered with")
    return _items_text(writer, value, name, items, depth)


def are_flat(keys: list[Any]) -> bool:
    """Whether all are built-in scalars, or tuples of such."""
    parts: list[Any] = []
    for key in keys:
        parts += key if type(key) is tuple else (key,)
    return _ATOMS.issuperset(map(id, map(type, parts)))


def _items_text(
    writer: CanonicalWriter, value: object, name: str, items: list[tuple[Any, Any]], depth: int
) -> str:
    left_before = writer.left
    inner = writer.enter(value, depth)
    pairs = [f"{writer.text(k, inner)}: {writer.text(v, inner)}" for k, v in items]
    return writer.leave(value, f"{name}({{{', '.join(pairs)}}})", left_before)


def _deque(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    left_before = writer.left
    writer.enter(value, depth)
    items = [*method(module[name], "__iter__", WRAPPER)(value)]
    return writer.leave(value, f"deque({writer.container_text(items, list, depth)})", left_before)


def _moment(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    """A date, time, datetime or timedelta."""
    parts = [repr(read(module[owner], part, value)) for owner, part in _PARTS[name]]
    if name == "datetime" or name == "time":
        zone = read(module[name], "tzinfo", value)
        if zone is not None:
            if type(zone) is not module["timezone"]:
                raise NotRepresentable(type_name(zone))
            parts.append(f"tzinfo={_zone_text(zone, module)}")
        if read(module[name], "fold", value):
            parts.append("fold=1")
    return writer.spent(f"datetime.{name}({', '.join(parts)})")


def _zone(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    """A timezone of a fixed offset."""
    return writer.spent(_zone_text(value, module))


def _zone_text(zone: object, module: Names) -> str:
    offset, *names = method(module["timezone"], "__getinitargs__", METHOD)(zone)
    parts = [read(module["timedelta"], part, offset) for _, part in _PARTS["timedelta"]]
    if parts == [0, 0, 0] and not names:
        return "datetime.timezone.utc"
    text = f"datetime.timezone(datetime.timedelta({', '.join(map(repr, parts))})"
    if names and type(names[0]) is not str:
        raise NotRepresentable(type_name(names[0]))
    return f"{text}, {names[0]!a})" if names else text + ")"


def _decimal(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    """A Decimal as it is, trailing zeros included."""
    digits = method(module[name], "__str__", WRAPPER)(value)
    # The program's decimal context chooses between e and E.
    return writer.spent(f"Decimal('{digits.replace('e', 'E')}')")


def _fraction(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    left_before = writer.left
    parts = [read(module[name], part, value) for part in ("_numerator", "_denominator")]
    if type(parts[0]) is not int or type(parts[1]) is not int:
        raise NotRepresentable(type_name(value))
    text = f"Fraction({writer.text(parts[0], depth)}, {writer.text(parts[1], depth)})"
    writer.spend(len(text) - (left_before - writer.left))
    return text


def _numpy_array(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    """An array: dtype and shape exactly, but neither byte order nor memory layout."""
    array = module[name]
    dtype = read(array, "dtype", value)
    letter = read(module["dtype"], "kind", dtype)
    size = read(module["dtype"], "itemsize", dtype)
    if letter in "biufc" and size <= (16 if letter == "c" else 8):
        dtype_name = _DTYPES[letter] + ("" if letter == "b" else str(8 * size))
    elif letter in "US":
        dtype_name = letter + str(size // 4 if letter == "U" else size)
    elif letter == "O":
        dtype_name = "object"
    else:
        raise NotRepresentable(f"ndarray (dtype of kind {letter!r})")
    writer.spend(n_chars := 3 * read(array, "size", value))  # at least; refuse before copying
    writer.left += n_chars
    items = method(array, "tolist", METHOD)(method(array, "ravel", METHOD)(value))
    return array_text(writer, value, dtype_name, read(array, "shape", value), items, depth)


def _numpy_scalar(writer: CanonicalWriter, value: Any, name: str, module: Names, depth: int) -> str:
    item = method(module["generic"], "item", METHOD)(value)
    return scalar_text(writer, "bool" if name == "bool_" else name, item, depth)


_DATE: Final = [("date", "year"), ("date", "month"), ("date", "day")]
_CLOCK: Final = ("hour", "minute", "second", "microsecond")
_PARTS: Final = {
    "date": _DATE,
    "datetime": _DATE + [("datetime", part) for part in _CLOCK],
    "time": [("time", part) for part in _CLOCK],
    "timedelta": [("timedelta", part) for part in ("days", "seconds", "microseconds")],
}
_KINDS: Final[dict[str, tuple[str, Callable[..., str]]]] = {
    **dict.fromkeys(_PARTS, ("datetime", _moment)),
    "timezone": ("datetime", _zone),
    "Decimal": ("decimal", _decimal),
    "Fraction": ("fractions", _fraction),
    "Counter": ("collections", _mapping),
    "defaultdict": ("collections", _mapping),
    "OrderedDict": ("collections", _ordered),
    "deque": ("collections", _deque),
    "ndarray": ("numpy", _numpy_array),
    **dict.fromkeys((*NUMPY_SCALARS, "bool_"), ("numpy", _numpy_scalar)),
}
"""By the name of a class: the module that it must be found in, and how to write its objects."""


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

"""Hostile values: none of their code runs, and writing them always ends in a bounded way."""

from __future__ import annotations

import builtins
import dataclasses
import datetime
import dis
import enum
import subprocess
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ucoder.execution import payload
from ucoder.execution.canonical import (
    NotRepresentable,
    TooLarge,
    errors,
    objects,
    reflection,
    type_name,
    write,
    writer,
)

MODULES = [errors, objects, reflection, writer]


def refuse(*args: Any) -> Any:
    raise SystemExit


METHODS = dict.fromkeys(
    ["__hash__", "__eq__", "__getattribute__", "__instancecheck__", "__repr__", "__str__",
     "__iter__", "__len__", "__reduce__", "__reduce_ex__", "__bool__", "__lt__", "__index__",
     "__getattr__", "__format__", "__sizeof__", "__dir__", "__subclasscheck__"],
    refuse,
)  # fmt: skip


def liar(*bases: type, **names: Any) -> Any:
    """An object that raises whatever is asked of it or of its class.

    Made here, because at module level pytest would ask it.
    """
    hostile = type("Hostile", (type,), METHODS)
    made = hostile("Liar", bases, {**METHODS, **names})
    return (bases[0] if bases else object).__new__(made)


WRAPS = [
    lambda x: x,
    lambda x: [x],
    lambda x: (1, x),
    lambda x: {1: (x,)},
    lambda x: [[x] * 100],
    lambda x: dataclasses.make_dataclass("Holder", ["x"])(x),
]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize(
    "base", [None, int, str, float, list, dict, tuple, bytes, Decimal, Counter, OrderedDict, deque]
)
def test_no_code_of_a_hostile_class_runs(wrap: Any, base: type | None) -> None:
    with pytest.raises(NotRepresentable, match=r"^Liar$"):
        write(wrap(liar(base) if base else liar()))


@pytest.mark.parametrize("base", [int, str, float, list, dict, set, tuple, bytes, complex])
def test_subclasses_of_plain_types_are_not_plain(base: type) -> None:
    with pytest.raises(NotRepresentable, match=r"^Sub$"):
        write(type("Sub", (base,), {})())


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_dataclass_with_hostile_methods_is_written_without_them(wrap: Any) -> None:
    made = dataclasses.make_dataclass("Evil", ["x"], namespace=METHODS, eq=False, repr=False)
    evil = object.__new__(made)
    object.__setattr__(evil, "x", 1)
    assert "Evil(x=1)" in write(wrap(evil))


def test_a_class_that_claims_to_be_another_is_recognised_by_its_real_type() -> None:
    class Fake:
        __class__ = int  # type: ignore[assignment]

    assert isinstance(Fake(), int)
    with pytest.raises(NotRepresentable, match=r"^Fake$"):
        write([Fake()])


@dataclasses.dataclass
class Point:
    x: int = 1


def tampered(**names: Any) -> Any:
    made = object.__new__(type("Point", (Point,), names))
    Point.__dict__["__dict__"].__get__(made)["x"] = 1
    return made


class EvilName(str):
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise SystemExit


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {"x": 1},
        {"x": dataclasses.fields(Point)[0], "y": lambda: 1},
        {1: dataclasses.fields(Point)[0]},
        {EvilName("x"): dataclasses.fields(Point)[0]},
        {"missing": dataclasses.fields(Point)[0]},
        "a dict with methods of its own",  # made in the test: pytest would ask it
    ],
)
def test_a_forged_list_of_fields_is_refused(fields: Any) -> None:
    if isinstance(fields, str):
        fields = type("Dict", (dict,), METHODS)()
    with pytest.raises(NotRepresentable, match=r"^Point$"):
        write(tampered(__dataclass_fields__=fields))


def test_a_property_named_as_a_field_is_not_called() -> None:
    value = tampered(x=property(refuse))
    assert write(value) == "Point(x=1)"
    del value.__dict__["x"]
    with pytest.raises(NotRepresentable, match=r"^property$"):
        write(value)


def test_a_lying_dict_attribute_is_ignored() -> None:
    value = tampered(__dict__=property(refuse), __getattribute__=refuse)
    assert write(value) == "Point(x=1)"


def test_an_instance_dict_of_another_type_is_refused() -> None:
    value = Point()
    value.__dict__ = type("Dict", (dict,), METHODS)({"x": 1})
    with pytest.raises(NotRepresentable, match=r"^Point$"):
        write(value)
    value.__dict__ = {EvilName("x"): 1}
    with pytest.raises(NotRepresentable, match=r"^Point$"):
        write(value)


def test_empty_slots_and_foreign_slots_are_refused() -> None:
    slotted = dataclasses.make_dataclass("Slotted", ["a"], slots=True)
    with pytest.raises(NotRepresentable, match=r"^Slotted$"):
        write(object.__new__(slotted))
    other = type("Other", (), {"__slots__": ("x",)})
    with pytest.raises(NotRepresentable, match=r"^Point$"):
        write(tampered(x=other.__dict__["x"]))


def test_a_tampered_enum_member_does_no_harm() -> None:
    class Color(enum.Enum):
        RED = 1

    own = Color.RED.__dict__
    Color.__getattribute__ = refuse  # type: ignore[method-assign]
    assert write(Color.RED) == "<Color.RED: 1>"
    for names in ({"_name_": 5}, {"_value_": Color.RED}, {"_value_": lambda: 1}, {"_name_": ""}):
        before = dict(own)
        own.update(names)
        with pytest.raises(NotRepresentable):
            write(Color.RED)
        own.update(before)
    own.clear()
    with pytest.raises(NotRepresentable, match=r"^Color$"):
        write(Color.RED)


def test_a_class_forged_into_a_module_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (("datetime", "date"), ("decimal", "Decimal"), ("fractions", "Fraction"),
                         ("datetime", "timezone"), ("datetime", "datetime")):  # fmt: skip
        forged = type(name, (), {**METHODS, "year": property(refuse), "tolist": refuse})
        monkeypatch.setattr(f"{module}.{name}", forged)
        with pytest.raises(NotRepresentable, match=f"^{name}$"):
            write(forged())


def test_replaced_modules_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        __getattr__ = __getattribute__ = refuse

    day = datetime.date(2020, 1, 2)
    for name in ("datetime", "enum", "dataclasses", "abc", "decimal"):
        monkeypatch.setitem(sys.modules, name, Module())
    with pytest.raises(NotRepresentable, match=r"^date$"):
        write(day)
    with pytest.raises(NotRepresentable, match=r"^Point$"):
        write(Point())


def test_replaced_builtins_do_no_harm() -> None:
    moment = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    value = [1, "a", {2: [3.5, {4}]}, 1 << 3000, Point(), moment, Decimal(1), Fraction(1),
             Counter("a"), OrderedDict({(1, 2): 3}), defaultdict(int), deque([{1}])]  # fmt: skip
    before = write(value)
    names = vars(builtins)
    kept = dict(names)
    # Not by a fixture: between these lines nothing else may run.
    names.update(dict.fromkeys(writer_builtins(), refuse))
    try:
        after = write(value)
    finally:
        names.update(kept)
    assert after == before


def writer_builtins() -> list[str]:
    names = {name: value for module in MODULES for name, value in vars(module).items()}
    return [name for name, value in vars(builtins).items() if names.get(name) is value]


def used_names(code: types.CodeType) -> set[str]:
    inner = [used_names(item) for item in code.co_consts if isinstance(item, types.CodeType)]
    steps = dis.get_instructions(code)
    return {step.argval for step in steps if step.opname == "LOAD_GLOBAL"}.union(*inner)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_builtin_that_is_used_is_bound_beforehand(module: types.ModuleType) -> None:
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    functions = [
        code for code in compile(source, "", "exec").co_consts if isinstance(code, types.CodeType)
    ]
    used = set().union(*map(used_names, functions)) & set(vars(builtins))
    is_error = [name for name in used if name.endswith("Error")]
    assert used - vars(module).keys() <= {*is_error}


def test_names_never_run_code_and_never_collide() -> None:
    odd = type("Odd", (str,), {**METHODS, "__hash__": str.__hash__})
    value = type("x", (), {})()
    type(value).__name__ = odd("a(b")
    assert type_name(value) == "a(b"
    names = ["a", "é", "set", "1", "a b", "x" * 300, "\ud800", "\\U000000e9", "a.b", "|"]
    classes = [type(name, (Point,), {}) for name in names if name.isprintable()]
    texts = [write(made()) for made in classes]
    assert len(set(texts)) == len(classes)
    with pytest.raises(NotRepresentable, match="without a name"):
        write(type("", (Point,), {})())


def test_long_texts_stop_early() -> None:
    long = "x" * 10**6
    with pytest.raises(TooLarge):
        write([long] * 10**6)
    with pytest.raises(TooLarge):
        write({1: {2: [long, {3}] * 10**6}})
    with pytest.raises(TooLarge):
        write([1 << 10**8])


def test_the_writer_loads_nothing_but_itself(tmp_path: Path) -> None:
    for name, path in payload.FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    code = (
        "import sys, __future__; before = set(sys.modules); sys.path = [sys.argv[1]]\n"
        "import ucoder.execution.canonical.writer\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "ucoder.execution.canonical.writer" in loaded
    assert [name for name in loaded if name.split(".")[0] != "ucoder"] == []

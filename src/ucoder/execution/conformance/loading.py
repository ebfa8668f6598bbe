"""Attacks as data: every attack is a TOML file in the folder of the property that it attacks.

`attacks/network/tcp.toml` is the attack `tcp` on `Property.NETWORK`:

    tries = "connects to a TCP port of this machine"
    target = "listener"
    expect.calls = ["denied"]
    program = '''
    import socket
    def f():
        socket.create_connection(("127.0.0.1", PORT), 0.3)
    '''

To add an attack is to add a file. The keys of a file:

- `tries`: what the attack attempts, in one phrase. Required.
- `program`: the hostile program. Its function `f` is called. Required.
- `inputs`: the arguments of the calls, as canonical texts; a number n means `(0,)` to `(n-1,)`.
  One call without arguments where the key is absent.
- `then`: a program (or a list of programs) that is run afterwards and called once.
- `tests`: a test script; the program is checked against it instead of being called.
- `script`: true for a program that holds its own tests and is run as one script.
- `target`: a target outside (`targets.TARGETS`); its names are global variables of the programs.
- `quick`: true for attacks of the short version.
- `harmless`: true if the attack may run where nothing stops it, because it can reach nothing but
  targets of the suite.
- `expect.KEY`: what must be seen. Required. A key is an attribute of `judges.Expectation`, with
  ends of calls as `judges.call_ends` reads them, or a list where several ends are allowed;
  `expect.every_call` is the same end for every call; `expect.verdict` is "passed" or "failed".
- `values.NAME`: a text that replaces `{NAME}` in the file's other texts. `["x", 1000]` repeats a
  text; `{ code_point = 0xD800 }` is a character that TOML cannot hold; `{ x86_64 = 1,
  aarch64 = 2 }` depends on the machine, and on any other machine the attack is left out.
- `[[attack]]`: attacks that differ by a few keys, in one file. Each has a `name` and
  overrides the file's keys; its values may use the file's values.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ucoder.errors import InvalidArgument
from ucoder.execution.conformance.claims import Property
from ucoder.execution.conformance.judges import CallEnds, Expectation, Judge, call_ends
from ucoder.execution.conformance.targets import TARGETS, OpenTarget
from ucoder.execution.outcomes import ProgramStatus, Verdict
from ucoder.execution.protocol import STANDARD_BUDGET, Budget


@dataclass(frozen=True, slots=True)
class Program:
    """One program of an attack.

    Attributes:
        source: The program's text. Its entry point is `f`.
        inputs: What `f` is called on, as canonical texts.
        tests: A test script: the program is checked against it instead of being called.
        is_script: Whether it is run as one script that holds its own tests.
    """

    source: str
    inputs: tuple[str, ...] = ("()",)
    tests: str | None = None
    is_script: bool = False


AMPLE_TIME: Final = Budget(call_timeout_s=10.0, program_timeout_s=20.0)
"""For programs that are expected to end by themselves, or by another limit than that of time."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attempt of hostile programs on one property.

    Attributes:
        name: A name that no other attack has, in lower case with hyphens.
        property: The property that is attacked.
        tries: What the attack attempts, in one phrase.
        programs: What is run, one after the other by the same executor.
        judge: Returns from the reports why the attack was not held.
        target: Makes the target outside, for an attack that has one.
        quick: Whether the attack belongs to the short version.
        harmless: Whether it may run where nothing stops it, because it can reach nothing but
            targets of the suite.
        budget: The time of its programs. Short where a timeout is among the expected ends; ample
            everywhere else, so that a slow machine is not taken for a broken sandbox.
    """

    name: str
    property: Property
    tries: str
    programs: tuple[Program, ...]
    judge: Judge
    target: OpenTarget | None = None
    quick: bool = False
    harmless: bool = False
    budget: Budget = AMPLE_TIME


def load_attacks(folder: Path) -> tuple[Attack, ...]:
    """Read every attack of a folder, ordered by property, then by the name of the file.

    Args:
        folder: Holds one folder for each property, named as `Property.folder`.

    Raises:
        InvalidArgument: A file is not an attack, or two attacks share a name; the message names
            the file and what is wrong in it.
    """
    attacks: dict[str, Attack] = {}
    for path in _files(folder):
        property = _FOLDERS[path.parent.name]
        try:
            for attack in _read(path, property):
                if attack.name in attacks:
                    raise InvalidArgument(f"there is already an attack named {attack.name!r}")
                attacks[attack.name] = attack
        except ValueError as error:  # of TOML, of UTF-8, or of the attack
            raise InvalidArgument(f"{path}: {error}") from error
    return tuple(attacks.values())


def _files(folder: Path) -> Iterator[Path]:
    if unknown := {path.name for path in folder.iterdir()} - _FOLDERS.keys():
        raise InvalidArgument(
            f"{folder}: {', '.join(sorted(unknown))} is not a property; "
            f"known folders: {', '.join(_FOLDERS)}"
        )
    for name in _FOLDERS:
        yield from sorted((folder / name).glob("*.toml"))


def _read(path: Path, property: Property) -> Iterator[Attack]:
    """Read the attacks of one file: one, named as the file, or those that `[[attack]]` lists."""
    document = tomllib.loads(path.read_text("utf-8"))
    text = str(document)
    variants = document.pop("attack", [{"name": path.stem}])
    _check({**document, "attack": variants}, {**_KEYS, "attack": (list,)})
    shared = document.pop("values", {})
    for variant in variants:
        keys = {**document, **variant}
        _check(keys, _KEYS)
        own = keys.pop("values", {})
        if unused := [name for name in (*shared, *own) if f"{{{name}}}" not in text]:
            raise InvalidArgument(f"nothing uses the values {', '.join(unused)}")
        filled = _fill(_fill(keys, own), shared)
        if filled is not None:
            yield _attack(filled, property)


def _attack(keys: Mapping[str, Any], property: Property) -> Attack:
    if missing := [key for key in _REQUIRED if not keys.get(key)]:
        raise InvalidArgument(f"lacks {', '.join(missing)}")
    _check(keys["expect"], _EXPECTATIONS, "expect.")
    if "target" in keys and keys["target"] not in TARGETS:
        raise InvalidArgument(f"unknown target {keys['target']!r}; known: {', '.join(TARGETS)}")
    if "calls" in keys["expect"] and "every_call" in keys["expect"]:
        raise InvalidArgument("expect.calls and expect.every_call exclude each other")
    inputs = keys.get("inputs", ["()"])
    if isinstance(inputs, int):
        inputs = [f"({number},)" for number in range(inputs)]
    later = keys.get("then", [])
    programs = (
        Program(keys["program"], tuple(inputs), keys.get("tests"), keys.get("script", False)),
        *map(Program, [later] if isinstance(later, str) else later),
    )
    return Attack(
        name=keys["name"],
        property=property,
        tries=keys["tries"],
        programs=programs,
        judge=_expectation(keys["expect"], len(programs[-1].inputs)),
        target=TARGETS[keys["target"]] if "target" in keys else None,
        quick=keys.get("quick", False),
        harmless=keys.get("harmless", False),
        budget=STANDARD_BUDGET if _may_time_out(keys["expect"]) else AMPLE_TIME,
    )


def _may_time_out(table: Mapping[str, Any]) -> bool:
    return "contained" in table or "timed out" in str(table)


def _expectation(table: Mapping[str, Any], n_calls: int) -> Expectation:
    fields: dict[str, Any] = {}
    for key, value in table.items():
        if key == "every_call":
            fields["calls"] = (_ends(value),) * n_calls
        elif key in ("calls", "first_calls"):
            fields[key] = tuple(map(_ends, value))
        elif key == "only_names":
            fields[key] = frozenset(value)
        elif key == "status":
            fields[key] = frozenset(ProgramStatus(text.replace(" ", "_")) for text in value)
        elif key == "verdict":
            if value not in _VERDICTS:
                raise InvalidArgument(f"expect.verdict = {value!r} is not passed or failed")
            fields[key] = _VERDICTS[value]
        else:
            fields[key] = value
    return Expectation(**fields)


def _ends(value: str | list[str]) -> CallEnds:
    texts = [value] if isinstance(value, str) else value
    return tuple(end for text in texts for end in call_ends(text))


def _fill(keys: Any, values: Mapping[str, Any]) -> Any:
    """Put values in the place of their names; None where one is unknown on this machine."""
    for name, value in values.items():
        placeholder = f"{{{name}}}"
        if placeholder in str(keys):
            text = _text(name, value)
            keys = None if text is None else _replace(keys, placeholder, text)
    return keys


def _text(name: str, value: Any) -> str | None:
    match value:
        case str():
            return value
        case [str() as part, int() as n]:
            return part * n
        case {"code_point": int() as number}:
            return chr(number)
        case dict():
            here = value.get(os.uname().machine)
            return None if here is None else str(here)
    raise InvalidArgument(f"values.{name} is not a text, [text, times], or a table: {value!r}")


def _replace(item: Any, placeholder: str, text: str) -> Any:
    if isinstance(item, str):
        return item.replace(placeholder, text)
    if isinstance(item, list):
        return [_replace(one, placeholder, text) for one in item]
    if isinstance(item, dict):
        return {key: _replace(one, placeholder, text) for key, one in item.items()}
    return item


def _check(
    table: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], where: str = ""
) -> None:
    """Refuse keys that are unknown, and values of another type than the key's.

    Raises:
        InvalidArgument: Names the first such key.
    """
    for key, value in table.items():
        if key not in known:
            raise InvalidArgument(f"unknown key {where}{key}; known: {', '.join(known)}")
        types = known[key]
        items = value if isinstance(value, list) else []
        kinds = dict if key == "attack" else str | list
        if type(value) not in types or not all(isinstance(one, kinds) for one in items):
            names = " or ".join(_TYPES[one] for one in types)
            raise InvalidArgument(f"{where}{key} = {value!r} is not {names}")


_TYPES: Final = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: "a list of texts",
    dict: "a table",
}
_KEYS: Final[dict[str, tuple[type, ...]]] = {
    "name": (str,),
    "tries": (str,),
    "quick": (bool,),
    "harmless": (bool,),
    "target": (str,),
    "inputs": (list, int),
    "script": (bool,),
    "values": (dict,),
    "expect": (dict,),
    "program": (str,),
    "tests": (str,),
    "then": (str, list),
}
_EXPECTATIONS: Final[dict[str, tuple[type, ...]]] = {
    "calls": (list,),
    "every_call": (str, list),
    "first_calls": (list,),
    "contained": (bool,),
    "same_answers": (bool,),
    "only_names": (list,),
    "status": (list,),
    "verdict": (str,),
    "max_report_chars": (int,),
}
_REQUIRED: Final = ("name", "tries", "expect", "program")
_VERDICTS: Final = {
    "failed": frozenset({Verdict.FAILED, Verdict.TIMED_OUT}),
    "passed": frozenset({Verdict.PASSED}),
}
_FOLDERS: Final = {property.folder: property for property in Property}

ATTACKS: Final = load_attacks(Path(__file__).parent / "attacks")
"""All attacks, by property and name; those with `quick` are the short version."""

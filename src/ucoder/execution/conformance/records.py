"""An attack as data: what it tries, its programs, its target outside, and what must be seen."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeAlias

from ucoder.execution.conformance.properties import Property
from ucoder.execution.outcomes import CallReport, CheckReport

Report: TypeAlias = CallReport | CheckReport
Judge: TypeAlias = Callable[[tuple[Report, ...]], str | None]
"""From the reports on an attack's programs to why the attack was not held; None where it was."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something of our own outside the sandbox, for an attack to aim at.

    Attributes:
        names: Global variables that the programs are given, such as a port or a path.
        changed: Says what happened to the target, or None where nothing did.
    """

    names: Mapping[str, object] = field(default_factory=dict)
    changed: Callable[[], str | None] = lambda: None


Guard: TypeAlias = Callable[[], AbstractContextManager[Target]]
"""Makes a target in the caller's process and removes it afterwards."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program of an attack.

    Attributes:
        source: The program's text.
        inputs: What its entry point is called on, as canonical texts; for calls.
        entry_point: The function's name; for calls.
        tests: A test script: the program is then checked against it, not called.
        is_script: Whether it is checked as one script that holds its own tests.
    """

    source: str
    inputs: tuple[str, ...] = ("()",)
    entry_point: str = "f"
    tests: str | None = None
    is_script: bool = False


@dataclass(frozen=True, slots=True)
class Attack:
    """One attempt of hostile programs on one property.

    Attributes:
        name: Its own name, in lower case with hyphens.
        property: What it attacks.
        tries: What it attempts, in one sentence.
        programs: What is run, one after the other by the same executor.
        judge: Says from the reports why the attack was not held.
        guard: Makes the target outside, where it has one.
        quick: Whether it belongs to the short version.
        harmless: Whether it may run where nothing holds it, because all it can reach is our own.
    """

    name: str
    property: Property
    tries: str
    programs: tuple[Program, ...]
    judge: Judge
    guard: Guard | None = None
    quick: bool = False
    harmless: bool = False


def attack(
    name: str,
    property: Property,
    tries: str,
    source: str,
    judge: Judge,
    *,
    inputs: Iterable[str] = ("()",),
    then: str | None = None,
    tests: str | None = None,
    guard: Guard | None = None,
    quick: bool = False,
    harmless: bool = False,
) -> Attack:
    """Write down an attack of one program, or of one and another that looks what it left.

    Args:
        name: See `Attack`.
        property: See `Attack`.
        tries: See `Attack`.
        source: The program, indented as one likes.
        judge: See `Attack`.
        inputs: What the program's `f` is called on.
        then: The program that is run afterwards, called once.
        tests: A test script that the program is checked against instead of being called.
        guard: See `Attack`.
        quick: See `Attack`.
        harmless: See `Attack`.
    """
    if tests is not None:
        tests = textwrap.dedent(tests)
    programs = [Program(textwrap.dedent(source), tuple(inputs), tests=tests)]
    if then is not None:
        programs.append(Program(textwrap.dedent(then)))
    return Attack(name, property, tries, tuple(programs), judge, guard, quick, harmless)

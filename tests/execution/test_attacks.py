"""Every attack against every provider that claims to hold it; and attacks that must get through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ucoder.errors import SandboxUnavailable
from ucoder.execution import PROVIDERS, Executor, open_executor
from ucoder.execution.conformance import (
    ATTACKS,
    CLAIMS,
    LIMITS,
    Attack,
    Finding,
    Program,
    Property,
    run_attack,
    run_conformance,
)
from ucoder.execution.conformance.table import BEGIN, END, claims_table, with_table

BY_NAME = {attack.name: attack for attack in ATTACKS}
LOCAL = [name for name in CLAIMS if name != "sandbox-fusion"]  # that one needs a server
DOCS = Path(__file__).parents[2] / "docs" / "execution.md"
NO_PYTHON = {
    "null-bytes-in-source", "surrogates-in-source", "brackets-in-source",
    "minus-signs-in-source", "dots-in-source",
}  # fmt: skip


class Range:
    """An executor and the loop that it lives in."""

    def __init__(self, provider: str) -> None:
        self.runner = asyncio.Runner()
        self.executor: Executor = open_executor(provider, LIMITS, n_workers=1)
        self.runner.run(self.executor.__aenter__())

    def run(self, attack: Attack) -> Finding:
        return self.runner.run(run_attack(self.executor, attack))

    def close(self) -> None:
        self.runner.run(self.executor.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture(scope="module")
def ranges() -> Iterator[dict[str, Range]]:
    opened: dict[str, Range] = {}
    yield opened
    for one in opened.values():
        one.close()


def on(ranges: dict[str, Range], provider: str) -> Range:
    """One executor a provider, so that each attack meets what the one before has left."""
    if provider not in ranges:
        try:
            ranges[provider] = Range(provider)
        except SandboxUnavailable as error:
            if provider == "bubblewrap":
                raise
            pytest.skip(str(error).splitlines()[0])
    return ranges[provider]


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        pytest.param(provider, attack.name, id=f"{provider}-{attack.name}")
        for provider in LOCAL
        for attack in ATTACKS
        if attack.property in CLAIMS[provider]
    ],
)
def test_the_attack_is_held_and_the_next_program_served(
    ranges: dict[str, Range], provider: str, name: str
) -> None:
    finding = on(ranges, provider).run(BY_NAME[name])
    assert finding.held, finding.why


# A suite that cannot fail proves nothing. These attacks meet a provider that holds none of them,
# and their targets are the suite's own.


@pytest.mark.parametrize(
    "name",
    [
        *("tcp", "name-look-up", "tcp-in-a-child", "abstract-socket", "socket-at-a-path"),
        *("read-a-file-outside", "read-through-a-symlink", "read-through-an-open-folder"),
        *("list-a-folder-outside", "write-outside", "overwrite-a-file", "delete-a-file"),
        *("truncate-a-file", "rename-a-file", "make-a-symlink", "change-a-mode", "change-times"),
        *("write-through-a-symlink", "ask-for-a-file", "ask-for-the-machines-name"),
        *("list-processes", "read-a-command-line", "read-others-environments"),
        *("kill-a-process-outside", "stop-a-process-outside", "kill-by-descriptor"),
        *("queue-a-signal", "slow-a-process-down", "read-by-openat2"),
    ],
)
def test_an_attack_that_nothing_holds_is_reported(ranges: dict[str, Range], name: str) -> None:
    attack = BY_NAME[name]
    assert attack.harmless
    finding = on(ranges, "unsafe-process").run(attack)
    assert not finding.held and finding.why


@pytest.mark.parametrize(
    "name",
    ["always-equal", "number-that-is-always-equal", "list-of-always-equal", "define-builtins",
     "walk-objects-for-the-answer", "scan-memory-for-the-answer", "trace-the-tests"],
)  # fmt: skip
def test_in_one_script_with_its_tests_a_program_can_cheat(
    ranges: dict[str, Range], name: str
) -> None:
    """The same programs with the tests in the same process: what separate processes are for."""
    attack = BY_NAME[name]
    (program,) = attack.programs
    script = Program(f"{program.source}\n{program.tests}", is_script=True)
    finding = on(ranges, "bubblewrap").run(replace(attack, programs=(script,)))
    if name == "trace-the-tests":  # tracing does not help even there
        assert finding.held
    else:
        assert "got passed" in finding.why


def test_a_wrong_answer_is_not_taken_for_a_held_attack(ranges: dict[str, Range]) -> None:
    """A program that fails by a fault of its own has shown nothing."""
    broken = replace(BY_NAME["tcp"], programs=(Program("def f(): return nothing_of_this_name"),))
    assert "NameError" in on(ranges, "bubblewrap").run(broken).why


async def test_what_is_not_claimed_is_not_attacked() -> None:
    async with open_executor("unsafe-process", LIMITS, n_workers=1) as executor:
        found = await run_conformance(executor, ATTACKS, claimed=())
    assert {finding.held for finding in found} == {None}
    assert [finding.attack for finding in found] == [attack.name for attack in ATTACKS]


def test_each_attack_has_a_name_of_its_own_and_each_property_an_attack() -> None:
    assert len(BY_NAME) == len(ATTACKS)
    assert {attack.property for attack in ATTACKS} == set(Property)
    assert 15 <= sum(attack.quick for attack in ATTACKS) <= 40


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_program_of_an_attack_is_python(attack: Attack) -> None:
    for program in attack.programs:
        if attack.name not in NO_PYTHON:
            compile(program.source, attack.name, "exec")
        compile(program.tests or "", attack.name, "exec")


def test_every_provider_says_what_it_claims() -> None:
    assert set(CLAIMS) == set(PROVIDERS) - {"auto"}  # which is one of the others


def test_the_table_in_the_documentation_is_that_of_the_code() -> None:
    text = DOCS.read_text("utf-8")
    assert with_table(text) == text, "run python -m ucoder.execution.conformance --write"
    table = text.partition(BEGIN)[2].partition(END)[0]
    assert table.strip() == claims_table()

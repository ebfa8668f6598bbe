"""Every attack against every provider that claims to hold it; and attacks that must get through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ucoder.errors import InvalidArgument, SandboxUnavailable
from ucoder.execution import PROVIDERS, Executor, open_executor
from ucoder.execution.conformance import (
    ATTACKS,
    CLAIMS,
    LIMITS,
    Attack,
    AttackResult,
    Program,
    Property,
    load_attacks,
    run_attack,
    run_conformance,
)
from ucoder.execution.conformance.claims import BEGIN, END, claims_table, replace_table

BY_NAME = {attack.name: attack for attack in ATTACKS}
DOCS = Path(__file__).parents[2] / "docs" / "execution.md"
NO_PYTHON = {
    "null-bytes-in-source", "surrogates-in-source", "brackets-in-source",
    "minus-signs-in-source", "dots-in-source",
}  # fmt: skip


class Range:
    """An executor and the event loop that it runs in."""

    def __init__(self, provider: str) -> None:
        self.runner = asyncio.Runner()
        self.executor: Executor = open_executor(provider, LIMITS, n_workers=1)
        self.runner.run(self.executor.__aenter__())

    def run(self, attack: Attack) -> AttackResult:
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
    """One executor for each provider, so that an attack meets what the one before it has left."""
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
        for provider in CLAIMS
        for attack in ATTACKS
        if attack.property in CLAIMS[provider]
    ],
)
def test_the_attack_is_held_and_the_next_program_served(
    ranges: dict[str, Range], provider: str, name: str
) -> None:
    result = on(ranges, provider).run(BY_NAME[name])
    assert result.held, result.why


# A suite that cannot fail proves nothing. These attacks run on a provider that holds none of them;
# their targets belong to the suite.


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
def test_an_attack_that_is_not_held_is_reported(ranges: dict[str, Range], name: str) -> None:
    attack = BY_NAME[name]
    assert attack.harmless
    result = on(ranges, "unsafe-process").run(attack)
    assert not result.held and result.why


@pytest.mark.parametrize(
    "name",
    ["always-equal", "number-that-is-always-equal", "list-of-always-equal", "define-builtins",
     "walk-objects-for-the-answer", "scan-memory-for-the-answer", "trace-the-tests"],
)  # fmt: skip
def test_in_one_script_with_its_tests_a_program_can_cheat(
    ranges: dict[str, Range], name: str
) -> None:
    """The same programs with the tests in the same process: the reason for separate processes."""
    attack = BY_NAME[name]
    (program,) = attack.programs
    script = Program(f"{program.source}\n{program.tests}", is_script=True)
    result = on(ranges, "bubblewrap").run(replace(attack, programs=(script,)))
    if name == "trace-the-tests":  # tracing does not help even there
        assert result.held
    else:
        assert "got passed" in result.why


def test_a_program_that_fails_by_its_own_fault_does_not_count_as_held(
    ranges: dict[str, Range],
) -> None:
    broken = replace(BY_NAME["tcp"], programs=(Program("def f(): return nothing_of_this_name"),))
    assert "NameError" in on(ranges, "bubblewrap").run(broken).why


async def test_what_is_not_claimed_is_not_attacked() -> None:
    async with open_executor("unsafe-process", LIMITS, n_workers=1) as executor:
        results = await run_conformance(executor, ATTACKS, claimed=())
    assert {result.held for result in results} == {None}
    assert [result.attack for result in results] == [attack.name for attack in ATTACKS]


def test_attack_names_are_unique_and_each_property_has_an_attack() -> None:
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
    table = claims_table(attack.property for attack in ATTACKS)
    assert replace_table(text, table) == text, "run python -m ucoder.execution.conformance --write"
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == table


FILE = """
tries = "returns one"
expect.calls = ["returned 1"]
program = "def f(): return {ONE}"
values.ONE = "1"
"""


def write(folder: Path, text: str, name: str = "one.toml") -> Path:
    (folder / "time").mkdir(exist_ok=True)
    (folder / "time" / name).write_text(text, "utf-8")
    return folder


async def test_attacks_of_a_users_own_folder_run_in_the_suite(tmp_path: Path) -> None:
    listed = (
        FILE.replace('values.ONE = "1"', "")
        + """
[[attack]]
name = "two"
values.ONE = "2"
[[attack]]
name = "three"
tries = "returns a hundred and eleven"
values.ONE = ["1", 3]
"""
    )
    write(tmp_path, FILE)
    attacks = load_attacks(write(tmp_path, listed, "others.toml"))
    assert [attack.programs[0].source[-4:] for attack in attacks] == ["rn 1", "rn 2", " 111"]
    async with open_executor("unsafe-process", LIMITS, n_workers=1) as executor:
        results = await run_conformance(executor, attacks)
    assert [result.held for result in results] == [True, False, False]
    assert results[1].why == "call 0 returned 2; expected returned 1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tries = "returns one"', "", "lacks tries"),
        ('expect.calls = ["returned 1"]', "", "lacks expect"),
        ("tries", "trys", "unknown key trys; known: name, tries"),
        ("expect.calls", "expect.call", "unknown key expect.call; known: calls"),
        ('["returned 1"]', "1", "expect.calls = 1 is not a list of texts"),
        ('["returned 1"]', '["returns 1"]', "'returns 1' is not an end of a call; known: denied"),
        ('["returned 1"]', '["returned 1"]\nexpect.every_call = "killed"', "exclude each other"),
        ('expect.calls = ["returned 1"]', 'expect.verdict = "bad"', "is not passed or failed"),
        ('"returns one"', '"returns one"\ntarget = "moon"', "unknown target 'moon'; known: "),
        ("{ONE}", "1", "nothing uses the values ONE"),
        ('"1"', "1.5", "values.ONE is not a text"),
        ('"1"', '"1', "one.toml: "),
    ],
)
def test_a_file_that_is_not_an_attack_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in FILE
    with pytest.raises(InvalidArgument, match=r"one\.toml") as refusal:
        load_attacks(write(tmp_path, FILE.replace(old, new)))
    assert message in str(refusal.value)


def test_an_attack_file_in_a_folder_that_is_not_a_property_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tim").mkdir()
    with pytest.raises(InvalidArgument, match="tim is not a property; known folders: time"):
        load_attacks(tmp_path)


def test_two_attacks_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, FILE)
    twice = FILE + '[[attack]]\nname = "one"\n'
    with pytest.raises(InvalidArgument, match=r"two\.toml: there is already an attack named 'one'"):
        load_attacks(write(tmp_path, twice, "two.toml"))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_an_attack_whose_numbers_are_unknown_on_this_machine_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine=machine))
    numbers = "{ x86_64 = 1, aarch64 = 2 }"
    attacks = load_attacks(write(tmp_path, FILE.replace('"1"', numbers)))
    sources = [attack.programs[0].source for attack in attacks]
    assert sources == {
        "x86_64": ["def f(): return 1"], "aarch64": ["def f(): return 2"], "riscv64": [],
    }[machine]  # fmt: skip

"""What --help says: every argument and option is explained, and nothing of it is eaten."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from ucoder.cli.app import app
from ucoder.runtime import require


def commands(command: Any, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of commands, with the words that call it."""
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*name, word))


COMMANDS = list(commands(typer.main.get_command(app)))


def words(text: str) -> list[str]:
    """The words of a text, without borders, and without the signs that markdown stands for."""
    return re.sub(r"[│|╭╮╰╯─]", " ", re.sub(r"[`*]", "", text)).split()


def holds(text: list[str], part: list[str]) -> bool:
    """Whether all words of a part are in a text in their order, others between them or not."""
    rest = iter(text)
    return all(word in rest for word in part)


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[" ".join(n) for n, _ in COMMANDS])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_help_explains_every_argument_and_option(
    name: tuple[str, ...], command: Any, encoding: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ucoder", *name, "--help"],
        capture_output=True, text=True, encoding=encoding,
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    shown = words(done.stdout)
    assert holds(shown, words(command.help)), "a part of the command's description is missing"
    assert "…" not in done.stdout, "something is cut"
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} has no help"
        names = [*parameter.opts, parameter.name.upper()]
        assert any(one in word for one in names for word in shown)
        assert holds(shown, words(parameter.help)), parameter.help


def test_the_command_that_installs_an_extra_is_printed_as_it_is() -> None:
    code = (
        "import sys; sys.argv[1:] = ['status', 'x']\n"
        "from ucoder.cli import app\n"
        "from ucoder.runtime import require\n"
        "app.app.registered_commands[:] = []\n"
        "@app.app.command()\n"
        "def status(run: str): require('sampling', 'nosuch_module', extra='cpu')\n"
        "app.run_command()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == (
        "MissingDependency: sampling needs nosuch_module, not installed here; run: "
        'pip install "ucoder[cpu]"\n'
    )


def test_doctor_prints_the_command_that_installs_an_extra(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from ucoder.cli.doctor_checks import CheckResult, print_results
    from ucoder.cli.terminal import PlainConsole
    from ucoder.errors import MissingDependency

    with pytest.raises(MissingDependency) as raised:
        require("sampling", "nosuch_module", extra="cpu")
    print_results([CheckResult("engine", False, str(raised.value))], PlainConsole())
    shown = " ".join(words(capsys.readouterr().out.replace("┃", " ")))
    assert 'pip install "ucoder[cpu]"' in shown
    assert "check result what was seen" in shown

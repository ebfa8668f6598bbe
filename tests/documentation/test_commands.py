"""Every command of README, CONTRIBUTING, the docs and the examples, run as it stands.

A page's commands run in its order, in a folder of its own that holds what they take for granted
(`reader.py`). What is added to a command, and which are not run, is in `exceptions.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.serving import serving

from .exceptions import APPENDED, NOT_RUN, REPLACED
from .pages import ALL_COMMANDS, PAGES, blocks, page_id
from .reader import Reader


def _run_on() -> dict[Path, list[str]]:
    """By page, the commands that are run; each stands once, on the first page that has it."""
    found: dict[Path, list[str]] = {}
    seen = set(NOT_RUN)
    for command in ALL_COMMANDS:
        if command.text not in seen and not command.is_mention:
            found.setdefault(command.page, []).append(command.text)
            seen.add(command.text)
    return found


RUN_ON = _run_on()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, server: str, tiny_checkpoint: Path
) -> Reader:
    """A reader's folder, to be copied."""
    folder = tmp_path_factory.mktemp("documentation")
    reader = Reader(folder / "prepared", folder / "cache", server)
    reader.make(tiny_checkpoint)
    return reader


@pytest.mark.parametrize("page", RUN_ON, ids=page_id)
def test_every_command_of_a_page_succeeds(page: Path, prepared: Reader, tmp_path: Path) -> None:
    reader = prepared.copy(tmp_path / "reader")
    failed = []
    for text in RUN_ON[page]:
        command = f"{reader.own(text)} {APPENDED.get(text, '')}".strip()
        done = reader.shell(command)
        if done.returncode:
            failed.append(f"$ {command}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    assert not failed, "\n\n".join(failed)


def test_make_knows_how_to_do_what_is_not_run(prepared: Reader) -> None:
    for command in NOT_RUN:
        if command.startswith("make "):
            done = prepared.shell(f"{prepared.own(command)} --dry-run")
            assert not done.returncode, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=page_id)
def test_every_python_snippet_of_a_page_runs(page: Path, prepared: Reader, tmp_path: Path) -> None:
    reader = prepared.copy(tmp_path / "reader")
    for snippet in blocks(page, "python"):
        program = reader.own(snippet)
        for part, other in REPLACED.items():
            program = program.replace(part, other)
        if "async def main" in program and "asyncio.run" not in program:
            program += "\n\nasyncio.run(main())\n"
        (reader.folder / "snippet.py").write_text(program)
        done = reader.shell("python snippet.py")
        assert not done.returncode, f"{program}\n{done.stderr}"

"""What README, CONTRIBUTING, the docs and the examples show: their code, and the commands in it.

Code blocks, indented code and code spans are read; of the examples, which are YAML, the comments.
Words in capitals (RUN, MODEL, FILE) stand for something of the reader's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import typer

from ucoder.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*")]
    if path.name != "CHANGELOG.md"  # its older entries name what there was
)
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
PROGRAMS = (
    "ucoder make python pip ray vllm tensorboard optimum-cli llama-server time pre-commit"
).replace(" ", "|")
COMMAND = re.compile(
    rf"\s*(?:\$ )?((?:[A-Z_]+=(?:\$\([^)]*\)|\S+)\s+)*(?:\S*/)?(?:{PROGRAMS})\s+\S.*)"
)


@dataclass(frozen=True)
class Command:
    """A command line as it stands on a page, without its comment."""

    page: Path
    text: str
    is_span: bool  # in running text, where a command may be named without its arguments

    @property
    def ucoder_words(self) -> list[str]:
        """The words after `ucoder`; none where it is another program's command."""
        match = re.match(r"(?:\S*/)?ucoder (.*)", self.text)
        return shlex.split(match[1]) if match else []

    @property
    def is_mention(self) -> bool:
        """Whether a sentence names a command of ucoder without the arguments that it needs."""
        if not self.is_span or not (words := self.ucoder_words):
            return False
        command, rest = command_of(words)
        if isinstance(command, click.Group):
            return not command.invoke_without_command
        needs = any(one.required for one in command.params if isinstance(one, click.Argument))
        return needs and not rest


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def block_lines(page: Path) -> Iterator[str]:
    """Lines of code blocks and indented code, joined where a backslash continues them."""
    text = page.read_text("utf-8")
    if page.suffix != ".md":
        yield from (line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
        return
    for block in FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from (line for line in FENCE.sub("", text).splitlines() if line.startswith("    "))


def spans(page: Path) -> Iterator[str]:
    """The code spans of a page."""
    if page.suffix == ".md":
        yield from SPAN.findall(FENCE.sub("", page.read_text("utf-8")))


def code_lines(page: Path) -> Iterator[str]:
    """Everything on a page that is set as code."""
    yield from block_lines(page)
    yield from spans(page)


def shell_commands(page: Path) -> Iterator[Command]:
    """The commands of a page, each once: those of its blocks in their order, then its spans."""
    seen = set()
    for is_span, lines in ((False, block_lines(page)), (True, spans(page))):
        for line in lines:
            if match := COMMAND.fullmatch(line):
                text = " ".join(re.sub(r"\s#\s.*", "", match[1]).split())
                if text not in seen:
                    yield Command(page, text, is_span)
                seen.add(text)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    found = re.findall(r"^```(.*?)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command of ucoder that the words name, and the words after it.

    Raises:
        click.UsageError: There is no such command.
    """
    command: click.Command = typer.main.get_command(app)
    context = click.Context(command)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        context = click.Context(command, parent=context)
    return command, words


ALL_COMMANDS = [command for page in PAGES for command in shell_commands(page)]

"""What README and the docs name exists: paths, commands with their options, make targets, imports.

Code blocks and code spans are read. Words in capitals (RUN, MODEL, FILE) and names of the reader's
own files stand for anything.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import ucoder
from ucoder.config import load_config, preset_names

from .documentation.exceptions import APPENDED, NOT_RUN, REPLACED
from .documentation.pages import (
    ALL_COMMANDS,
    COMMAND,
    FENCE,
    PAGES,
    ROOT,
    blocks,
    code_lines,
    command_of,
    page_id,
)  # fmt: skip

SOURCE = Path(ucoder.__file__).parent
# Where a path that a page names may begin.
BASES = (ROOT, SOURCE, SOURCE.parent, ROOT / "docs")
KNOWN_FOLDERS = {"src", "tests", "docs", "benchmarks", "fuzz", "examples", ".ci", ".github"} | {
    path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"
}
READERS_FILES = {"interview.py", "yours.py"}
OWN = ("runs/", "studies/adversary")  # folders that a reader's commands make
LINK = re.compile(r"\]\(([^)\s]+)\)")


def paths_in(page: Path) -> Iterator[str]:
    """Words that look like a path of this repository."""
    for line in code_lines(page):
        for word in re.findall(r"(?<![\w/.~$=:-])[\w.][\w./*{},+-]*", line):
            first, slash, rest = word.rstrip("./,:").partition("/")
            if slash and first in KNOWN_FOLDERS and rest and not re.search(r"[*{]", rest):
                yield f"{first}/{rest}"


def exists(path: str, page: Path) -> bool:
    return any((base / path).exists() for base in (*BASES, page.parent))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    missing = {path for path in paths_in(page) if not exists(path, page)}
    assert not {path for path in missing if not path.startswith(OWN)}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_module_and_name_that_a_page_names_exists(page: Path) -> None:
    text = "\n".join(code_lines(page))
    files = {path.name for folder in KNOWN_FOLDERS for path in (ROOT / folder).rglob("*.py")}
    files |= {path.name for path in SOURCE.rglob("*.py")}
    bare = set(re.findall(r"(?<![\w/.*-])(\w+\.py)(?![\w-])", text))
    assert bare <= files | READERS_FILES
    for name in set(re.findall(r"(?<![\w/.-])ucoder(?:\.\w+)+", text)):
        assert resolves(name.split(".")), name


def resolves(parts: list[str]) -> bool:
    """Whether a dotted name is a module, or a name in one."""
    for n_parts in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:n_parts]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[n_parts:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


@pytest.mark.parametrize("page", [p for p in PAGES if p.suffix == ".md"], ids=page_id)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        goal = (page.parent / path) if path else page
        assert goal.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", goal.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


UCODER_COMMANDS = [(one.page, words) for one in ALL_COMMANDS if (words := one.ucoder_words)]


@pytest.mark.parametrize(
    ("page", "words"),
    UCODER_COMMANDS,
    ids=[f"{page_id(p)}-{' '.join(w)}" for p, w in UCODER_COMMANDS],
)
def test_every_command_line_in_the_docs_is_one_that_ucoder_takes(
    page: Path, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, rest = command_of(words)
    if isinstance(command, click.Group) or not rest:
        return  # such as `ucoder study`, or a mention of a command by its name
    context = click.Context(command)
    _, values, _ = command.make_parser(context).parse_args(list(rest))
    assert not values, f"too many arguments: {values}"


OF_PRESETS = [(p, w) for p, w in UCODER_COMMANDS if w[0] in ("run", "plan") and len(w) > 1]


@pytest.mark.parametrize(("page", "words"), OF_PRESETS, ids=str)
def test_every_override_in_the_docs_is_one_that_the_configuration_takes(
    page: Path, words: list[str]
) -> None:
    overrides = [word for word in words[2:] if re.match(r"[a-z_.]+=", word)]
    if words[1] in preset_names() or (ROOT / words[1]).is_file():
        load_config(words[1] if words[1] in preset_names() else str(ROOT / words[1]), overrides)


def test_the_docs_name_the_commands_that_there_are() -> None:
    """Guards the search itself: a page whose commands are not found would pass."""
    named = {words[0] for _, words in UCODER_COMMANDS}
    assert {"run", "resume", "status", "show", "eval", "compare", "export", "report"} <= named
    assert len(UCODER_COMMANDS) > 40


def test_every_exception_names_a_documented_command() -> None:
    documented = {command.text for command in ALL_COMMANDS}
    assert set(APPENDED) | set(NOT_RUN) <= documented
    assert not set(APPENDED) & set(NOT_RUN)
    snippets = [snippet for page in PAGES for snippet in blocks(page, "python")]
    assert all(any(part in snippet for snippet in snippets) for part in REPLACED)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_block_of_commands_holds_nothing_that_is_not_read_as_one(page: Path) -> None:
    for block in blocks(page, ""):
        lines = [line for line in block.replace("\\\n", " ").splitlines() if line]
        read = [COMMAND.fullmatch(line) is not None for line in lines]
        assert all(read) or not any(read), block


def test_an_unknown_option_or_command_would_be_found() -> None:
    command, rest = command_of(["run", "demo", "--no-such-option"])
    with pytest.raises(click.UsageError):
        command.make_parser(click.Context(command)).parse_args(rest)
    with pytest.raises(click.UsageError):
        command_of(["nosuchcommand"])


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = [re.match(r"\s*(?:\$ )?make ([a-z][a-z-]*)", line) for line in code_lines(page)]
    assert {match[1] for match in named if match} <= known


def test_imports_follow_the_lines_of_the_architecture_page() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawn = FENCE.findall(text[text.index("## The direction of imports") :])[0]
    height = {
        name: -number
        for number, line in enumerate(drawn.splitlines())
        for name in line.replace(",", " ").split()
    }
    there = {
        path.stem
        for path in SOURCE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem[0] != "_"
    }
    assert set(height) == there, "the page draws every module, and none that is gone"
    upwards = [
        f"{module.relative_to(SOURCE)} imports ucoder.{name}"
        for module in SOURCE.rglob("*.py")
        for name in imported_by(module)
        if (here := module.relative_to(SOURCE).parts[0].removesuffix(".py")) in height
        and height.get(name, -100) > height[here]
    ]
    assert not upwards


def imported_by(module: Path) -> Iterator[str]:
    """The top-level names of ucoder that a module imports."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "ucoder":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ucoder."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("ucoder."):
                    yield alias.name.split(".")[1]


def test_the_glossary_has_about_forty_terms_and_explains_each() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if row.startswith("| ")]
    terms = [row[0] for row in rows if row[0] != "term"]
    assert len(terms) >= 40
    assert len(set(terms)) == len(terms)
    assert all(len(row) == 3 and row[2].endswith(".") for row in rows if row[0] != "term")

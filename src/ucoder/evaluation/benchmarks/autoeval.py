"""How SandboxFusion's AutoEval cuts a program out of an answer and puts it together with its tests.

FullStackBench is graded by it. This follows `sandbox/datasets/autoeval.py` and
`sandbox/utils/extraction.py` of github.com/bytedance/SandboxFusion (commit 469de08), whose choices
are part of the benchmark, even the odd ones: an answer without a fence gives its first function
alone, and Python is cut at a guard written with double quotes. It is rewritten so that text of any
length is read in linear time. Go's packages and imports, sets in the original, are sorted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ucoder.evaluation.benchmarks.autoeval_java import JAVA_BLOCK_END, java_blocks, java_files
from ucoder.texts import closing_fence, ends_in_string, spoken

INSERT: Final = "#<INSERT>"
"""Where a test wants the program; a test without it comes after the program."""

# Fence tags, case-sensitive as in AutoEval.
_ALIASES: Final = {
    "python": "python Python py Python3 python3 PY", "cpp": "cpp c++ C++ Cpp CPP",
    "nodejs": "JS js", "javascript": "javascript Javascript JavaScript", "go": "go Go",
    "java": "java Java", "php": "php PHP", "csharp": "csharp c# C#",
    "bash": "bash Bash BASH sh shell", "typescript": "typescript", "rust": "rust Rust rs",
    "sql": "sql SQL Sql", "D": "D d", "julia": "julia Julia jl", "lua": "lua Lua",
    "perl": "perl Perl PERL", "R": "R r", "ruby": "ruby Ruby", "scala": "scala Scala",
    "kotlin": "kotlin Kotlin", "c": "c C", "html": "html Html HTML",
    "verilog": "verilog Verilog VERILOG", "racket": "racket", "swift": "swift",
}  # fmt: skip
_LANGUAGE_OF: Final = {alias: name for name, all_ in _ALIASES.items() for alias in all_.split()}

# After this the program's own use of itself begins.
_ENTRY_POINTS: Final = {"python": 'if __name__ == "__main__":', "cpp": "int main()"}
_EXAMPLE: Final = "# Example usage"
_GUARD: Final = "if __name__ =="
_MAX_MARKS: Final = 20
"""Marks in strings that are looked past."""

_HEADER: Final = re.compile(r"(?:import|from|#).")
_DEFINITION: Final = re.compile(r"(?:def|class) .")
_SQL: Final = re.compile(r"^\s*(?:select|with\s[^\n]+as)[^;]*", re.MULTILINE | re.IGNORECASE)

_PACKAGE: Final = re.compile(r"package\s+(\w+)")
_IMPORT: Final = re.compile(r'import\s+("\w+")')
_IMPORTS: Final = re.compile(r"import\s+\(")


@dataclass(frozen=True, slots=True)
class Test:
    """A task's test as it was published.

    `programming_language` is the answer's; `execution_language` runs program and test together;
    `files` stand beside them: base64 by name.
    """

    programming_language: str
    execution_language: str
    code: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AutoEvalScript:
    """A program put together with its test."""

    language: str  # SandboxFusion's name of what runs it
    code: str  # the text to run; "" for Java, which is files alone
    files: Mapping[str, str]  # files beside it: base64 by name
    # The first and the last line of `code` that are the program's, from 1.
    program_lines: tuple[int, int] = (0, 0)


def extract(completion: str, language: str) -> str:
    """Cut the program out of an answer; "" where there is none.

    The first fenced block in the task's language counts, or else the first of any language; then
    a block that is not closed; then what looks like code. For Java it is every block, with
    `JAVA_BLOCK_END` between them. Any text may come.
    """
    if language == "java":
        return JAVA_BLOCK_END.join(java_blocks(completion))
    completion = spoken(completion).text
    blocks = list(_fenced(completion))
    if not blocks and (opening := _open(completion, 0)):
        blocks = [(opening[0], completion[opening[1] :])]
    if blocks:
        of_language = [code for tag, code in blocks if _LANGUAGE_OF.get(tag) == language]
        code = of_language[0] if of_language else blocks[0][1]
    else:
        code = _looks_like_code(completion, language)
    return without_entry_point(code, language)


def without_entry_point(code: str, language: str) -> str:
    """A program without the code that would run it by itself."""
    marks = [_ENTRY_POINTS[language]] if language in _ENTRY_POINTS else []
    if language == "go":
        code = code.replace("package main", "")
    for mark in (*marks, _EXAMPLE):
        before = _before(code, mark, language)
        code = code if before == code else before.strip()
    return code


def _before(code: str, mark: str, language: str) -> str:
    """The code before a mark; in Python, before one that is not in a string."""
    at = code.find(mark)
    for _ in range(_MAX_MARKS):
        if language != "python" or at < 0 or not ends_in_string(code[:at]):
            break
        at = code.find(mark, at + 1)
    return code if at < 0 else code[:at]


def assemble(program: str, test: Test) -> AutoEvalScript:
    """Put a program, as `extract` gives it, together with its test, as AutoEval does."""
    files = dict(test.files)
    if test.programming_language == "java":
        return AutoEvalScript(
            "junit", "", files | java_files(program.split(JAVA_BLOCK_END), test.code)
        )
    if test.programming_language == "html" and INSERT not in test.code:
        files["index.html"] = base64.b64encode(program.encode("utf-8", "replace")).decode()
        return AutoEvalScript(test.execution_language, test.code, files)
    before, mark, after = test.code.partition(INSERT)
    if mark:
        after = after.partition(INSERT)[0]  # what follows a second mark is dropped
    else:
        program, before, after = (
            _before(program, _GUARD, test.programming_language),
            "",
            "\n" + test.code,
        )
    code = before + program + after
    if test.execution_language in ("go", "go_test"):
        return AutoEvalScript(test.execution_language, _one_go_file(code), files)
    first = _n_line_ends(before) + 1
    return AutoEvalScript(
        test.execution_language, code, files, (first, first + _n_line_ends(program))
    )


def _fenced(text: str) -> Iterator[tuple[str, str]]:
    """Closed blocks: the fence's tag, and the content.

    A closing fence follows white space that holds a line's end; the content ends at its first one.
    In Python, a fence within a string closes nothing, unless the string itself is never closed.
    """
    at = 0
    while opening := _open(text, at):
        tag, start = opening
        is_python = _LANGUAGE_OF.get(tag) == "python"
        close = text.find("```", (closing_fence(text, start) if is_python else None) or start)
        while close >= 0:
            space = close
            while space > start and text[space - 1].isspace():
                space -= 1
            end = text.find("\n", space, close)
            if end >= 0:
                break
            close = text.find("```", close + 1)
        if close < 0:
            return
        yield tag, text[start:end]
        at = close + 3


def _open(text: str, at: int) -> tuple[str, int] | None:
    """The next opening fence: its tag, and where the content starts."""
    fence = text.find("```", at)
    end = text.find("\n", fence) if fence >= 0 else -1
    return None if end < 0 else (text[fence + 3 : end].strip(), end + 1)


def _looks_like_code(text: str, language: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    if language == "python":
        return _first_definition(lines)
    without_blanks = "\n".join(lines) + "\n"
    if language == "sql":
        found = _SQL.search(without_blanks)
        return found.group() if found else ""
    return without_blanks if language == "bash" and lines else ""


def _first_definition(lines: list[str]) -> str:
    """The first function or class with an indented body, and imports and comments above it."""
    start = 0
    for number, line in enumerate(lines):
        if _DEFINITION.match(line):
            end = number + 1
            while end < len(lines) and lines[end][0].isspace():
                end += 1
            if end > number + 1:
                return "".join(f"{line}\n" for line in lines[start:end])
        if not _HEADER.match(line):
            start = number + 1
    return ""


def _one_go_file(code: str) -> str:
    """One package clause and one import for each package, ahead of everything else."""
    packages = set(_PACKAGE.findall(code))
    code = _PACKAGE.sub("", code)
    imports = set(_IMPORT.findall(code))
    groups, code = _import_groups(code)
    for group in groups:
        imports.update(line.strip() for line in group.split("\n") if line.strip())
    head = "\n".join(f"package {name}" for name in sorted(packages))
    imported = "\n".join(f"import {path}" for path in sorted(imports))
    return f"{head}\n\n{imported}\n\n{_IMPORT.sub('', code)}"


def _import_groups(code: str) -> tuple[list[str], str]:
    """The text between each `import (` and `)`, and the code without these groups."""
    groups, kept, at = [], [], 0
    while opening := _IMPORTS.search(code, at):
        end = code.find(")", opening.end())
        if end < 0:
            break
        groups.append(code[opening.end() : end])
        kept.append(code[at : opening.start()])
        at = end + 1
    return groups, "".join([*kept, code[at:]])


def _n_line_ends(text: str) -> int:
    """Line ends as Python's tokenizer counts them."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")

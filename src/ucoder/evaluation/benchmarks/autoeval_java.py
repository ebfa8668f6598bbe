"""How AutoEval reads Java, as NaturalCodeBench does: a file for each top-level type.

Follows `sandbox/datasets/natural_code_bench.py` of github.com/bytedance/SandboxFusion (commit
469de08). A type reaches from the annotation, or the line, that begins it to the first closing
brace at the start of a line; the name of its file is the word after `class`, `interface` or
`enum`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Final

JAVA_BLOCK_END: Final = "\n\n// ---- next block ----\n\n"
"""Between the blocks of an answer, which are read one by one."""

_LINE_END: Final = r"[\n\r]"
_CLOSED: Final = re.compile(_LINE_END + "```")
_FENCE: Final = re.compile("```")
_TAGGED: Final = re.compile("```java" + _LINE_END)
_ANY_JAVA: Final = re.compile("```java")
_CAPITAL: Final = re.compile("```Java")
_BARE: Final = re.compile("```" + _LINE_END)

_ENDS: Final = {
    "interface": re.compile(r"[;}]\s*\n}"),
    "class": re.compile(r"[;}]\s*\n}"),
    "enum": re.compile(r"\n}"),
}
_JUNIT: Final = (
    "import org.junit.jupiter.api.Test;\nimport static org.junit.jupiter.api.Assertions.*;\n"
)


def java_blocks(completion: str) -> list[str]:
    """Cut the Java out of an answer, every block of it; empty where there is none."""
    if "[Java]" in completion:
        tagged = completion.partition("[Java]")[2].partition("[/Java]")
        return [tagged[0]] if tagged[1] else []
    if "```" in completion:
        blocks, _ = _between(completion, _TAGGED, _CLOSED)
        rest = _between(completion, _ANY_JAVA, _FENCE)[1]
        capital, rest = _between(rest, _CAPITAL, _FENCE)
        return [*blocks, *capital, *_between(rest, _BARE, _CLOSED)[0]]
    if "import " in completion:
        return _braced(completion, "import")
    found = [(completion.find(word + " "), word) for word in ("public", "interface", "class")]
    starts = [(at, word) for at, word in found if at >= 0]
    return _braced(completion, min(starts)[1]) if starts else []


def java_files(blocks: Sequence[str], test: str) -> dict[str, str]:
    """A file for each type in an answer and its test: base64 by name."""
    files = {}
    for block in (*blocks, test):
        code = "\n" + block
        imports = [line for line in code.split("\n")[:-1] if line.startswith("import ")]
        head = _JUNIT + "\n".join(imports) + "\n"
        for kind in _ENDS:
            for name, item in _types(code, kind):
                content = f"{head}{item}\n".encode("utf-8", "replace")
                files[f"{name}.java"] = base64.b64encode(content).decode()
    return files


def _between(
    text: str, opening: re.Pattern[str], closing: re.Pattern[str]
) -> tuple[list[str], str]:
    """The texts between pairs of marks, and what is left without them and their marks."""
    found, kept, at = [], [], 0
    while start := opening.search(text, at):
        end = closing.search(text, start.end())
        if end is None:
            break
        found.append(text[start.end() : end.start()])
        kept.append(text[at : start.start()])
        at = end.end()
    return found, "".join([*kept, text[at:]])


def _braced(text: str, word: str) -> list[str]:
    """From a word to the first `}}`."""
    start = re.search(word + r"\s", text)
    end = text.find("}}", start.end()) if start else -1
    return [text[start.start() : end + 2]] if start and end >= 0 else []


def _types(code: str, kind: str) -> Iterator[tuple[str, str]]:
    """The top-level types of a kind: name and text."""
    word, at = kind + " ", 0
    while (found := code.find(word, at)) >= 0:
        line = code.rfind("\n", at, found)
        start = found if line < 0 else line
        annotation = code.find("@", at, start)
        if annotation >= 0:
            start = annotation
        else:
            # The last such word of the line is the type's, if the line's start was found.
            found = found if line < 0 else code.rfind(word, found, _line_end(code, found))
        end = _ENDS[kind].search(code, found + len(word))
        if end is None:
            return
        item = code[start : end.end()]
        name = re.split(r"\s", item.partition(word)[2], maxsplit=1)[0]
        if "/" not in name and "\0" not in name:  # it becomes a file name
            yield name, item
        at = end.end()


def _line_end(code: str, at: int) -> int:
    end = code.find("\n", at)
    return len(code) if end < 0 else end

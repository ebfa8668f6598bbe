"""Examples in a problem's statement: calls with their results, in the common notations.

`f(2) == 3`, `f(2) = 3`, `f(2) => 3`, `f(2) -> 3`, `f(2) # returns 3`, `f(2) should return 3`, and
a doctest's `>>> f(2)` with the result on the next line. An example is part of the
problem, so it is stronger evidence than an output that the model predicts for its own input.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from ucoder.inputs.calls import Call, closing, read_calls
from ucoder.inputs.signatures import is_literal
from ucoder.inputs.text import MAX_CHARS, Refusal
from ucoder.records import Interface
from ucoder.texts import parse_module

_RESULT: Final = re.compile(
    r"[ \t]*(?:#[ \t]*)?(?:={0,2}>|={1,3}|➞|→|⇒|[-–]+>|(?:should[ \t]+|will[ \t]+|must[ \t]+)?"
    r"(?:returns?|gives?|outputs?|evaluates?[ \t]+to|is)\b:?)[ \t]*([^\n]+)",
    re.IGNORECASE,
)
_NEXT_LINE: Final = re.compile(r"[ \t]*(?:#[^\n]*)?\n[ \t]*([^\s>][^\n]*)")
_PROMPT: Final = re.compile(r">>>[ \t]*$")
_PUNCTUATION: Final = (
    ",;:.\u3002\u3001\uff0c\uff1b\uff1a\uff0e\u0964"  # Chinese, Japanese, Hindi too
)
_MAX_EXAMPLES: Final = 32
_MAX_RESULT: Final = 2_000
_MAX_CUTS: Final = 12


def read_examples(statement: str, interface: Interface) -> list[Call]:
    """The examples that consist of a call of the interface and a literal result.

    Args:
        statement: Any text.
        interface: The function whose calls are searched for.
    """
    found: list[Call] = []
    for call, result in _pairs(statement[:MAX_CHARS], interface.name):
        for read in read_calls(f"assert {call} == {result}", interface)[:1]:
            if not isinstance(read, Refusal) and read.predicted is not None:
                found.append(read)
        if len(found) == _MAX_EXAMPLES:
            break
    return found


def _pairs(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Source texts of calls and of the literals given as their results."""
    # Letters of another script may stand right before a call, where no spaces are written.
    letters = "A-Za-z0-9_" if name.isascii() else r"\w"
    for match in re.finditer(rf"(?<![{letters}.]){re.escape(name)}[ \t]*\(", text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        if line.rstrip().endswith("def"):
            continue
        end = closing(text, match.end())
        if end is None:
            continue
        said = _RESULT.match(text, end) or (
            _NEXT_LINE.match(text, end) if _PROMPT.search(line) else None
        )
        if said and (result := _literal(said[1][:_MAX_RESULT])) is not None:
            yield text[match.start() : end], result


def _literal(rest: str) -> str | None:
    """The longest prefix of a line that is one literal."""
    cut = rest.strip()
    for _ in range(_MAX_CUTS):
        # The punctuation of a sentence would turn a number into a float or a tuple.
        cut = cut.rstrip(f" \t{_PUNCTUATION}")
        module = parse_module(cut)
        statement = module.body[0] if module and len(module.body) == 1 else None
        if isinstance(statement, ast.Expr) and is_literal(statement.value):
            return cut
        shorter = re.sub(rf"(?:[\s{_PUNCTUATION})]|\S+)$", "", cut).rstrip()
        if not shorter or shorter == cut:
            return None
        cut = shorter
    return None

"""Examples in a problem's statement: calls with their results, in the common notations.

`f(2) == 3`, `f(2) = 3`, `f(2) => 3`, `f(2) -> 3`, `f(2) # returns 3`, `f(2) should return 3`, and
a doctest's `>>> f(2)` with the result on the next line. An example is part of the
problem, so it is stronger evidence than an output that the model predicts for its own input.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ucoder.inputs.calls import Call, closing, read_calls
from ucoder.inputs.signatures import is_literal
from ucoder.inputs.text import MAX_CHARS
from ucoder.records import Interface
from ucoder.texts import parse_module

_RESULT: Final = re.compile(
    r"[ \t]*(?:#[ \t]*)?(?:={0,2}>|={1,3}|➞|→|⇒|[-–]+>|(?:should[ \t]+|will[ \t]+|must[ \t]+)?"
    r"(?:returns?|gives?|outputs?|evaluates?[ \t]+to|is)\b:?)[ \t]*([^\n]+)",
    re.IGNORECASE,
)
_NEXT_LINE: Final = re.compile(r"[ \t]*(?:#[^\n]*)?\n[ \t]*([^\s>][^\n]*)")
_PROMPT: Final = re.compile(r">>>[ \t]*$")
_DOCTEST: Final = re.compile(
    r"^[ \t]*>>>(?P<source>[^\n]*(?:\n[ \t]*\.\.\.[^\n]*)*)"
    r"(?:\n(?P<output>(?![ \t]*(?:>>>|\"{3}|'{3}))[ \t]*\S[^\n]*"
    r"(?:\n(?![ \t]*(?:>>>|\"{3}|'{3}))[ \t]*\S[^\n]*)*))?\n?",
    re.MULTILINE,
)
_LABEL: Final = re.compile(r"(?i)\b(?:for )?(?:examples?|e\.g\.)[ \t]*\d{0,2}")
_SENTENCE: Final = re.compile(r"[.!?\u3002][)'\"`]{0,2}(?:[ \t]+|$)")
_FIELD: Final = re.compile(r"(?:Title|Description|Hint):[ \t]*")
_PUNCTUATION: Final = (
    ",;:.\u3002\u3001\uff0c\uff1b\uff1a\uff0e\u0964"  # Chinese, Japanese, Hindi too
)
BLOCK: Final = "Example:\nInput: "
"""How the block of a problem's example begins in its statement."""
_MAX_EXAMPLES: Final = 32
_MAX_TRIED: Final = 200
"""Calls looked at in one text; bounds the time spent on a hostile one."""
_MAX_RESULT: Final = 2_000
_MAX_CUTS: Final = 12


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class StatedExample:
    """An example as it stands in a text.

    Attributes:
        start: Where the words begin that go if the example is removed: its line or its sentence,
            which may hold other examples.
        end: Where they end.
        result: Start and end of the stated result, equal where a doctest shows none of its own.
        call: The call with the stated output, None for the output where it is no literal; None
            where the call itself cannot be read.
    """

    start: int
    end: int
    result: tuple[int, int]
    call: Call | None


def find_examples(text: str, interface: Interface, block: str = "") -> list[StatedExample]:
    """Every example in a text and where it stands, in order.

    Beside the notations above, a problem's own block is found, and so is every line of a doctest
    that calls the function, even where its result cannot be read.

    Args:
        text: A statement, or a docstring as it is written in source.
        interface: The function whose calls are searched for.
        block: `Problem.example`, whose block `Input: call`, `Output: result` may be in the text.
    """
    text = text[:MAX_CHARS]
    found = [*_block(text, interface, block), *_doctests(text, interface)]
    taken = [(example.start, example.end) for example in found]
    for call, result in _pairs(text, interface.name):
        if not any(start < result.end and call.start < end for start, end in taken):
            start, end = _words_around(text, call.start, result.end)
            read = _read(text[call.start : call.end], text[result.start : result.end], interface)
            found.append(StatedExample(start, end, (result.start, result.end), read))
        if len(found) > _MAX_EXAMPLES:
            break
    return sorted(found, key=lambda example: example.start)


def read_examples(statement: str, interface: Interface) -> list[Call]:
    """The examples that consist of a call of the interface and a literal result.

    Args:
        statement: Any text.
        interface: The function whose calls are searched for.
    """
    found: list[Call] = []
    text = statement[:MAX_CHARS]
    for call, result in _pairs(text, interface.name):
        read = _read(text[call.start : call.end], text[result.start : result.end], interface)
        if read is not None and read.predicted is not None:
            found.append(read)
        if len(found) == _MAX_EXAMPLES:
            break
    return found


def _read(call: str, result: str, interface: Interface) -> Call | None:
    """The call and its stated output; without the output where that is no literal."""
    for source in (f"assert {call} == {result}", f"assert {call}"):
        read = read_calls(source, interface)[:1]
        if read and isinstance(read[0], Call):
            return read[0]
    return None


def _claim(source: str, interface: Interface) -> Call | None:
    """What an expression that is said to be true states of a call."""
    read = read_calls(f"assert {source}", interface)[:1]
    return read[0] if read and isinstance(read[0], Call) else None


def _block(text: str, interface: Interface, example: str) -> Iterator[StatedExample]:
    """The block that stage 1 makes of a problem's example."""
    begin, middle, joint = BLOCK, "\nOutput: ", " == "
    length = len(begin) + len(example) - len(joint) + len(middle)
    at = text.find(begin) if example else -1
    while at >= 0:
        first, end = at + len(begin), at + length
        split = text.find(middle, first, end)
        while split >= 0:
            call, result = text[first:split], text[split + len(middle) : end]
            if f"{call}{joint}{result}" == example and text[end : end + 1] in ("", "\n"):
                span = (split + len(middle), end)
                read = _read(call, result, interface)
                yield StatedExample(at, min(end + 1, len(text)), span, read)
                return
            split = text.find(middle, split + 1, end)
        at = text.find(begin, at + 1)


def _doctests(text: str, interface: Interface) -> Iterator[StatedExample]:
    """The prompts of doctests that call the function, each with the output that follows it."""
    name = re.compile(rf"(?<![\w.]){re.escape(interface.name)}[ \t]*\(")
    for match in islice(_DOCTEST.finditer(text), _MAX_EXAMPLES):
        source = " ".join(re.sub(r"(?m)^[ \t]*\.\.\.", "", match["source"]).split("\n")).strip()
        if name.search(source):
            output = match["output"] or ""
            start = match.start("output") + len(output) - len(output.lstrip())
            start = start if output else match.end()
            span = (start, start + len(output.strip()))
            read = _read(source, output.strip() or "?", interface)
            called = name.match(source)
            is_call = called is not None and closing(source, called.end()) == len(source)
            if not is_call:  # `f(2) is None`, `f(2) == 3`: a claim, with nothing to put instead
                is_claim = output.strip() == "True"
                read, span = _claim(source, interface) if is_claim else None, (start, start)
            yield StatedExample(match.start(), match.end(), span, read)


def _words_around(text: str, start: int, end: int) -> tuple[int, int]:
    """The line that holds an example, or its sentence where the line holds more than that."""
    line = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    if not re.search(r"\w", _LABEL.sub("", text[line:start])) and not re.search(
        r"\w", text[end:line_end]
    ):
        return line, min(line_end + 1, len(text))
    if field := _FIELD.match(text, line, start):
        line = field.end()
    before = max((match.end() for match in _SENTENCE.finditer(text, line, start)), default=line)
    after = _SENTENCE.search(text, end, line_end)
    return before, after.end() if after else line_end


def _pairs(text: str, name: str) -> Iterator[tuple[_Span, _Span]]:
    """Places of calls and of the literals given as their results."""
    # Letters of another script may stand right before a call, where no spaces are written.
    letters = "A-Za-z0-9_" if name.isascii() else r"\w"
    calls = re.finditer(rf"(?<![{letters}.]){re.escape(name)}[ \t]*\(", text)
    for match in islice(calls, _MAX_TRIED):
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
            at = text.find(result, said.start(1))
            yield _Span(match.start(), end), _Span(at, at + len(result))


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

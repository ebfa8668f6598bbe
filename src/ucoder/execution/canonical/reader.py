"""Parsing canonical text, and other spellings of the same values by people and models.

The parser never evaluates anything: whatever goes in, only built-in values, dates, decimals,
fractions, containers of `collections` and plain records come out.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from ucoder.execution.canonical.calls import BUILDERS, WRAPPERS, Arguments, BadCall, build
from ucoder.execution.canonical.errors import CanonicalError
from ucoder.execution.canonical.literals import NUMBER, STRING, string_value, unsigned_value
from ucoder.execution.canonical.objects import RESERVED
from ucoder.execution.canonical.reflection import type_name
from ucoder.execution.canonical.values import (
    ArrayValue,
    DataclassValue,
    EnumValue,
    Plain,
    ScalarValue,
)
from ucoder.execution.canonical.writer import MAX_CHARS, MAX_DEPTH

_BLANKS = re.compile(r"[ \t\r\n\f]*")
_WORD = re.compile(r"(?:[A-Za-z_]|\\U[0-9a-f]{8})(?:[A-Za-z0-9_.]|\\U[0-9a-f]{8})*")
_NAME = r"(?:[A-Za-z_]|\\U[0-9a-f]{8})(?:[A-Za-z0-9_]|\\U[0-9a-f]{8})*"
_NAMED = re.compile(rf"[ \t\r\n\f]*({_NAME})[ \t\r\n\f]*=")
_MEMBER = re.compile(rf"<(?P<kind>{_NAME})(?:\.(?P<names>{_NAME}(?:\|{_NAME})*))?:")
_WRAPPED = re.compile(r"[ \t\r\n\f]*(?:[(\[{)'\"]|None\b)")
_ESCAPED_LETTER = re.compile(r"\\U([0-9a-f]{8})")
_CONSTANTS: Final = {
    "None": None,
    "True": True,
    "False": False,
    "datetime.timezone.utc": datetime.UTC,
}
_FLOAT_NAMES: Final = {"inf": "inf", "math.inf": "inf", "nan": "nan", "math.nan": "nan"}
_FLOAT_ARGUMENTS: Final = frozenset({"inf", "+inf", "-inf", "infinity", "-infinity", "nan"})
_RECORDS: Final = (DataclassValue, EnumValue, ArrayValue, ScalarValue)
_LEAF_CALLS: Final = 3  # a datetime holds a timezone, which holds a timedelta


def parse(
    text: str, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH, records: bool = True
) -> Plain:
    """Read a value from its canonical text, or from an ordinary Python literal.

    Beyond the output of `write` it accepts what people and models write: any quotes and prefixes of
    string literals except f, adjacent strings, underscores and bases in numbers, signs, `1+2j`,
    `float('inf')`, `math.inf`, `set([1, 2])`, `datetime.date(2020, 1, 2)`, `Counter('aab')`,
    `collections.OrderedDict([('a', 1)])`, blanks, line breaks and trailing commas.

    Args:
        text: The text.
        max_chars: Longest text allowed.
        max_depth: Deepest nesting of containers allowed.
        records: Whether records may come out: dataclass instances, enum members, numpy arrays and
            scalars. A program cannot be called with them.

    Raises:
        CanonicalError: The text is anything else, too long, or nested too deeply.
    """
    if type(text) is not str:
        raise CanonicalError(f"expected text, got {type_name(text)}")
    if len(text) > max_chars:
        raise CanonicalError(f"text of {len(text)} characters; at most {max_chars} are allowed")
    parser = _Parser(text, max_depth, records)
    try:
        value = parser.value(0)
        parser.skip_blanks()
    except RecursionError:
        raise CanonicalError("the text is nested too deeply") from None
    if parser.at != len(text):
        parser.fail("end of text")
    return value


class _Parser:
    """A recursive descent over one text; `at` is the next character to read."""

    __slots__ = ("at", "max_depth", "records", "text")

    def __init__(self, text: str, max_depth: int, records: bool) -> None:
        self.text = text
        self.at = 0
        self.max_depth = max_depth
        self.records = records

    def fail(self, expected: str) -> NoReturn:
        found = ascii(self.text[self.at : self.at + 20]) if self.at < len(self.text) else "the end"
        raise CanonicalError(f"expected {expected} at character {self.at}, found {found}")

    def skip_blanks(self) -> None:
        match = _BLANKS.match(self.text, self.at)
        if match:
            self.at = match.end()

    def peek(self) -> str:
        self.skip_blanks()
        return self.text[self.at : self.at + 1]

    def take(self, mark: str) -> bool:
        """Step over `mark` if it comes next."""
        if self.peek() != mark:
            return False
        self.at += 1
        return True

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            self.fail(repr(mark))

    def limit(self, depth: int, deepest: int) -> None:
        if depth >= deepest:
            raise CanonicalError(f"the text is nested deeper than {self.max_depth}")

    def value(self, depth: int) -> Plain:
        mark = self.peek()
        if mark and mark in "([{":
            self.limit(depth, self.max_depth)
            self.at += 1
            if mark == "[":
                return self.items("]", depth + 1)[0]
            if mark == "(":
                items, trailing_comma = self.items(")", depth + 1)
                return items[0] if len(items) == 1 and not trailing_comma else tuple(items)
            return self.braces(depth + 1)
        if mark and (mark in "+-." or "0" <= mark <= "9"):
            return self.number()
        if STRING.match(self.text, self.at):
            return self.strings()
        if mark == "<":
            return self.enum_member(depth)
        return self.word(depth)

    def items(self, end: str, depth: int) -> tuple[list[Plain], bool]:
        """The elements up to `end`, and whether a comma stood before it."""
        found: list[Plain] = []
        while not self.take(end):
            found.append(self.value(depth))
            if not self.take(","):
                self.expect(end)
                return found, False
        return found, bool(found)

    def braces(self, depth: int) -> Plain:
        if self.take("}"):
            return {}
        first = self.value(depth)
        if not self.take(":"):
            rest: list[Plain] = []
            if self.take(","):
                rest, _ = self.items("}", depth)
            else:
                self.expect("}")
            return self.hashed(set, [first, *rest])
        pairs = [(first, self.value(depth))]
        while self.take(",") and self.peek() != "}":
            key = self.value(depth)
            self.expect(":")
            pairs.append((key, self.value(depth)))
        self.expect("}")
        return self.hashed(dict, pairs)

    def hashed(self, kind: Callable[[Any], Plain], items: list[Plain]) -> Plain:
        try:
            return kind(items)
        except TypeError as error:  # an element that cannot be hashed
            raise CanonicalError(f"{error} before character {self.at}") from None

    def number(self) -> Plain:
        """A signed number, or a sum of a real and an imaginary one."""
        real = self.signed()
        if type(real) is not complex and self.peek() and self.peek() in "+-":
            imaginary = self.signed()
            if type(imaginary) is not complex:
                self.fail("an imaginary number after the sign")
            try:
                return real + imaginary
            except OverflowError:  # an int beyond the largest float
                raise CanonicalError("the number is too large for a complex") from None
        return real

    def signed(self) -> Plain:
        negative = False
        while (mark := self.peek()) and mark in "+-":
            negative ^= mark == "-"
            self.at += 1
        value = self.unsigned() if mark and mark in ".0123456789" else self.float_word()
        return -value if negative else value

    def unsigned(self) -> Plain:
        match = NUMBER.match(self.text, self.at)
        if not match:
            self.fail("a number")
        value = unsigned_value(match)
        self.at = match.end()
        return value

    def float_word(self) -> float:
        match = _WORD.match(self.text, self.at)
        word = match.group() if match else ""
        if word != "float" and word not in _FLOAT_NAMES:
            self.fail("a number")
        self.at += len(word)
        # A new NaN each time: a set keeps two of them only if they are two objects.
        return self.float_call() if word == "float" else float(_FLOAT_NAMES[word])

    def float_call(self) -> float:
        self.expect("(")
        self.skip_blanks()
        start = self.at
        if STRING.match(self.text, self.at):
            argument = self.strings()
            word = argument.strip().lower() if type(argument) is str else ""
            if word not in _FLOAT_ARGUMENTS:
                self.at = start
                self.fail("'inf', '-inf' or 'nan'")
            value = float(word)
        else:
            value = self.signed()
            if type(value) is not float:
                self.at = start
                self.fail("a float")
        self.expect(")")
        return value

    def word(self, depth: int) -> Plain:
        match = _WORD.match(self.text, self.at)
        word = match.group() if match else ""
        if word == "float" or word in _FLOAT_NAMES:
            return self.number()
        start = self.at
        self.at += len(word)
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        if not word or (word in RESERVED and word not in BUILDERS) or not self.take("("):
            self.at = start
            self.fail("a value")
        if word in BUILDERS:
            self.limit(depth, self.max_depth + _LEAF_CALLS)
            name = word
        else:
            self.limit(depth, self.max_depth)
            name = self.plain_name(word)
        wraps = word in WRAPPERS
        # A wrapper and its container are one level, so another wrapper must not follow.
        if wraps and not _WRAPPED.match(self.text, self.at):
            self.fail("a list, tuple, set, dict or text")
        arguments = self.arguments(depth if wraps else depth + 1)
        try:
            value = build(word, name, arguments)
        except BadCall as error:
            raise CanonicalError(f"{error} before character {self.at}") from None
        return self.checked(value)

    def checked(self, value: Plain) -> Plain:
        """Return the value, unless it is a record and records are not allowed."""
        if not self.records and isinstance(value, (*_RECORDS, tuple)):  # a named one
            raise CanonicalError(f"no {type_name(value)} is allowed here")
        return value

    def arguments(self, depth: int) -> Arguments:
        """What stands between the brackets of a call."""
        values: list[Plain] = []
        named: dict[str, Plain] = {}
        while not self.take(")"):
            match = _NAMED.match(self.text, self.at)
            if match:
                self.at = match.end()
                name = self.plain_name(match[1])
                if name in named:
                    self.fail("another name")
                named[name] = self.value(depth)
            elif named:
                self.fail("a name")
            else:
                values.append(self.value(depth))
            if not self.take(","):
                self.expect(")")
                break
        return values, named

    def enum_member(self, depth: int) -> Plain:
        """`<Color.RED: 1>`, `<Mode.R|W: 3>` or `<Mode: 0>`."""
        self.limit(depth, self.max_depth)
        match = _MEMBER.match(self.text, self.at)
        if not match:
            self.fail("an enum member like <Color.RED: 1>")
        self.at = match.end()
        names = match["names"]
        parts = None if names is None else [self.plain_name(part) for part in names.split("|")]
        value = self.value(depth + 1)
        self.expect(">")
        name = None if parts is None else "|".join(parts)
        return self.checked(EnumValue(self.plain_name(match["kind"]), name, value))

    def plain_name(self, word: str) -> str:
        """Undo the escapes in a name."""

        def letter(match: re.Match[str]) -> str:
            code = int(match[1], 16)
            if code > 0x10FFFF:
                self.fail("a character up to 0010ffff in a name")
            return chr(code)

        return _ESCAPED_LETTER.sub(letter, word) if "\\" in word else word

    def strings(self) -> Plain:
        """One string or bytes literal, or several side by side."""
        parts: list[Plain] = []
        while match := STRING.match(self.text, self.at):
            parts.append(string_value(match))
            if type(parts[-1]) is not type(parts[0]):
                self.fail("strings of one kind side by side")
            self.at = match.end()
            self.skip_blanks()
        return parts[0] if len(parts) == 1 else parts[0][:0].join(parts)

"""Canonical text of plain values: how results leave the sandbox and how inputs enter it.

`write` turns a value into text, `parse` turns text into a value. The text reads like a Python
literal and is pure ASCII. It is deterministic (sets and dicts are sorted by the text of their
elements and keys), injective (different values have different texts) and type-exact (`1`, `1.0`
and `True` differ), so that comparing two values outside the sandbox means comparing two strings.

Supported: None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict, of
exactly these types. Everything else is *not representable*. The value comes from a program that
nobody trusts, so `write` looks at `type(value)` by identity and never calls, compares, hashes or
prints anything whose type is not exactly one of these.

Limits: all NaNs are one value; a dict's order is not part of its text; shared references are
written out as often as they occur. Ints of more than 2048 bits are written in hexadecimal,
because decimal conversion takes quadratic time and Python refuses it beyond a settable number of
digits.

This file needs the standard library only and nothing else of this project: the very same file is
mounted into the sandbox.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn, TypeAlias

MAX_DEPTH: Final = 100
"""Deepest nesting of containers, for writing and for parsing."""

MAX_CHARS: Final = 1_000_000
"""Longest text, for writing and for parsing, unless the caller says otherwise."""

_DECIMAL_BITS: Final = 2048
"""Ints up to this width are decimal: 617 digits, below the 640 that no setting can forbid."""

Plain: TypeAlias = Any
"""Plain data as described above; no static type says "exactly these types, nested"."""

_SMALL: Final = 1 << 63

_raw_type_name = type.__dict__["__name__"].__get__


class CanonicalError(ValueError):
    """The value has no canonical text, or the text is none."""


class NotRepresentable(CanonicalError):
    """The value is, or holds, something that is not plain data; the message is the type's name."""


class TooLarge(CanonicalError):
    """The canonical text would be longer than allowed."""


def type_name(value: object) -> str:
    """Name a value's type without running any code of that type.

    A metaclass can lie about `__name__`, and a name can be a subclass of `str` with methods of
    its own: both are passed by.
    """
    name: str = str.__str__(_raw_type_name(type(value)))
    return ascii(name[:100])[1:-1]


def write(value: object, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH) -> str:
    """Write a value's canonical text.

    Args:
        value: Plain object at all.
        max_chars: Longest text allowed; writing stops as soon as it is passed.
        max_depth: Deepest nesting of containers allowed.

    Raises:
        NotRepresentable: The value is or holds something that is not plain data, contains
            itself, or is nested too deeply. The message starts with the offending type's name.
        TooLarge: The text would be longer than `max_chars`.
    """
    return _Writer(max_chars, max_depth).text(value, 0)


class _Writer:
    """One call of `write`: what may still be written, and the containers being written."""

    __slots__ = ("left", "max_chars", "max_depth", "open")

    def __init__(self, max_chars: int, max_depth: int) -> None:
        self.max_chars = max_chars
        self.max_depth = max_depth
        self.left = max_chars
        self.open: set[int] = set()

    def spend(self, n_chars: int) -> None:
        self.left -= n_chars
        if self.left < 0:
            raise TooLarge(f"more than {self.max_chars} characters")

    def text(self, value: Plain, depth: int) -> str:
        # A chain of identity tests, not a table: looking a type up hashes it, and a hostile
        # metaclass brings its own __hash__.
        kind = type(value)
        if kind is int:
            # The common case first and without calls: a program's results are mostly small ints.
            text = repr(value) if -_SMALL < value < _SMALL else self.int_text(value)
        elif kind is str or kind is bytes:
            if len(value) > self.left:
                self.spend(len(value))
            text = ascii(value)
        elif kind is float:
            text = float.__repr__(value)
        elif value is None or kind is bool:
            text = "None" if value is None else "True" if value else "False"
        elif kind is complex:
            text = f"complex({value.real!r}, {value.imag!r})"
        elif kind is list or kind is tuple or kind is dict or kind is set or kind is frozenset:
            return self.container_text(value, kind, depth)
        else:
            raise NotRepresentable(type_name(value))
        self.left -= len(text)
        if self.left < 0:
            self.spend(0)
        return text

    def int_text(self, value: int) -> str:
        n_bits = value.bit_length()
        if n_bits <= _DECIMAL_BITS:
            return int.__repr__(value)
        if n_bits // 4 > self.left:
            self.spend(n_bits // 4)
        return hex(value)

    def container_text(self, value: Plain, kind: type, depth: int) -> str:
        if depth >= self.max_depth:
            raise NotRepresentable(f"{type_name(value)} (nested deeper than {self.max_depth})")
        if id(value) in self.open:
            raise NotRepresentable(f"{type_name(value)} (contains itself)")
        self.open.add(id(value))
        depth += 1
        left_before = self.left
        if kind is dict:
            pairs = [(self.text(k, depth), self.text(v, depth)) for k, v in value.items()]
            pairs.sort()
            text = "{" + ", ".join([f"{k}: {v}" for k, v in pairs]) + "}"
        else:
            items = [self.text(item, depth) for item in value]
            if kind is list:
                text = "[" + ", ".join(items) + "]"
            elif kind is tuple:
                text = f"({items[0]},)" if len(items) == 1 else "(" + ", ".join(items) + ")"
            else:
                items.sort()
                text = "{" + ", ".join(items) + "}" if items else "set()"
                if kind is frozenset:
                    text = f"frozenset({text})" if items else "frozenset()"
        self.open.discard(id(value))
        self.spend(len(text) - (left_before - self.left))  # what stands around the elements
        return text


def parse(text: str, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH) -> Plain:
    """Read a value from its canonical text, or from an ordinary Python literal.

    Beyond what `write` emits it accepts what people and models write: any quotes and prefixes of
    string literals but f, adjacent strings, underscores and bases in numbers, signs, `1+2j`,
    `float('inf')`, `math.inf`, `set([1, 2])`, blanks, line breaks and trailing commas. It never
    evaluates anything: only plain data can come out, whatever goes in.

    Raises:
        CanonicalError: The text is anything else, too long or nested too deeply.
    """
    if type(text) is not str:
        raise CanonicalError(f"expected text, got {type_name(text)}")
    if len(text) > max_chars:
        raise CanonicalError(f"text of {len(text)} characters; at most {max_chars} are allowed")
    parser = _Parser(text, max_depth)
    try:
        value = parser.value(0)
        parser.skip_blanks()
    except RecursionError:
        raise CanonicalError("the text is nested too deeply") from None
    if parser.at != len(text):
        parser.fail("end of text")
    return value


_BLANKS = re.compile(r"[ \t\r\n\f]*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_NUMBER = re.compile(
    r"(?P<based>0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)"
    r"|(?P<float>(?:[0-9](?:_?[0-9])*\.(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)"
    r"(?:[eE][+-]?[0-9](?:_?[0-9])*)?|[0-9](?:_?[0-9])*[eE][+-]?[0-9](?:_?[0-9])*)(?P<fj>[jJ]?)"
    r"|(?P<int>[0-9](?:_?[0-9])*)(?P<ij>[jJ]?)"
)
_STRING = re.compile(
    r"(?P<prefix>[rRbBuU]{0,2})(?:"
    # Possessive repeats (++, *+) keep a text without its closing quote linear.
    r"'''(?P<a>(?:[^\\']++|\\.|'(?!''))*+)'''|"
    r'"""(?P<b>(?:[^\\"]++|\\.|"(?!""))*+)"""|'
    r"'(?P<c>(?:[^\\'\n]++|\\.)*+)'|"
    r'"(?P<d>(?:[^\\"\n]++|\\.)*+)")',
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})"
    r"|U(?P<U>[0-9a-fA-F]{8})|(?P<other>.))",
    re.DOTALL,
)
_SIMPLE_ESCAPES: Final = {
    "\n": "",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_PREFIXES: Final = frozenset({"", "r", "u", "b", "br", "rb"})
_CONSTANTS: Final = {"None": None, "True": True, "False": False}
_FLOAT_NAMES: Final = {"inf": "inf", "math.inf": "inf", "nan": "nan", "math.nan": "nan"}
_FLOAT_ARGUMENTS: Final = frozenset({"inf", "+inf", "-inf", "infinity", "-infinity", "nan"})


class _Parser:
    """A recursive descent over one text; `at` is the next character to read."""

    __slots__ = ("at", "max_depth", "text")

    def __init__(self, text: str, max_depth: int) -> None:
        self.text = text
        self.at = 0
        self.max_depth = max_depth

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

    def value(self, depth: int) -> Plain:
        mark = self.peek()
        if mark and mark in "([{":
            if depth >= self.max_depth:
                raise CanonicalError(f"the text is nested deeper than {self.max_depth}")
            self.at += 1
            if mark == "[":
                return self.items("]", depth + 1)[0]
            if mark == "(":
                items, trailing_comma = self.items(")", depth + 1)
                return items[0] if len(items) == 1 and not trailing_comma else tuple(items)
            return self.braces(depth + 1)
        if mark and (mark in "+-." or "0" <= mark <= "9"):
            return self.number()
        if _STRING.match(self.text, self.at):
            return self.strings()
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

    def hashed(self, kind: type, items: list[Plain]) -> Plain:
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
        match = _NUMBER.match(self.text, self.at)
        if not match:
            self.fail("a number")
        digits = match.group().rstrip("jJ")
        try:
            if match["based"]:
                value: Plain = int(digits, 0)
            elif match["float"] is not None or match["ij"]:
                value = float(digits)
            else:
                value = int(digits, 0)  # base 0 refuses leading zeros, as Python does
        except ValueError as error:
            raise CanonicalError(f"{str(error)[:100]} at character {self.at}") from None
        self.at = match.end()
        return complex(0.0, value) if match["fj"] or match["ij"] else value

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
        if _STRING.match(self.text, self.at):
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
        self.at += len(word)
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        if word in ("set", "frozenset"):
            kind = set if word == "set" else frozenset
            return self.collection(kind, depth)
        if word != "complex":
            self.at -= len(word)
            self.fail("a value")
        self.expect("(")
        real = self.signed()
        self.expect(",")
        imaginary = self.signed()
        self.expect(")")
        if type(real) is not float or type(imaginary) is not float:
            raise CanonicalError(f"expected complex(float, float) before character {self.at}")
        return complex(real, imaginary)

    def collection(self, kind: type, depth: int) -> Plain:
        """The rest of `set(...)` or `frozenset(...)`, with nothing or one bracketed argument."""
        self.expect("(")
        if self.take(")"):
            return kind()
        mark = self.peek()
        if not mark or mark not in "([{":
            self.fail("a list, tuple or set")
        items = self.value(depth)
        if type(items) not in (list, tuple, set):
            raise CanonicalError(f"expected a list, tuple or set before character {self.at}")
        self.expect(")")
        return self.hashed(kind, list(items))

    def strings(self) -> Plain:
        """One string or bytes literal, or several side by side."""
        parts: list[Plain] = []
        while match := _STRING.match(self.text, self.at):
            parts.append(self.string_value(match))
            if type(parts[-1]) is not type(parts[0]):
                self.fail("strings of one kind side by side")
            self.at = match.end()
            self.skip_blanks()
        return parts[0] if len(parts) == 1 else parts[0][:0].join(parts)

    def string_value(self, match: re.Match[str]) -> Plain:
        prefix = match["prefix"].lower()
        if prefix not in _PREFIXES:
            self.fail("a string prefix among r, b, u, br")
        body = match[match.lastgroup or ""] or ""
        is_bytes = "b" in prefix
        if is_bytes and not body.isascii():
            self.fail("bytes with ASCII characters only")
        if "r" not in prefix and "\\" in body:
            body = _ESCAPE.sub(_unescape_bytes if is_bytes else _unescape_str, body)
        return body.encode("latin-1") if is_bytes else body


def _unescape_bytes(match: re.Match[str]) -> str:
    if match["octal"]:
        return chr(int(match["octal"], 8) & 0xFF)
    if match["x"]:
        return chr(int(match["x"], 16))
    if match["other"] == "x":
        raise CanonicalError("the escape \\x is incomplete")
    return _SIMPLE_ESCAPES.get(match["other"] or "", match.group())


def _unescape_str(match: re.Match[str]) -> str:
    if match["octal"]:
        return chr(int(match["octal"], 8))
    digits = match["x"] or match["u"] or match["U"]
    if digits:
        code = int(digits, 16)
        if code > 0x10FFFF:
            raise CanonicalError(f"\\U{digits} is no character")
        return chr(code)
    if match["other"] in ("x", "u", "U", "N"):
        raise CanonicalError(f"the escape \\{match['other']} is incomplete or not supported")
    return _SIMPLE_ESCAPES.get(match["other"], match.group())

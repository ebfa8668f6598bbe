"""String, bytes and number literals of Python: their syntax and their values."""

from __future__ import annotations

import re
from typing import Final

from ucoder.execution.canonical.errors import CanonicalError

NUMBER = re.compile(
    r"(?P<based>0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)"
    r"|(?P<float>(?:[0-9](?:_?[0-9])*\.(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)"
    r"(?:[eE][+-]?[0-9](?:_?[0-9])*)?|[0-9](?:_?[0-9])*[eE][+-]?[0-9](?:_?[0-9])*)(?P<fj>[jJ]?)"
    r"|(?P<int>[0-9](?:_?[0-9])*)(?P<ij>[jJ]?)"
)
STRING = re.compile(
    r"(?P<prefix>[rRbBuU]{0,2})(?:"
    # Possessive repeats (++, *+) keep the time linear for a text without a closing quote.
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
PREFIXES: Final = frozenset({"", "r", "u", "b", "br", "rb"})


def string_value(match: re.Match[str]) -> str | bytes:
    """Read one literal that `STRING` matched.

    Raises:
        CanonicalError: Python would refuse it.
    """
    prefix = match["prefix"].lower()
    if prefix not in PREFIXES:
        raise CanonicalError(f"the string prefix {prefix!r} is not one of r, b, u, br")
    body = match[match.lastgroup or ""] or ""
    is_bytes = "b" in prefix
    if is_bytes and not body.isascii():
        raise CanonicalError("bytes with characters beyond ASCII")
    if "r" not in prefix and "\\" in body:
        body = _ESCAPE.sub(_unescape_bytes if is_bytes else _unescape_str, body)
    return body.encode("latin-1") if is_bytes else body


def unsigned_value(match: re.Match[str]) -> int | float | complex:
    """Read one number that `NUMBER` matched.

    Raises:
        CanonicalError: Python would refuse it.
    """
    digits = match.group().rstrip("jJ")
    try:
        if match["based"]:
            return int(digits, 0)
        if match["float"] is None and not match["ij"]:
            return int(digits, 0)  # base 0 refuses leading zeros, as Python does
        value = float(digits)
    except ValueError as error:
        raise CanonicalError(f"{str(error)[:100]} at character {match.start()}") from None
    return complex(0.0, value) if match["fj"] or match["ij"] else value


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
            raise CanonicalError(f"\\U{digits} is not a character")
        return chr(code)
    if match["other"] in ("x", "u", "U", "N"):
        raise CanonicalError(f"the escape \\{match['other']} is incomplete or not supported")
    return _SIMPLE_ESCAPES.get(match["other"], match.group())

"""The bytes that cross between a program's process, its worker and the parent.

A record is the result of one call, or says what happened to the program. It holds a kind of one
byte, the lengths of a text and of an arguments' text, the wall-clock and the CPU time in seconds,
and the two texts in ASCII. The worker passes the records of calls on unchanged, so the worker and
the parent both read this format. The kinds are plain constants because an enumeration would slow
down every call.
"""

from __future__ import annotations

# Bound here, because a program may replace them in `builtins`.
from builtins import len
from struct import Struct
from typing import Final

HEADER: Final = Struct("!cIIff")
"""Kind, length of the text, length of the arguments, wall and CPU time in seconds; NaN for a time
that was not measured."""

pack_header: Final = HEADER.pack
NAN: Final = float("nan")
_INFINITY: Final = float("inf")

# How one call ended.
RETURNED: Final = b"R"
RAISED: Final = b"E"
TIMED_OUT: Final = b"T"
OUT_OF_MEMORY: Final = b"M"
OUTPUT_TOO_LARGE: Final = b"O"
NOT_REPRESENTABLE: Final = b"N"
BAD_INPUT: Final = b"B"
CALLS: Final = frozenset(
    {RETURNED, RAISED, TIMED_OUT, OUT_OF_MEMORY, OUTPUT_TOO_LARGE, NOT_REPRESENTABLE, BAD_INPUT}
)

# What happened to the program. LOADED precedes the first call; each of the others comes alone.
LOADED: Final = b"L"
DOES_NOT_COMPILE: Final = b"C"
FAILED_TO_LOAD: Final = b"F"
OVERTIME: Final = b"W"
NO_ENTRY_POINT: Final = b"P"
KILLED: Final = b"K"
REACHED_END: Final = b"V"
STOPPED_EARLY: Final = b"X"
NOT_JUDGED: Final = b"U"
REFUSALS: Final = frozenset({DOES_NOT_COMPILE, FAILED_TO_LOAD, OVERTIME, NO_ENTRY_POINT})

REPLY: Final = Struct("!c?ddIII")
"""The header of a worker's answer: what happened to the program, whether the worker has to be
replaced, CPU and wall-clock seconds, the lengths of the detail and of the leftovers, and the
number of records that follow these two texts."""

MAX_DETAIL: Final = 4096
"""Longest text of a record that is not a result, in characters; messages are far shorter."""

LOAD_TIMED_OUT: Final = "timed out while the module was running"
LOAD_OUT_OF_MEMORY: Final = "MemoryError while the module was running"


def is_time(seconds: float) -> bool:
    """Whether a record may hold this time: a finite one, or NaN."""
    return 0.0 <= seconds < _INFINITY or seconds != seconds


def pack(
    kind: bytes, text: str = "", arguments: str = "", wall_s: float = NAN, cpu_s: float = NAN
) -> bytes:
    """Build a record."""
    first = text.encode("ascii", "backslashreplace")
    second = arguments.encode("ascii", "backslashreplace")
    return pack_header(kind, len(first), len(second), wall_s, cpu_s) + first + second

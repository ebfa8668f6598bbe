"""What a worker answers, checked before anything believes it.

A worker shares its user id with the programs that it runs, so its answers may be forged. What
comes out of here is well formed whatever went in: plain enumerations, bounded texts, finite
numbers, and exactly one outcome an input.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, TypeVar

from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)

_MAX_DETAIL: Final = 4096
_E = TypeVar("_E", OutcomeKind, ProgramStatus, Verdict)


class MalformedReply(Exception):
    """A worker sent what no honest worker sends; it is replaced."""


def longest_reply(n_inputs: int, output_limit_bytes: int) -> int:
    """The length in bytes beyond which a frame cannot be honest.

    Texts are ASCII, of which JSON escapes quotes and backslashes to two characters each.
    """
    return 65_536 + n_inputs * (2 * max(output_limit_bytes, _MAX_DETAIL) + 64)


def decode(frame: bytes) -> dict[str, Any]:
    """Read a frame's JSON object.

    Raises:
        MalformedReply: It is none.
    """
    try:
        reply = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise MalformedReply(f"the frame is no JSON: {error}") from None
    if type(reply) is not dict:
        raise MalformedReply("the frame is no JSON object")
    return reply


def call_report(reply: dict[str, Any], n_inputs: int, output_limit_bytes: int) -> CallReport:
    """Build the report on a program that was called.

    Raises:
        MalformedReply: A part is missing, of the wrong type, or out of bounds.
    """
    outcomes = reply.get("outcomes")
    if type(outcomes) is not list or len(outcomes) != n_inputs:
        raise MalformedReply(f"expected {n_inputs} outcomes")
    return CallReport(
        status=_member(ProgramStatus, reply.get("status")),
        outcomes=tuple([_outcome(pair, output_limit_bytes) for pair in outcomes]),
        detail=_text(reply.get("detail"), _MAX_DETAIL),
        cpu_s=_seconds(reply.get("cpu_s")),
        wall_s=_seconds(reply.get("wall_s")),
    )


def check_report(reply: dict[str, Any]) -> CheckReport:
    """Build the report on a script.

    Raises:
        MalformedReply: A part is missing, of the wrong type, or out of bounds.
    """
    return CheckReport(
        verdict=_member(Verdict, reply.get("verdict")),
        detail=_text(reply.get("detail"), _MAX_DETAIL),
        cpu_s=_seconds(reply.get("cpu_s")),
        wall_s=_seconds(reply.get("wall_s")),
    )


def _outcome(pair: object, output_limit_bytes: int) -> Outcome:
    if type(pair) is not list or len(pair) != 2:
        raise MalformedReply("an outcome is no pair")
    kind = _member(OutcomeKind, pair[0])
    limit = output_limit_bytes if kind is OutcomeKind.RETURNED else _MAX_DETAIL
    return Outcome(kind, _text(pair[1], limit))


def _member(kind: type[_E], value: object) -> _E:
    try:
        return kind(str(value))
    except ValueError:
        raise MalformedReply(f"expected a {kind.__name__}") from None


def _text(value: object, limit: int) -> str:
    if type(value) is not str or len(value) > limit or not value.isascii():
        raise MalformedReply(f"expected ASCII text of at most {limit} characters")
    return value


def _seconds(value: object) -> float:
    if type(value) is not float or not math.isfinite(value) or value < 0:
        raise MalformedReply("expected a number of seconds")
    return value

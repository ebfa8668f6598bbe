"""Decoding and checking a worker's answers.

A worker shares its user id with the programs that it runs, so its answers may be forged. Every
decoded report is well formed: enumerations, bounded texts, finite numbers, and exactly one outcome
per input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from struct import error as _StructError
from typing import Final

from ucoder.execution.child import records
from ucoder.execution.child.records import HEADER, REPLY
from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)

_KINDS: Final = {
    records.RETURNED: OutcomeKind.RETURNED,
    records.RAISED: OutcomeKind.RAISED,
    records.TIMED_OUT: OutcomeKind.TIMED_OUT,
    records.OUT_OF_MEMORY: OutcomeKind.OUT_OF_MEMORY,
    records.OUTPUT_TOO_LARGE: OutcomeKind.OUTPUT_TOO_LARGE,
    records.NOT_REPRESENTABLE: OutcomeKind.NOT_REPRESENTABLE,
    records.BAD_INPUT: OutcomeKind.SANDBOX_FAILED,
}
_STATUSES: Final = {
    records.LOADED: ProgramStatus.LOADED,
    records.DOES_NOT_COMPILE: ProgramStatus.DOES_NOT_COMPILE,
    records.FAILED_TO_LOAD: ProgramStatus.FAILED_TO_LOAD,
    records.OVERTIME: ProgramStatus.FAILED_TO_LOAD,
    records.NO_ENTRY_POINT: ProgramStatus.NO_ENTRY_POINT,
    records.KILLED: ProgramStatus.KILLED,
}
_VERDICTS: Final = {
    records.REACHED_END: Verdict.PASSED,
    records.OVERTIME: Verdict.TIMED_OUT,
    records.STOPPED_EARLY: Verdict.FAILED,
    records.DOES_NOT_COMPILE: Verdict.FAILED,
    records.KILLED: Verdict.FAILED,
    records.NOT_JUDGED: Verdict.NOT_JUDGED,
}

_MAX_RECENT: Final = 4096
_MAX_RECENT_BYTES: Final = 256
_recent: Final[dict[tuple[bytes, int, bytes], Outcome]] = {}


class MalformedReply(Exception):
    """A worker sent an answer that no honest worker sends; the worker is replaced."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A decoded frame; the records of calls are still bytes.

    Attributes:
        status: A kind of record, see `child.records`.
        retire: Whether the worker asks to be replaced.
        cpu_s: CPU seconds of the program.
        wall_s: Seconds from its start to its end.
        detail: The reason of the status, for people.
        leftovers: What the program left behind, for people.
        n_records: How many records the frame claims to hold.
        body: The records.
    """

    status: bytes
    retire: bool
    cpu_s: float
    wall_s: float
    detail: str
    leftovers: str
    n_records: int
    body: bytes


def longest_reply(n_inputs: int, output_limit_bytes: int) -> int:
    """The length in bytes of the longest honest frame."""
    longest = max(output_limit_bytes, records.MAX_DETAIL)
    return 65_536 + n_inputs * (2 * longest + HEADER.size)


def decode(frame: bytes) -> Reply:
    """Decode a frame.

    Raises:
        MalformedReply: A part is missing or out of bounds.
    """
    if len(frame) < REPLY.size:
        raise MalformedReply("the frame is too short")
    status, retire, cpu_s, wall_s, n_detail, n_left, n_records = REPLY.unpack_from(frame)
    if max(n_detail, n_left) > records.MAX_DETAIL:
        raise MalformedReply("a text is too long")
    if not (0 <= cpu_s < math.inf and 0 <= wall_s < math.inf):
        raise MalformedReply("expected a number of seconds")
    middle, end = REPLY.size + n_detail, REPLY.size + n_detail + n_left
    if len(frame) < end:
        raise MalformedReply("the frame is too short")
    detail, leftovers = _text(frame[REPLY.size : middle]), _text(frame[middle:end])
    return Reply(status, retire, cpu_s, wall_s, detail, leftovers, n_records, frame[end:])


def call_report(reply: Reply, n_inputs: int, output_limit_bytes: int) -> CallReport:
    """Build the report on a program that was called.

    Raises:
        MalformedReply: A part is missing, of the wrong type, or out of bounds.
    """
    status = _STATUSES.get(reply.status)
    if status is None or reply.n_records != n_inputs:
        raise MalformedReply(f"expected a status and {n_inputs} records")
    body, at, size, unpack = reply.body, 0, HEADER.size, HEADER.unpack_from
    outcomes, walls, cpus = [], [], []
    try:
        for _ in range(n_inputs):
            code, n_text, n_changed, wall_s, cpu_s = unpack(body, at)
            start = at + size
            at = start + n_text + n_changed
            limit = output_limit_bytes if code == records.RETURNED else records.MAX_DETAIL
            if n_text > limit or n_changed > output_limit_bytes or at > len(body):
                raise MalformedReply("a record is too long")
            if not (records.is_time(wall_s) and records.is_time(cpu_s)):
                raise MalformedReply("an impossible time")
            outcomes.append(_outcome(code, body[start:at], n_text))
            walls.append(wall_s)
            cpus.append(cpu_s)
    except (KeyError, ValueError, _StructError) as error:
        raise MalformedReply(f"a record is damaged: {error}") from None
    if at != len(body):
        raise MalformedReply("bytes follow the last record")
    return CallReport(
        status, tuple(outcomes), reply.detail, reply.cpu_s, reply.wall_s, tuple(walls), tuple(cpus),
        reply.leftovers,
    )  # fmt: skip


def _outcome(code: bytes, texts: bytes, n_text: int) -> Outcome:
    """Build an outcome, or reuse one, because the candidates of a problem mostly agree."""
    known = _recent.get((code, n_text, texts))
    if known is not None:
        return known
    outcome = Outcome(_KINDS[code], texts[:n_text].decode("ascii"), texts[n_text:].decode("ascii"))
    if len(texts) <= _MAX_RECENT_BYTES:
        if len(_recent) >= _MAX_RECENT:
            _recent.clear()
        _recent[code, n_text, texts] = outcome
    return outcome


def check_report(reply: Reply) -> CheckReport:
    """Build the report on a script.

    Raises:
        MalformedReply: A part is missing, of the wrong type, or out of bounds.
    """
    verdict = _VERDICTS.get(reply.status)
    if verdict is None or reply.n_records or reply.body:
        raise MalformedReply("expected a verdict and no records")
    return CheckReport(verdict, reply.detail, reply.cpu_s, reply.wall_s, reply.leftovers)


def _text(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedReply("expected ASCII text") from None

"""Coverage-guided fuzzing of what reads a sandbox's answers: canonical texts and frames.

Usage: pip install atheris; PYTHONPATH=src python fuzz/canonical.py -max_total_time=180

It ends by itself when nothing is found; a finding prints its traceback and leaves its input in a
file `crash-...`, to be run again by naming that file. The options are libFuzzer's.
"""

from __future__ import annotations

import math
import sys

import atheris

with atheris.instrument_imports(include=["ucoder.execution"]):
    from ucoder.execution import replies
    from ucoder.execution.canonical import CanonicalError, key, parse, same, write
    from ucoder.execution.child import records
    from ucoder.execution.outcomes import OutcomeKind

TOKENS = (
    *"()[]{}<>,:=.|-+_'\"\\ \n0123456789ejxbuNP",
    *(", ", ": ", "{'a': ", "{1: 2", "''", '"""', "b'", "\\x41", "\\U000000e9", "\\ud800", "1.5"),
    *("nan", "inf", "-inf", "None", "True", "0x", "1e9", "set(", "frozenset(", "complex("),
    *("Decimal('", "Fraction(", "array([", "dtype='int64'", "shape=(", "np.int64(", "<A.B: "),
    *("P(x=", "float("),
    *("datetime.date(", "datetime.datetime(", "datetime.time(", "tzinfo=", "fold=1"),
    *("datetime.timezone(", "datetime.timezone.utc", "datetime.timedelta(", "[1]", "{1}", "()"),
)  # fmt: skip
"""Pieces of texts, one a byte: random letters alone hardly ever make a word."""

LIMIT = 200


def check_text(text: str) -> None:
    """Whatever a text is, it has a key; what can be read can be written, and read back alike."""
    assert len(key(text)) == len(text)
    assert sorted(key(text)) == sorted(text)
    try:
        value = parse(text)
    except CanonicalError:
        return
    try:
        written = write(value)
    except CanonicalError:  # wider or deeper than the text that it was read from
        return
    again = write(parse(written))
    assert again == written, (written, again)
    assert key(key(written)) == key(written)
    assert key(write(parse(key(written)))) == key(written)
    assert same(text if text == written else written, written, rel_tol=1e-9)


def check_frame(frame: bytes, n_inputs: int) -> None:
    """Whatever a frame is, it is refused, or every part of the report is within its bounds."""
    try:
        reply = replies.decode(frame)
    except replies.MalformedReply:
        return
    try:
        verdict = replies.check_report(reply)
        assert 0 <= verdict.cpu_s < math.inf and 0 <= verdict.wall_s < math.inf
        assert verdict.detail.isascii() and verdict.leftovers.isascii()
    except replies.MalformedReply:
        pass
    try:
        report = replies.call_report(reply, n_inputs, LIMIT)
    except replies.MalformedReply:
        return
    assert len(report.outcomes) == len(report.call_wall_s) == len(report.call_cpu_s) == n_inputs
    for outcome in report.outcomes:
        longest = LIMIT if outcome.kind is OutcomeKind.RETURNED else records.MAX_DETAIL
        assert len(outcome.text) <= longest and len(outcome.arguments) <= LIMIT
        assert outcome.text.isascii() and outcome.arguments.isascii()
        assert len(outcome.answer) >= len(outcome.text)


def frame_of(data: bytes) -> tuple[bytes, int]:
    """An almost honest frame: the numbers come from the data, the lengths are mostly right."""
    n_inputs = data[0] % 4
    texts = [data[8 + 16 * i : 8 + 16 * i + data[1 + i] % 17] for i in range(n_inputs)]
    body = b"".join(
        records.HEADER.pack(data[4 + i : 5 + i], len(text) - 1, 1, data[1], data[2]) + text
        for i, text in enumerate(texts)
        if text
    )
    head = records.REPLY.pack(data[3:4], data[4] & 1, data[5], data[6], 0, 0, n_inputs)
    return head + body + data[200:], n_inputs


def text_of(data: bytes) -> str:
    """Any text, surrogates included."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def test_one_input(data: bytes) -> None:
    """Run one input: its first byte says what it is."""
    if not data:
        return
    kind, rest = data[0] % 4, data[1:]
    if kind == 0:
        check_text("".join([TOKENS[byte % len(TOKENS)] for byte in rest]))
    elif kind == 1:
        check_text(text_of(rest))
    elif kind == 2 and len(rest) > 8:
        check_frame(*frame_of(rest))
    elif rest:
        check_frame(rest[1:], rest[0] % 8)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()

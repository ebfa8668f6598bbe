"""Reading LiveCodeBench's files: which of them make a release, and the tests packed into them.

The files take gigabytes, most of it private tests. So a file of JSON lines is read line by line,
and a task keeps the position of its tests in the file; they are read when it is graded.

Private tests are published as a pickle. None is unpickled here: the few opcodes that a pickled
text has are read as data, and a pickle with any other is refused.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pickletools
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ucoder.errors import BenchmarkError
from ucoder.evaluation.data import Row, read_rows, text_of

N_FILES: Final = 6
"""Files published so far; each release adds one."""

MAX_TEST_BYTES: Final = 1 << 30
"""Longest text of one task's tests, unpacked."""

_RELEASE = re.compile(r"release_v([1-9])|v([1-9])(?:_v([1-9]))?")
_PICKLED_TEXT: Final = {
    "PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT",
    "EMPTY_DICT", "MARK", "SETITEM", "SETITEMS", "STOP",
}  # fmt: skip
_TEXTS: Final = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}


class Examples(NamedTuple):
    """A task's tests: what goes in and what should come out, as published texts."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Span(NamedTuple):
    """The position of a task's line in a file."""

    path: Path
    offset: int
    n_bytes: int


def files_of(release: str) -> tuple[str, ...]:
    """Names of the files that make a release.

    `release_v1` to `release_v6` hold everything up to that version, `v1` to `v6` what it added,
    `v4_v6` what these added.

    Raises:
        BenchmarkError: There is no such release.
    """
    name = f"release_v{N_FILES}" if release == "release_latest" else release
    match = _RELEASE.fullmatch(name)
    if match:
        upto, only, last = (int(group) if group else 0 for group in match.groups())
        first, last = (1, upto) if upto else (only, last or only)
        if first <= last <= N_FILES:
            numbers = range(first, last + 1)
            return tuple(f"test{number if number > 1 else ''}.jsonl" for number in numbers)
    raise BenchmarkError(
        f"LiveCodeBench has no release {release!r}; allowed: release_v1 to release_v{N_FILES} "
        f"(everything up to then), release_latest, v1 to v{N_FILES} (what that version added), "
        f"and ranges such as v4_v{N_FILES}"
    )


def read_file(path: Path) -> tuple[list[Row], str]:
    """Read a file; in one of JSON lines, `private_test_cases` become Spans.

    Returns:
        Its rows, and the sha256 of its bytes.

    Raises:
        BenchmarkError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            if file.read(1) != b"{":  # gzipped, Parquet or a list
                return read_rows(path)
            file.seek(0)
            rows, digest, offset = [], hashlib.sha256(), 0
            for line in file:
                digest.update(line)
                if line.strip():
                    rows.append(_light(json.loads(line), Span(path, offset, len(line))))
                offset += len(line)
    except (OSError, ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path} cannot be read as benchmark data: {error}") from error
    return rows, digest.hexdigest()


def _light(row: Any, span: Span) -> Row:
    if not isinstance(row, dict):
        raise ValueError(f"a line holds not a JSON object but {type(row).__name__}")
    if "private_test_cases" in row:
        row["private_test_cases"] = span
    return row


def examples_of(fields: Mapping[str, Any]) -> Examples:
    """A task's public tests, then its private ones.

    Raises:
        BenchmarkError: They are not in the published format, or their file has changed.
    """
    try:
        ready = fields.get("examples")
        if isinstance(ready, Examples):
            return ready
        private = fields["private_test_cases"]
        if isinstance(private, Span):
            private = _row_at(private, fields["question_id"])["private_test_cases"]
        items = [*read_tests(fields["public_test_cases"]), *read_tests(private)]
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BenchmarkError(
            f"the tests of LiveCodeBench's {fields.get('question_id')} cannot be read: {error!r}"
        ) from error
    return Examples(tuple(item[0] for item in items), tuple(item[1] for item in items))


def _row_at(span: Span, question_id: str) -> Row:
    with span.path.open("rb") as file:
        file.seek(span.offset)
        row = json.loads(file.read(span.n_bytes))
    if not isinstance(row, dict) or row.get("question_id") != question_id:
        raise ValueError(f"{span.path} has changed since it was read")
    return row


def read_tests(text: str) -> list[tuple[str, str]]:
    """Read a list of tests: JSON, or JSON in a pickle in zlib in base64.

    Raises:
        TypeError, KeyError, ValueError: It is neither.
    """
    try:
        tests = json.loads(text)
    except ValueError:
        (packed,) = pickled_texts(text)
        tests = json.loads(packed)
    if not isinstance(tests, list):
        raise ValueError(f"tests are not a list but {type(tests).__name__}")
    return [(text_of(test["input"]), text_of(test["output"])) for test in tests]


def pickled_texts(packed: str) -> list[str]:
    """The texts in a pickle in zlib in base64: of one text, or of a dict of texts.

    Raises:
        ValueError: It is anything else, or too large.
    """
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(packed, validate=True), MAX_TEST_BYTES)
    except zlib.error as error:
        raise ValueError(f"not compressed with zlib: {error}") from error
    if not unpacker.eof:
        raise ValueError(f"truncated, or longer than {MAX_TEST_BYTES} bytes")
    texts = []
    for opcode, argument, _ in pickletools.genops(io.BytesIO(raw)):
        if opcode.name in _TEXTS and isinstance(argument, str):
            texts.append(argument)
        elif opcode.name not in _PICKLED_TEXT:
            raise ValueError(f"the pickle holds more than texts: {opcode.name}")
    return texts


def from_sandbox_fusion(row: Row) -> Row:
    """A task in the published fields, from SandboxFusion's form of it.

    That form holds the finished prompt (`content`), the tests (`test`) and the id (`labels`), but
    neither date nor title.

    Raises:
        KeyError, TypeError, ValueError: It is not in that form.
    """
    labels = row["labels"]
    labels = json.loads(labels) if isinstance(labels, str) else labels
    _, _, asked = text_of(row["content"]).partition("### Question:\n")
    question, _, form = asked.partition("\n\n### Format: ")
    starter = re.search(r"```python\n(.*)\n```", form, re.DOTALL)
    name, tests = pickled_texts(row["test"])
    if not asked or starter is None or name != "input_output":
        raise ValueError("neither LiveCodeBench's fields nor SandboxFusion's form of them")
    tests = json.loads(tests)
    return {
        "question_id": labels["task_id"],
        "question_content": question,
        "starter_code": starter[1] if tests["fn_name"] else "",
        "difficulty": labels.get("difficulty", ""),
        "metadata": json.dumps({"func_name": tests["fn_name"]}),
        "examples": Examples(
            tuple(map(text_of, tests["inputs"])), tuple(map(text_of, tests["outputs"]))
        ),
    }

"""Published samples: JSON lines in the format of CodeT's, gzipped or plain, one task a line.

    task_id                 names the task; no two lines share one
    prompt                  what every candidate begins with
    entry_point             the function under test
    candidate_bodies        each continues the prompt, and is cut where CodeT cuts it
    candidates              instead of candidate_bodies: whole programs, taken as they are
    generated_test_texts    each continues the word "assert"; that word may be written out
    test                    the truth: a script that passes where a program is right

`known-answers` stands for a file that comes with ucoder: samples of the default model for its known
answers, in random order, drawn by `benchmarks/draw_samples.py`.

CodeT: Chen et al., "CodeT: Code Generation with Generated Tests", arXiv 2207.10397. Beyond its
format, a file may say of each candidate what the engine knew: `n_tokens`, `sum_logprobs` (natural
logarithms) and `finish` ("stop" or "length", or why it was lost, such as "content_filter"). Other
fields are passed over.

The file is read line by line. Its text is hostile: whatever it holds, reading ends in samples or
in a `BenchmarkError` that names the line.
"""

from __future__ import annotations

import ast
import codecs
import gzip
import hashlib
import io
import json
import math
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from ucoder.errors import BenchmarkError
from ucoder.execution.duplicates import program_key
from ucoder.inputs.text import unparse
from ucoder.records import Candidate, FinishReason, Interface, Parameter, Reason, digest
from ucoder.texts import parse_module

STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where CodeT cuts a sample, one after the other."""

PACKAGED: Final = {"known-answers": "known-answers-qwen2.5-coder-0.5b-instruct.jsonl.gz"}
"""Files of samples that come with ucoder, by the name that stands for each."""

MAX_LINE_BYTES = 256 << 20
"""A longer line is refused: all of a task is held in memory."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MAX_PROGRAM_CHARS = 100_000
_ASSERT = re.compile(r"\s*assert\b")
_Rule = tuple[str, Callable[[Any], bool]]
_TEXT: _Rule = ("must be a text", lambda value: isinstance(value, str))
_TEXTS = ("task_id", "prompt", "entry_point", "test")
_LISTS: dict[str, tuple[_Rule, ...]] = {
    "generated_test_texts": (_TEXT,),
    "candidate_bodies": (_TEXT,),
    "candidates": (_TEXT,),
    "n_tokens": (
        ("must be a whole number", lambda value: type(value) is int),  # JSON's true is not one
        ("must be a count", lambda value: 0 <= value < 1 << 62),
    ),
    "sum_logprobs": (
        ("must be a number", lambda value: value is None or type(value) in (int, float)),
        (
            "must be finite, or null where unknown",
            lambda value: value is None or not abs(value) > sys.float_info.max,
        ),
    ),
    "finish": (('must be "stop" or "length"', lambda value: value in tuple(FinishReason)),),
}
"""The fields that are lists, and what must hold of each of their values, in this order."""
_REQUIRED = (*_TEXTS, "generated_test_texts")


class _FormatError(Exception):
    """What is wrong with a line; the caller knows its number."""


@dataclass(frozen=True, slots=True)
class TaskSamples:
    """One task with its samples: one line of the file."""

    task_id: str
    prompt: str
    entry_point: str
    completions: tuple[str, ...]  # what the model wrote for each candidate, uncut
    programs: tuple[str, ...]  # one a completion
    test_texts: tuple[str, ...]  # each begins with `assert`
    test: str  # the truth script, complete: it calls what it defines
    n_tokens: tuple[int, ...]  # sampled for each candidate, 0 where unknown
    sum_logprobs: tuple[float, ...]  # in nats, NaN where unknown
    finish: tuple[FinishReason, ...]  # STOP where the file does not say
    digest: str  # sha256 of the line


def samples_file(data: Path) -> Path:
    """The file that a name in `PACKAGED` stands for; any other path, and one that exists, as is."""
    name = PACKAGED.get(str(data))
    return data if name is None or data.exists() else Path(__file__).parent / "data" / name


def program(prompt: str, body: str) -> str:
    """A sample of CodeT's as it is run: cut behind the function, put behind its prompt."""
    for stop in STOP:
        body = body.split(stop)[0]
    return prompt + body


def read_samples(path: Path) -> Iterator[TaskSamples]:
    """The file's tasks, in its order, one in memory at a time; packed files are told by content.

    Raises:
        BenchmarkError: The file cannot be read, or a line is not in the format.
    """
    lines_of_tasks: dict[str, int] = {}
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        try:
            samples = _samples(line)
        except _FormatError as error:
            raise BenchmarkError(f"{where}: {error}") from None
        first = lines_of_tasks.setdefault(samples.task_id, number)
        if first != number:
            raise BenchmarkError(
                f"{where}: task_id {_short(samples.task_id)} is that of line {first}; each "
                f"task has one line with all of its candidates"
            )
        yield samples
    if not lines_of_tasks:
        raise BenchmarkError(f"{path} holds no line; expected one JSON object a task")


def make_candidates(samples: TaskSamples) -> tuple[Candidate, ...]:
    """The task's candidates as records; one that was cut at the token limit or lost takes no part.

    What does not compile takes part: that is for the sandbox to find out.
    """
    columns = (samples.completions, samples.programs, samples.n_tokens, samples.sum_logprobs,
               samples.finish)  # fmt: skip
    candidates = []
    for index, row in enumerate(zip(*columns, strict=True)):
        completion, text, n_tokens, sum_logprob, finish = row
        reason = finish.lost or (Reason.TRUNCATED if finish is FinishReason.LENGTH else None)
        candidates.append(Candidate(
            digest(samples.task_id, 0, index), samples.task_id, 0, index, completion,
            "" if reason else text, "" if reason else program_key(text)[:16], n_tokens,
            sum_logprob, finish, reason,
        ))  # fmt: skip
    return tuple(candidates)


def interface_of(samples: TaskSamples) -> Interface | None:
    """The signature that calls are bound to, None where no text of the task holds it.

    The prompt's `def` counts; where the prompt does not parse (it may end inside the `def` line),
    the parameters that most candidates give, in the words of the first of those. Annotations may
    be missing. Keyword-only and starred parameters are left out.
    """
    for source in (samples.prompt, samples.prompt.rstrip() + "\n    pass\n"):
        if found := _definition(source, samples.entry_point):
            return _interface(found, samples.prompt)
    votes: Counter[tuple[int, int]] = Counter()
    firsts: dict[tuple[int, int], Interface] = {}
    for source, weight in Counter(samples.programs).items():
        if len(source) <= _MAX_PROGRAM_CHARS and (
            found := _definition(source, samples.entry_point)
        ):
            interface = _interface(found, samples.prompt)
            arity = (len(interface.parameters), interface.n_required)
            votes[arity] += weight
            firsts.setdefault(arity, interface)
    return firsts[votes.most_common(1)[0][0]] if votes else None


def _definition(source: str, name: str) -> ast.FunctionDef | None:
    """The last top-level function of that name: the one that a caller would get."""
    module = parse_module(source)
    nodes = module.body if module else []
    found = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[-1] if found else None


def _interface(node: ast.FunctionDef, prompt: str) -> Interface:
    arguments = [*node.args.posonlyargs, *node.args.args]
    n_required = len(arguments) - len(node.args.defaults)
    parameters = tuple(
        Parameter(argument.arg, _text_of(argument.annotation), at >= n_required)
        for at, argument in enumerate(arguments)
    )
    return Interface(node.name, parameters, _text_of(node.returns), prompt)


def _text_of(annotation: ast.expr | None) -> str:
    return (unparse(annotation) or "") if annotation is not None else ""


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The numbers and contents of lines that are not blank."""
    number = 0
    try:
        with _opened(path) as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise BenchmarkError(
                        f"{path}, line {number}: longer than {MAX_LINE_BYTES >> 20} MiB; is this "
                        f"a file of JSON lines, one task each?"
                    )
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield number, line.strip()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BenchmarkError(
            f"{path}, after line {number}: not a whole gzip file ({error}); fetch it again"
        ) from error
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror or error}") from error


def _opened(path: Path) -> BinaryIO:
    """The content of a file, gzip and zstandard unpacked."""
    with path.open("rb") as raw:
        magic = raw.read(4)
    if magic[:2] == _GZIP_MAGIC:
        return cast(BinaryIO, gzip.open(path))
    if magic == _ZSTD_MAGIC:
        import pyarrow as pa

        return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(str(path), "zstd")))
    return path.open("rb")


def _samples(line: bytes) -> TaskSamples:
    try:
        row = _checked(json.loads(line.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise _FormatError(f"neither gzip nor UTF-8 text ({error.reason})") from None
    except (ValueError, RecursionError) as error:
        raise _FormatError(f"invalid JSON: {error}") from None
    whole = row.get("candidates")
    completions = row["candidate_bodies"] if whole is None else whole
    n = len(completions)
    for name in ("n_tokens", "sum_logprobs", "finish"):
        if row.get(name) is not None and len(row[name]) != n:
            raise _FormatError(f"{name} has {len(row[name])} values for {n} candidates")
    logprobs = row.get("sum_logprobs") or [None] * n
    return TaskSamples(
        task_id=row["task_id"],
        prompt=row["prompt"],
        entry_point=row["entry_point"],
        completions=tuple(completions),
        programs=tuple(whole or (program(row["prompt"], body) for body in completions)),
        test_texts=tuple(
            text if _ASSERT.match(text) else f"assert {text}"
            for text in row["generated_test_texts"]
        ),
        test=_complete(row["test"], row["entry_point"]),
        n_tokens=tuple(row.get("n_tokens") or [0] * n),
        sum_logprobs=tuple(math.nan if value is None else float(value) for value in logprobs),
        finish=tuple(map(FinishReason, row.get("finish") or ["stop"] * n)),
        digest=hashlib.sha256(line).hexdigest(),
    )


def _checked(row: Any) -> dict[str, Any]:
    """A line's object, whose fields have the right types and belong together."""
    if not isinstance(row, dict):
        raise _FormatError(f"must be a JSON object, got {_shown(row)}")
    for name in _REQUIRED:
        if name not in row:
            raise _FormatError(f"lacks the field {name!r}; it has {_short(', '.join(row))}")
    for name in _TEXTS:
        _check(name, row[name], (_TEXT,))
    for name, rules in _LISTS.items():
        values = row.get(name)
        if values is None and name not in _REQUIRED:
            continue
        if not isinstance(values, list):
            raise _FormatError(f"{name} must be a list, got {_shown(values)}")
        for at, value in enumerate(values):
            _check(f"{name}[{at}]", value, rules)
    given = [name for name in ("candidates", "candidate_bodies") if row.get(name) is not None]
    if len(given) != 1:
        got = "both" if given else "neither"
        raise _FormatError(f"needs either candidate_bodies or candidates, got {got}")
    if not row[given[0]]:
        raise _FormatError("holds no candidate")
    if not row["task_id"].strip():
        raise _FormatError("task_id must not be empty")
    if not row["entry_point"].isidentifier():
        raise _FormatError(
            f"entry_point must be a function's name, got {_short(row['entry_point'])}"
        )
    return row


def _check(place: str, value: Any, rules: tuple[_Rule, ...]) -> None:
    for said, holds in rules:
        if not holds(value):
            raise _FormatError(f"{place} {said}, got {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return _short(json.dumps(value))


def _short(text: str) -> str:
    """A text as a message can show it: one line, ASCII, not too long."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _complete(test: str, entry_point: str) -> str:
    """The truth script with the call of `check` that HumanEval leaves to its reader."""
    module = parse_module(test)
    if module is None or not module.body:
        raise _FormatError("test must be a Python script, got " + _short(test))
    defines = any(isinstance(n, ast.FunctionDef) and n.name == "check" for n in module.body)
    statements = [n for n in module.body if not isinstance(n, ast.FunctionDef | ast.ClassDef)]
    calls = (node for statement in statements for node in ast.walk(statement))
    called = {n.func.id for n in calls if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    return f"{test}\ncheck({entry_point})\n" if defines and "check" not in called else test

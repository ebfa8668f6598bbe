"""Published samples: JSON lines in the format of CodeT's, gzipped or plain, one task a line.

    task_id                 names the task; no two lines share one
    prompt                  what every candidate begins with
    entry_point             the function under test
    candidate_bodies        each continues the prompt, and is cut where CodeT cuts it
    candidates              instead of candidate_bodies: whole programs, taken as they are
    generated_test_texts    each continues the word "assert"; that word may be written out
    test                    the truth: a script that passes where a program is right

CodeT: Chen et al., "CodeT: Code Generation with Generated Tests", arXiv 2207.10397. Beyond its
format, a file may say of each candidate what the engine knew: `n_tokens`, `sum_logprobs` (natural
logarithms) and `finish` ("stop" or "length"). Other fields are passed over.

The file is read line by line. Its text is hostile: whatever it holds, reading ends in samples or
in a `BenchmarkError` that names the line.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    model_validator,
)

from ucoder.errors import BenchmarkError
from ucoder.execution.duplicates import program_key
from ucoder.inputs.text import parse_module, unparse
from ucoder.records import Candidate, FinishReason, Interface, Parameter, Reason, digest

STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where CodeT cuts a sample, one after the other."""

MAX_LINE_BYTES = 256 << 20
"""A longer line is refused: all of a task is held in memory."""

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_PROGRAM_CHARS = 100_000
_ASSERT = re.compile(r"\s*assert\b")
_FAULTS = {
    "model_type": "must be a JSON object",
    "is_instance_of": "must be a text",
    "list_type": "must be a list",
    "int_type": "must be a whole number",
    "greater_than_equal": "must be a count",
    "less_than": "must be a count",
    "float_type": "must be a number",
    "literal_error": 'must be "stop" or "length"',
}
"""What is wrong with a value, by pydantic's name of it."""


class _FormatError(Exception):
    """What is wrong with a line; the caller knows its number."""


_Text = InstanceOf[str]
"""Any text: pydantic's own strings refuse lone surrogates, which models write and JSON holds."""


class _Line(BaseModel):
    """The fields of a line, checked and not converted; see the module for what they mean."""

    model_config = ConfigDict(strict=True, frozen=True)

    task_id: _Text
    prompt: _Text
    entry_point: _Text
    generated_test_texts: list[_Text]
    test: _Text
    candidate_bodies: list[_Text] | None = None
    candidates: list[_Text] | None = None
    n_tokens: list[Annotated[int, Field(ge=0, lt=1 << 62)]] | None = None
    sum_logprobs: list[float | None] | None = None
    finish: list[Literal["stop", "length"]] | None = None

    @model_validator(mode="after")
    def _has_one_kind_of_candidates(self) -> Self:
        if (self.candidates is None) == (self.candidate_bodies is None):
            given = "neither" if self.candidates is None else "both"
            raise ValueError(f"needs either candidate_bodies or candidates, got {given}")
        return self

    def column(self, name: str, n: int, unknown: Any) -> Sequence[Any]:
        """One value for each of n candidates, `unknown` where the line has no such field.

        Raises:
            _FormatError: There are more or fewer values.
        """
        values: Sequence[Any] | None = getattr(self, name)
        if values is not None and len(values) != n:
            raise _FormatError(f"{name} has {len(values)} values for {n} candidates")
        return [unknown] * n if values is None else values


@dataclass(frozen=True, slots=True)
class TaskSamples:
    """One task with its samples: one line of the file.

    Attributes:
        task_id: The file's own.
        prompt: As in the file.
        entry_point: The function under test; an identifier.
        completions: What the model wrote for each candidate, uncut.
        programs: The program of each, one a completion.
        test_texts: Texts of assert lines, each beginning with that word.
        test: The truth script, complete: it calls what it defines.
        n_tokens: Sampled tokens of each candidate, 0 where unknown.
        sum_logprobs: Sum of their log-probabilities in nats, NaN where unknown.
        finish: Why each ended; STOP where the file does not say.
        digest: sha256 of the line.
    """

    task_id: str
    prompt: str
    entry_point: str
    completions: tuple[str, ...]
    programs: tuple[str, ...]
    test_texts: tuple[str, ...]
    test: str
    n_tokens: tuple[int, ...]
    sum_logprobs: tuple[float, ...]
    finish: tuple[FinishReason, ...]
    digest: str


def program(prompt: str, body: str) -> str:
    """A sample of CodeT's as it is run: cut behind the function, put behind its prompt."""
    for stop in STOP:
        body = body.split(stop)[0]
    return prompt + body


def read_samples(path: Path) -> Iterator[TaskSamples]:
    """The file's tasks, in its order, one in memory at a time.

    Args:
        path: JSON lines, gzipped or not: the content tells, not the name.

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
    """The task's candidates as records; one that was cut at the token limit takes no part.

    What does not compile takes part: that is for the sandbox to find out.
    """
    return tuple(_candidate(samples, index) for index in range(len(samples.programs)))


def interface_of(samples: TaskSamples) -> Interface | None:
    """The signature that calls are bound to, None where no text of the task holds it.

    The prompt's `def` counts; where the prompt does not parse (it may end inside the `def` line),
    the parameters that most candidates give, in the words of the first of those. Annotations may
    be missing. Keyword-only and starred parameters are left out.
    """
    for source in (samples.prompt, samples.prompt.rstrip() + "\n    pass\n"):
        if (found := _definition(source, samples.entry_point)) is not None:
            return _interface(found, samples.prompt)
    votes: Counter[tuple[int, int]] = Counter()
    firsts: dict[tuple[int, int], Interface] = {}
    for source, weight in Counter(samples.programs).items():
        if len(source) > _MAX_PROGRAM_CHARS:
            continue
        if (found := _definition(source, samples.entry_point)) is not None:
            interface = _interface(found, samples.prompt)
            arity = (len(interface.parameters), interface.n_required)
            votes[arity] += weight
            firsts.setdefault(arity, interface)
    return firsts[votes.most_common(1)[0][0]] if votes else None


def _candidate(samples: TaskSamples, index: int) -> Candidate:
    cut = samples.finish[index] is FinishReason.LENGTH
    text = "" if cut else samples.programs[index]
    return Candidate(
        id=digest(samples.task_id, 0, index),
        problem_id=samples.task_id,
        iteration=0,
        index=index,
        completion=samples.completions[index],
        program=text,
        program_id="" if cut else program_key(text)[:16],
        n_tokens=samples.n_tokens[index],
        sum_logprob=samples.sum_logprobs[index],
        finish_reason=samples.finish[index],
        reason=Reason.TRUNCATED if cut else None,
    )


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
                if line.strip():
                    yield number, line.strip()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BenchmarkError(
            f"{path}, after line {number}: not a whole gzip file ({error}); fetch it again"
        ) from error
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        if raw.read(2) != _GZIP_MAGIC:
            raw.seek(0)
            yield raw
            return
        raw.seek(0)
        with gzip.open(raw, "rb") as unpacked:
            yield unpacked  # type: ignore[misc]  # GzipFile reads like any binary file


def _samples(line: bytes) -> TaskSamples:
    try:
        checked = _Line.model_validate(json.loads(line.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise _FormatError(f"neither gzip nor UTF-8 text ({error.reason})") from None
    except ValidationError as error:
        raise _FormatError(_complaint(error)) from None
    except (ValueError, RecursionError) as error:
        raise _FormatError(f"invalid JSON: {error}") from None
    if not checked.task_id.strip():
        raise _FormatError("task_id must not be empty")
    if not checked.entry_point.isidentifier():
        raise _FormatError(
            f"entry_point must be a function's name, got {_short(checked.entry_point)}"
        )
    completions = tuple(checked.candidates or checked.candidate_bodies or ())
    n = len(completions)
    if n == 0:
        raise _FormatError("holds no candidate")
    logprobs = [math.nan if p is None else p for p in checked.column("sum_logprobs", n, None)]
    for at, value in enumerate(logprobs):
        if math.isinf(value):
            raise _FormatError(f"sum_logprobs[{at}] must be finite, or null where unknown")
    return TaskSamples(
        task_id=checked.task_id,
        prompt=checked.prompt,
        entry_point=checked.entry_point,
        completions=completions,
        programs=tuple(checked.candidates or (program(checked.prompt, b) for b in completions)),
        test_texts=tuple(
            text if _ASSERT.match(text) else f"assert {text}"
            for text in checked.generated_test_texts
        ),
        test=_complete(checked.test, checked.entry_point),
        n_tokens=tuple(checked.column("n_tokens", n, 0)),
        sum_logprobs=tuple(logprobs),
        finish=tuple(FinishReason(value) for value in checked.column("finish", n, "stop")),
        digest=hashlib.sha256(line).hexdigest(),
    )


def _complaint(error: ValidationError) -> str:
    """The first fault of a line, in the words of JSON."""
    fault = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else part for part in fault["loc"])
    value = fault["input"]
    if fault["type"] == "missing":
        return f"lacks the field {place!r}; it has {_short(', '.join(value))}"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    got = "a list" if isinstance(value, list) else "an object"
    if not isinstance(value, list | dict):
        got = _short(json.dumps(value))
    return f"{place} {_FAULTS.get(fault['type'], fault['msg'])}, got {got}".strip()


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

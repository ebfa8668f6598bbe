"""Problems that a user has and the answers of which nobody knows: `problems.source`.

Two forms. A file of JSON lines has one problem a line:

    statement   what to compute, in words; `prompt` is another name for it
    signature   such as `def total(prices: list[float]) -> float`; without one, stage 3 writes it
    docstring   the contract; the statement where it is missing, and the other way round
    interface   imports, signature and docstring in one text, instead of the two
    examples    a list of texts such as `total([1.5, 2]) == 3.5`, which are taken as true
    id          your own name for it

A `prompt` that is a function to complete, as HumanEval's are, is an interface. A folder holds
Python files: the functions in them whose bodies are missing (`...`, `pass`, `raise
NotImplementedError`, or a docstring alone) are the problems, and a file's imports belong to them.

What is not in this form is a fault, and faults are listed together before a run is made. A problem
in this form may still be unusable, such as an `async` function: it stays on record with the reason.

`known-answers` stands for the problems that come with ucoder. Their statements and interfaces are
taken, never their reference programs.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ucoder.config import ProblemsConfig
from ucoder.config.stages import KNOWN_ANSWERS
from ucoder.errors import BenchmarkError, ConfigError
from ucoder.evaluation.benchmarks import known_answers
from ucoder.evaluation.data import read_numbered
from ucoder.inputs.examples import read_examples
from ucoder.inputs.signatures import read_given_function
from ucoder.inputs.text import Refusal, normalised
from ucoder.records import NAN, Interface, Problem, Reason, digest
from ucoder.texts import parse_module

AREA: Final = "your own prompts"

_TEXTS: Final = ("statement", "prompt", "signature", "docstring", "interface")
_KEYS: Final = (*_TEXTS, "examples", "id")
_MAX_LISTED: Final = 20
_MAX_TITLE: Final = 80


@dataclass(frozen=True, slots=True)
class GivenProblem:
    """One problem of a source.

    Attributes:
        name: The user's own id, or else where it stands.
        area: The area of a known answer; `AREA` for a user's own problem.
        statement: What to compute, in words.
        examples: Calls with their results, one a line.
        interface: Its interface; None where stage 3 has to write it, and where it is refused.
        refusal: Why it cannot be used, None where it can.
    """

    name: str
    area: str
    statement: str
    examples: str = ""
    interface: Interface | None = None
    refusal: Refusal | None = None

    def problem(self, interface: Interface) -> Problem:
        """The problem with its interface, which stage 3 may have written."""
        statement = self.statement
        if self.examples:
            statement += f"\n\nExamples:\n{self.examples}"
        return Problem(
            id=digest(interface.source, normalised(statement)),
            area=self.area,
            topic=self.name,
            title=self.statement.split("\n")[0][:_MAX_TITLE],
            description=self.statement,
            statement=statement,
            example=self.examples,
            rating=NAN,
            rating_summary="",
            interface=interface,
            is_given=True,
        )


@dataclass(frozen=True, slots=True)
class GivenProblems:
    """What a source holds.

    Attributes:
        problems: In their order, those that cannot be used as well.
        sha256: Of what was read.
    """

    problems: tuple[GivenProblem, ...]
    sha256: str

    def refused(self) -> list[str]:
        """A line for each problem that cannot be used."""
        return [
            f"{given.name}: {given.refusal.reason.replace('_', ' ')}: {given.refusal.detail}"
            for given in self.problems
            if given.refusal is not None
        ]


def load_given(config: ProblemsConfig) -> GivenProblems | None:
    """The problems of `problems.source`; None where the model invents them.

    Raises:
        ConfigError: The source cannot be read, holds no usable problem, or holds faults; every
            fault is listed with its line.
    """
    if config.source is None:
        return None
    if config.source == KNOWN_ANSWERS:
        return _known_answers()
    path = Path(config.source).expanduser()
    if not path.exists():
        raise ConfigError(
            f"problems.source={path} does not exist; give a file of JSON lines, a folder of Python "
            f"files, or {KNOWN_ANSWERS}"
        )
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if not any(given.refusal is None for given in found.problems):
        raise ConfigError(f"problems.source={path} holds no problem that can be used" + _listed(
            found.refused()
        ))  # fmt: skip
    return found


def _listed(lines: list[str]) -> str:
    more = f"\n  and {len(lines) - _MAX_LISTED} more" if len(lines) > _MAX_LISTED else ""
    return "".join(f"\n  {line}" for line in lines[:_MAX_LISTED]) + more


def _known_answers() -> GivenProblems:
    dataset = known_answers.load()
    return GivenProblems(
        tuple(
            GivenProblem(
                name=task.id,
                area=task.fields["area"],
                statement=task.text,
                interface=_known_interface(task.fields["interface"]),
            )
            for task in dataset.tasks
        ),
        dataset.sha256,
    )


def _known_interface(source: str) -> Interface:
    interface = _read_interface(source)
    assert isinstance(interface, Interface), interface  # a test reads them all
    return interface


# A file of JSON lines.


def _of_file(path: Path) -> GivenProblems:
    try:
        rows, sha256 = read_numbered(path)
    except BenchmarkError as error:
        raise ConfigError(f"problems.source={error}") from error
    problems: list[GivenProblem] = []
    faults: list[str] = []
    lines: dict[str, str] = {}
    for where, row in rows:
        if isinstance(row, str):
            faults.append(f"{where}: {row}")
            continue
        row = {key: value for key, value in row.items() if value is not None}
        if fault := _fault(row):
            faults.append(f"{where}: {fault}")
            continue
        given = _of_row(where, row)
        if given.name in lines:
            faults.append(f"{where}: the id {given.name!r} is that of {lines[given.name]} as well")
        lines[given.name] = where
        problems.append(given)
    if faults:
        raise ConfigError(
            f"problems.source={path} has {len(faults)} faults:{_listed(faults)}\n"
            f"A line is an object with statement or docstring, and if there are any signature, "
            f"interface, examples, id"
        )
    return GivenProblems(tuple(problems), sha256)


def _fault(row: Mapping[str, Any]) -> str:
    """What is wrong with a line, "" where nothing is."""
    if unknown := sorted(row.keys() - set(_KEYS)):
        return f"unknown key {', '.join(map(repr, unknown))}; known: {', '.join(_KEYS)}"
    for key in _TEXTS:
        if not isinstance(row.get(key, ""), str):
            return f"{key} is a {type(row[key]).__name__}, not a text"
    if not isinstance(row.get("id", ""), str | int):
        return "id is neither a text nor a whole number"
    examples = row.get("examples", [])
    if not isinstance(examples, list) or not all(isinstance(one, str) for one in examples):
        return "examples is not a list of texts"
    said = {key for key in _TEXTS if row.get(key, "").strip()}
    if not said & {"statement", "prompt", "docstring", "interface"}:
        return "neither statement (or prompt) nor docstring nor interface says what to compute"
    for one, other in (("statement", "prompt"), ("interface", "signature"),
                       ("interface", "docstring")):  # fmt: skip
        if {one, other} <= said:
            return f"holds both {one} and {other}; give one of them"
    return ""


def _of_row(where: str, row: Mapping[str, Any]) -> GivenProblem:
    texts = {key: row.get(key, "").strip() for key in _TEXTS}
    statement = texts["statement"] or texts["prompt"]
    source, docstring = texts["interface"], texts["docstring"]
    if not (source or texts["signature"]) and _is_function(texts["prompt"]):
        statement, source = "", texts["prompt"]
    interface: Interface | Refusal | None = None
    if source:
        interface = _read_interface(source, statement)
    elif texts["signature"]:
        head = texts["signature"].rstrip(":").rstrip()
        interface = _read_interface(f"{head}:\n    pass\n", docstring or statement)
    if not statement:
        statement = docstring or _docstring_of(source)
    examples = "\n".join(one.strip() for one in row.get("examples", []))
    if isinstance(interface, Interface):
        unread = [one for one in row.get("examples", []) if not read_examples(one, interface)]
        if unread:
            said = f"{unread[0][:80]!r} is not a call of {interface.name} with a literal result"
            interface = Refusal(Reason.NOT_A_CALL, f"an example: {said}")
    refusal = interface if isinstance(interface, Refusal) else None
    return GivenProblem(
        name=str(row.get("id", "")).strip() or where,
        area=AREA,
        statement=statement,
        examples=examples,
        interface=None if isinstance(interface, Refusal) else interface,
        refusal=refusal,
    )


def _is_function(text: str) -> bool:
    module = parse_module(text)
    return module is not None and any(isinstance(node, _FUNCTIONS) for node in module.body)


def _read_interface(source: str, docstring: str = "") -> Interface | Refusal:
    """The interface in a text; `docstring` where it has none of its own."""
    module = parse_module(source)
    if module is None:
        return Refusal(Reason.BAD_SIGNATURE, f"not Python: {source[:80]!r}")
    functions = [node for node in module.body if isinstance(node, _FUNCTIONS)]
    if len(functions) != 1:
        return Refusal(
            Reason.BAD_SIGNATURE, f"holds {len(functions)} functions at top level instead of one"
        )
    return _read_function(functions[0], _imports(module), docstring)


def _docstring_of(source: str) -> str:
    module = parse_module(source)
    found = [node for node in module.body if isinstance(node, _FUNCTIONS)] if module else []
    return (ast.get_docstring(found[0]) or "").strip() if found else ""


# Functions of the user's own.

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def _read_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, imports: tuple[str, ...], docstring: str = ""
) -> Interface | Refusal:
    if isinstance(node, ast.AsyncFunctionDef):
        return Refusal(Reason.BAD_SIGNATURE, f"{node.name} is an async function")
    docstring = (ast.get_docstring(node) or docstring).strip()
    if not docstring:
        return Refusal(Reason.MALFORMED_PROBLEM, f"nothing says what {node.name} should compute")
    return read_given_function(node, docstring, imports)


def _imports(module: ast.Module) -> tuple[str, ...]:
    """A module's imports, without those of its own package, which the sandbox does not have."""
    return tuple(
        ast.unparse(node)
        for node in module.body
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
    )


def _of_folder(folder: Path) -> GivenProblems:
    problems: list[GivenProblem] = []
    faults: list[str] = []
    checksum = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = str(path.relative_to(folder))
        try:
            content = path.read_bytes()
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{name}: {error}")
            continue
        checksum.update(name.encode("utf-8", "surrogateescape") + b"\0" + content)
        module = parse_module(text)
        if module is None:
            faults.append(f"{name}: not valid Python")
        else:
            problems += _of_module(name, module)
    if faults:
        raise ConfigError(f"problems.source={folder} has {len(faults)} faults:{_listed(faults)}")
    if not problems:
        raise ConfigError(
            f"problems.source={folder} holds no Python file with a function whose body is missing "
            f"(..., pass, raise NotImplementedError, or a docstring alone)"
        )
    return GivenProblems(tuple(problems), checksum.hexdigest())


def _of_module(name: str, module: ast.Module) -> Iterator[GivenProblem]:
    """The functions of a file whose bodies are missing, methods among them, which are refused."""
    imports = _imports(module)
    for owner, node in _functions_of(module):
        if not _is_missing(node):
            continue
        interface = (
            Refusal(Reason.BAD_SIGNATURE, f"{node.name} is a method of {owner}")
            if owner
            else _read_function(node, imports)
        )
        yield GivenProblem(
            name=f"{name}, line {node.lineno}: {node.name}",
            area=AREA,
            statement=(ast.get_docstring(node) or "").strip(),
            interface=None if isinstance(interface, Refusal) else interface,
            refusal=interface if isinstance(interface, Refusal) else None,
        )


def _functions_of(
    module: ast.Module,
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions of a module in order, each with the class that it belongs to, or ""."""
    for node in module.body:
        if isinstance(node, _FUNCTIONS):
            yield "", node
        elif isinstance(node, ast.ClassDef):
            yield from ((node.name, one) for one in node.body if isinstance(one, _FUNCTIONS))


def _is_missing(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function has nothing but a docstring and what stands for a missing body."""
    return all(
        isinstance(one, ast.Pass)
        or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        or (isinstance(one, ast.Raise) and _raised(one) == "NotImplementedError")
        for one in node.body
    )


def _raised(node: ast.Raise) -> str:
    error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return error.id if isinstance(error, ast.Name) else ""

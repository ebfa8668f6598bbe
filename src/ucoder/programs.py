"""The program in a model's answer, and running a problem's distinct programs, each once.

A program is the code block that the model wrote, without what only shows its function off: prints,
asserts about its functions, and an `if __name__ == "__main__"` block, which an import never runs.
What repeats a prefill is cut as well. Fine-tuning would teach the model to write all that. Whatever
may change what the function does, such as `sys.setrecursionlimit(10_000)` or `PRIMES.append(7)`,
stays. Names that the prompt's interface imports and the program uses without an import of its own
are imported.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final

from ucoder.execution.protocol import Executor
from ucoder.inputs.text import Refusal, unparse
from ucoder.records import Candidate, Execution, Problem, Reason, TestInput
from ucoder.texts import (
    MAX_PROGRAM_CHARS,
    CodeBlock,
    chosen_block,
    parse_module,
    spoken,
    top_level_names,
)

_PURE: Final = frozenset(
    (*("abs", "all", "any", "bin", "bool", "bytes", "chr", "complex", "dict", "divmod"),
     *("enumerate", "filter", "float", "format", "frozenset", "hex", "int", "isinstance", "len"),
     *("issubclass", "list", "map", "max", "min", "oct", "ord", "pow", "print", "range", "repr"),
     *("reversed", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip"))
)  # fmt: skip
"""Builtin functions whose call has no effect that a program could see later."""

_PURE_METHODS: Final = frozenset(
    (*("capitalize", "copy", "count", "endswith", "find", "format", "get", "index", "isdigit"),
     *("items", "join", "keys", "lower", "most_common", "replace", "rstrip", "split"),
     *("splitlines", "startswith", "strip", "title", "tolist", "upper", "values"))
)  # fmt: skip


def extract_program(
    text: str, entry_point: str, interface: str = "", *, begun: str = ""
) -> str | Refusal:
    """The program in an answer. Accepts any text and never raises.

    Args:
        text: The answer, with or without code fences and thinking sections.
        entry_point: The function that the program must define at top level.
        interface: The source of the prompt's interface, whose imports a program may rely on.
        begun: The start of the program where the answer's prefill wrote it, up to the body of the
            entry point; "" where the model wrote the whole program.

    Returns:
        Imports, assignments, definitions and calls that prepare them, in the model's own
        formatting, or the reason why the answer holds no program.
    """
    # Line ends as the parser counts them, so that its line numbers are those of split("\n").
    said = spoken(text.replace("\r\n", "\n").replace("\r", "\n"), entry_point)
    blocks = [block for block in said.blocks if block.source.strip()]
    if not said.blocks and (text := re.sub(r"```(?:[Pp]y\w*)?", "", said.text)).strip():
        is_long = len(text) > MAX_PROGRAM_CHARS
        blocks = [CodeBlock(text, None if is_long else parse_module(text), is_closed=False)]
    if not blocks:
        return Refusal(Reason.NO_CODE, "the answer is empty")
    if not any(block.module for block in blocks):
        return Refusal(Reason.DOES_NOT_PARSE, "no block of the answer is Python")
    chosen = chosen_block(blocks, entry_point)
    module = chosen.module if chosen else None
    functions = [n.name for n in module.body if isinstance(n, ast.FunctionDef)] if module else []
    if chosen is None or module is None or entry_point not in functions:
        return Refusal(Reason.MISSING_ENTRY_POINT, f"no {entry_point} at top level")
    is_continued = begun and chosen.source.startswith(begun)
    repeated = _repeated_lines(module, entry_point) if is_continued else range(0)
    if isinstance(repeated, Refusal):
        return repeated
    program = _without_demonstration(chosen.source, module, entry_point, repeated)
    return _with_imports(program, interface)


def _repeated_lines(module: ast.Module, entry_point: str) -> range | Refusal:
    """The lines in which a program repeats the start of it that a prefill wrote.

    A model may write the docstring again, or begin with a whole new `def` of the same name; then
    the function that was begun goes. A body that is empty, or only defines the function again,
    returns None on every input, and many such candidates would agree.
    """
    functions = [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef) and node.name == entry_point
    ]
    first = functions[0]
    strings = list(takewhile(_is_string, first.body))
    rest = [node for node in first.body[len(strings) :] if not _is_empty(node)]
    if not rest and len(functions) > 1:
        return _span(first, first)
    if not rest:
        return Refusal(Reason.NO_CODE, f"{entry_point} has no body")
    if len(rest) == 1 and isinstance(rest[0], ast.FunctionDef) and rest[0].name == entry_point:
        return Refusal(Reason.NO_CODE, f"the body of {entry_point} only defines it again")
    again = strings[1:]
    # Statements may share a line.
    shares = again and first.body[len(strings)].lineno == again[-1].end_lineno
    return _span(again[0], again[-1]) if again and not shares else range(0)


def _span(first: ast.stmt, last: ast.stmt) -> range:
    return range(first.lineno, (last.end_lineno or last.lineno) + 1)


def _is_string(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_empty(node: ast.stmt) -> bool:
    """Whether a statement does nothing: `pass`, `...`, or a string."""
    is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_constant or isinstance(node, ast.Pass)


def _without_demonstration(
    source: str, module: ast.Module, entry_point: str, repeated: range
) -> str:
    """The source without the repeated lines and the statements that only show the function off."""
    demonstration = _Demonstration(module, entry_point)
    dropped: set[int] = set()
    kept: set[int] = set()
    for node in module.body:
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        span = range(first, (node.end_lineno or node.lineno) + 1)
        (dropped if demonstration.holds(node) else kept).update(span)
    # What comes after the last definition can only be a comment on what was dropped.
    lines = enumerate(source.split("\n")[: max(kept)], 1)
    # A line that holds both kinds of statement, such as `x = 1; print(x)`, stays.
    text = "\n".join(
        line
        for number, line in lines
        if number not in repeated and (number in kept or number not in dropped)
    )
    return text.strip() + "\n"


class _Demonstration:
    """Tells what only shows a program off from what may change its behaviour; in doubt, the latter.

    Args:
        module: The program.
        entry_point: Its function; calling it counts as showing off, whatever it does.
    """

    def __init__(self, module: ast.Module, entry_point: str) -> None:
        self._entry_point = entry_point
        self._functions = {n.name: n for n in module.body if isinstance(n, ast.FunctionDef)}
        self._names = top_level_names(module)

    def holds(self, node: ast.stmt) -> bool:
        """Whether a top-level statement is a demonstration."""
        if isinstance(node, ast.If):
            return not node.orelse and unparse(node.test) in _MAIN_GUARDS
        if not isinstance(node, ast.Expr | ast.Assert):
            return False
        called = {call.func.id for call in _calls(node) if isinstance(call.func, ast.Name)}
        return bool(called & {"print", *self._functions}) and self._is_harmless(node, set())

    def _is_harmless(self, node: ast.AST, known: set[str]) -> bool:
        """Whether nothing outside changes; `known` are the functions that are looked at already."""
        is_outside = not isinstance(node, ast.FunctionDef)
        binds = any(isinstance(part, ast.NamedExpr | ast.Await) for part in ast.walk(node))
        calls = _calls(node)
        return not (is_outside and binds) and all(self._is_harmless_call(c, known) for c in calls)

    def _is_harmless_call(self, call: ast.Call, known: set[str]) -> bool:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        names = {part.id for one in given for part in ast.walk(one) if isinstance(part, ast.Name)}
        handed_on = {one.id for one in given if isinstance(one, ast.Name)} - {self._entry_point}
        if handed_on & self._functions.keys():  # they may be called in turn
            return False
        if isinstance(call.func, ast.Attribute):
            return call.func.attr in _PURE_METHODS
        if not isinstance(call.func, ast.Name):
            return False
        name = call.func.id
        if name == self._entry_point:
            return True
        if name in self._functions:  # it may change what it is given
            return not names & (self._names - self._functions.keys()) and self._is_pure(name, known)
        if name != "print" and any(isinstance(one, ast.Attribute) for one in given):
            return False  # `map(PRIMES.append, [7])`
        return name in _PURE and name not in self._names

    def _is_pure(self, name: str, known: set[str]) -> bool:
        """Whether a function of the program reaches nothing outside of itself but by its calls."""
        function = self._functions[name]
        if name in known:
            return True
        known.add(name)
        if len(known) > _MAX_FOLLOWED:
            return False
        for part in ast.walk(function):
            if isinstance(part, ast.Global | ast.Nonlocal):
                return False
            if isinstance(part, ast.Name) and part.id in self._names - self._functions.keys():
                return False
            if isinstance(part, ast.Attribute) and not isinstance(part.ctx, ast.Load):
                return False
        return not function.decorator_list and self._is_harmless(function, known)


_MAX_FOLLOWED: Final = 20
"""Functions that one call is followed into."""

_MAIN_GUARDS: Final = ("__name__ == '__main__'", "'__main__' == __name__")


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Call))


def _with_imports(program: str, interface: str) -> str:
    """The program, with those of the interface's imports that it uses and does not have."""
    module, given = parse_module(program), parse_module(interface)
    if module is None or given is None:
        return program
    used = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
    missing = used - top_level_names(module)
    imports = []
    for node in given.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [a for a in node.names if (a.asname or a.name).split(".")[0] in missing]
            imports += [ast.unparse(node)] if node.names else []
    if not imports:
        return program
    # After what has to come first: the docstring and imports from __future__.
    first = 0
    for at, node in enumerate(module.body):
        is_docstring = at == 0 and ast.get_docstring(module, clean=False) is not None
        if not (is_docstring or (isinstance(node, ast.ImportFrom) and node.module == "__future__")):
            break
        first = node.end_lineno or node.lineno
    lines = program.split("\n")
    return "\n".join([*lines[:first], *imports, *lines[first:]])


class Executions:
    """Runs each distinct program of a problem once, while further ones are being sampled.

    Args:
        problem: The problem that the programs solve.
        inputs: What each program is called with.
        executor: Where they run.
    """

    def __init__(self, problem: Problem, inputs: Sequence[TestInput], executor: Executor) -> None:
        self._problem = problem
        self._inputs = inputs
        self._executor = executor
        self._first: dict[str, Candidate] = {}
        self._tasks: dict[str, asyncio.Task[Execution]] = {}

    def start(self, candidate: Candidate) -> None:
        """Run a candidate's program, unless it has none or an equal one was started before."""
        if candidate.reason is None and candidate.program_id not in self._tasks:
            self._first[candidate.program_id] = candidate
            self._tasks[candidate.program_id] = asyncio.create_task(
                _execute(candidate, self._problem, self._inputs, self._executor)
            )

    def restart(self, inputs: Sequence[TestInput]) -> None:
        """Run every program again on these inputs, and use them for all that follow.

        Programs run on all inputs again rather than on the new ones alone, so that an execution is
        always one run on one suite under one time limit, whether or not the suite grew meanwhile.
        """
        self.cancel()
        self._inputs = inputs
        self._tasks.clear()
        for candidate in self._first.values():
            self.start(candidate)

    async def results(self) -> dict[str, Execution]:
        """The executions by program id, once every program that was started has finished.

        Raises:
            SandboxClosed: The executor was shut down.
        """
        return {program_id: await task for program_id, task in self._tasks.items()}

    async def probe(
        self, candidates: Sequence[Candidate], inputs: Sequence[TestInput]
    ) -> dict[str, Execution]:
        """Run some candidates' programs on other inputs; the problem's executions stay as they are.

        Raises:
            SandboxClosed: The executor was shut down.
        """
        probes = Executions(self._problem, inputs, self._executor)
        try:
            for candidate in candidates:
                probes.start(candidate)
            return await probes.results()
        finally:
            probes.cancel()

    def cancel(self) -> None:
        """Stop the programs that are still running."""
        for task in self._tasks.values():
            task.cancel()  # no effect on those that are done


async def _execute(
    candidate: Candidate, problem: Problem, inputs: Sequence[TestInput], executor: Executor
) -> Execution:
    arguments = [test_input.arguments for test_input in inputs]
    report = await executor.call(candidate.program, problem.interface.name, arguments)
    return Execution(
        problem_id=problem.id,
        iteration=candidate.iteration,
        program_id=candidate.program_id,
        status=report.status,
        detail=report.detail,
        outcomes=report.outcomes,
        cpu_s=report.cpu_s,
        wall_s=report.wall_s,
    )

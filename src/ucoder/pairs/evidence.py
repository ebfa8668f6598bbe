"""Examples in a problem's statement and docstring, held against what the selected program returned.

The model invents a problem's examples before any program exists, and often gets them wrong. A pair
whose prompt says `f(2) == 5` beside a program that returns 4 teaches to ignore examples, which
prompts with true examples (HumanEval's) then suffer from. So an example that the selected program
does not reproduce is corrected, removed, or costs the problem its place (`consolidation.examples`);
one that cannot be verified is removed.

Where the statement came from outside, its examples are true and the program is wrong: correcting
them would be a mistake, and the problem is left out instead; nothing in it is changed.

What is found are the notations of `ucoder.inputs.examples`. An explanation in words ("because 2 is
even") stays as it is, and comments in a program are not read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from ucoder.config import ExamplesPolicy
from ucoder.consensus.votes import FLOAT_TOLERANCE
from ucoder.execution.canonical import CanonicalError, key, parse, same
from ucoder.execution.outcomes import Outcome
from ucoder.inputs.examples import BLOCK, StatedExample, find_examples
from ucoder.inputs.signatures import is_literal
from ucoder.records import (
    Candidate,
    Evidence,
    Execution,
    InputOrigin,
    Interface,
    Problem,
    TestSuite,
)
from ucoder.texts import parse_module

_MAX_WRITTEN: Final = 400
"""An output that is longer in characters is not written into a statement."""


class _State(Enum):
    HOLDS = auto()
    CONTRADICTED = auto()
    UNVERIFIED = auto()


@dataclass(frozen=True, slots=True)
class Settled:
    """A problem and its program, with examples that the program reproduces.

    Attributes:
        problem: With the statement and docstring that the pair shows.
        candidate: With the same changes in its own docstring.
        evidence: What became of the examples.
        n_examples: How many there were.
        n_contradicted: Those that say another output than the program returned.
        n_unverified: Those that cannot be read, or whose input was not run.
    """

    problem: Problem
    candidate: Candidate
    evidence: Evidence
    n_examples: int
    n_contradicted: int
    n_unverified: int


def settle_examples(
    problem: Problem,
    candidate: Candidate,
    execution: Execution,
    suite: TestSuite,
    policy: ExamplesPolicy,
) -> Settled:
    """Hold a problem's examples against its selected program, and do what the policy says.

    Args:
        problem: As stages 1 to 3 left it.
        candidate: The selected one.
        execution: Of its program, on the inputs of the suite.
        suite: The problem's inputs.
        policy: `consolidation.examples`.
    """
    outcomes = _Outcomes(execution, suite)
    texts = [problem.statement, *_docstrings(problem.interface.source, problem.interface.name)]
    texts += [] if BLOCK in problem.statement else [problem.example]
    states = [
        outcomes.state_of(example)
        for text in texts
        for example in find_examples(text, problem.interface, problem.example)
    ]
    settled = Settled(
        problem, candidate, Evidence.NO_EXAMPLE, len(states),
        states.count(_State.CONTRADICTED), states.count(_State.UNVERIFIED),
    )  # fmt: skip
    if settled.n_contradicted:
        rejects = policy == "reject" or (policy != "keep" and outcomes.are_given)
        found = Evidence.REJECTED if rejects else Evidence.CONTRADICTED
    elif settled.n_unverified:
        found = Evidence.UNVERIFIED
    else:
        found = Evidence.HOLDS if states else Evidence.NO_EXAMPLE
    if policy == "keep" or found is Evidence.REJECTED or outcomes.are_given:
        return replace(settled, evidence=found)
    return _rewritten(replace(settled, evidence=found), outcomes, policy)


def _rewritten(settled: Settled, outcomes: _Outcomes, policy: ExamplesPolicy) -> Settled:
    """The problem and its program with every example corrected or removed that does not hold."""
    problem, candidate = settled.problem, settled.candidate
    interface = problem.interface
    editor = _Editor(interface, problem.example, outcomes, corrects=policy == "correct")
    statement = editor.edited(problem.statement)
    if BLOCK not in problem.statement:
        editor.settle_field()
    description = editor.edited(problem.description)
    source = editor.edited_source(interface.source)
    program, completion = candidate.program, candidate.completion
    for docstring in _docstrings(program, interface.name):
        new = editor.edited(docstring, is_source=True)
        edited = program.replace(docstring, new, 1)
        if parse_module(edited) is None:
            new, edited = docstring, program
        program, completion = edited, completion.replace(docstring, new, 1)
    evidence = settled.evidence
    if editor.n_corrected or editor.n_dropped:
        evidence = Evidence.DROPPED if editor.n_dropped else Evidence.CORRECTED
    if not editor.all_hold(statement, description, *_docstrings(source, interface.name),
                           *_docstrings(program, interface.name)):  # fmt: skip
        evidence = Evidence.REJECTED
    changed = replace(
        problem, statement=statement, description=description, example=editor.example,
        interface=replace(interface, source=source),
    )  # fmt: skip
    return replace(
        settled, problem=changed, evidence=evidence,
        candidate=replace(candidate, program=program, completion=completion),
    )  # fmt: skip


class _Outcomes:
    """What the selected program did, by input.

    Attributes:
        are_given: Whether the examples came with a statement from outside.
    """

    def __init__(self, execution: Execution, suite: TestSuite) -> None:
        self._by_input: Mapping[str, Outcome] = {
            key(test_input.arguments): outcome
            for test_input, outcome in zip(suite.inputs, execution.outcomes, strict=True)
        }
        self.are_given = any(i.origin is InputOrigin.GIVEN for i in suite.inputs)

    def of(self, example: StatedExample) -> Outcome | None:
        """What the program did on an example's input, None where it was not run."""
        return None if example.call is None else self._by_input.get(key(example.call.arguments))

    def state_of(self, example: StatedExample) -> _State:
        """Whether the program returns what the example says."""
        outcome = self.of(example)
        if example.call is None or example.call.predicted is None or outcome is None:
            return _State.UNVERIFIED
        holds = outcome.executed and _is_equal(outcome.text, example.call.predicted)
        return _State.HOLDS if holds else _State.CONTRADICTED


def _is_equal(returned: str, stated: str) -> bool:
    """Whether two values are one to a reader: `1` and `1.0` are, and so is float noise."""
    return same(returned, stated, rel_tol=FLOAT_TOLERANCE, abs_tol=FLOAT_TOLERANCE)


class _Editor:
    """Corrects or removes the examples of a text that the program does not reproduce.

    Attributes:
        example: `Problem.example` as it is after the edits.
        n_corrected: Examples in which the program's output was written.
        n_dropped: Examples that were removed.
    """

    def __init__(
        self, interface: Interface, example: str, outcomes: _Outcomes, *, corrects: bool
    ) -> None:
        self.example = example
        self.n_corrected = 0
        self.n_dropped = 0
        self._interface = interface
        self._outcomes = outcomes
        self._corrects = corrects

    def edited(self, text: str, *, is_source: bool = False) -> str:
        """The text with examples that all hold."""
        cuts: list[tuple[int, int, str]] = []
        for example in find_examples(text, self._interface, self.example):
            if self._outcomes.state_of(example) is _State.HOLDS:
                continue
            written = self._written(example, is_source=is_source) if self._corrects else None
            if written is None:
                self.n_dropped += 1
                cuts.append((example.start, example.end, ""))
            else:
                self.n_corrected += 1
                cuts.append((*example.result, written))
            if text.startswith(BLOCK, example.start):
                stated = text[slice(*example.result)]
                self.example = self.example.removesuffix(stated) + written if written else ""
        return _without_empty_headings(_cut(text, cuts)) if cuts else text

    def settle_field(self) -> None:
        """Settle an example that is in `Problem.example` and not in the statement's block."""
        if self.example and find_examples(self.example, self._interface):
            self.example = self.edited(self.example)
        elif self.example:
            self.example, self.n_dropped = "", self.n_dropped + 1

    def edited_source(self, source: str) -> str:
        """A skeleton with its docstring edited; unchanged where it would no longer parse."""
        new = source
        for docstring in _docstrings(source, self._interface.name):
            new = new.replace(docstring, self.edited(docstring, is_source=True), 1)
        return source if parse_module(new) is None else new

    def all_hold(self, *texts: str) -> bool:
        """Whether no text states an example that the program does not reproduce."""
        return all(
            self._outcomes.state_of(example) is _State.HOLDS
            for text in texts
            for example in find_examples(text, self._interface, self.example)
        )

    def _written(self, example: StatedExample, *, is_source: bool) -> str | None:
        """The program's output as Python writes it; None where it cannot stand in the text."""
        outcome = self._outcomes.of(example)
        is_shown = example.result[0] < example.result[1]
        if outcome is None or not outcome.executed or outcome.arguments or not is_shown:
            return None
        try:
            # Canonical text sorts sets, whose own order changes from process to process.
            text = outcome.text
            value = text if "{" in text else repr(parse(text, records=False))
        except (CanonicalError, ValueError, RecursionError):
            return None
        module = parse_module(value) if len(value) <= _MAX_WRITTEN else None
        statement = module.body[0] if module and len(module.body) == 1 else None
        if not isinstance(statement, ast.Expr) or not is_literal(statement.value):
            return None
        return None if is_source and ("\\" in value or '"""' in value) else value


def _cut(text: str, cuts: list[tuple[int, int, str]]) -> str:
    """The text with parts replaced; a part within a removed one goes with it."""
    kept: list[str] = []
    at = 0
    removed = [(start, end) for start, end, new in cuts if not new]
    for start, end, new in sorted(cuts):
        is_within = new and any(first <= start and end <= last for first, last in removed)
        if not is_within and end > at:
            kept += [text[at : max(at, start)], new]
            at = end
    return "".join([*kept, text[at:]])


def _docstrings(source: str, name: str) -> Iterator[str]:
    """The docstring of the function of that name, as it is written in the source."""
    module = parse_module(source)
    for node in module.body if module else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
                and (text := ast.get_source_segment(source, first.value)) is not None
            ):
                yield text


def _without_empty_headings(text: str) -> str:
    """The text without headings such as `Examples:` under which nothing is left."""
    lines = text.split("\n")
    kept: list[str] = []
    for at, line in enumerate(lines):
        is_heading = line.strip().lower().rstrip(":") in ("example", "examples", ">>>")
        following = next((after for after in lines[at + 1 :] if after.strip()), "")
        if not is_heading or _is_below(following, line):
            kept.append(line)
    return "\n".join(kept)


def _is_below(line: str, heading: str) -> bool:
    """Whether a line is what a heading announces: deeper, or the `Input:` of a problem's block."""
    depth = len(heading) - len(heading.lstrip())
    is_deeper = len(line) - len(line.lstrip()) > depth
    return (is_deeper or line.startswith("Input:")) and not line.strip().startswith(('"""', "'''"))

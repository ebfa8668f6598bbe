"""One problem's executions as arrays of numbers, which every selector reads.

Answers are encoded once as integers, so that clustering, agreement and everything built on them
compare integers. Rows and columns are ordered by content, so that nothing depends on the order in
which candidates were sampled or inputs written.

Array names carry their dimensions: P distinct programs, T inputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ucoder.execution.canonical import key
from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.records import Candidate, Execution, TestInput

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BOTTOM: Final = -1
"""The code of a call without an answer (definition 2.3)."""

FLOAT_TOLERANCE: Final = 1e-9
"""Floats are compared with this relative tolerance, and count as zero below it: sums in another
order differ in the last bits, which must not cost a correct program votes."""

_DIGITS: Final = 9
_FLOAT: Final = re.compile(r"\d\.\d|\de[-+]?\d")
_FLOAT_OR_STRING: Final = re.compile(
    r"'(?:[^'\\]|\\.)*+'" r'|"(?:[^"\\]|\\.)*+"' r"|-?\b\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)",
    re.DOTALL,
)
_MAX_SOURCE: Final = 20_000
_UNSAID: Final = ("#", '"""', "'''")
_TOKEN: Final = re.compile(
    r"#[^\n]*|\"{3}.*?\"{3}|'{3}.*?'{3}"
    r"|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|\w+|[^\w\s]",
    re.DOTALL,
)
_RAISE: Final = re.compile(r"\braise[ \t]+([A-Za-z_]\w*)")


@dataclass(frozen=True, eq=False)
class Votes:
    """What the candidates of one problem answered.

    Attributes:
        programs: Ids of the distinct programs that could run, sorted.
        sources: The source text of each.
        weights_P: Number of candidates with each program.
        perplexities_P: Lowest f(r) among them; NaN where none is defined.
        answers_PT: Code of the answer; codes are equal exactly where answers are. BOTTOM where the
            call neither returned nor raised on purpose.
        returned_PT: Whether the call returned. An answer that did not return is an exception that
            the program's own source raises, which may be the right answer to an invalid input.
        texts: The answers by code.
        inputs: The T distinct inputs, sorted by their arguments.
        positions: Position of each input in the suite.
        merged: Number of answers merged with another one because they differ only by float noise,
            or as `1` and `1.0` do.
        failed: Ids of the programs on which the sandbox failed.
        n_sandbox_failures: Candidates left out because a sandbox failure is never a vote.
    """

    programs: tuple[str, ...]
    sources: tuple[str, ...]
    weights_P: Ints
    perplexities_P: Floats
    answers_PT: Ints
    returned_PT: Bools
    texts: tuple[str, ...]
    inputs: tuple[TestInput, ...]
    positions: tuple[int, ...]
    merged: int = 0
    failed: tuple[str, ...] = ()
    n_sandbox_failures: int = 0

    @property
    def n(self) -> int:
        """Candidates that vote."""
        return int(self.weights_P.sum())

    @cached_property
    def lengths_P(self) -> Floats:
        """Tokens of each program, without comments and docstrings; at least 1."""
        lengths = [max(1, _n_tokens(source)) for source in self.sources]
        return np.array(lengths, dtype=np.float64)

    @cached_property
    def success_P(self) -> Floats:
        """e(r) of definition 2.3: share of inputs on which a program returns; NaN for no inputs."""
        if not self.inputs:
            return np.full(len(self.programs), math.nan)
        share: Floats = self.returned_PT.mean(axis=1)
        return share

    @cached_property
    def clusters_P(self) -> Ints:
        """Definition 2.2: the number of each program's cluster; its members have equal answers."""
        return numbered(self.answers_PT)

    @cached_property
    def sizes_P(self) -> Ints:
        """s(r) of definition 2.3: the size of each program's cluster, in candidates."""
        sizes: Ints = np.bincount(self.clusters_P, weights=self.weights_P).astype(np.int32)
        return sizes[self.clusters_P]

    def passes(self, at: int, predicted: str) -> Bools:
        """Which programs return the predicted output on an input, P.

        A predicted None is met by every call that returns None, whichever arguments it changed.

        Args:
            at: The input, by place in `inputs`.
            predicted: Canonical text of the output.
        """
        codes = self._codes.get(_rounded(key(predicted)), ())
        found = np.zeros(len(self.programs), dtype=np.bool_)
        for code in codes:
            found |= self.answers_PT[:, at] == code
        return found & self.returned_PT[:, at]

    @cached_property
    def _codes(self) -> Mapping[str, tuple[int, ...]]:
        """The codes of the answers that a predicted text stands for."""
        codes: dict[str, tuple[int, ...]] = {}
        for code, text in enumerate(self.texts):
            value = "None" if text.startswith("None; ") else _rounded(text)
            codes[value] = (*codes.get(value, ()), code)
        return codes

    def on(self, kept: Sequence[int]) -> Votes:
        """The same votes on some of the inputs, given by place in `inputs`."""
        at = np.asarray(kept, dtype=np.intp)
        return replace(
            self,
            answers_PT=self.answers_PT[:, at],
            returned_PT=self.returned_PT[:, at],
            inputs=tuple(self.inputs[i] for i in kept),
            positions=tuple(self.positions[i] for i in kept),
        )

    def with_weights(self, weights_P: Ints) -> Votes:
        """The same answers from other numbers of candidates; programs with 0 are left out."""
        at = np.flatnonzero(weights_P)
        return replace(
            self,
            programs=tuple(self.programs[i] for i in at),
            sources=tuple(self.sources[i] for i in at),
            weights_P=weights_P[at].astype(np.int32),
            perplexities_P=self.perplexities_P[at],
            answers_PT=self.answers_PT[at],
            returned_PT=self.returned_PT[at],
        )


def votes_of(
    candidates: Sequence[Candidate],
    executions: Mapping[str, Execution],
    inputs: Sequence[TestInput],
) -> Votes:
    """Count one problem's candidates and encode their answers.

    Args:
        candidates: All of them; the refused ones have no vote.
        executions: By program id, each on all inputs.
        inputs: The inputs of the suite.
    """
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.reason is None:
            groups.setdefault(candidate.program_id, []).append(candidate)
    coder = _Coder()
    rows: dict[str, list[int]] = {}
    failed: list[str] = []
    sources: dict[str, str] = {}
    for program in sorted(groups):
        execution = executions[program]
        # Sources of one program differ in layout and comments only: take the same one in any order.
        source = sources[program] = min(c.program for c in groups[program])
        on_purpose = frozenset(_RAISE.findall(source) if "raise" in source else ())
        row = coder.row(execution.outcomes, on_purpose)
        if row is None or execution.status is ProgramStatus.SANDBOX_FAILED:
            failed.append(program)
        elif is_runnable(execution):
            rows[program] = row
    places = {inputs[at].arguments: at for at in reversed(range(len(inputs)))}
    order = [places[arguments] for arguments in sorted(places)]
    answers_PT = np.array(list(rows.values()), dtype=np.int32).reshape(len(rows), len(inputs))
    answers_PT = answers_PT[:, order]
    is_raise = np.array([*coder.is_raise, True])  # the last one is BOTTOM's
    return Votes(
        programs=tuple(rows),
        sources=tuple(sources[program] for program in rows),
        weights_P=np.array([len(groups[program]) for program in rows], dtype=np.int32),
        perplexities_P=np.array([_lowest(groups[program]) for program in rows], dtype=np.float64),
        answers_PT=answers_PT,
        returned_PT=~is_raise[answers_PT],
        texts=tuple(coder.texts),
        inputs=tuple(inputs[at] for at in order),
        positions=tuple(order),
        merged=coder.merged,
        failed=tuple(failed),
        n_sandbox_failures=sum(len(groups[program]) for program in failed),
    )


def _lowest(candidates: Sequence[Candidate]) -> float:
    """The lowest defined perplexity; NaN if none is defined."""
    known = (c.perplexity for c in candidates)
    return min((f for f in known if not math.isnan(f)), default=math.nan)


def is_runnable(execution: Execution) -> bool:
    """Whether the program defined its entry point, so that its calls are meaningful."""
    return execution.status in (ProgramStatus.LOADED, ProgramStatus.KILLED)


def sandbox_failed(execution: Execution) -> bool:
    """Whether the sandbox failed rather than the program, which then has no vote."""
    return execution.status is ProgramStatus.SANDBOX_FAILED or any(
        outcome.kind is OutcomeKind.SANDBOX_FAILED for outcome in execution.outcomes
    )


def numbered(rows_PT: Ints | Bools) -> Ints:
    """The number of each row, P: equal for equal rows, counted by first occurrence."""
    numbers: dict[bytes, int] = {}
    rows = np.ascontiguousarray(rows_PT)
    found = [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows]
    return np.array(found, dtype=np.int32)


def firsts(numbers_P: Ints) -> Ints:
    """The index of the first row with each number, C."""
    first_C: Ints = np.unique(numbers_P, return_index=True)[1].astype(np.int32)
    return first_C


class _Coder:
    """Encodes answers as integers. Most outcomes repeat, so raw texts are looked up first."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_raise: list[bool] = []
        self.merged = 0
        self._codes: dict[tuple[bool, str], int] = {}
        self._raw: dict[str | tuple[str, str], int] = {}

    def row(self, outcomes: Sequence[Outcome], on_purpose: frozenset[str]) -> list[int] | None:
        """The codes of a program's outcomes; None where the sandbox failed on one of them."""
        codes: list[int] = []
        # This loop takes half of a selection's time, so attributes are looked up once.
        append, known, returned = codes.append, self._raw.get, OutcomeKind.RETURNED
        for outcome in outcomes:
            if outcome.kind is returned:
                raw = (outcome.text, outcome.arguments) if outcome.arguments else outcome.text
                code = known(raw)
                if code is None:
                    code = self._raw[raw] = self._code(False, outcome.answer)
                append(code)
            elif outcome.kind is OutcomeKind.SANDBOX_FAILED:
                return None
            elif (
                on_purpose
                and outcome.kind is OutcomeKind.RAISED
                and (name := outcome.text.split(":", 1)[0]) in on_purpose
            ):
                append(self._code(True, f"raise {name}"))
            else:
                append(BOTTOM)
        return codes

    def _code(self, is_raise: bool, text: str) -> int:
        code = self._codes.setdefault((is_raise, _rounded(text)), len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
            self.is_raise.append(is_raise)
        elif not is_raise and text != self.texts[code]:
            self.merged += 1
        return code


@lru_cache(maxsize=2_048)
def _n_tokens(source: str) -> int:
    tokens = _TOKEN.findall(source[:_MAX_SOURCE])
    if not any(mark in source for mark in _UNSAID):
        return len(tokens)
    return sum(not token.startswith(_UNSAID) for token in tokens)


def _rounded(text: str) -> str:
    """The text with every float in it rounded, and whole floats written as ints."""
    return _FLOAT_OR_STRING.sub(_rounded_token, text) if _FLOAT.search(text) else text


def _rounded_token(match: re.Match[str]) -> str:
    token = match[0]
    if token[0] in "'\"":
        return token
    value = float(token)
    if abs(value) < FLOAT_TOLERANCE:
        return "0"
    return f"{value:.{_DIGITS}g}"

"""One problem's executions as numbers: what every selector reads.

Answers become codes once, so that clustering, agreement and everything that is built on them are
comparisons of integers. Rows and columns have an order of their own (by content), so that nothing
depends on the order in which candidates were sampled or inputs written.

Array names carry their dimensions: P distinct programs, T inputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
"""Floats are compared to so many digits, relative to their size, and are zero below: sums in
another order differ in the last bits, and a right program must not lose votes by that."""

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
        programs: Ids of the distinct programs that could run, in their own order.
        sources: A text of each.
        weights_P: Candidates that each program stands for.
        perplexities_P: Lowest f(r) among them; NaN where none is defined.
        answers_PT: Code of the answer, equal exactly where two answers are equal; BOTTOM where
            the call neither returned nor raised on purpose.
        returned_PT: Whether the call returned. An answer that did not return is an exception that
            the program's own text raises: on an input that asks for one, raising is the answer.
        texts: The answers by code.
        inputs: The T distinct inputs, in the order of their arguments.
        positions: Where each input stands in the suite.
        merged: Answers that were made one with another because they differ by float noise alone,
            or as `1` and `1.0` do.
        failed: Ids of the programs on which the sandbox failed.
        n_sandbox_failures: Candidates left out: a sandbox failure is never a vote.
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
        """e(r) of definition 2.3: the share of inputs on which a program returns; NaN without."""
        if not self.inputs:
            return np.full(len(self.programs), math.nan)
        share: Floats = self.returned_PT.mean(axis=1)
        return share

    @cached_property
    def clusters_P(self) -> Ints:
        """Definition 2.2: the number of each program's cluster, by equal rows of answers."""
        return numbered(self.answers_PT)

    @cached_property
    def sizes_P(self) -> Ints:
        """s(r) of definition 2.3: the size of each program's cluster, in candidates."""
        sizes: Ints = np.bincount(self.clusters_P, weights=self.weights_P).astype(np.int32)
        return sizes[self.clusters_P]

    def passes(self, at: int, predicted: str) -> Bools:
        """Which programs return the predicted output on the input at that place, P.

        Where nothing is returned and arguments change, a predicted None is met by any change.
        """
        codes = self._codes.get(_rounded(key(predicted)), ())
        found = np.zeros(len(self.programs), dtype=np.bool_)
        for code in codes:
            found |= self.answers_PT[:, at] == code
        return found & self.returned_PT[:, at]

    @cached_property
    def _codes(self) -> Mapping[str, tuple[int, ...]]:
        """The codes that meet a predicted text."""
        codes: dict[str, tuple[int, ...]] = {}
        for code, text in enumerate(self.texts):
            told = "None" if text.startswith("None; ") else _rounded(text)
            codes[told] = (*codes.get(told, ()), code)
        return codes

    def on(self, kept: Sequence[int]) -> Votes:
        """The same votes on some of the inputs, given by their place in `inputs`."""
        at = np.asarray(kept, dtype=np.intp)
        return Votes(
            self.programs, self.sources, self.weights_P, self.perplexities_P,
            self.answers_PT[:, at], self.returned_PT[:, at], self.texts,
            tuple(self.inputs[i] for i in kept), tuple(self.positions[i] for i in kept),
            self.merged, self.failed, self.n_sandbox_failures,
        )  # fmt: skip

    def with_weights(self, weights_P: Ints) -> Votes:
        """The same answers from other numbers of candidates.

        Args:
            weights_P: Candidates that each program stands for; one with 0 is left out.
        """
        at = np.flatnonzero(weights_P)
        return Votes(
            tuple(self.programs[i] for i in at), tuple(self.sources[i] for i in at),
            weights_P[at].astype(np.int32),
            self.perplexities_P[at], self.answers_PT[at], self.returned_PT[at], self.texts,
            self.inputs, self.positions, self.merged, self.failed, self.n_sandbox_failures,
        )  # fmt: skip


def votes_of(
    candidates: Sequence[Candidate],
    executions: Mapping[str, Execution],
    inputs: Sequence[TestInput],
) -> Votes:
    """Count one problem's candidates and code their answers.

    Args:
        candidates: All of them; the refused ones have no vote.
        executions: By program id, each on all of the inputs.
        inputs: The suite's.
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
        # Texts of one program differ in looks and comments: one of them, whatever the order.
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
    """The lowest defined perplexity, NaN where none is."""
    known = (c.perplexity for c in candidates)
    return min((f for f in known if not math.isnan(f)), default=math.nan)


def is_runnable(execution: Execution) -> bool:
    """Whether the program defined its entry point, so that its calls say something."""
    return execution.status in (ProgramStatus.LOADED, ProgramStatus.KILLED)


def sandbox_failed(execution: Execution) -> bool:
    """Whether the sandbox, not the program, failed: then the program has no vote."""
    return execution.status is ProgramStatus.SANDBOX_FAILED or any(
        outcome.kind is OutcomeKind.SANDBOX_FAILED for outcome in execution.outcomes
    )


def numbered(rows_PT: Ints | Bools) -> Ints:
    """Which distinct row each row is, P, counted in the order of first occurrence."""
    numbers: dict[bytes, int] = {}
    rows = np.ascontiguousarray(rows_PT)
    found = [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows]
    return np.array(found, dtype=np.int32)


def firsts(numbers_P: Ints) -> Ints:
    """The first row of each number, C."""
    first_C: Ints = np.unique(numbers_P, return_index=True)[1].astype(np.int32)
    return first_C


class _Coder:
    """Numbers for answers. Most outcomes repeat, so their raw texts are looked up first."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_raise: list[bool] = []
        self.merged = 0
        self._codes: dict[tuple[bool, str], int] = {}
        self._raw: dict[str | tuple[str, str], int] = {}

    def row(self, outcomes: Sequence[Outcome], on_purpose: frozenset[str]) -> list[int] | None:
        """The codes of a program's outcomes; None where the sandbox failed on one of them."""
        codes: list[int] = []
        # This loop is half of a selection's time: names are looked up once.
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

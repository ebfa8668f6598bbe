"""Problems made of answers: programs, their candidates, and what the model predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ucoder.consensus.selection import Ballot, select
from ucoder.consensus.selectors import Ranking, Rule, selector_named
from ucoder.consensus.votes import Votes, votes_of
from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.records import (
    Candidate,
    Execution,
    FinishReason,
    InputOrigin,
    Prediction,
    TestInput,
)

RAISED = Outcome(OutcomeKind.RAISED, "IndexError: list index out of range")
ON_PURPOSE = Outcome(OutcomeKind.RAISED, "ValueError: no")
"""Every case's programs hold the text `raise ValueError`."""
SANDBOX = Outcome(OutcomeKind.SANDBOX_FAILED)


@dataclass(frozen=True)
class Case:
    """One problem, ready to be selected from."""

    candidates: tuple[Candidate, ...]
    executions: Mapping[str, Execution]
    inputs: tuple[TestInput, ...]

    @property
    def votes(self) -> Votes:
        return votes_of(self.candidates, self.executions, self.inputs)

    def rank(self, selector: str, **thresholds: Any) -> dict[str, float]:
        """Each program's score; NaN where it cannot win."""
        votes = self.votes
        scores = self.ranking(selector, **thresholds).scores_P
        return dict(zip(votes.programs, scores.tolist(), strict=True))

    def ranking(self, selector: str, **thresholds: Any) -> Ranking:
        return selector_named(selector)(self.votes, Rule(selector, **thresholds))

    def select(self, rule: Rule) -> Ballot:
        return select("p", 0, self.candidates, self.executions, self.inputs, rule)

    def chosen(self, selector: str, **thresholds: Any) -> str | None:
        """The program that wins with every input kept."""
        rule = Rule(selector, **{"min_input_support": 0.0, **thresholds})
        wanted = self.select(rule).selection.candidate_id
        return next((c.program_id for c in self.candidates if c.id == wanted), None)


def case(
    answers: Mapping[str, Sequence[object]],
    n: Mapping[str, int] | None = None,
    perplexity: Mapping[str, float] | None = None,
    predictions: Sequence[Mapping[str, int]] = (),
) -> Case:
    """A problem from its programs' answers.

    Args:
        answers: By program, one an input: a value that it returns, or an outcome.
        n: Candidates by program; 1 where not given.
        perplexity: By program; 1.1 where not given.
        predictions: What the model predicted for each of the first inputs, and how often.
    """
    candidates: list[Candidate] = []
    for program in answers:
        f = (perplexity or {}).get(program, 1.1)
        candidates += [
            _candidate(len(candidates) + at, program, f) for at in range((n or {}).get(program, 1))
        ]
    executions = {program: execution(program, row) for program, row in answers.items()}
    n_inputs = len(next(iter(answers.values()), ()))
    inputs = tuple(
        TestInput(
            f"({at},)",
            InputOrigin.MODEL,
            tuple(Prediction(text, count) for text, count in predictions[at].items())
            if at < len(predictions)
            else (),
        )
        for at in range(n_inputs)
    )
    return Case(tuple(candidates), executions, inputs)


def execution(
    program: str, row: Sequence[object], status: ProgramStatus = ProgramStatus.LOADED
) -> Execution:
    outcomes = tuple(
        value if isinstance(value, Outcome) else Outcome(OutcomeKind.RETURNED, repr(value))
        for value in row
    )
    return Execution("p", 0, program, status, "", outcomes, math.nan, math.nan)


def _candidate(index: int, program: str, perplexity: float) -> Candidate:
    return Candidate(
        id=f"c{index}", problem_id="p", iteration=0, index=index, completion="",
        program="def f(x):\n    raise ValueError", program_id=program, n_tokens=10,
        sum_logprob=-10 * math.log(perplexity), finish_reason=FinishReason.STOP, reason=None,
    )  # fmt: skip

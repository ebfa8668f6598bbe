"""Stages 1 to 4 in numbers: what was tried, what was accepted, what was refused and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ucoder.analysis.diversity import lexical_entropy
from ucoder.analysis.numbers import Distribution, describe, in_order, tally
from ucoder.records import Attempt, Reason, TestSuite

PROBLEM_STAGES = ("problems", "ratings", "interfaces")
"""Stages 1 to 3, by the names of their configuration sections."""

_RATING_REASONS = (Reason.MALFORMED_RATING, Reason.LOW_RATING)
_INTERFACE_REASONS = (Reason.MALFORMED_INTERFACE, Reason.INTERFACE_MISMATCH)


@dataclass(frozen=True, slots=True)
class ProblemSpace:
    """Stages 1 to 3.

    Attributes:
        n_attempts: Tries at a problem.
        n_accepted: Those that became one.
        rejected: By stage, then by reason.
        ratings: Scores of the accepted problems, 0 to 10; a rejected problem's score is kept in
            its text only.
        areas: Accepted problems by the paper's area.
        entropy: Lexical entropy of the accepted statements, in bits (figure 4).
        tokens: Sampled, by stage.
    """

    n_attempts: int
    n_accepted: int
    rejected: Mapping[str, Mapping[str, int]]
    ratings: Distribution
    areas: Mapping[str, int]
    entropy: Distribution
    tokens: Mapping[str, int]

    def left_after(self, stage: str) -> int:
        """How many attempts were still alive after a stage: the funnel."""
        done = PROBLEM_STAGES[: PROBLEM_STAGES.index(stage) + 1]
        return self.n_attempts - sum(sum(self.rejected[name].values()) for name in done)


@dataclass(frozen=True, slots=True)
class InputSpace:
    """Stage 4.

    Attributes:
        n_suites: Problems that went through it.
        n_usable: Those with enough inputs to go on.
        given_up: The others, by reason.
        n_inputs: Inputs of the usable suites.
        per_suite: Inputs a usable suite.
        by_origin: Inputs of the usable suites by where they came from.
        n_predicted: Inputs of the usable suites whose output the model predicted.
        refused: Calls that the model wrote and that were dropped, by reason.
        tokens: Sampled.
    """

    n_suites: int
    n_usable: int
    given_up: Mapping[str, int]
    n_inputs: int
    per_suite: Distribution
    by_origin: Mapping[str, int]
    n_predicted: int
    refused: Mapping[str, int]
    tokens: int


def stage_of_rejection(attempt: Attempt) -> str:
    """The stage that refused an attempt.

    Most reasons belong to one stage. A duplicate is found last, by its interface or its
    description: the last stage that was asked for text tells.
    """
    if attempt.reason in _INTERFACE_REASONS or attempt.interface_text:
        return "interfaces"
    if attempt.reason in _RATING_REASONS or attempt.rating_text:
        return "ratings"
    return "problems"


def problem_space(attempts: Sequence[Attempt]) -> ProblemSpace:
    """Count stages 1 to 3."""
    rejected: dict[str, Counter[str]] = {stage: Counter() for stage in PROBLEM_STAGES}
    for attempt in attempts:
        if attempt.problem is None:
            reason = attempt.reason.value if attempt.reason else "unknown"
            rejected[stage_of_rejection(attempt)][reason] += 1
    problems = [attempt.problem for attempt in attempts if attempt.problem is not None]
    return ProblemSpace(
        n_attempts=len(attempts),
        n_accepted=len(problems),
        rejected={stage: in_order(counts) for stage, counts in rejected.items()},
        ratings=describe(problem.rating for problem in problems),
        areas=tally(problem.area for problem in problems),
        entropy=describe(lexical_entropy(problem.statement) for problem in problems),
        tokens={
            "problems": sum(attempt.problem_tokens for attempt in attempts),
            "ratings": sum(attempt.rating_tokens for attempt in attempts),
            "interfaces": sum(attempt.interface_tokens for attempt in attempts),
        },
    )


def input_space(suites: Sequence[TestSuite]) -> InputSpace:
    """Count stage 4."""
    refused: Counter[str] = Counter()
    for suite in suites:
        for count in suite.refused:
            refused[count.reason.value] += count.count
    usable = [suite for suite in suites if suite.reason is None]
    inputs = [test_input for suite in usable for test_input in suite.inputs]
    return InputSpace(
        n_suites=len(suites),
        n_usable=len(usable),
        given_up=tally(suite.reason.value for suite in suites if suite.reason is not None),
        n_inputs=len(inputs),
        per_suite=describe(len(suite.inputs) for suite in usable),
        by_origin=tally(test_input.origin.value for test_input in inputs),
        n_predicted=sum(test_input.predicted is not None for test_input in inputs),
        refused=in_order(refused),
        tokens=sum(suite.n_tokens for suite in suites),
    )

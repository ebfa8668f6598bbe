"""Stages 1 to 4 in numbers: what was tried, what was accepted, what was refused and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ucoder.analysis.diversity import Diversity, diversity
from ucoder.analysis.figures import lexical_entropy
from ucoder.analysis.numbers import Distribution, describe, in_order, share
from ucoder.records import Attempt, Reason, TestSuite, TopicNode

PROBLEM_STAGES = ("problems", "ratings", "interfaces")
"""Stages 1 to 3, by the names of their configuration sections."""

_RATING_REASONS = (Reason.MALFORMED_RATING, Reason.LOW_RATING)
_REPEATED_REASONS = (Reason.DUPLICATE, Reason.NEAR_DUPLICATE)
_INTERFACE_REASONS = (Reason.MALFORMED_INTERFACE, Reason.INTERFACE_MISMATCH)


@dataclass(frozen=True, slots=True)
class ProblemSpace:
    """Stages 1 to 3."""

    n_attempts: int  # attempts at a problem
    n_accepted: int  # attempts that became a problem
    rejected: Mapping[str, Mapping[str, int]]  # by stage, then by reason
    ratings: Distribution  # of the accepted problems, 0 to 10; each the mean of its scores
    n_scores: int  # single scores behind the ratings of all attempts
    removed: Mapping[str, int]  # parts left out because they were the prompt's wording, accepted
    areas: Mapping[str, int]  # accepted problems by the paper's area
    entropy: Distribution  # lexical entropy of the accepted statements, in bits (figure 4)
    diversity: Diversity  # of the accepted titles and descriptions together
    # Share of problems that were refused because they repeat an accepted one, of all that came so
    # far that nothing else refused them; NaN where there is none.
    repeated: float
    n_topics: int  # that the model invented
    tokens: Mapping[str, int]  # sampled by the model, by stage; topics belong to stage 1

    def left_after(self, stage: str) -> int:
        """The number of attempts that were not rejected up to and including a stage."""
        done = PROBLEM_STAGES[: PROBLEM_STAGES.index(stage) + 1]
        return self.n_attempts - sum(sum(self.rejected[name].values()) for name in done)


@dataclass(frozen=True, slots=True)
class InputSpace:
    """Stage 4."""

    n_suites: int  # problems that completed it
    n_usable: int  # those with enough inputs to go on
    given_up: Mapping[str, int]  # the others, by reason
    n_inputs: int  # inputs of the usable suites
    per_suite: Distribution  # inputs a usable suite
    by_origin: Mapping[str, int]  # inputs of the usable suites by where they came from
    n_predicted: int  # inputs of the usable suites whose output the model predicted
    refused: Mapping[str, int]  # calls that the model wrote and that were dropped, by reason
    tokens: int  # sampled by the model


def stage_of_rejection(attempt: Attempt) -> str:
    """The stage that rejected an attempt.

    Most reasons belong to one stage; a duplicate belongs to the last stage that sampled text.
    """
    if attempt.reason in _INTERFACE_REASONS or attempt.interface_text:
        return "interfaces"
    if attempt.reason in _RATING_REASONS or attempt.rating_text:
        return "ratings"
    return "problems"


def problem_space(attempts: Iterable[Attempt], topics: Iterable[TopicNode] = ()) -> ProblemSpace:
    """Count stages 1 to 3."""
    rejected: dict[str, Counter[str]] = {stage: Counter() for stage in PROBLEM_STAGES}
    tokens: Counter[str] = Counter(dict.fromkeys(PROBLEM_STAGES, 0))
    areas: Counter[str] = Counter()
    ratings: list[float] = []
    entropies: list[float] = []
    texts: list[str] = []
    removed: Counter[str] = Counter()
    n_attempts = n_accepted = n_scores = n_repeated = n_topics = 0
    for node in topics:
        tokens["problems"] += node.n_tokens
        n_topics += len(node.named) if node.subject else 0
    for attempt in attempts:
        n_attempts += 1
        tokens["problems"] += attempt.problem_tokens
        tokens["ratings"] += attempt.rating_tokens
        tokens["interfaces"] += attempt.interface_tokens
        n_scores += len(attempt.scores)
        n_repeated += attempt.reason in _REPEATED_REASONS
        if attempt.problem is None:
            reason = attempt.reason.value if attempt.reason else "unknown"
            rejected[stage_of_rejection(attempt)][reason] += 1
        else:
            areas[attempt.problem.area] += 1
            n_accepted += 1
            if not math.isnan(attempt.problem.rating):
                ratings.append(attempt.problem.rating)
            entropies.append(lexical_entropy(attempt.problem.statement))
            texts.append(f"{attempt.problem.title}\n{attempt.problem.description}")
            removed.update(attempt.removed)
    return ProblemSpace(
        n_attempts=n_attempts,
        n_accepted=n_accepted,
        rejected={stage: in_order(counts) for stage, counts in rejected.items()},
        ratings=describe(ratings),
        n_scores=n_scores,
        removed=in_order(removed),
        areas=in_order(areas),
        entropy=describe(entropies),
        diversity=diversity(texts),
        repeated=share(n_repeated, n_repeated + len(texts)),
        n_topics=n_topics,
        tokens=dict(tokens),
    )


def input_space(suites: Iterable[TestSuite]) -> InputSpace:
    """Count stage 4."""
    refused: Counter[str] = Counter()
    given_up: Counter[str] = Counter()
    origins: Counter[str] = Counter()
    sizes: list[int] = []
    n_predicted = tokens = 0
    for suite in suites:
        tokens += suite.n_tokens
        for count in suite.refused:
            refused[count.reason.value] += count.count
        if suite.reason is not None:
            given_up[suite.reason.value] += 1
            continue
        sizes.append(len(suite.inputs))
        origins.update(test_input.origin.value for test_input in suite.inputs)
        n_predicted += sum(test_input.predicted is not None for test_input in suite.inputs)
    return InputSpace(
        n_suites=len(sizes) + given_up.total(),
        n_usable=len(sizes),
        given_up=in_order(given_up),
        n_inputs=sum(sizes),
        per_suite=describe(sizes),
        by_origin=in_order(origins),
        n_predicted=n_predicted,
        refused=in_order(refused),
        tokens=tokens,
    )

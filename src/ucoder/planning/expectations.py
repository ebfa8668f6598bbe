"""What a run of a configuration does: attempts, tokens, programs, examples, answers, by stage.

Pure arithmetic over the configuration and what is assumed about the model. What the configuration
fixes is exact (n candidates a problem), what the model decides is a range (how long they are).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ucoder.config import RunConfig
from ucoder.inputs.distinguishing import MAX_KEPT, MAX_PROGRAMS
from ucoder.planning.answers import Asked, asked_of
from ucoder.planning.assumptions import DISTINCT_EXPONENT, PROMPT_TOKENS, Assumptions
from ucoder.planning.ranges import NOTHING, Range
from ucoder.stages.solutions import ROUND_SIZE

KEPT_INPUTS: Final = Range(1, 1.5, MAX_KEPT)
"""Inputs by which a suite grows that separation finds some for."""


@dataclass(frozen=True, slots=True)
class StageWork:
    """One stage over all iterations.

    Attributes:
        stage: Its name, as in `ucoder.analysis.costs.STAGES`.
        unit: What it makes.
        units: How many.
        sampled_tokens: Sampled from the model.
        prompt_tokens: Read by it, once a request: n completions share their prompt.
        programs: Distinct programs, each run on all inputs of its problem.
        calls: Of these programs.
        probes: Programs that run beside them and are not kept (`solutions.distinguishing_inputs`).
        steps: Optimiser steps.
        trained_tokens: Tokens trained on, each epoch anew.
    """

    stage: str
    unit: str
    units: Range
    sampled_tokens: Range = NOTHING
    prompt_tokens: Range = NOTHING
    programs: Range = NOTHING
    calls: Range = NOTHING
    probes: Range = NOTHING
    steps: Range = NOTHING
    trained_tokens: Range = NOTHING


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a run does.

    Attributes:
        problems: Accepted.
        decided: Of these, with enough test inputs for stage 5.
        stages: In the paper's order; those that the configuration leaves out are not there.
        notes: What could not be counted, in sentences.
    """

    problems: Range
    decided: Range
    stages: tuple[StageWork, ...]
    notes: tuple[str, ...] = ()

    def stage(self, name: str) -> StageWork | None:
        """One stage, None where the run has none of that name."""
        return next((work for work in self.stages if work.stage == name), None)


def expect(config: RunConfig, assumed: Assumptions) -> Expectation:
    """What a run of this configuration does."""
    assumed = assumed.among(config.problems.n)
    problems = (assumed.accepted * config.problems.max_attempts).at_most(config.problems.n)
    decided = (problems * assumed.usable).at_most(problems)
    stages = [*_problem_stages(config, assumed, problems), _test_inputs(config, assumed, problems)]
    if config.consolidation.iterations:
        stages.append(_solutions(config, assumed, decided))
        stages.append(_consolidation(config, assumed, decided))
    asked, notes = asked_of(config, assumed.answer_tokens)
    if asked:
        stages.append(_evaluation(config, asked))
    return Expectation(problems, decided, tuple(stages), notes)


def candidates_a_problem(config: RunConfig, assumed: Assumptions) -> Range:
    """How many candidates a problem gets in one iteration."""
    n, stopping = config.solutions.n, config.solutions.stopping
    if stopping is None:
        return Range.exactly(n)
    rounds = -(-max(stopping.min_candidates, 1) // ROUND_SIZE)
    least = min(rounds * ROUND_SIZE, n)
    return assumed.drawn * (n - least) + least


def n_models(config: RunConfig) -> int:
    """M0 and what each iteration makes of it."""
    training = config.consolidation
    return 1 if training.provider == "none" else training.iterations + 1


def _problem_stages(
    config: RunConfig, assumed: Assumptions, problems: Range
) -> tuple[StageWork, ...]:
    wanted = config.problems
    attempts = (Range.exactly(wanted.n) / assumed.accepted).at_least(wanted.n)
    attempts = attempts.at_most(wanted.max_attempts)
    # So many of the attempts were good enough to be rated, and then to be given an interface.
    ratings = (problems * assumed.ratings_per_problem).at_most(attempts)
    interfaces = (problems * assumed.interfaces_per_problem).at_most(ratings)
    asked = (
        ("problems", "attempts", attempts, assumed.problem_tokens, wanted.sampling),
        ("ratings", "ratings", ratings, assumed.rating_tokens, config.ratings.sampling),
        ("interfaces", "interfaces", interfaces, assumed.interface_tokens,
         config.interfaces.sampling),
    )  # fmt: skip
    return tuple(
        StageWork(
            stage,
            unit,
            units,
            sampled_tokens=units * tokens.at_most(sampling.max_tokens),
            prompt_tokens=units * PROMPT_TOKENS[stage],
        )
        for stage, unit, units, tokens, sampling in asked
    )


def _test_inputs(config: RunConfig, assumed: Assumptions, problems: Range) -> StageWork:
    wanted = config.test_inputs
    tokens = assumed.input_tokens.at_most(wanted.sampling.max_tokens)
    return StageWork(
        "test_inputs",
        "suites",
        problems,
        sampled_tokens=problems * tokens * wanted.n_completions,
        prompt_tokens=problems * PROMPT_TOKENS["test_inputs"],
    )


def _solutions(config: RunConfig, assumed: Assumptions, decided: Range) -> StageWork:
    wanted, iterations = config.solutions, config.consolidation.iterations
    candidates = candidates_a_problem(config, assumed)
    distinct = (assumed.distinct * _distinct_factor(wanted.n)).at_most(1)
    inputs = assumed.filled * config.test_inputs.n
    probes = NOTHING
    if wanted.distinguishing_inputs:
        inputs = inputs + assumed.separated * KEPT_INPUTS
        # The first round runs again on suites that grew; the search itself runs a few more.
        again = assumed.separated * assumed.distinct * min(wanted.n, ROUND_SIZE)
        probes = decided * (again + MAX_PROGRAMS)
    of_all = decided * iterations
    programs = of_all * (candidates * distinct)
    rounds = candidates.map(lambda n: math.ceil(n / ROUND_SIZE))
    return StageWork(
        "solutions",
        "candidates",
        of_all * candidates,
        sampled_tokens=of_all
        * candidates
        * assumed.solution_tokens.at_most(wanted.sampling.max_tokens),
        prompt_tokens=of_all * rounds * PROMPT_TOKENS["solutions"],
        programs=programs,
        calls=programs * inputs,
        probes=probes,
    )


def _distinct_factor(n: int) -> float:
    """By how much the share of distinct programs among n candidates differs from that among 16."""
    return float((n / ROUND_SIZE) ** DISTINCT_EXPONENT)


def _consolidation(config: RunConfig, assumed: Assumptions, decided: Range) -> StageWork:
    training = config.consolidation
    examples = decided * assumed.selected
    if training.provider != "trl":
        return StageWork("consolidation", "examples", examples * training.iterations)
    length = assumed.example_tokens.at_most(training.max_length)
    steps = examples.map(lambda n: math.ceil(math.ceil(n / training.batch_size) * training.epochs))
    return StageWork(
        "consolidation",
        "examples",
        examples * training.iterations,
        steps=steps * training.iterations,
        trained_tokens=examples * length * (training.epochs * training.iterations),
    )


def _evaluation(config: RunConfig, asked: tuple[Asked, ...]) -> StageWork:
    models = n_models(config)
    answers = sampled = read = NOTHING
    for one in asked:
        tasks = one.tasks * models
        answers = answers + tasks * config.evaluation.n
        sampled = sampled + tasks * config.evaluation.n * one.tokens
        read = read + tasks * PROMPT_TOKENS["evaluation"]
    return StageWork("evaluation", "answers", answers, sampled_tokens=sampled, prompt_tokens=read)

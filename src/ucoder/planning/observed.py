"""What a run has shown about its model, as assumptions for the next one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ucoder.analysis.summary import Summary, summarise
from ucoder.evaluation.statistics import wilson
from ucoder.planning.assumptions import (
    CHARACTERS_PER_TOKEN,
    DISTINCT_EXPONENT,
    MEASURED,
    Assumptions,
    in_words,
)
from ucoder.planning.ranges import Range
from ucoder.stages.solutions import ROUND_SIZE

if TYPE_CHECKING:
    from ucoder.runs import Run

OTHER_SETTINGS = 0.1
"""Relative; what another seed, another temperature or a trained model changes by itself."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run has shown so far.

    Attributes:
        about: Fields of `Assumptions`; only those that the run has something to say about.
        answer_tokens: As there.
    """

    about: Mapping[str, Range]
    answer_tokens: Mapping[str, Range]

    def in_words(self) -> dict[str, Range]:
        """By what each says, in words."""
        return in_words(self.about, self.answer_tokens)


def look_at(run: Run) -> Seen:
    """The run's own lengths and shares.

    Shares get Wilson's interval at 95%. A mean over m units gets two standard errors, with a
    standard deviation of half the mean, which completions have: a factor of 1 + 1 / sqrt(m). Both
    get a tenth more for what differs between runs.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    summary = summarise(run)
    found = {**_of_problems(run, summary), **_of_solutions(run, summary)}
    about = {name: value for name, value in found.items() if value is not None}
    return Seen(about, _answers(run))


def observed(run: Run) -> Assumptions:
    """What to assume for a run like this one; the defaults where it has nothing to say.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    seen = look_at(run)
    return replace(
        MEASURED,
        source=f"the run {run.path.resolve().name}",
        answer_tokens={**MEASURED.answer_tokens, **seen.answer_tokens},
        **seen.about,
    )


def _of_problems(run: Run, summary: Summary) -> dict[str, Range | None]:
    space, inputs, config = summary.problem_space, summary.input_space, run.config
    rated, asked = space.left_after("problems"), space.left_after("ratings")
    tokens = space.tokens
    completions = inputs.n_suites * config.test_inputs.n_completions
    return {
        "accepted": _share(space.n_accepted, space.n_attempts) if space.n_accepted else None,
        "ratings_per_problem": _tries(space.n_accepted, rated),
        "interfaces_per_problem": _tries(space.n_accepted, asked),
        "problem_tokens": _mean(tokens["problems"], space.n_attempts),
        "rating_tokens": _mean(tokens["ratings"], rated),
        "interface_tokens": _mean(tokens["interfaces"], asked),
        "input_tokens": _mean(inputs.tokens, completions, inputs.n_suites),
        "usable": _share(inputs.n_usable, inputs.n_suites),
        # Before separation, which adds to suites later.
        "filled": _at_most_one(
            _mean(
                inputs.n_inputs - inputs.by_origin.get("distinguishing", 0),
                inputs.n_usable * config.test_inputs.n,
                inputs.n_usable,
            )
        ),
    }


def _of_solutions(run: Run, summary: Summary) -> dict[str, Range | None]:
    solved = [one for one in summary.iterations if one.n_decided]
    problems = sum(one.n_decided for one in solved)
    candidates = sum(one.n_candidates for one in solved)
    distinct = _mean(sum(one.n_programs for one in solved), candidates, problems)
    if distinct is not None:
        drawn = candidates / sum(one.n_problems for one in solved)
        distinct = distinct * float((drawn / ROUND_SIZE) ** -DISTINCT_EXPONENT)
    examples = [example for t in run.iterations() for example in run.examples(t).rows()]
    characters = sum(len(example.prompt) + len(example.completion) for example in examples)
    return {
        "solution_tokens": _mean(sum(one.tokens for one in solved), candidates, problems),
        "distinct": distinct,
        "drawn": _drawn(run, candidates, problems),
        "separated": _share(
            sum(
                any(given.origin.value == "distinguishing" for given in suite.inputs)
                for suite in run.suites.rows()
            ),
            summary.input_space.n_usable if run.config.solutions.distinguishing_inputs else 0,
        ),
        "selected": _share(sum(one.n_selected for one in solved), problems),
        "example_tokens": _mean(characters / CHARACTERS_PER_TOKEN, len(examples)),
    }


def _drawn(run: Run, candidates: int, problems: int) -> Range | None:
    wanted = run.config.solutions
    if wanted.stopping is None or not problems:
        return None
    least = min(-(-wanted.stopping.min_candidates // ROUND_SIZE) * ROUND_SIZE, wanted.n)
    further = round(candidates - problems * least)
    return _share(further, problems * (wanted.n - least))


def _answers(run: Run) -> dict[str, Range]:
    tokens: dict[str, list[int]] = {}
    for prompts, model_index in run.answered():
        rows = run.answers(prompts, model_index).rows()
        tokens.setdefault(prompts, []).extend(answer.n_tokens for answer in rows)
    means = {name: _mean(sum(counts), len(counts)) for name, counts in tokens.items()}
    return {name: mean for name, mean in means.items() if mean is not None}


def _share(part: int, whole: int) -> Range | None:
    if whole <= 0:
        return None
    seen = wilson(part, whole)
    # None of ten is little, but not never.
    likely = seen.value or 0.5 / (whole + 1)
    low, high = min(seen.low, likely), max(seen.high, likely)
    return Range(low / (1 + OTHER_SETTINGS), likely, min(1.0, high * (1 + OTHER_SETTINGS)))


def _mean(amount: float, over: float, units: float | None = None) -> Range | None:
    """A mean, known the better the more units were seen."""
    units = over if units is None else units
    if not over or not units:
        return None
    return Range.within(amount / over, 1 + OTHER_SETTINGS + 1 / math.sqrt(units))


def _tries(successes: int, tries: int) -> Range | None:
    """How many tries a success takes."""
    share = _share(successes, tries) if successes else None
    return None if share is None else Range.exactly(1.0) / share


def _at_most_one(value: Range | None) -> Range | None:
    return None if value is None else value.at_most(1)

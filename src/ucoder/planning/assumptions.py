"""What a plan assumes about a model: lengths, shares accepted, shares that differ.

`MEASURED` is what runs of the demo's model have shown; a run of one's own says more about one's own
model (`ucoder.planning.observed`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from ucoder.planning.ranges import Range

DISTINCT_EXPONENT: Final = -0.12
"""Of the share of distinct programs in the number of candidates: 0.80 with 16 (our runs), 0.64 with
100 (CodeT's published samples of CodeGen-16B on HumanEval: 36% are duplicates)."""

CHARACTERS_PER_TOKEN: Final = 4.0
"""Of prompts and programs: 725 characters are 180 tokens of Qwen2.5-Coder's, 448 are 119."""

PROMPT_TOKENS: Final[Mapping[str, Range]] = {
    "problems": Range(180, 207, 250),
    "ratings": Range(150, 205, 300),
    "interfaces": Range(250, 303, 420),
    "test_inputs": Range(170, 238, 380),
    "solutions": Range(150, 215, 350),
    "evaluation": Range(120, 220, 900),
}
"""Tokens of one prompt by stage, chat template included: those of two runs with 86 problems, under
Qwen2.5-Coder's tokenizer. Benchmarks' prompts: from HumanEval's to LiveCodeBench's."""

UNKNOWN_ANSWER: Final = Range(100, 400, 1500)
"""Tokens of an answer to a benchmark that was not sampled yet."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a plan rests on; `MEASURED` holds the defaults.

    Attributes:
        source: Where they come from, for people.
        accepted: Share of attempts that become a problem.
        ratings_per_problem: Ratings asked for an accepted problem, at least 1.
        interfaces_per_problem: Interfaces asked for an accepted problem, at least 1.
        problem_tokens: Tokens of a problem.
        rating_tokens: Tokens of a rating.
        interface_tokens: Tokens of an interface.
        input_tokens: Tokens of a completion with test inputs.
        usable: Share of problems with enough test inputs.
        filled: Share of `test_inputs.n` that a suite holds, before separation.
        solution_tokens: Tokens of a candidate.
        drawn: With `solutions.stopping`: share of the candidates between the least number and n
            that is drawn.
        distinct: Distinct programs a candidate, among 16 of them.
        separated: With `solutions.distinguishing_inputs`: share of problems whose suite grows.
        selected: Share of decided problems that give a training example.
        example_tokens: Tokens of an example, prompt and completion.
        answer_tokens: Tokens of an answer, by the benchmark's prompts.
    """

    source: str
    accepted: Range
    ratings_per_problem: Range
    interfaces_per_problem: Range
    problem_tokens: Range
    rating_tokens: Range
    interface_tokens: Range
    input_tokens: Range
    usable: Range
    filled: Range
    solution_tokens: Range
    drawn: Range
    distinct: Range
    separated: Range
    selected: Range
    example_tokens: Range
    answer_tokens: Mapping[str, Range]

    def among(self, n: float) -> Self:
        """The same for so few problems, among which chance moves every mean as well.

        By two standard errors. A mean length has a standard deviation of about half of it; the
        number of tries until n succeed, each with probability p, one of sqrt((1 - p) / n) of it.
        """

        def chance(deviation: float) -> Range:
            return Range.within(1.0, 1 + 2 * deviation / math.sqrt(max(n, 1.0)))

        ranges = {name: getattr(self, name) * chance(0.5) for name in _WORDS}
        for name in ("ratings_per_problem", "interfaces_per_problem"):
            tries = getattr(self, name)
            luck = chance(math.sqrt(1 - 1 / tries.likely))
            ranges[name] = (tries * luck).at_least(1)
        ranges["accepted"] = self.accepted * chance(math.sqrt(1 - self.accepted.likely))
        ranges |= {name: ranges[name].at_most(1) for name in _SHARES}
        return replace(self, **ranges)

    def in_words(self) -> dict[str, Range]:
        """Every assumption by what it says, in words."""
        return in_words({name: getattr(self, name) for name in _WORDS}, self.answer_tokens)


_SHARES: Final = ("accepted", "usable", "filled", "drawn", "separated", "selected")
_WORDS: Final[Mapping[str, str]] = {
    "accepted": "share of attempts accepted",
    "ratings_per_problem": "ratings a problem",
    "interfaces_per_problem": "interfaces a problem",
    "problem_tokens": "tokens of a problem",
    "rating_tokens": "tokens of a rating",
    "interface_tokens": "tokens of an interface",
    "input_tokens": "tokens of a completion with test inputs",
    "usable": "share of problems with enough test inputs",
    "filled": "share of the wanted inputs found",
    "solution_tokens": "tokens of a candidate",
    "drawn": "share of the further candidates drawn before stopping",
    "distinct": "distinct programs a candidate (of 16)",
    "separated": "share of suites that grow by separation",
    "selected": "share of problems with a selection",
    "example_tokens": "tokens of a training example",
}


def in_words(about: Mapping[str, Range], answer_tokens: Mapping[str, Range]) -> dict[str, Range]:
    """Fields of `Assumptions` by what they say, in words."""
    found = {_WORDS[name]: value for name, value in about.items()}
    answers = {f"tokens of an answer to {name}": r for name, r in answer_tokens.items()}
    return {**found, **answers}


MEASURED: Final = Assumptions(
    source="runs of Qwen2.5-Coder-0.5B-Instruct",
    accepted=Range(0.35, 0.74, 0.92),  # 42 of 57 in the demo's run, elsewhere 0.64 to 0.84
    ratings_per_problem=Range(1.0, 1.03, 1.5),  # 1.00 to 1.04
    interfaces_per_problem=Range(1.0, 1.01, 1.3),  # 1.00 to 1.02
    problem_tokens=Range(70, 105, 230),  # 100 to 112
    rating_tokens=Range(20, 45, 90),  # 43 to 46
    interface_tokens=Range(30, 48, 120),  # 42 to 64
    input_tokens=Range(150, 280, 480),  # 224 to 316, most of them cut at 320 or 400
    usable=Range(0.8, 0.96, 1.0),  # 39 of 44, 41 of 44, 47 of 48, 41 of 42, 14 of 14
    filled=Range(0.9, 0.98, 1.0),  # 0.97 to 1
    solution_tokens=Range(90, 145, 320),  # 131 to 195
    drawn=Range(0.05, 0.5, 1.0),  # 0.6 of 16, in one run with four problems
    distinct=Range(0.45, 0.8, 0.9),  # 0.75 to 0.83 with 4 to 32 candidates
    separated=Range(0.0, 0.3, 0.8),  # one or two of five, in one run
    selected=Range(0.3, 0.6, 0.9),  # 22 of 41, 25 of 40, 33 of 41; 2 of 5
    example_tokens=Range(200, 320, 600),  # 295 to 303, and the chat template
    answer_tokens={  # means over whole benchmarks, greedy; the two of BigCodeBench over Hard
        "humaneval": Range(100, 230, 450),
        "mbpp": Range(70, 163, 400),
        "bigcodebench-instruct": Range(150, 304, 800),
        "bigcodebench-complete": Range(200, 526, 900),
    },
)
"""Beside each, what was seen in nine runs with Qwen2.5-Coder-0.5B-Instruct: 4 to 58 attempts and
4 to 32 candidates a problem, at temperatures of 0.8 and 1. The ranges are wider, because another
model writes more, or less, and rates itself otherwise. No run of the paper's size was made: among
thousands of problems more are duplicates, for which the low end of `accepted` leaves room."""

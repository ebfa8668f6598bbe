"""A small run, made of records: 12 attempts, 6 problems, 8 candidates each, two models' scores.

The programs below are really called, in this process, because they are ours; what they return
becomes the outcomes that a sandbox would report. Counts used in the tests are counted by hand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ucoder.config import RunConfig, parse_config
from ucoder.consensus.selection import rule_of, select
from ucoder.evaluation.records import Answer, GradeReason, Score
from ucoder.execution.canonical import write
from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.records import (
    Attempt,
    Candidate,
    Checkpoint,
    Count,
    Example,
    Execution,
    FinishReason,
    InputOrigin,
    Interface,
    Parameter,
    Prediction,
    Problem,
    Reason,
    TestInput,
    TestSuite,
    digest,
)
from ucoder.runs import Run


@dataclass(frozen=True)
class Story:
    """One problem of the synthetic run; `votes` are (program, number of candidates)."""

    name: str
    title: str
    area: str
    description: str
    inputs: Sequence[tuple[Any, ...]]
    votes: Sequence[tuple[str, int]]
    rating: float = 8.0


COUNT_VOWELS = Story(
    "count_vowels",
    "Count the Vowels",
    "basic algorithms",
    "Given a string, return how many of its characters are vowels, in either case.",
    [("hello",), ("",), ("AEIOU",), ("rhythm",), ("Programming Is Fun",), ("y",)],
    [
        ("def count_vowels(text):\n    return sum(c in 'aeiou' for c in text.lower())\n", 4),
        (
            "def count_vowels(text):\n    count = 0\n    for letter in text:\n"
            "        if letter in 'aeiouAEIOU':\n            count += 1\n    return count\n",
            2,
        ),
        (
            "def count_vowels(text):\n    return len([c for c in text if c.lower() in 'aeiou'])\n",
            1,
        ),
        ("", 1),
    ],
    9.0,
)
_NAIVE_ROMAN = (
    "def roman_to_int(s):\n    values = {'I': 1, 'V': 5, 'X': 10, 'L': 50,\n"
    "              'C': 100, 'D': 500, 'M': 1000}\n    return sum(values[c] for c in s)\n"
)
_RIGHT_ROMAN = (
    "def roman_to_int(s):\n    values = {'I': 1, 'V': 5, 'X': 10, 'L': 50,\n"
    "              'C': 100, 'D': 500, 'M': 1000}\n    total = 0\n"
    "    for i, c in enumerate(s):\n"
    "        if i + 1 < len(s) and values[c] < values[s[i + 1]]:\n"
    "            total -= values[c]\n        else:\n            total += values[c]\n"
    "    return total\n"
)
ROMAN = Story(
    "roman_to_int",
    "Roman Numerals to Integer",
    "competitive programming",
    "Convert a Roman numeral to an integer. A smaller numeral before a larger one is subtracted.",
    [("III",), ("IV",), ("MCMXCIV",), ("LVIII",), ("XL",), ("",)],
    [
        (_NAIVE_ROMAN, 4),
        (_RIGHT_ROMAN, 3),
        ("def roman_to_int(s):\n    return len(s) or None\n", 1),
    ],
)
FLATTEN = Story(
    "flatten",
    "Flatten a Nested List",
    "multi-domain algorithmic tasks",
    "Return the items of a list of lists as one flat list, in the order in which they occur.",
    [([[1], [2, 3]],), ([],), ([[], [0]],), ([["a"], ["b", "c"]],), ([[1, [2]], [3]],), (7,)],
    [
        ("def flatten(rows):\n    return [item for row in rows for item in row]\n", 3),
        (
            "def flatten(rows):\n    out = []\n    for row in rows:\n        out.extend(row)\n"
            "    return out\n",
            2,
        ),
        (
            "def flatten(rows):\n    if not isinstance(rows, list):\n        return [rows]\n"
            "    return [x for row in rows for x in flatten(row)]\n",
            2,
        ),
        ("truncated", 1),
    ],
    7.0,
)
MEDIAN = Story(
    "median_of",
    "Median of a List",
    "natural instructions",
    "Return the median of a list of numbers; for an even number of them the mean of both middles.",
    [([1, 2, 3],), ([4, 1],), ([],), ([5],), ([2, 2, 9, 1],), ([0, -1, 7, 3],)],
    [
        ("def median_of(xs):\n    return sorted(xs)[len(xs) // 2] if xs else 0\n", 2),
        (
            "def median_of(xs):\n    if not xs:\n        return 0.0\n    xs = sorted(xs)\n"
            "    m = len(xs) // 2\n    return xs[m] if len(xs) % 2 else (xs[m - 1] + xs[m]) / 2\n",
            2,
        ),
        ("def median_of(xs):\n    return sum(xs) / len(xs) if xs else None\n", 2),
        ("", 2),
    ],
)
PARSE_DATE = Story(
    "day_of_year",
    "Day of the Year",
    "tool usage",
    "Given a date as year, month and day in one text, return the number of the day in its year.",
    [("2024-01-31",), ("2023-12-31",), ("",), ("2020-02-29",), ("1999-03-01",), ("2000-06-15",)],
    [
        ("def day_of_year(text):\n    return parse(text).timetuple().tm_yday\n", 5),
        ("def day_of_year(text):\n    return int(text) % 365\n", 3),
    ],
)
STORIES = (COUNT_VOWELS, ROMAN, FLATTEN, MEDIAN, PARSE_DATE)
"""Those that go on to stage 5."""

GIVEN_UP = Story(
    "merge_intervals",
    "Merge Intervals",
    "basic algorithms",
    "Merge all intervals that overlap and return what is left, sorted by their begin.",
    [([],)],
    [],
)
_REJECTED = (
    (Reason.MALFORMED_PROBLEM, 1),
    (Reason.INPUT_OUTPUT, 1),
    (Reason.LOW_RATING, 2),
    (Reason.MALFORMED_RATING, 2),
    (Reason.INTERFACE_MISMATCH, 3),
    (Reason.DUPLICATE, 3),
)
"""The refused attempts: the reason, and how many stages they reached."""

PASSED_BEFORE = [True] * 9 + [False] * 11
PASSED_AFTER = [False] + [True] * 8 + [True] * 3 + [None] + [False] * 7
"""Over 20 tasks: one lost, three gained, one that the sandbox failed on."""


def config(**changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "problems": {"n": 6, "max_attempts": 40},
        "test_inputs": {"n": 6},
        "solutions": {"n": 8, "inputs": "all"},
        "consolidation": {"iterations": 1, "batch_size": 4, "lora": {"rank": 16}},
        "evaluation": {"n_tasks": 20},
    }
    return parse_config({**values, **changes})


def build(path: Path, upto: str = "evaluation", **solutions: Any) -> Run:
    """Write the run as far as a stage: attempts, suites, candidates, selections, evaluation."""
    run = Run.create(path, config(solutions={"n": 8, "inputs": "all", **solutions}))
    run.save_manifest(
        created=1_764_000_000.0,
        commit="3f2c1ab",
        versions={"python": "3.11.9", "ucoder": "0.1.0", "openvino-genai": "2026.4.1"},
        platform="Linux x86_64",
        model={"name": "qwen2.5-coder-0.5b-instruct", "licence": "Apache-2.0", "sha256": "1d" * 32},
        engine={"version": "2026.4.1", "precision": "int8", "honours_seeds": True},
        executor="bubblewrap",
    )
    run = Run.open(path)
    steps = {
        "attempts": add_attempts,
        "suites": add_suites,
        "candidates": add_candidates,
        "selections": add_selections,
        "evaluation": add_training_and_scores,
    }
    for name, step in steps.items():
        step(run)
        if name == upto:
            break
    return run


def problem_of(story: Story) -> Problem:
    source = f'def {story.name}(x: str) -> int:\n    """{story.description}"""\n'
    return Problem(
        id=digest(source),
        area=story.area,
        topic=story.title.lower(),
        title=story.title,
        description=story.description,
        statement=f"Title: {story.title}\nDescription: {story.description}",
        example="",
        rating=story.rating,
        rating_summary="Clear and complete.",
        interface=Interface(story.name, (Parameter("x", "str"),), "int", source),
    )


def add_attempts(run: Run) -> None:
    problems = [problem_of(story) for story in (*STORIES, GIVEN_UP)]
    refused = [
        Attempt(
            index=6 + at,
            seed=at,
            area="basic algorithms",
            topic="sorting",
            problem=None,
            reason=reason,
            detail="said in a sentence",
            problem_text="<PROBLEM_START>",
            rating_text="<RATING_START>" if reached > 1 else "",
            interface_text="<SKELETON_START>" if reached > 2 else "",
            problem_tokens=100,
            rating_tokens=20 if reached > 1 else 0,
            interface_tokens=50 if reached > 2 else 0,
        )
        for at, (reason, reached) in enumerate(_REJECTED)
    ]
    accepted = [
        Attempt(
            index=at,
            seed=at,
            area=problem.area,
            topic=problem.topic,
            problem=problem,
            reason=None,
            detail="",
            problem_text=problem.statement,
            rating_text="9",
            interface_text=problem.interface.source,
            problem_tokens=100,
            rating_tokens=20,
            interface_tokens=50,
        )
        for at, problem in enumerate(problems)
    ]
    for attempt in (*accepted, *refused):
        run.attempts.put(f"{attempt.index:06d}", [attempt])
    tell(run, "problems", 0, 0, 60)


def suite_of(story: Story) -> TestSuite:
    origins = [InputOrigin.EXAMPLE, *[InputOrigin.MODEL] * 3, *[InputOrigin.MUTATION] * 2]
    inputs = tuple(
        TestInput(
            write(arguments),
            origin,
            (Prediction("3", 1),) if origin is InputOrigin.MODEL else (),
        )
        for arguments, origin in zip(story.inputs, origins, strict=False)
    )
    refused = (Count(Reason.NOT_LITERAL, 2), Count(Reason.DUPLICATE_INPUT, 1))
    reason = Reason.TOO_FEW_INPUTS if len(inputs) < 3 else None
    return TestSuite(problem_of(story).id, inputs, refused, reason, 200)


def add_suites(run: Run) -> None:
    for story in (*STORIES, GIVEN_UP):
        run.suites.put(problem_of(story).id, [suite_of(story)])
    tell(run, "test_inputs", 0, 60, 90)


def candidates_of(story: Story) -> list[Candidate]:
    problem_id = problem_of(story).id
    found: list[Candidate] = []
    for at_program, (program, votes) in enumerate(story.votes):
        reason = {"": Reason.NO_CODE, "truncated": Reason.TRUNCATED}.get(program)
        for _ in range(votes):
            index = len(found)
            found.append(
                Candidate(
                    id=digest(problem_id, 0, index),
                    problem_id=problem_id,
                    iteration=0,
                    index=index,
                    completion=program,
                    program="" if reason else program,
                    program_id="" if reason else digest(program),
                    n_tokens=40,
                    sum_logprob=-40 * math.log(1.02 + 0.03 * at_program + 0.004 * index),
                    finish_reason=FinishReason.LENGTH
                    if program == "truncated"
                    else FinishReason.STOP,
                    reason=reason,
                )
            )
    return found


def executions_of(story: Story) -> list[Execution]:
    return [
        Execution(
            problem_id=problem_of(story).id,
            iteration=0,
            program_id=digest(program),
            status=ProgramStatus.LOADED,
            detail="",
            outcomes=tuple(call(story.name, program, arguments) for arguments in story.inputs),
            cpu_s=0.01,
            wall_s=0.02,
        )
        for program, _ in story.votes
        if program.startswith("def ")
    ]


def call(name: str, program: str, arguments: tuple[Any, ...]) -> Outcome:
    namespace: dict[str, Any] = {}
    exec(program, namespace)
    try:
        return Outcome(OutcomeKind.RETURNED, write(namespace[name](*arguments)))
    except Exception as error:  # whatever the program raises is its outcome
        return Outcome(OutcomeKind.RAISED, f"{type(error).__name__}: {error}")


def add_candidates(run: Run) -> None:
    for story in STORIES:
        run.candidates(0).put(problem_of(story).id, candidates_of(story))
        run.executions(0).put(problem_of(story).id, executions_of(story))
    tell(run, "solutions", 0, 90, 290)


def add_selections(run: Run) -> None:
    for story in STORIES:
        problem_id = problem_of(story).id
        executions = {e.program_id: e for e in executions_of(story)}
        ballot = select(
            problem_id, 0, candidates_of(story), executions, suite_of(story).inputs,
            rule_of(run.config.solutions),
        )  # fmt: skip
        run.selections(0).put(problem_id, [ballot.selection])


def add_training_and_scores(run: Run) -> None:
    chosen = [s for s in run.selections(0).rows() if s.candidate_id]
    pairs = [Example(s.problem_id, s.candidate_id or "", 0, "prompt", "code") for s in chosen]
    run.examples(0).put("examples", pairs)
    made = Checkpoint(0, "checkpoints/iteration-0", "ab" * 32, len(pairs), 0, 3, 0.41, 0.43, 0.88)
    run.checkpoints.put("000", [made])
    tell(run, "consolidation", 0, 290, 350)
    for index, verdicts in enumerate((PASSED_BEFORE, PASSED_AFTER)):
        for at, passed in enumerate(verdicts):
            task = f"HumanEval/{at}"
            reason = {True: GradeReason.PASSED, False: GradeReason.WRONG_OUTPUT}.get(
                passed, GradeReason.SANDBOX_FAILED
            )
            answer = Answer(
                "humaneval", index, task, 0, "```python\nreturn 1\n", "return 1", 30,
                FinishReason.STOP,
            )  # fmt: skip
            score = Score("humaneval", index, task, 0, passed, reason, "" if passed else "on (3,)")
            run.answers("humaneval", index).put(f"HumanEval_{at}", [answer])
            run.scores("humaneval", index).put(f"HumanEval_{at}", [score])
        tell(run, f"humaneval M{index}", index, 350 + 40 * index, 390 + 40 * index)


def tell(run: Run, stage: str, iteration: int, begin: float, end: float) -> None:
    """Write a stage of known length into the journal."""
    entry = {"session": "s", "stage": stage, "iteration": iteration}
    with (run.path / "journal.jsonl").open("a", encoding="utf-8") as file:
        for event, at in (("begin", begin), ("end", end)):
            file.write(json.dumps({**entry, "event": event, "at": at}) + "\n")

"""Fit the probability of a selection again, and see how far the shipped coefficients hold.

Reads files of samples with a truth script, as `ucoder study` does, and looks at the choice of the
`agreement` selector in every task. The features are those of `ucoder.consensus.probability`:
support, whether the choice meets every example of the statement, and whether it misses one.

Every known answer has true examples, and most problems that a model invents have none that can be
trusted. So each task is read twice: as it is, and with its examples counted among the model's own
predictions, as a run counts those of an invented problem. Each reading has half a vote in the fit,
a ridge logistic regression whose intercept is not penalised. Where a task is left out of the fit,
both of its readings are.

Printed are the coefficients beside the shipped ones, and Brier score, log loss, a reliability table
and precision at coverage: of the data, with the scored task left out and by the shipped
coefficients; of every file that only judges, by both.

    python benchmarks/calibration.py known-answers --judge SAMPLES.jsonl.gz [--cache DIR]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from ucoder.cli.drawing import Bars
from ucoder.consensus import probability
from ucoder.consensus.inputs import n_examples
from ucoder.consensus.probability import Chances
from ucoder.consensus.selection import counting, ranked_programs
from ucoder.consensus.selectors import Rule, selector_named
from ucoder.consensus.votes import Floats, Ints, Votes
from ucoder.errors import UcoderError
from ucoder.records import InputOrigin
from ucoder.studies.calibration import precisions
from ucoder.studies.pools import open_pools
from ucoder.studies.samples import samples_file
from ucoder.studies.tasks import StudyTask, tasks_of

RULE = Rule("agreement")
RIDGE = 0.5
N_BINS = 5
MAX_STEPS = 100
FEATURES = ("intercept", "support", "meets_examples", "misses_examples")
SHIPPED = np.array(
    [
        probability.INTERCEPT,
        probability.SUPPORT,
        probability.MEETS_EXAMPLES,
        probability.MISSES_EXAMPLES,
    ]
)
READINGS = ("examples given", "examples invented, or none")


@dataclass(frozen=True)
class Choices:
    """The choices on one file, N readings of tasks and F features.

    Attributes:
        features_NF: As `FEATURES`.
        right_N: 1 where the choice is right, 0 where not.
        tasks_N: The number of each reading's task.
        readings_N: Which of `READINGS` it is.
        weights_N: The votes in the fit; those of one task add up to 1.
    """

    features_NF: Floats
    right_N: Floats
    tasks_N: Ints
    readings_N: Ints
    weights_N: Floats


def choices_of(tasks: Iterable[StudyTask]) -> Choices:
    """The features of each choice, and whether it is right."""
    rows: list[list[float]] = []
    for number, task in enumerate(tasks):
        read = (
            [(0, task.votes), (1, without_given(task.votes))]
            if n_examples(task.votes)
            else [(1, task.votes)]
        )
        rows += (
            [*features, number, reading, 1.0 / len(read)]
            for reading, votes in read
            if (features := features_of(task, votes))
        )
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES) + 4)
    right_N, tasks_N, readings_N, weights_N = table[:, len(FEATURES) :].T
    return Choices(
        table[:, : len(FEATURES)],
        right_N,
        tasks_N.astype(np.int32),
        readings_N.astype(np.int32),
        weights_N,
    )


def without_given(votes: Votes) -> Votes:
    """The same votes, with the examples of the statement as those of an invented problem."""
    inputs = tuple(
        replace(one, origin=InputOrigin.EXAMPLE) if one.origin is InputOrigin.GIVEN else one
        for one in votes.inputs
    )
    return replace(votes, inputs=inputs)


def features_of(task: StudyTask, votes: Votes) -> list[float]:
    """The features of the choice, then 1 or 0 for right or wrong; none without choice or truth."""
    votes = counting(votes, RULE)
    order = ranked_programs(votes, selector_named(RULE.selector)(votes, RULE))
    if not order or np.isnan(task.right_P[order[0]]):
        return []
    chances = Chances.of(votes)
    cluster = votes.clusters_P[order[0]]
    support = float(chances.support(chances.agreement.counts_C[None, :])[0, cluster])
    examples = float(chances.examples_C[cluster])
    return [1.0, support, examples > 0, examples < 0, float(task.right_P[order[0]])]


def fit(features_NF: Floats, right_N: Floats, weights_N: Floats) -> Floats:
    """Ridge logistic regression by Newton's method, F."""
    penalty = RIDGE * np.eye(features_NF.shape[1])
    penalty[0, 0] = 0.0
    weights = np.zeros(features_NF.shape[1])
    for _ in range(MAX_STEPS):
        p = chance(features_NF, weights)
        curvature = features_NF.T * (weights_N * (p * (1.0 - p) + 1e-9)) @ features_NF + penalty
        gradient = features_NF.T @ (weights_N * (right_N - p)) - penalty @ weights
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def chance(features_NF: Floats, weights: Floats) -> Floats:
    """The probability that each choice is right, N."""
    p: Floats = 1.0 / (1.0 + np.exp(-features_NF @ weights))
    return p


def left_out(data: Choices) -> Floats:
    """Each choice's probability by the fit on all other tasks, N."""
    p = np.empty(data.right_N.size)
    for task in np.unique(data.tasks_N):
        rest = data.tasks_N != task
        weights = fit(data.features_NF[rest], data.right_N[rest], data.weights_N[rest])
        p[~rest] = chance(data.features_NF[~rest], weights)
    return p


def report(name: str, p: Floats, right_N: Floats) -> None:
    """Scores, a reliability table, and precision at coverage."""
    inside = np.clip(p, 1e-9, 1 - 1e-9)
    loss = -np.mean(right_N * np.log(inside) + (1 - right_N) * np.log(1 - inside))
    print(f"  {name}: Brier score {np.mean((p - right_N) ** 2):.3f}, log loss {loss:.3f}, "
          f"mean probability {p.mean():.2f}, right {right_N.mean():.2f}")  # fmt: skip
    at = np.minimum((p * N_BINS).astype(int), N_BINS - 1)
    for b in np.unique(at):
        print(f"    {b / N_BINS:.1f} to {(b + 1) / N_BINS:.1f}: {np.sum(at == b):>4} choices, "
              f"mean probability {p[at == b].mean():.2f}, "
              f"right {right_N[at == b].mean():.2f}")  # fmt: skip
    for kept in precisions(p, right_N):
        print(f"    precision at {100 * kept['coverage']:3.0f}% coverage {kept['precision']}")


def report_readings(title: str, found: Choices, judges: Sequence[tuple[str, Floats]]) -> None:
    """A report for each reading that the tasks have, by each of the named probabilities."""
    for reading, name in enumerate(READINGS):
        of_reading = found.readings_N == reading
        if of_reading.any():
            print(f"\n{title}, {name}: {of_reading.sum()} choices")
            for judge, p in judges:
                report(judge, p[of_reading], found.right_N[of_reading])


def main() -> None:
    """Read, fit, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "data",
        type=Path,
        help="samples to fit on, JSON lines, or `known-answers`, that comes along",
    )
    parser.add_argument(
        "--judge",
        type=Path,
        action="append",
        default=[],
        help="samples that only judge",
    )
    parser.add_argument("--cache", type=Path, default=None, help="where executions are kept")
    parser.add_argument(
        "--tasks", type=int, default=None, help="only this many of a file, the first ones"
    )
    asked = parser.parse_args()

    def read(path: Path, bars: Bars) -> Choices:
        data = samples_file(path)
        pools = open_pools(data, asked.cache, n_tasks=asked.tasks, progress=bars)
        return choices_of(tasks_of(pools))

    try:
        with Bars(Console(stderr=True)) as bars:
            data = read(asked.data, bars)
            judges = {path.name: read(path, bars) for path in asked.judge}
    except UcoderError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if np.unique(data.right_N).size < 2:
        sys.exit(f"{data.right_N.size} choices, all right or all wrong: nothing can be fitted; "
                 f"give more tasks, with a test script each")  # fmt: skip
    fitted = fit(data.features_NF, data.right_N, data.weights_N)
    print(f"{data.right_N.size} readings of {np.unique(data.tasks_N).size} tasks, choices of "
          f"{RULE.selector}, ridge {RIDGE}")  # fmt: skip
    for name, ours, shipped in zip(FEATURES, fitted, SHIPPED, strict=True):
        print(f"{name:<16} fitted {ours:6.2f}   shipped {shipped:6.2f}")
    shipped = chance(data.features_NF, SHIPPED)
    report_readings(asked.data.name, data, [("left out", left_out(data)), ("shipped", shipped)])
    for name, found in judges.items():
        by_fit, by_shipped = (chance(found.features_NF, w) for w in (fitted, SHIPPED))
        report_readings(name, found, [("fitted", by_fit), ("shipped", by_shipped)])


if __name__ == "__main__":
    main()

"""Fit the probability of a selection again, and see how far the shipped coefficients hold.

Reads files of samples with a truth script, as `ucoder study` does, and looks at the choice of the
`agreement` selector in every task of all of them. The features are those of
`ucoder.consensus.probability`: support, whether the choice meets every example of the statement,
and whether it misses one. The fit is a ridge logistic regression; the intercept is not penalised.

Printed are the coefficients beside the shipped ones and, for each file, Brier score, log loss, a
reliability table and precision at coverage, each of the fit with the scored task left out and of
the shipped coefficients. Where a file was among those that the shipped ones were fitted on, their
figures flatter; those with the task left out do not, but for the choice of features.

    python benchmarks/calibration.py SAMPLES.jsonl.gz [MORE.jsonl ...] [--cache DIR] [--tasks N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from ucoder.cli.drawing import Bars
from ucoder.consensus import probability
from ucoder.consensus.inputs import kept_inputs
from ucoder.consensus.probability import Chances
from ucoder.consensus.selection import ranked_programs
from ucoder.consensus.selectors import Rule, selector_named
from ucoder.consensus.votes import Floats
from ucoder.errors import UcoderError
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


@dataclass(frozen=True)
class Choices:
    """The choices on one file, N tasks and F features.

    Attributes:
        name: The file's.
        n_tasks: Tasks read, those without a choice or a truth among them.
        features_NF: As `FEATURES`.
        right_N: 1 where the choice is right, 0 where not.
    """

    name: str
    n_tasks: int
    features_NF: Floats
    right_N: Floats


def choices_of(name: str, tasks: Iterable[StudyTask]) -> Choices:
    """The features of each choice, and whether it is right."""
    rows: list[list[float]] = []
    n_tasks = 0
    for task in tasks:
        n_tasks += 1
        votes = task.votes.on(kept_inputs(task.votes, RULE.min_input_support))
        order = ranked_programs(votes, selector_named(RULE.selector)(votes, RULE))
        if not order or np.isnan(task.right_P[order[0]]):
            continue
        chances = Chances.of(votes)
        cluster = votes.clusters_P[order[0]]
        support = chances.support(chances.agreement.counts_C[None, :])[0, cluster]
        examples = chances.examples_C[cluster]
        right = task.right_P[order[0]]
        rows.append([1.0, support, float(examples > 0), float(examples < 0), right])
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES) + 1)
    return Choices(name, n_tasks, table[:, :-1], table[:, -1])


def fit(features_NF: Floats, right_N: Floats) -> Floats:
    """Ridge logistic regression by Newton's method, F."""
    penalty = RIDGE * np.eye(features_NF.shape[1])
    penalty[0, 0] = 0.0
    weights = np.zeros(features_NF.shape[1])
    for _ in range(MAX_STEPS):
        p = chance(features_NF, weights)
        curvature = features_NF.T * (p * (1.0 - p) + 1e-9) @ features_NF + penalty
        step = np.linalg.solve(curvature, features_NF.T @ (right_N - p) - penalty @ weights)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def chance(features_NF: Floats, weights: Floats) -> Floats:
    """The probability that each choice is right, N."""
    p: Floats = 1.0 / (1.0 + np.exp(-features_NF @ weights))
    return p


def left_out(features_NF: Floats, right_N: Floats) -> Floats:
    """Each choice's probability by the fit on all others, N."""
    others = ~np.eye(right_N.size, dtype=np.bool_)
    return np.array(
        [
            chance(features_NF[at : at + 1], fit(features_NF[rest], right_N[rest]))[0]
            for at, rest in enumerate(others)
        ]
    )


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


def main() -> None:
    """Read, fit, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+", help="samples, JSON lines, gzipped or not")
    parser.add_argument("--cache", type=Path, default=None, help="where executions are kept")
    parser.add_argument(
        "--tasks", type=int, default=None, help="only this many of a file, the first ones"
    )
    asked = parser.parse_args()
    files = []
    try:
        with Bars(Console(stderr=True)) as bars:
            for path in asked.data:
                pools = open_pools(
                    samples_file(path), asked.cache, n_tasks=asked.tasks, progress=bars
                )
                files.append(choices_of(path.name, tasks_of(pools)))
    except UcoderError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    features_NF = np.concatenate([found.features_NF for found in files])
    right_N = np.concatenate([found.right_N for found in files])
    if np.unique(right_N).size < 2:
        sys.exit(f"{right_N.size} choices, all right or all wrong: nothing can be fitted; give "
                 f"more tasks, with a test script each")  # fmt: skip
    fitted, p = fit(features_NF, right_N), left_out(features_NF, right_N)
    print(f"{right_N.size} choices of {RULE.selector}, ridge {RIDGE}")
    for name, ours, shipped in zip(FEATURES, fitted, SHIPPED, strict=True):
        print(f"{name:<16} fitted {ours:6.2f}   shipped {shipped:6.2f}")
    start = 0
    for found in files:
        end = start + found.right_N.size
        print(f"\n{found.name}: {found.right_N.size} choices in {found.n_tasks} tasks")
        if found.right_N.size:
            report("left out", p[start:end], found.right_N)
            report("shipped", chance(found.features_NF, SHIPPED), found.right_N)
        start = end


if __name__ == "__main__":
    main()

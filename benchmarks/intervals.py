"""How often the 95% interval of a pass rate holds the true rate: `mean_interval` and the bootstrap.

Tasks have difficulties drawn from a beta distribution, and several samples each; the truth is the
mean difficulty. Printed for each case: the share of intervals that hold it, and their mean width.

    python benchmarks/intervals.py [--trials 2000]

Needs numpy alone; a minute or two for the 2,000 trials of docs/evaluation.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

import numpy as np

from ucoder.evaluation.statistics import Interval, bootstrap_interval, mean_interval

BETAS = {
    "even, rate 40%": (0.8, 1.2),
    "all or nothing, 50%": (0.1, 0.1),
    "alike, 50%": (20.0, 20.0),
    "hard, 2%": (0.02, 0.98),
    "hard, 1.2%": (0.05, 4.0),
    "easy, 97%": (3.0, 0.1),
}
N_TASKS = (11, 50, 164)
N_SAMPLES = (1, 5, 20)


def measured(intervals: Iterable[Interval], truth: float) -> str:
    """Coverage and mean width."""
    found = list(intervals)
    held = np.mean([one.low <= truth <= one.high for one in found])
    return f"{100 * held:5.1f}%, {100 * np.mean([one.high - one.low for one in found]):4.1f} wide"


def main() -> None:
    """Simulate, and print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    n_trials = parser.parse_args().trials
    random = np.random.default_rng(0)
    methods: dict[str, tuple[Callable[..., Interval], int]] = {
        "mean_interval": (mean_interval, n_trials),
        "bootstrap": (lambda row: bootstrap_interval(row, n_resamples=500), n_trials // 5),
    }
    for n_tasks in N_TASKS:
        for n in N_SAMPLES:
            for name, (a, b) in BETAS.items():
                difficulty = random.beta(a, b, size=(n_trials, n_tasks))
                rates = random.binomial(n, difficulty) / n
                said = [
                    f"{method} {measured(map(interval, rates[:most]), a / (a + b))}"
                    for method, (interval, most) in methods.items()
                ]
                print(f"{n_tasks:3} tasks x {n:2} samples, {name:20}", "   ".join(said))
    print("differences of two models, of which the second solves 20% of what was unsolved")
    for n_tasks in N_TASKS:
        for n in N_SAMPLES[1:]:
            for name, (a, b) in BETAS.items():
                first = random.beta(a, b, size=(n_trials, n_tasks))
                gained = random.binomial(n, first + 0.2 * (1 - first)) - random.binomial(n, first)
                found = (mean_interval(row, low=-1.0) for row in gained / n)
                truth = 0.2 * b / (a + b)
                print(f"{n_tasks:3} tasks x {n:2} samples, {name:20}", measured(found, truth))


if __name__ == "__main__":
    main()

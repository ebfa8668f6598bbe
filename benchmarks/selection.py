"""pass@1 of every selector on a file of samples, between a random candidate and the oracle.

Reads gzipped JSON lines, one task a line: prompt, candidate bodies, generated test texts, and a
test script that is used for scoring only. Programs run once, in the sandbox; what they did is kept
under the cache folder (UCODER_CACHE), and a second run takes seconds.

Every selector chooses with tau = 1, on inputs parsed from the test texts, boundary values and
mutations; a task without a selection counts as wrong. Intervals are 95%, by resampling tasks. The
last line names the selector with the highest pass@1; where several are equal, `agreement`, then
the first in the registry's order.

    python benchmarks/selection.py SAMPLES.jsonl.gz [--tasks N] [--cache DIR]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from ucoder.cli.drawing import Bars
from ucoder.errors import UcoderError
from ucoder.studies.pools import open_pools
from ucoder.studies.selection import ALL, OWN, SelectionStudy, study_selection
from ucoder.studies.tasks import tasks_of


def main() -> None:
    """Execute what the cache lacks, choose, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="samples, gzipped JSON lines")
    parser.add_argument("--tasks", type=int, default=None, help="only the first so many")
    parser.add_argument("--cache", type=Path, default=None, help="where executions are kept")
    asked = parser.parse_args()
    try:
        with Bars(Console(stderr=True)) as bars:
            pools = open_pools(asked.data, asked.cache, n_tasks=asked.tasks, progress=bars)
            bars.message("choosing")
            study = study_selection(tasks_of(pools))
    except UcoderError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    show(study)


def show(study: SelectionStudy) -> None:
    """Print the lines, the best selector last."""
    print(f"{study.n_tasks} tasks; pass@1 in percent [95% interval over tasks]")
    print(f"{'random':<20} {study.random}")
    print(f"{'oracle':<20} {study.oracle}")
    own = {row.selector: row for row in study.on(OWN)}
    print(f"\n{'selector':<20} {'all inputs':<20} {'own inputs alone':<20} "
          f"{'less consensus':<20} coverage")  # fmt: skip
    for row in study.on(ALL):
        print(f"{row.selector:<20} {row.pass_at_1!s:<20} {own[row.selector].pass_at_1!s:<20} "
              f"{row.against_paper!s:<20} {100 * row.coverage.value:.1f}")  # fmt: skip
    for found in study.calibrations:
        if found.selector not in study.told():
            continue
        print(f"\n{found.selector}: Brier score {found.brier.value:.3f}, "
              f"expected calibration error {found.expected_error:.3f}")  # fmt: skip
        for kept in study.precisions:
            if kept.selector == found.selector:
                print(f"  precision at {100 * kept.coverage:3.0f}% coverage {kept.precision} "
                      f"(probability {kept.least_probability:.2f} and above)")  # fmt: skip
    best = study.best()
    print(f"\nbest={best.selector} pass_at_1={100 * best.pass_at_1.value:.2f}")


if __name__ == "__main__":
    main()

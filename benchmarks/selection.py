"""pass@1 of every selector on a file of samples, between a random candidate and the oracle.

Reads gzipped JSON lines, one task a line: prompt, candidate bodies, generated test texts, and a
test script that is used for scoring only. Programs run once, in the sandbox; their results are
kept under the cache folder (UCODER_CACHE), and a second run takes seconds.

Every selector chooses with tau = 1, on the inputs that a run counts for it, on all (those of the
test texts, boundary values and mutations), and on those of the texts and examples alone; a task
without a selection counts as wrong. Intervals are 95%, by resampling tasks. The
last line names the selector with the highest pass@1; where several are equal, `agreement`, then
the first in the order of `SELECTORS`.

    python benchmarks/selection.py SAMPLES.jsonl.gz [--tasks N] [--cache DIR]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from ucoder.cli.drawing import Bars
from ucoder.errors import UcoderError
from ucoder.runtime import require
from ucoder.studies.pools import open_pools
from ucoder.studies.results import Study, mean_of, records
from ucoder.studies.samples import samples_file
from ucoder.studies.selection import best_selector, probability_lines, study_selection
from ucoder.studies.tasks import ALL, AS_RUN, OWN, tasks_of


def main() -> None:
    """Execute what the cache lacks, choose, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "data", type=Path, help="samples, gzipped JSON lines; or `known-answers`, which comes along"
    )
    parser.add_argument("--tasks", type=int, default=None, help="only this many, the first ones")
    parser.add_argument("--cache", type=Path, default=None, help="where executions are kept")
    asked = parser.parse_args()
    try:
        require("a study", "pandas", extra="study")
        with Bars(Console(stderr=True)) as bars:
            pools = open_pools(
                samples_file(asked.data), asked.cache, n_tasks=asked.tasks, progress=bars
            )
            bars.message("choosing")
            study = study_selection(tasks_of(pools))
    except UcoderError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    show(study)


def show(study: Study) -> None:
    """Print the lines, the best selector last."""
    print(f"{study.summary['n_tasks']} tasks; pass@1 in percent [95% interval over tasks]")
    print(f"{'random':<20} {study.summary['random']}")
    print(f"{'oracle':<20} {study.summary['oracle']}")
    print(f"\n{'selector':<20} {'as a run':<20} {'all inputs':<20} {'own inputs alone':<20} "
          f"{'minus consensus':<20} coverage")  # fmt: skip
    table = study.tables["selection"]
    pass_at_1 = {
        (row["inputs"], row["selector"]): f"{mean_of(row, 'pass_at_1')!s:<20}"
        for row in records(table)
    }
    for row in records(table[table["inputs"] == AS_RUN]):
        name = row["selector"]
        print(f"{name:<20}", *(pass_at_1[inputs, name] for inputs in (AS_RUN, ALL, OWN)),
              f"{mean_of(row, 'against_paper')!s:<20} {100 * row['coverage']:.1f}")  # fmt: skip
    print("", *probability_lines(study.tables), sep="\n")
    best = best_selector(table)
    print(f"\nbest={best['selector']} pass_at_1={100 * best['pass_at_1']:.2f}")


if __name__ == "__main__":
    main()

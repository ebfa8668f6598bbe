"""Plans after a run: a real (scripted) run against what was planned for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder.config import load_config
from ucoder.errors import ConfigError
from ucoder.planning.assumptions import MEASURED, Range
from ucoder.planning.plan import Plan, make_plan
from ucoder.planning.rates import Rates
from ucoder.planning.review import PLAN_FILE, Compared, observed, read_plan, review, write_plan
from ucoder.runs import Run

SETTINGS = ("evaluation.benchmarks=[]",)
N_PROBLEMS = 5  # as many as the script can tell apart
RATES = Rates(
    hardware="a machine",
    sampled_tokens_per_s=Range.exactly(1000),
    programs_per_s=Range(1, 20, 400),
)


def scripted(folder: Path, seed: int) -> Run:
    command = [sys.executable, "-m", "ucoder", "run", "scripted", f"seed={seed}", *SETTINGS]
    done = subprocess.run([*command, "-o", str(folder)], capture_output=True, text=True,
                          env=os.environ, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / PLAN_FILE).unlink()  # it rests on other models than the scripted one
    return Run.open(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return scripted(tmp_path_factory.mktemp("first") / "run", 0)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return scripted(tmp_path_factory.mktemp("second") / "run", 1)


def judged(rows: tuple[Compared, ...]) -> dict[tuple[str, str], Compared]:
    return {(row.stage, row.quantity): row for row in rows}


def test_a_run_like_another_falls_into_the_ranges_planned_from_that_one(
    run: Run, second: Run
) -> None:
    assumed = observed(run)
    told = review(second, make_plan(second.config, assumed=assumed))
    counts = {key: row for key, row in judged(told.quantities).items() if key[1] != "seconds"}
    assert len(counts) >= 12
    for key, row in counts.items():
        assert row.planned is not None
        assert row.planned.holds(row.actual), (key, row)


def test_ranges_from_a_run_are_narrower_than_the_defaults(run: Run) -> None:
    assumed = observed(run)
    for name in ("problem_tokens", "solution_tokens", "input_tokens"):
        seen, default = assumed.rows[name], MEASURED.rows[name]
        assert seen.high / seen.low < default.high / default.low
        assert seen != default
    assert assumed.rows["example_tokens"] != MEASURED.rows["example_tokens"]
    assert (
        assumed.rows["drawn"] == MEASURED.rows["drawn"]
    )  # the run had no stopping, and cannot tell


def test_what_the_configuration_fixes_is_met_exactly(run: Run) -> None:
    rows = judged(review(run).quantities)
    assert rows["test_inputs", "suites"].planned == Range.exactly(N_PROBLEMS)
    assert rows["test_inputs", "suites"].ratio == 1
    candidates = rows["solutions", "candidates"]
    assert candidates.planned is not None and candidates.planned.holds(candidates.actual)
    assert candidates.actual == N_PROBLEMS * 12 * 2


def test_the_assumption_that_was_furthest_off_is_named(run: Run) -> None:
    """A script's answers are much shorter than a model's."""
    told = review(run)
    worst = told.furthest_off()
    assert worst is not None
    assert worst.surprise == max(
        row.surprise for row in told.assumptions if row.surprise == row.surprise
    )
    assert f"furthest off: {worst.quantity}" in " ".join(told.sentences())
    assert "outside that range" in " ".join(told.sentences())


def test_times_are_compared_where_rates_were_known(run: Run) -> None:
    without, with_rates = review(run), review(run, make_plan(run.config, [RATES]))
    key = ("solutions", "seconds")
    assert judged(without.quantities)[key].planned is None
    row = judged(with_rates.quantities)[key]
    assert row.planned is not None and row.actual > 0


def test_a_plan_that_was_kept_is_the_one_that_counts(run: Run) -> None:
    kept = write_plan(run.path, run.config, [RATES])
    try:
        assert read_plan(run.path) == kept
        told = review(run, make_plan(load_config("scripted", ["problems.n=1000"])))
        assert told.was_kept
        assert judged(told.quantities)["test_inputs", "suites"].planned == Range.exactly(N_PROBLEMS)
        (run.path / PLAN_FILE).write_text('{"assumed": 3}')
        with pytest.raises(ConfigError, match="delete it"):
            review(run)
    finally:
        (run.path / PLAN_FILE).unlink()


def test_an_empty_run_has_nothing_to_judge(tmp_path: Path) -> None:
    fresh = Run.create(tmp_path / "run", load_config("scripted"))
    told = review(fresh)
    assert told.furthest_off() is None
    assert "not finished" in " ".join(told.sentences())
    assert isinstance(make_plan(fresh.config, assumed=observed(fresh)), Plan)


def test_a_surprise_is_one_at_either_end_of_the_range() -> None:
    span = Range(2, 4, 8)
    assert [Compared("", "", span, actual).surprise for actual in (2, 4, 8, 16)] == pytest.approx(
        [1, 0, 1, 2]
    )

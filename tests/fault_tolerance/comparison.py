"""Runs of real processes, and their records compared."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from ucoder.runs import Run

MEASURED = {"cpu_s": 0.0, "wall_s": 0.0}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ucoder", *arguments]


def tables(path: Path) -> dict[str, list[Any]]:
    """Every record of a run, without what a clock measured."""
    run = Run.open(path)
    found: dict[str, list[Any]] = {
        "attempts": run.attempts.rows(),
        "suites": run.suites.rows(),
        "checkpoints": run.checkpoints.rows(),
        "matches": run.matches.rows(),
    }
    for t in run.iterations():
        found[f"candidates {t}"] = run.candidates(t).rows()
        executions = run.executions(t).rows()
        found[f"executions {t}"] = [dataclasses.replace(e, **MEASURED) for e in executions]
        found[f"greedy {t}"] = run.greedy(t).rows()
        found[f"selections {t}"] = run.selections(t).rows()
        found[f"examples {t}"] = run.examples(t).rows()
    for key in run.scored():
        found[f"scores {key}"] = run.scores(*key).rows()
        found[f"answers {key}"] = run.answers(*key).rows()  # HumanEval's prompts go by its name
    # NaN differs from itself; its text does not.
    return {name: sorted(map(repr, rows)) for name, rows in found.items()}


def shards(path: Path) -> dict[Path, int]:
    return {shard: shard.stat().st_mtime_ns for shard in (path / "tables").rglob("*.parquet")}

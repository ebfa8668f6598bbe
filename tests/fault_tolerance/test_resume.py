"""A real process, killed with SIGKILL at many points of its life, loses and repeats nothing."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .comparison import command, shards, tables


def run_until(path: Path, n_shards: int, delay_s: float) -> bool:
    """Run or resume until so many shards are there, then kill; whether it ended by itself."""
    start = ["resume", str(path)] if path.exists() else ["run", "scripted", "-o", str(path)]
    process = subprocess.Popen(command(*start), stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if (path / "tables").exists() and len(shards(path)) >= n_shards:
            time.sleep(delay_s)
            break
        time.sleep(0.002)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    return process.wait() == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    subprocess.run(command("run", "scripted", "-o", str(path)), check=True, capture_output=True)
    return path


def test_killed_at_many_points_the_records_equal_an_undisturbed_run(
    undisturbed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    random_ = random.Random(7)
    kills = 0
    there: dict[Path, int] = {}
    total = len(shards(undisturbed))
    for n_shards in [*range(3, total, 6), math.inf]:
        ended = run_until(path, n_shards, random_.uniform(0.0, 0.02))  # type: ignore[arg-type]
        kills += not ended
        selected = {p for p in there if "selections" in p.parts or "attempts" in p.parts}
        now = shards(path)
        # Finished units were neither lost nor done again: their files are the very same.
        assert all(now[shard] == there[shard] for shard in selected)
        there = now
    assert ended
    assert kills >= total // 6 - 3
    assert tables(path) == tables(undisturbed)


def test_the_same_seed_gives_the_same_records(undisturbed: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    done = subprocess.run(
        command("run", "scripted", "-o", str(path), "max_concurrency=2"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert tables(path) == tables(undisturbed)


def test_resuming_a_finished_run_changes_no_record(undisturbed: Path) -> None:
    before = shards(undisturbed)
    subprocess.run(command("resume", str(undisturbed)), check=True, capture_output=True)
    assert shards(undisturbed) == before


def test_a_lost_attempt_is_made_again_in_its_place(undisturbed: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    subprocess.run(["cp", "-r", str(undisturbed), str(path)], check=True)
    (path / "tables" / "attempts" / "000003.parquet").unlink()
    subprocess.run(command("resume", str(path)), check=True, capture_output=True)
    assert tables(path) == tables(undisturbed)


def test_a_damaged_selection_is_done_again_after_it_is_moved_away(
    undisturbed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    subprocess.run(["cp", "-r", str(undisturbed), str(path)], check=True)
    shard = sorted((path / "tables" / "selections" / "iteration-0").glob("*.parquet"))[0]
    shard.write_bytes(b"damage")
    failed = subprocess.run(command("status", str(path)), capture_output=True, text=True)
    assert failed.returncode == 1
    assert "move the file away" in " ".join(failed.stderr.split())
    shard.unlink()
    subprocess.run(command("resume", str(path)), check=True, capture_output=True)
    assert tables(path) == tables(undisturbed)

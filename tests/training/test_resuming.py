"""Which checkpoint a killed training resumes from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ucoder.training.checkpoints import Mark, last_whole

MARK = Mark("job", 2)


def _checkpoint(folder: Path, step: int, mark: str | None) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    if mark is not None:
        (checkpoint / "ucoder_mark.json").write_text(mark)
    return checkpoint


def test_the_complete_checkpoint_with_the_highest_step_is_used(tmp_path: Path) -> None:
    whole = json.dumps(asdict(MARK))
    _checkpoint(tmp_path, 9, whole)
    latest = _checkpoint(tmp_path, 10, whole)
    _checkpoint(tmp_path, 11, None)  # killed while it was written
    _checkpoint(tmp_path, 12, whole[:7])  # killed while it was marked
    assert last_whole(tmp_path, MARK) == latest


def test_checkpoints_of_another_job_or_number_of_processes_are_not_used(
    tmp_path: Path,
) -> None:
    _checkpoint(tmp_path, 3, json.dumps(asdict(Mark("job", 4))))
    _checkpoint(tmp_path, 4, json.dumps(asdict(Mark("another", 2))))
    assert last_whole(tmp_path, MARK) is None
    assert last_whole(tmp_path / "nothing-yet", MARK) is None


def test_the_mark_of_a_job_does_not_depend_on_its_paths() -> None:
    job = {"is_chat": True, "examples": [], "preferences": [], "config": {"epochs": 3}, "seed": 1}
    here, there = Mark.of({**job, "output": "/a"}, 2), Mark.of({**job, "output": "/b"}, 2)
    assert here == there != Mark.of({**job, "seed": 2}, 2)

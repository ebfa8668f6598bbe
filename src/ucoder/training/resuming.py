"""Which of the trainer's checkpoints a killed training can go on from.

A process may be killed while it writes one, so a checkpoint counts only with a mark, written when
every rank has written its part; the older one stays until then.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ucoder.records import digest

_NAME = "ucoder_mark.json"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a checkpoint was written by; only the same training goes on from it.

    Attributes:
        job: Digest of examples, settings and seed; not of paths, so that a run may be moved.
        n_processes: The ranks that hold a part of it.
    """

    job: str
    n_processes: int

    @classmethod
    def of(cls, job: dict[str, Any], n_processes: int) -> Self:
        """The mark of a job's checkpoints."""
        what = {key: job[key] for key in ("is_chat", "examples", "config", "seed")}
        return cls(digest(json.dumps(what, sort_keys=True)), n_processes)


def last_whole(trainer_dir: Path, mark: Mark) -> Path | None:
    """The latest checkpoint that is whole and of this very training; None where there is none."""
    whole = [folder for folder in trainer_dir.glob("checkpoint-*") if _mark_of(folder) == mark]
    return max(whole, key=_step, default=None)


def checkpoint_marker(mark: Mark) -> Any:
    """A callback for the trainer: marks a checkpoint when all ranks wrote it, drops the others."""
    from accelerate import PartialState
    from transformers import TrainerCallback

    class Marker(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            PartialState().wait_for_everyone()
            if not state.is_world_process_zero:
                return
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / _NAME).write_text(json.dumps(asdict(mark)), "utf-8")
            for other in Path(args.output_dir).glob("checkpoint-*"):
                if other != folder:
                    shutil.rmtree(other)

    return Marker()


def _mark_of(folder: Path) -> Mark | None:
    try:
        return Mark(**json.loads((folder / _NAME).read_text("utf-8")))
    except (FileNotFoundError, ValueError):  # killed while writing it
        return None


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("checkpoint-"))

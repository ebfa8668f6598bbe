"""When each stage ran and for how long: one JSON object a line, appended.

A stage that is killed leaves its last heartbeat, so its seconds are known to within a few. A line
that a crash cut short is skipped when reading.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEARTBEAT_S = 2.0


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage of one iteration took, over all sessions, in seconds."""

    stage: str
    iteration: int
    seconds: float
    finished: bool


class Journal:
    """The run's diary.

    Args:
        path: The file; made on the first entry.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session = uuid.uuid4().hex[:8]
        self._last_beat = 0.0

    @contextmanager
    def stage(self, stage: str, iteration: int) -> Iterator[None]:
        """Time a stage; an exception leaves it unfinished."""
        self._write("begin", stage, iteration)
        try:
            yield
        except BaseException:
            self._write("stopped", stage, iteration)
            raise
        self._write("end", stage, iteration)

    def beat(self, stage: str, iteration: int) -> None:
        """Say that a stage is alive; written at most every two seconds."""
        if time.monotonic() - self._last_beat >= HEARTBEAT_S:
            self._write("beat", stage, iteration)

    def times(self) -> list[StageTime]:
        """Seconds by stage and iteration, in the order in which they first ran."""
        spans: dict[tuple[str, int], dict[tuple[str, int], tuple[float, float]]] = {}
        finished: set[tuple[str, int]] = set()
        turn = 0
        for entry in self._entries():
            stage = (entry["stage"], entry["iteration"])
            turn += entry["event"] == "begin"
            sessions = spans.setdefault(stage, {})
            begin, _ = sessions.get((entry["session"], turn), (entry["at"], 0.0))
            sessions[entry["session"], turn] = (begin, entry["at"])
            if entry["event"] == "end":
                finished.add(stage)
        return [
            StageTime(name, iteration, sum(end - begin for begin, end in sessions.values()),
                      (name, iteration) in finished)
            for (name, iteration), sessions in spans.items()
        ]  # fmt: skip

    def _write(self, event: str, stage: str, iteration: int) -> None:
        self._last_beat = time.monotonic()
        entry = {
            "at": round(time.time(), 3),
            "session": self._session,
            "event": event,
            "stage": stage,
            "iteration": iteration,
        }
        # One write of one line with O_APPEND: whole, or cut at the end of the file by a crash.
        line = json.dumps(entry) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def _entries(self) -> Iterator[dict[str, Any]]:
        if self._path.exists():
            for line in self._path.read_text("utf-8").splitlines():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    continue  # the line that a crash cut short

"""When each stage ran and for how long: one JSON object a line, appended.

The journal is a sink for progress events (`ucoder.progress`). A stage that is killed leaves its
last heartbeat, so its seconds are known to within a few. A line that a crash cut short is skipped
when reading. Each process that works on the run also notes when it started and how it ended; one
that was killed leaves a start without an end.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ucoder.errors import FileError
from ucoder.files import storing
from ucoder.progress import stage_of

HEARTBEAT_S = 2.0
_MAX_ERROR_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage of one iteration took, over all sessions, in seconds."""

    stage: str
    iteration: int
    seconds: float
    finished: bool


class Ending(StrEnum):
    """How a process that worked on a run ended, as it noted itself."""

    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


_ENDINGS = frozenset(Ending)


@dataclass(frozen=True, slots=True)
class LastSession:
    """The last process that worked on a run."""

    began: float  # seconds since 1970
    last_sign: float  # of life; the same
    is_noted: bool  # whether it noted its start, as earlier versions did not
    ending: Ending | None  # None while it works, and where it was killed
    error: str  # its type and message, where it failed


class Journal:
    """The times of a run's stages; a `Progress` that writes them down.

    Args:
        path: The file; made on the first entry.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session = uuid.uuid4().hex[:8]
        self._last_beat = 0.0
        self._open: list[str] = []
        self._facts: dict[str, dict[str, object]] = {}

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Note that a stage starts; a stage that is open already only learnt a new total."""
        if stage not in self._open:
            self._open.append(stage)
            self._write("begin", stage)

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """Note that a stage is alive, at most every two seconds; its end notes the last facts."""
        self._facts[stage] = facts
        if time.monotonic() - self._last_beat >= HEARTBEAT_S:
            self._write("beat", stage)

    def end(self, stage: str) -> None:
        """Note that a stage came to its end."""
        self._open.remove(stage)
        self._write("end", stage)

    def message(self, text: str) -> None:
        """Messages are not kept: see `Progress.message`."""

    @contextmanager
    def session(self) -> Iterator[None]:
        """Note that this process works on the run, and how that ends.

        Stages that are open when an error ends the block are noted as stopped, unfinished.
        """
        self._append({"event": "started"})
        ending, said = Ending.INTERRUPTED, ""
        try:
            yield
            ending = Ending.FINISHED
        except Exception as error:
            ending, said = Ending.FAILED, f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARS]
            raise
        finally:
            with suppress(FileError):  # the error that ended the run was raised already
                while self._open:
                    self._write("stopped", self._open.pop())
                self._append({"event": ending, "error": said})

    def last_session(self) -> LastSession | None:
        """The last process that worked on the run; None where none did."""
        last: LastSession | None = None
        session = ""
        for entry in self._entries():
            event, at = entry["event"], entry["at"]
            if last is None or entry["session"] != session or event == "started":
                session, last = entry["session"], LastSession(at, at, False, None, "")
            is_noted = last.is_noted or event == "started"
            ending = Ending(event) if event in _ENDINGS else None
            last = LastSession(last.began, at, is_noted, ending, entry.get("error", ""))
        return last

    def times(self) -> list[StageTime]:
        """Seconds by stage and iteration, in the order in which they first ran."""
        spans: dict[tuple[str, int], list[tuple[str, float, float]]] = {}
        finished: set[tuple[str, int]] = set()
        for entry in self._entries():
            if "stage" not in entry:
                continue  # about a session, not about a stage
            stage = (entry["stage"], entry["iteration"])
            session, at = entry["session"], entry["at"]
            of_stage = spans.setdefault(stage, [])
            if entry["event"] == "begin" or not of_stage or of_stage[-1][0] != session:
                of_stage.append((session, at, at))
            else:
                of_stage[-1] = (session, of_stage[-1][1], at)
            if entry["event"] == "end":
                finished.add(stage)
        return [
            StageTime(*stage, sum(end - begin for _, begin, end in of_stage), stage in finished)
            for stage, of_stage in spans.items()
        ]

    def _write(self, event: str, label: str) -> None:
        self._last_beat = time.monotonic()
        stage, iteration = stage_of(label)
        facts = self._facts.get(label, {})
        self._append({"event": event, "stage": stage, "iteration": iteration, **facts})

    def _append(self, values: Mapping[str, Any]) -> None:
        entry = {"at": round(time.time(), 3), "session": self._session, **values}
        # One write of one line with O_APPEND: whole, or cut at the end of the file by a crash.
        line = json.dumps(entry) + "\n"
        with storing(self._path):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            size = os.fstat(descriptor).st_size
            try:
                rest = line.encode()
                while rest:  # a disk that fills up takes a part, and refuses the rest
                    rest = rest[os.write(descriptor, rest) :]
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            finally:
                os.close(descriptor)

    def _entries(self) -> Iterator[dict[str, Any]]:
        if self._path.exists():
            for line in self._path.read_text("utf-8").splitlines():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    continue  # the line that a crash cut short

"""A run's log file, for people: what happened when, warnings, and tracebacks of errors.

Programs read `journal.jsonl` instead. Lines are appended, so each process that works on the run
adds to the same file. Writing is best effort: a full disk ends a run by its own error, not by this.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ucoder import __version__

LINE_EVERY_S = 15.0
"""How often a stage writes a line."""


class RunLog:
    """A `Progress` that writes lines with their times.

    Args:
        path: The file; made by the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._totals: dict[str, int] = {}
        self._last_line = 0.0

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """See `Progress.begin`."""
        if stage not in self._totals:
            self.message(f"{stage}: {done} of {total}")
        self._totals[stage] = total

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """See `Progress.advance`."""
        if time.monotonic() - self._last_line >= LINE_EVERY_S:
            said = "".join(f", {value} {name}" for name, value in facts.items())
            self.message(f"{stage}: {done} of {self._totals.get(stage, 0)}{said}")

    def end(self, stage: str) -> None:
        """See `Progress.end`."""
        self._totals.pop(stage, None)
        self.message(f"{stage}: done")

    def message(self, text: str) -> None:
        """See `Progress.message`."""
        self._last_line = time.monotonic()
        now = time.strftime("%Y-%m-%d %H:%M:%S%z")
        line = f"{now} {text}\n".encode("utf-8", "backslashreplace")
        with suppress(OSError), self.path.open("ab", buffering=0) as file:
            file.write(line)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Also log what `ucoder` warns of in the block, and the error that ends it."""
        self.message(f"ucoder {__version__}, process {os.getpid()}: begins")
        handler = _Warnings(self)
        logger = logging.getLogger("ucoder")
        logger.addHandler(handler)
        try:
            yield
            self.message("finished")
        except Exception:
            self.message(f"ended by an error\n{traceback.format_exc()}".rstrip())
            raise
        except BaseException:
            self.message("interrupted")
            raise
        finally:
            logger.removeHandler(handler)


class _Warnings(logging.Handler):
    """Writes log records to a run's log, and to standard error where nothing else would."""

    def __init__(self, log: RunLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.message(f"{record.levelname.lower()}: {record.getMessage()}")
        # Python does this by itself, but only for loggers without any handler.
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not logging.root.handlers:
            last.handle(record)

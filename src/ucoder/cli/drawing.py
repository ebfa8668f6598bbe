"""Progress as a terminal shows it: a bar for each stage; plain lines where there is no terminal."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ucoder.errors import UcoderError

LINE_EVERY_S = 15.0
"""How often a stage prints a line where there is no terminal, such as in a log file."""


class Verbosity(Enum):
    """How much a command tells while it works."""

    QUIET = "quiet"
    """Nothing but errors."""
    NORMAL = "normal"
    """A bar for each stage; without a terminal, a line now and then."""
    VERBOSE = "verbose"
    """A line for every step, what the libraries log, and tracebacks."""


@contextmanager
def tracebacks(told: Verbosity) -> Iterator[None]:
    """If verbose, print the traceback of an error that ends the block, and what is logged in it."""
    level = {Verbosity.QUIET: logging.ERROR, Verbosity.VERBOSE: logging.INFO}.get(told)
    if level is not None:
        logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    try:
        yield
    except UcoderError:
        if told is Verbosity.VERBOSE:
            traceback.print_exc()
        raise


class _Rate(ProgressColumn):
    """Units a minute; a problem takes longer than a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{60 * speed:.1f}/min" if speed else "", style="dim")


class Bars:
    """Draws `ucoder.progress.Progress` with rich; use as a context manager.

    Args:
        console: Where to draw; plain lines are printed if it is not a terminal.
        told: How much to draw.
    """

    def __init__(self, console: Console, told: Verbosity = Verbosity.NORMAL) -> None:
        self._console = console
        self._is_quiet = told is Verbosity.QUIET
        self._line_every_s = 0.0 if told is Verbosity.VERBOSE else LINE_EVERY_S
        self._draws = console.is_terminal and told is Verbosity.NORMAL
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<16}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", style="dim", markup=False),
            console=console,
            disable=not self._draws,
        )
        self._tasks: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._last_line: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """See `Progress.begin`; for a stage that has begun, changes its total."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, completed=done, facts="")
            self._begun[stage] = (time.monotonic(), done)
            self._line(stage, f"{done}/{total}" if done else f"0/{total}")
        elif self._totals[stage] != total:
            self._bars.update(self._tasks[stage], total=total)
        self._totals[stage] = total

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """See `Progress.advance`."""
        said = ", ".join(f"{value} {name}" for name, value in facts.items())
        self._bars.update(self._tasks[stage], completed=done, facts=said)
        now = time.monotonic()
        if now - self._last_line[stage] >= self._line_every_s:
            began, at_start = self._begun[stage]
            rate = (done - at_start) / max(now - began, 1e-9)
            left = f", {(self._totals[stage] - done) / rate:.0f} s left" if rate > 0 else ""
            self._line(
                stage, f"{done}/{self._totals[stage]}, {60 * rate:.1f}/min{left} {said}".rstrip()
            )

    def end(self, stage: str) -> None:
        """See `Progress.end`."""
        seconds = time.monotonic() - self._begun[stage][0]
        self._bars.update(self._tasks[stage], completed=self._totals[stage])
        self._line(stage, f"done in {seconds:.0f} s")

    def message(self, text: str) -> None:
        """See `Progress.message`."""
        if not self._is_quiet:
            self._console.print(text, style="dim", markup=False, highlight=False)

    def _line(self, stage: str, text: str) -> None:
        self._last_line[stage] = time.monotonic()
        if not self._draws and not self._is_quiet:
            self._console.print(
                f"{stage:<16} {text}", markup=False, highlight=False, soft_wrap=True
            )

"""What long work tells its caller: one interface for events, and as many sinks as one likes.

The command line draws bars, a run's journal keeps the times, a notebook or a test does something
else. A stage is named by a label that is unique within a run: see `label_of`.
"""

from __future__ import annotations

import re
from typing import Protocol

_NUMBERED = re.compile(r"(.+) (\d+)")
_OF_MODEL = re.compile(r".+ M(\d+)")


class Progress(Protocol):
    """Receives the events of long work."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """A stage starts, or learns a new total; `done` of its `total` units exist already."""
        ...

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """`done` units exist now; facts are short extras, such as `accepted=12`."""
        ...

    def end(self, stage: str) -> None:
        """A stage came to its end."""
        ...

    def message(self, text: str) -> None:
        """Something that a person would want to know."""
        ...


class Silent:
    """Progress that ignores every event."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """See `Progress.begin`."""

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """See `Progress.advance`."""

    def end(self, stage: str) -> None:
        """See `Progress.end`."""

    def message(self, text: str) -> None:
        """See `Progress.message`."""


class Tee:
    """Progress that hands every event on to several sinks, in order.

    Args:
        sinks: Such as the caller's display and a run's journal.
    """

    def __init__(self, *sinks: Progress) -> None:
        self._sinks = sinks

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """See `Progress.begin`."""
        for sink in self._sinks:
            sink.begin(stage, total, done)

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """See `Progress.advance`."""
        for sink in self._sinks:
            sink.advance(stage, done, **facts)

    def end(self, stage: str) -> None:
        """See `Progress.end`."""
        for sink in self._sinks:
            sink.end(stage)

    def message(self, text: str) -> None:
        """See `Progress.message`."""
        for sink in self._sinks:
            sink.message(text)


def label_of(stage: str, iteration: int | None = None) -> str:
    """The label of a stage: its name, and the iteration for stages that recur (`solutions 0`)."""
    return stage if iteration is None else f"{stage} {iteration}"


def stage_of(label: str) -> tuple[str, int]:
    """The stage and iteration that a label stands for, for sinks that keep them apart.

    `solutions 1` is stage `solutions` of iteration 1. `humaneval M1` keeps its name, because a
    benchmark is a stage of each model, and counts as iteration 1. Everything else is iteration 0.
    """
    if numbered := _NUMBERED.fullmatch(label):
        return numbered[1], int(numbered[2])
    of_model = _OF_MODEL.fullmatch(label)
    return label, int(of_model[1]) if of_model else 0

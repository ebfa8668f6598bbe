"""How long work tells its caller how far it is; the caller decides how that looks.

The command line draws bars, a notebook or a cluster shows it differently, a test records it.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a stage reports to."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """A stage starts; `done` of its `total` units were there already."""
        ...

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """`done` units are there now; facts are short extras, such as `accepted=12`."""
        ...

    def end(self, stage: str) -> None:
        """A stage is over."""
        ...

    def message(self, text: str) -> None:
        """Something that a person would want to know."""
        ...


class Silent:
    """Progress that nobody watches."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """See `Progress.begin`."""

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """See `Progress.advance`."""

    def end(self, stage: str) -> None:
        """See `Progress.end`."""

    def message(self, text: str) -> None:
        """See `Progress.message`."""

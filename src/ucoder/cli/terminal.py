"""What every command prints with: text stays text, whatever it holds and whatever can show it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from ucoder.visible import visible


class PlainConsole(Console):
    """A console for model text, paths and messages.

    Nothing in a text is markup, an emoji code or a command to the terminal. Only styles that our
    own code gives are drawn; what cannot be seen is printed as its escape (`ucoder.visible`).

    Args:
        stderr: Print to standard error.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `Console.render_str`."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console.render`."""
        if (
            isinstance(renderable, Text)
            and (shown := visible(renderable.plain)) != renderable.plain
        ):
            renderable = renderable.copy()
            renderable.plain = shown
        return super().render(renderable, options)


def replace_what_cannot_be_encoded() -> None:
    """Print `?` for characters that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")

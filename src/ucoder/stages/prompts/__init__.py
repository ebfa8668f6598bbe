"""What the model is asked, as text files; one a stage."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def _template(name: str) -> str:
    return (resources.files(__package__) / f"{name}.txt").read_text("utf-8").strip()


def fill(name: str, **values: object) -> str:
    """The prompt `name` with its `{fields}` filled; values are never read as templates."""
    return _template(name).format(**values)

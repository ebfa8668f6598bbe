"""The prompts, one text file a stage, and the sampling settings of a request."""

from __future__ import annotations

from functools import cache
from importlib import resources

from ucoder.config import SamplingConfig
from ucoder.engines.protocol import SamplingParams


@cache
def _template(name: str) -> str:
    return (resources.files(__package__) / f"{name}.txt").read_text("utf-8").strip()


def fill(name: str, **values: object) -> str:
    """The prompt `name` with its `{fields}` filled; braces in values are left alone."""
    return _template(name).format(**values)


def sampling_of(config: SamplingConfig, stop: tuple[str, ...]) -> SamplingParams:
    """A stage's sampling settings, with the strings that end its answers."""
    return SamplingParams(config.temperature, config.top_p, config.max_tokens, stop, config.top_k)

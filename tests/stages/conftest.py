"""A real sandbox, and engines that answer from a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from ucoder.engines.scripted import Script, ScriptedEngine
from ucoder.execution import Executor, open_executor
from ucoder.records import InputOrigin, Interface, Parameter, Problem, TestInput, TestSuite

Engines = Callable[[Sequence[str]], Awaitable[ScriptedEngine]]


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    async with open_executor("auto", n_workers=2) as opened:
        yield opened


@pytest.fixture
async def engine_of() -> AsyncIterator[Engines]:
    """Makes engines whose every completion draws one of the answers by the request's seed."""

    async with AsyncExitStack() as open_ones:

        async def make(answers: Sequence[str]) -> ScriptedEngine:
            rule = {"when": ["Write a Python function"], "answers": list(answers)}
            engine = ScriptedEngine(Script.model_validate({"rules": [rule]}))
            return await open_ones.enter_async_context(engine)

        yield make


@pytest.fixture
def problem() -> Problem:
    """`magnitude(x: int)`, whose model thought of positive numbers alone."""
    head = "def magnitude(x: int) -> int:"
    source = f'{head}\n    """Return how far x is from zero."""\n'
    interface = Interface("magnitude", (Parameter("x", "int"),), "int", source)
    return Problem("p" * 16, "area", "topic", "Magnitude", "How far x is from zero.",
                   "Return how far x is from zero.", "", 8.0, "", interface)  # fmt: skip


@pytest.fixture
def suite(problem: Problem) -> TestSuite:
    inputs = tuple(TestInput(f"({x},)", InputOrigin.MODEL) for x in (1, 2, 3, 7))
    return TestSuite(problem.id, inputs, (), None, 40)

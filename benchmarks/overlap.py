"""How busy the engine is during stage 5, and what overlapping it with execution saves.

    python benchmarks/overlap.py [--preset demo] [key=value ...]

The configuration's own engine invents problems and test inputs first. Then stage 5 of the same
problems is done twice, in alternating order:

- in turn: every candidate is sampled, then every program runs and the problems are decided;
- overlapped: as a run does it, through the local scheduler.

Busy is the share of the time in which the engine had a request to work on. The last line holds
the overlapped busy share and how many times longer the other way takes. On a CPU the engine and the
programs want the same cores, so little can be saved there; with the engine on an accelerator the
execution's time is saved whole.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ucoder.components import Components
from ucoder.config import load_config
from ucoder.engines.protocol import Completion, Engine, EngineInfo, Request
from ucoder.progress import Silent
from ucoder.records import Problem, TestSuite
from ucoder.runs import Run
from ucoder.scale.local import LocalScheduler
from ucoder.stages.solutions import ROUND_SIZE, request_of
from ucoder.steps import EngineOnDemand, Steps


@dataclass
class Metered:
    """An engine that notes when it has work; see `Engine`."""

    engine: Engine
    in_flight: int = 0
    busy_s: float = 0.0
    tokens: int = 0
    kept: dict[Request, list[Completion]] = field(default_factory=dict)
    _since: float = 0.0

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return self.engine.info

    async def __aenter__(self) -> Self:
        return self  # the engine is open already, for both ways

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`; what was sampled before is given at once."""
        if request in self.kept:
            return self.kept[request]
        if not self.in_flight:
            self._since = time.monotonic()
        self.in_flight += 1
        try:
            completions = await self.engine.sample(request)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.busy_s += time.monotonic() - self._since
        self.tokens += sum(completion.n_tokens for completion in completions)
        return completions


async def in_turn(
    metered: Metered, components: Components, problems: list[Problem], suites: dict[str, TestSuite]
) -> float:
    """Seconds of sampling all, then deciding all."""
    collecting = _Collecting(metered)
    begin = time.monotonic()
    await asyncio.gather(*(collecting.ask(problem, components) for problem in problems))
    metered.kept = collecting.kept
    async with LocalScheduler(metered, components.executor(), components.config) as scheduler:
        await asyncio.gather(*(scheduler.solve(p, suites[p.id], 0) for p in problems))
    metered.kept = {}
    return time.monotonic() - begin


async def overlapped(
    metered: Metered, components: Components, problems: list[Problem], suites: dict[str, TestSuite]
) -> float:
    """Seconds of doing it as a run does."""
    begin = time.monotonic()
    async with LocalScheduler(metered, components.executor(), components.config) as scheduler:
        await asyncio.gather(*(scheduler.solve(p, suites[p.id], 0) for p in problems))
    return time.monotonic() - begin


class _Collecting:
    """Samples every round of stage 5 and keeps it."""

    def __init__(self, metered: Metered) -> None:
        self._metered = metered
        self.kept: dict[Request, list[Completion]] = {}

    async def ask(self, problem: Problem, components: Components) -> None:
        """All that stage 5 asks for one problem."""
        config = components.config
        for round_ in range(-(-config.solutions.n // ROUND_SIZE)):
            request = request_of(problem, config.solutions, config.seed, 0, round_)
            self.kept[request] = await self._metered.sample(request)


async def measure(preset: str, overrides: list[str], rounds: int) -> None:
    """Make problems, then time both ways."""
    config = load_config(preset, overrides)
    components = Components(config)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", config)
        step = Steps(run, components, Silent())
        async with components.engine(components.model(config.model)) as engine:
            metered = Metered(engine)
            local = LocalScheduler(metered, components.executor(), config)
            async with EngineOnDemand(lambda: local, lambda scheduler: None) as on_demand:
                problems = await step.find_problems(on_demand)
                problems = await step.write_inputs(problems, on_demand)
            suites = {suite.problem_id: suite for suite in run.suites.rows()}
            print(f"{len(problems)} problems, {config.solutions.n} candidates each", flush=True)
            ways = {"in turn": in_turn, "overlapped": overlapped}
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            busy: dict[str, list[float]] = {name: [] for name in ways}
            for round_ in range(rounds):
                for name in sorted(ways, reverse=bool(round_ % 2)):
                    metered.busy_s = metered.tokens = 0
                    spent = await ways[name](metered, components, problems, suites)
                    seconds[name].append(spent)
                    busy[name].append(metered.busy_s / spent)
                    print(
                        f"{name:11} {spent:6.1f} s, engine busy {metered.busy_s / spent:.1%}, "
                        f"{metered.tokens / metered.busy_s:.0f} tokens/s while busy", flush=True,
                    )  # fmt: skip
    share = min(busy["overlapped"])
    ratio = sum(seconds["in turn"]) / sum(seconds["overlapped"])
    print(f"busy_share={share:.3f} in_turn_to_overlapped={ratio:.2f}")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    small = ["problems.n=6", "solutions.n=16", "test_inputs.n=100"]
    asyncio.run(measure(arguments.preset, small + arguments.overrides, arguments.rounds))


if __name__ == "__main__":
    main()

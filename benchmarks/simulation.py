"""A world for `benchmarks/scale.py`: an engine and an executor that cost time but no accelerator.

Everything else is the real thing: the pipeline, the stages, consensus, Ray, the run directory. The
engine invents problems about lists of numbers, writes asserts for them, and solves them with one
right and several wrong behaviours in many spellings; an answer takes as long as on a GPU that
samples a given number of tokens a second. Most programs are answered from what is known of them;
every `REAL_EVERY`th one runs in the sandbox, and must agree.

Reading, running and choosing among 128 candidates takes a fifth of a second of a core, which a
cluster has and this machine has not. So one journey in `WHOLE_EVERY` is the whole thing; the others
ask the engine all that they would ask, and come to what that one came to, under their own names.
What a driver sees is the same: as many journeys, answers and bytes.
"""

from __future__ import annotations

import asyncio
import heapq
import io
import json
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ucoder.components import Components
from ucoder.config import RunConfig
from ucoder.engines.protocol import Completion, Engine, EngineInfo, Request, SamplingParams
from ucoder.execution.canonical import parse
from ucoder.execution.inputs import InputBatch
from ucoder.execution.outcomes import CallReport, CheckReport, Outcome, OutcomeKind, ProgramStatus
from ucoder.execution.protocol import STANDARD_BUDGET, Budget, Executor
from ucoder.models import Model
from ucoder.records import (
    Candidate,
    Execution,
    FinishReason,
    Problem,
    Selection,
    TestSuite,
    digest,
)
from ucoder.runs.tables import Shard
from ucoder.scale.local import LocalScheduler
from ucoder.scale.protocol import Solved, WrittenInputs
from ucoder.stages.prompts.forms import solution_prompt
from ucoder.stages.solutions import ROUND_SIZE
from ucoder.stages.test_inputs import input_prompt

SEQUENCES = int(os.environ.get("SIMULATED_SEQUENCES", "128"))
"""Sequences in an engine's batch."""
TOKENS_PER_S = float(os.environ.get("SIMULATED_TOKENS_PER_S", "20000"))
"""Of one engine with a full batch."""
REAL_EVERY = int(os.environ.get("SIMULATED_REAL_EVERY", "50"))
"""One program in so many runs in the sandbox."""
WHOLE_EVERY = int(os.environ.get("SIMULATED_WHOLE_EVERY", "10"))
"""One journey in so many computes what it comes to."""
STATISTICS = os.environ.get("SIMULATED_STATISTICS")
"""Folder in which every engine notes how busy it was."""

N_BEHAVIOURS = 9
_NAME = re.compile(r"blend_(\d+)\b")
_MARK = re.compile(r"# behaviour (\d+)$", re.MULTILINE)
_SPELLINGS = ("loop", "comprehension", "helper")


def numbers_of(problem: int, behaviour: int) -> tuple[int, int, int, int]:
    """The constants of a behaviour; behaviour 0 is right."""
    random_ = random.Random(problem * 1000 + behaviour)
    return (random_.randint(2, 9), random_.randint(2, 9), random_.randint(2, 5),
            random_.randint(0, 1))  # fmt: skip


def answer_of(problem: int, behaviour: int, values: Sequence[int], k: int) -> list[int]:
    """What a program of this behaviour returns."""
    return blended(numbers_of(problem, behaviour), values, k)


def blended(constants: tuple[int, int, int, int], values: Sequence[int], k: int) -> list[int]:
    """The rule that all problems are about."""
    a, b, c, r = constants
    return [v * a + k if v % c == r else v - b * k for v in values]


class SimulatedEngine:
    """Samples from nothing, in the time that sampling would take; see `Engine`."""

    def __init__(self) -> None:
        self._free_at = [0.0] * SEQUENCES
        self._busy_s = 0.0
        self._noted_at = 0.0

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return EngineInfo("simulated", "1", "none", True, True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._note(time.time(), last=True)

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        random_ = random.Random(request.seed)
        write = _writer(request.prompt.user)
        completions = [_completion(write(random_), random_) for _ in range(request.n)]
        now = time.time()
        end = now
        for completion in completions:
            start = max(now, heapq.heappop(self._free_at))
            seconds = completion.n_tokens * SEQUENCES / TOKENS_PER_S
            heapq.heappush(self._free_at, start + seconds)
            self._busy_s += seconds
            end = max(end, start + seconds)
        await asyncio.sleep(end - now)
        self._note(time.time())
        return completions

    def _note(self, now: float, last: bool = False) -> None:
        if STATISTICS and (last or now - self._noted_at > 2.0):
            self._noted_at = now
            line = {"at": now, "busy_s": self._busy_s, "ahead_s": self._ahead_s(now)}
            with (Path(STATISTICS) / f"{os.getpid()}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def _ahead_s(self, now: float) -> float:
        """Seconds of sequences that were given out and have not been sampled yet."""
        return sum(max(0.0, free - now) for free in self._free_at)


def _completion(text: str, random_: random.Random) -> Completion:
    n_tokens = max(8, round(len(text) / 3.5 * random_.lognormvariate(0.0, 0.25)))
    return Completion(text, n_tokens, FinishReason.STOP, -0.2 * n_tokens)


def _writer(prompt: str) -> Callable[[random.Random], str]:
    if "Invent one new" in prompt:
        return _problem
    if "Rate the quality" in prompt:
        return lambda _: " 8\nSummary: It is clear what to compute, and there is an example.\n"
    found = _NAME.search(prompt)
    if found is None:
        return lambda _: "pass"
    problem = int(found.group(1))
    if "Write the interface" in prompt:
        return lambda _: f"Blend numbers by rule {problem}.\n\n    Returns:\n        a list\n"
    if "test cases" in prompt:
        return lambda random_: _asserts(problem, random_)
    return lambda random_: _solution(problem, random_)


def _problem(random_: random.Random) -> str:
    number = random_.randrange(10**9)
    a, b, c, r = numbers_of(number, 0)
    if random_.random() < 0.2:
        return " Something\nDescription: too short\n"  # rejected, as some always are
    return (
        f" Blend by rule {number}\n"
        f"Description: Every number of the list that leaves remainder {r} when divided by {c} is "
        f"multiplied by {a} and increased by k; of every other number, {b} times k is taken away. "
        f"The order stays. This is rule {number}.\n"
        f"Function Signature: def blend_{number}(values: list[int], k: int) -> list[int]:\n"
        f"Example:\nInput: blend_{number}([1, 2], 3)\n"
        f"Output: {answer_of(number, 0, [1, 2], 3)}\nHint: Look at remainders.\n"
    )


def _asserts(problem: int, random_: random.Random) -> str:
    lines = []
    for _ in range(20):
        values = [random_.randint(-50, 99) for _ in range(random_.randint(0, 7))]
        k = random_.randint(-9, 30)
        behaviour = 0 if random_.random() < 0.4 else 1
        lines.append(f"{values}, {k}) == {answer_of(problem, behaviour, values, k)}")
    return f"\nassert blend_{problem}(".join(lines)


def _solution(problem: int, random_: random.Random) -> str:
    behaviour = 0 if random_.random() < 0.45 else random_.randint(1, N_BEHAVIOURS - 1)
    a, b, c, r = numbers_of(problem, behaviour)
    item, result = random_.choice(["v", "x", "number"]), random_.choice(["out", "result"])
    lines = [f"def blend_{problem}(values: list[int], k: int) -> list[int]:"]
    lines += [f'    """Blend numbers by rule {problem}."""', f"    # behaviour {behaviour}"]
    for extra in random_.sample(range(12), random_.randint(0, 2)):
        lines.append(f"    check_{extra} = len(values) + {extra}")
    spelling = random_.choice(_SPELLINGS)
    if spelling == "loop":
        lines += [
            f"    {result} = []",
            f"    for {item} in values:",
            f"        if {item} % {c} == {r}:",
            f"            {result}.append({item} * {a} + k)",
            "        else:",
            f"            {result}.append({item} - {b} * k)",
            f"    return {result}",
        ]
    elif spelling == "comprehension":
        lines.append(
            f"    return [{item} * {a} + k if {item} % {c} == {r} else {item} - {b} * k"
            f" for {item} in values]"
        )
    else:
        lines += [
            f"    def one({item}):",
            f"        if {item} % {c} == {r}:",
            f"            return {a} * {item} + k",
            f"        return {item} - k * {b}",
            "    return [one(value) for value in values]",
        ]
    return "\n".join(lines) + "\n"


@dataclass(slots=True)
class SampledExecutor:
    """Answers from what is known of the programs; one in `REAL_EVERY` runs; see `Executor`."""

    real: Executor

    @property
    def name(self) -> str:
        """See `Executor.name`."""
        return f"simulated, one program in {REAL_EVERY} in {self.real.name}"

    async def __aenter__(self) -> Self:
        await self.real.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.real.__aexit__(*exc)

    async def call(
        self,
        source: str,
        entry_point: str,
        inputs: Sequence[str] | InputBatch,
        budget: Budget = STANDARD_BUDGET,
    ) -> CallReport:
        """See `Executor.call`."""
        assert not isinstance(inputs, InputBatch)
        known = _known(source, entry_point, inputs)
        if int(digest(source), 16) % REAL_EVERY:
            await asyncio.sleep(0.01)
            return known
        report = await self.real.call(source, entry_point, inputs, budget)
        assert report.outcomes == known.outcomes, (source, report, known)
        return report

    async def check(self, *arguments: Any, **options: Any) -> CheckReport:
        """See `Executor.check`."""
        return await self.real.check(*arguments, **options)


def _known(source: str, entry_point: str, inputs: Sequence[str]) -> CallReport:
    problem = int(entry_point.removeprefix("blend_"))
    mark = _MARK.search(source)
    assert mark is not None, source
    outcomes = _outcomes(problem, int(mark.group(1)), tuple(inputs))
    return CallReport(ProgramStatus.LOADED, outcomes, cpu_s=0.01, wall_s=0.01)


@lru_cache(maxsize=1024)
def _outcomes(problem: int, behaviour: int, inputs: tuple[str, ...]) -> tuple[Outcome, ...]:
    constants = numbers_of(problem, behaviour)
    answers = (blended(constants, *arguments) for arguments in _parsed(inputs))
    return tuple(Outcome(OutcomeKind.RETURNED, repr(answer)) for answer in answers)


@lru_cache(maxsize=256)
def _parsed(inputs: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(parse(text) for text in inputs)


class SimulatedScheduler(LocalScheduler):
    """Runs one task in `WHOLE_EVERY` whole, and repeats its encoded result for the others."""

    def __init__(self, engine: Engine, executor: Executor, config: RunConfig) -> None:
        super().__init__(engine, executor, config)
        self._n_written = self._n_solved = 0
        self._written: WrittenInputs | None = None
        self._solved: Solved | None = None

    async def write_inputs(self, problem: Problem) -> WrittenInputs:
        """See `Scheduler.write_inputs`."""
        self._n_written += 1
        if self._written is None or self._n_written % WHOLE_EVERY == 0:
            written = await super().write_inputs(problem)
            self._written = replace(written, suite=Shard.of(TestSuite, written.suite))
            return self._written
        await self.sample(Request(input_prompt(problem), 1, SamplingParams(), self._n_written))
        return replace(self._written, suite=_renamed(self._written.suite, problem.id))

    async def solve(self, problem: Problem, suite: TestSuite, iteration: int) -> Solved:
        """See `Scheduler.solve`."""
        self._n_solved += 1
        if self._solved is None or self._n_solved % WHOLE_EVERY == 0:
            solved = await super().solve(problem, suite, iteration)
            self._solved = Solved(
                None,
                Shard.of(Candidate, solved.candidates),
                Shard.of(Execution, solved.executions),
                Shard.of(Selection, solved.selection),
            )
            return self._solved
        known, n = self._solved, self._config.solutions.n
        prompt = solution_prompt(problem, self._config.solutions, self._config.seed)
        for round_ in range(-(-n // ROUND_SIZE)):
            seed = self._n_solved * 1000 + round_
            await self.sample(Request(prompt, ROUND_SIZE, SamplingParams(), seed))
        return Solved(
            None,
            _renamed(known.candidates, problem.id),
            _renamed(known.executions, problem.id),
            _renamed(known.selection, problem.id),
        )


def _renamed(rows: Sequence[Any] | Shard, problem_id: str) -> Shard:
    """The same rows for another problem; a candidate's id starts with its problem's here."""
    assert isinstance(rows, Shard)
    table = pq.read_table(io.BytesIO(rows.content))
    for name in ("problem_id", "id", "candidate_id"):
        if name in table.column_names:
            old = table.column(name).to_pylist()
            new = [value if value is None else problem_id[:8] + value[8:] for value in old]
            new = [problem_id] * len(old) if name == "problem_id" else new
            at = table.column_names.index(name)
            table = table.set_column(at, table.schema.field(name), pa.array(new, pa.string()))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return Shard(buffer.getvalue())


class SimulatedComponents(Components):
    """Components whose engine and executor are the simulated ones."""

    def engine(self, checkpoint: Model, exports: Path | None = None) -> Engine:
        """See `Components.engine`."""
        return SimulatedEngine()

    def executor(self, needs: Any = None) -> Executor:
        """See `Components.executor`."""
        return SampledExecutor(super().executor(needs))

    def local_scheduler(self, checkpoint: Model, exports: Path | None = None) -> LocalScheduler:
        """See `Components.local_scheduler`."""
        return SimulatedScheduler(self.engine(checkpoint), self.executor(), self.config)

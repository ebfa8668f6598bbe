"""`ucoder doctor rates`: measure how fast this machine samples, runs programs and trains.

Everything is measured under the conditions of a run, with the configuration's own engine and
executor: completions of several prompts share a full batch, all programs differ, and one in 64 does
not end, as in the runs behind `ucoder.planning.assumptions` (0.9 and 1.7%). Each rate is measured
two or three times after a warm-up; low and high are the slowest and the fastest round. Other load
on the machine slows it down by more than that range.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ucoder.cli.drawing import Bars
from ucoder.cli.terminal import PlainConsole
from ucoder.components import Components
from ucoder.config import ConsolidationConfig, RunConfig
from ucoder.engines.protocol import Completion, Engine, Prompt, Request, SamplingParams
from ucoder.errors import ConfigError
from ucoder.execution.protocol import Executor
from ucoder.models import Model
from ucoder.planning.assumptions import CHARACTERS_PER_TOKEN, Range
from ucoder.planning.rates import Rates, hardware_name, kept_rates_path, write_rates
from ucoder.progress import Progress
from ucoder.records import Example
from ucoder.stages.prompts.forms import FENCE
from ucoder.stages.solutions import ROUND_SIZE
from ucoder.training.protocol import TrainingJob

ROUNDS: Final = 3
ENOUGH_S: Final = 30.0
"""A rate that took longer than this is measured only twice."""
MAX_TOKENS: Final = 32
"""Tokens of a completion: few, so that hardly any ends early, which would empty the batch."""
ALONE_TOKENS: Final = 64
PROMPT_CHARACTERS: Final = 800
"""About the length of the prompts of stages 1 to 5."""
N_PROMPTS: Final = 8
N_PROGRAMS: Final = 128
ENDLESS_EVERY: Final = 64
N_CALLS: Final = 20_000
N_EXAMPLES: Final = 16

_WORDS = ("list", "numbers", "string", "sum", "largest", "even", "count", "words", "index", "value")
_PROGRAM = '''
def f(xs, k):
    """Program {number}."""
    seen = {{}}
    for at, x in enumerate(sorted(xs)):
        seen[x % (k + {number} % 7 + 1)] = at
    return [seen.get(at, -1) for at in range(k)]
'''
_ENDLESS = "\ndef f(xs, k):\n    while True:\n        k += {number}\n"


async def print_rates(
    config: RunConfig, output: Path | None, training: bool, as_json: bool, out: Console
) -> None:
    """Measure the rates, write them where `ucoder plan` finds them, and print them.

    Args:
        config: The run whose engine, model and executor are measured.
        output: The file to write; None writes to the user's cache.
        training: Measure training as well.
        as_json: Print JSON.
        out: Where the table goes.

    Raises:
        ConfigError: The engine is scripted, so that there is nothing to measure.
        UcoderError: A part does not work here.
    """
    hardware = hardware_name()
    with Bars(PlainConsole(stderr=True) if as_json else out) as bars:
        rates = await _measured(config, hardware, bars, training)
    path = output or kept_rates_path(hardware, config)
    write_rates(rates, path)
    if as_json:
        print(rates.model_dump_json(indent=2))
        return
    out.print(_table(rates))
    out.print(f"rates: {path}", highlight=False, soft_wrap=True)


async def _measured(config: RunConfig, hardware: str, progress: Progress, training: bool) -> Rates:
    """The rates of one replica of the configuration's engine and executor."""
    if config.engine.provider == "scripted":
        raise ConfigError("engine.provider=scripted samples nothing: there is no rate to measure")
    components = Components(config, progress)
    progress.message("running programs ...")
    async with components.executor() as executor:
        executing = await _executing(executor, config.test_inputs.n)
    model = components.model(config.model)
    progress.message("sampling ...")
    began = time.monotonic()
    async with components.engine(model) as engine:
        started = time.monotonic() - began
        sampling = await _sampling(engine, config)
    trained: dict[str, Any] = {}
    if training:
        progress.message("training ...")
        trained["training_tokens_per_s"] = await _training(components, config, model)
    return Rates(
        hardware=hardware,
        engine=config.engine.provider,
        model=config.model,
        engine_start_s=Range.exactly(started),
        **executing,
        **sampling,
        **trained,
    )


async def _sampling(engine: Engine, config: RunConfig) -> dict[str, Any]:
    n_requests = max(1, config.engine.max_sequences // ROUND_SIZE)
    n = min(ROUND_SIZE, config.engine.max_sequences)
    own = config.solutions.sampling
    seeds = random.Random(0)

    async def wave(n_prompts: int, n: int, max_tokens: int) -> tuple[int, int, float]:
        """Return tokens sampled, prompt tokens read, and seconds; every prompt is new."""
        prompts = [Prompt(_text(seeds)) for _ in range(n_prompts)]
        limited = SamplingParams(own.temperature, own.top_p, max_tokens, top_k=own.top_k)
        began = time.monotonic()
        answers: Sequence[list[Completion]] = await asyncio.gather(
            *(engine.sample(Request(p, n, limited, seeds.randrange(2**31))) for p in prompts)
        )
        spent = time.monotonic() - began
        read = round(sum(len(prompt.user) for prompt in prompts) / CHARACTERS_PER_TOKEN)
        return sum(c.n_tokens for answer in answers for c in answer), read, spent

    async def reading() -> float:
        _, read, spent = await wave(N_PROMPTS, 1, 1)
        return read / spent

    await wave(n_requests, n, 4)  # the warm-up
    prompt_rate = await _rounds(reading)

    async def sampling(n_prompts: int, n: int, max_tokens: int) -> float:
        sampled, read, spent = await wave(n_prompts, n, max_tokens)
        # Without the time for reading prompts, but at least half, as reading may be faster here.
        return sampled / max(spent - read / prompt_rate.likely, spent / 2)

    return {
        "sampled_tokens_per_s": await _rounds(lambda: sampling(n_requests, n, MAX_TOKENS)),
        "batch": n_requests * n,
        "alone_tokens_per_s": await _rounds(lambda: sampling(1, 1, ALONE_TOKENS)),
        "prompt_tokens_per_s": prompt_rate,
    }


def _text(source: random.Random) -> str:
    """Return a prompt that no prefix cache has seen, and that asks for a long answer."""
    words = [source.choice(_WORDS) for _ in range(PROMPT_CHARACTERS // 7)]
    return f"{source.random()}: write many Python functions about these words: {' '.join(words)}"


async def _executing(executor: Executor, n_inputs: int) -> dict[str, Any]:
    numbers = iter(range(1_000_000))
    inputs = [f"([{at}, 3, {at * 7 % 11}, 8, 2], {at % 5 + 1})" for at in range(n_inputs)]

    async def programs() -> float:
        sources = [
            (_PROGRAM if at % ENDLESS_EVERY else _ENDLESS).format(number=next(numbers))
            for at in range(N_PROGRAMS)
        ]
        began = time.monotonic()
        await asyncio.gather(*(executor.call(source, "f", inputs) for source in sources))
        return N_PROGRAMS / (time.monotonic() - began)

    async def calls() -> float:
        many = inputs * (N_CALLS // (8 * n_inputs) + 1)
        sources = [_PROGRAM.format(number=next(numbers)) for _ in range(8)]
        began = time.monotonic()
        await asyncio.gather(*(executor.call(source, "f", many) for source in sources))
        return 8 * len(many) / (time.monotonic() - began)

    await executor.call(_PROGRAM.format(number=next(numbers)), "f", inputs)  # the warm-up
    return {"programs_per_s": await _rounds(programs), "calls_per_s": await _rounds(calls)}


async def _training(components: Components, config: RunConfig, model: Model) -> Range:
    """Measure tokens a second between the first step and the last, without loading and saving."""
    prompt = "Write a function about " + " ".join(_WORDS * 12)
    completion = f"{_PROGRAM.format(number=1) * 3}```"
    batch = min(config.consolidation.batch_size, N_EXAMPLES)
    batch -= batch % config.consolidation.micro_batch_size
    batch = max(batch, config.consolidation.micro_batch_size)
    settings = {"batch_size": batch, "epochs": 1.0, "metrics": ()}
    examples = [
        Example(str(at), str(at), 0, f"{at}: {prompt}", completion, FENCE)
        for at in range(4 * batch)
    ]
    times: list[float] = []

    def on_step(done: int, total: int) -> None:
        times.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(
            model=model.path, is_chat=model.is_chat, examples=examples,
            output=Path(folder) / "trained",
            config=ConsolidationConfig.model_validate(
                {**config.consolidation.model_dump(), **settings}
            ),
            seed=0,
        )  # fmt: skip
        await components.trainer().train(job, on_step)
    tokens = batch * (len(examples[0].prompt) + len(completion)) / CHARACTERS_PER_TOKEN
    spans = [later - earlier for earlier, later in itertools.pairwise(times)]
    return _range([tokens / span for span in spans if span > 0])


async def _rounds(measure: Callable[[], Awaitable[float]]) -> Range:
    rates: list[float] = []
    began = time.monotonic()
    while len(rates) < 2 or (len(rates) < ROUNDS and time.monotonic() - began < ENOUGH_S):
        rates.append(await measure())
    return _range(rates)


def _range(rates: Sequence[float]) -> Range:
    return Range(min(rates), statistics.median(rates), max(rates))


def _table(rates: Rates) -> Table:
    table = Table(title=f"{rates.model} with {rates.engine} on {rates.hardware}",
                  title_justify="left")  # fmt: skip
    table.add_column("rate")
    for name in ("low", "likely", "high"):
        table.add_column(name, justify="right")
    for name, what in _ROWS.items():
        rate: Range | None = getattr(rates, name)
        cells = ("", "unknown", "") if rate is None else (rate.low, rate.likely, rate.high)
        table.add_row(what, *(cell if isinstance(cell, str) else f"{cell:,.4g}" for cell in cells))
    return table


_ROWS: Final = {
    "sampled_tokens_per_s": "tokens sampled a second, full batch",
    "alone_tokens_per_s": "tokens sampled a second, one sequence",
    "prompt_tokens_per_s": "prompt tokens read a second",
    "programs_per_s": "programs run a second",
    "calls_per_s": "calls a second",
    "training_tokens_per_s": "tokens trained on a second",
    "engine_start_s": "seconds to start the engine",
}

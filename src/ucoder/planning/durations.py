"""From work to seconds, at given rates.

With `N` replicas, `b` sequences in a replica's batch, and every rate that of one replica:

    sampling(stage) = sampled_tokens / (N rate(b)) + prompt_tokens / (N prompt_rate)
    executing       = max(programs / (N programs_rate), calls / (N calls_rate))
    seconds(stage)  = sampling + tail                       stages 1 to 4 and the evaluation
    seconds(5)      = max(sampling, executing) + tail       they overlap: the slower one counts
    seconds(6)      = trained_tokens / training_rate        on one machine, whatever N is

A step of a batch takes `t0 + b t1`: the weights are read once, the rest is work for each sequence.
So `rate(b) = b / (t0 + b t1)`, and what one sequence alone and a full batch reach give both. The
tail is the last sequence of a stage, which has the machine for itself.

Grading benchmarks overlaps with sampling for them and is taken to be quicker. Not in it: download
and conversion of models, and nodes that join late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ucoder.config import RunConfig
from ucoder.planning.expectations import Expectation, StageWork, n_models
from ucoder.planning.ranges import NOTHING, Range, total
from ucoder.planning.rates import Rates
from ucoder.stages.solutions import ROUND_SIZE

TOGETHER = ("problems", "ratings", "interfaces")
"""Stages 1 to 3 run as one journey a problem and are timed as one, under the name of the first."""

START = "engine start"
MAX_ANSWER_TOKENS = 768
"""Of a benchmark that says nothing else; most of them."""

_KEYS = {
    "sampled_tokens_per_s": "--tokens-per-s",
    "programs_per_s": "--programs-per-s",
    "training_tokens_per_s": "--training-tokens-per-s",
}


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long a run takes on some hardware.

    Attributes:
        rates: Of one replica there.
        replicas: How many.
        seconds: By stage, stages 1 to 3 as one; None where a rate is missing.
        missing: Rates that are missing, by name.
        notes: What was left out, in sentences.
    """

    rates: Rates
    replicas: int
    seconds: Mapping[str, Range | None]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def total(self) -> Range:
        """Seconds of every stage that is known."""
        return total(span for span in self.seconds.values() if span is not None)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Stages without a time."""
        return tuple(stage for stage, span in self.seconds.items() if span is None)


def forecast(config: RunConfig, expected: Expectation, rates: Rates, replicas: int = 1) -> Forecast:
    """Seconds of every stage at these rates."""
    clock = _Clock(config, rates, replicas)
    seconds: dict[str, Range | None] = {}
    for work in expected.stages:
        span = clock.seconds(work)
        name = TOGETHER[0] if work.stage in TOGETHER else work.stage
        seconds[name] = _sum(seconds[name], span) if name in seconds else span
    if rates.engine_start_s is not None:
        seconds[START] = rates.engine_start_s * n_models(config)
    notes = []
    if rates.sampled_tokens_per_s is not None and rates.prompt_tokens_per_s is None:
        notes.append("reading prompts is left out of the hours: prompt_tokens_per_s is unknown")
    if rates.sampled_tokens_per_s is not None and rates.alone_tokens_per_s is None:
        notes.append("batches are taken to be full throughout: alone_tokens_per_s is unknown")
    return Forecast(rates, replicas, seconds, clock.missing, tuple(notes))


def how_to_get(missing: tuple[str, ...]) -> str:
    """What to do about rates that are missing, in a sentence."""
    options = [_KEYS[name] for name in missing]
    training = " (with --training)" if "training_tokens_per_s" in missing else ""
    return (
        f"hours need {', '.join(missing)}: `ucoder doctor rates`{training} measures them on a "
        f"machine, {', '.join(options)} state them"
    )


TAIL: Range = Range(0.3, 0.7, 1.0)
"""Length of a stage's last completion, as a share of the longest that is allowed."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """How a stage samples: sequences on their way in one replica, longest completion, how often
    the stage comes to an end."""

    sequences: float
    max_tokens: int
    ends: int


def _pace_of(config: RunConfig, work: StageWork, replicas: int) -> _Pace:
    passes = config.consolidation.iterations

    def max_concurrency(journeys: float) -> float:
        return min(config.max_concurrency, journeys / replicas)

    if work.stage in TOGETHER:
        section = getattr(config, work.stage)
        # Fewer and fewer are begun as the last problem comes near: half of them on average.
        return _Pace(max_concurrency(work.units.likely / 2), section.sampling.max_tokens, 1)
    if work.stage == "test_inputs":
        asked = config.test_inputs
        sequences = max_concurrency(work.units.likely) * asked.n_completions
        return _Pace(sequences, asked.sampling.max_tokens, 1)
    if work.stage == "solutions":
        n, longest = config.solutions.n, config.solutions.sampling.max_tokens
        problems = work.units.likely / (n * passes)
        return _Pace(max_concurrency(problems) * min(n, ROUND_SIZE), longest, passes)
    n, models = config.evaluation.n, n_models(config)
    tasks = work.units.likely / (n * models)
    return _Pace(
        max_concurrency(tasks) * n, config.evaluation.max_tokens or MAX_ANSWER_TOKENS, models
    )


class _Clock:
    """Times one stage after another, and remembers which rates it lacked."""

    def __init__(self, config: RunConfig, rates: Rates, replicas: int) -> None:
        self._config = config
        self._rates = rates
        self._replicas = replicas
        self._missing: dict[str, None] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(self._missing)

    def seconds(self, work: StageWork) -> Range | None:
        """Of one stage, over all iterations."""
        if work.stage == "consolidation":
            return self._training(work)
        sampling = self._sampling(work)
        executing = self._executing(work) if work.stage == "solutions" else NOTHING
        if sampling is None or executing is None:
            return None
        return sampling.at_least(executing) + self._tail(work)

    def _sampling(self, work: StageWork) -> Range | None:
        if self._config.engine.provider == "scripted":
            return NOTHING  # answers are looked up
        full, reading = self._rates.sampled_tokens_per_s, self._rates.prompt_tokens_per_s
        if full is None:
            self._missing["sampled_tokens_per_s"] = None
            return None
        rate = full * (self._share_of_full(work) * self._replicas)
        seconds = work.sampled_tokens / rate
        if reading is not None:
            seconds += work.prompt_tokens / (reading * self._replicas)
        return seconds

    def _share_of_full(self, work: StageWork) -> float:
        """rate(b) of the stage's batch over that of the full one."""
        full, alone = self._rates.sampled_tokens_per_s, self._rates.alone_tokens_per_s
        batch = self._rates.batch or 1
        if full is None or alone is None or batch == 1:
            return 1.0
        most = min(batch, self._config.engine.max_sequences)
        b = max(1.0, min(most, _pace_of(self._config, work, self._replicas).sequences))
        # Two equations: alone = 1 / (t0 + t1), full = batch / (t0 + batch t1).
        t1 = max(0.0, (batch / full.likely - 1 / alone.likely) / (batch - 1))
        t0 = max(0.0, 1 / alone.likely - t1)
        return b / (t0 + b * t1) / full.likely

    def _tail(self, work: StageWork) -> Range:
        alone = self._rates.alone_tokens_per_s
        if alone is None or self._config.engine.provider == "scripted":
            return NOTHING
        pace = _pace_of(self._config, work, self._replicas)
        return TAIL * (pace.max_tokens * pace.ends) / alone

    def _executing(self, work: StageWork) -> Range | None:
        programs, calls = self._rates.programs_per_s, self._rates.calls_per_s
        if programs is None:
            self._missing["programs_per_s"] = None
            return None
        seconds = (work.programs + work.probes) / (programs * self._replicas)
        if calls is not None:
            seconds = seconds.at_least(work.calls / (calls * self._replicas))
        return seconds

    def _training(self, work: StageWork) -> Range | None:
        if not work.trained_tokens.high or self._config.consolidation.provider == "scripted":
            return NOTHING
        if self._rates.training_tokens_per_s is None:
            self._missing["training_tokens_per_s"] = None
            return None
        return work.trained_tokens / self._rates.training_tokens_per_s


def _sum(one: Range | None, other: Range | None) -> Range | None:
    return None if one is None or other is None else one + other

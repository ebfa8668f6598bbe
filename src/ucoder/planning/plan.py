"""A plan: what a run does and leaves, and how many seconds that takes at given rates.

Everything is calculated three times by the same functions: with all assumptions at their low, their
likely and their high end. So low and high are what comes out where every assumption errs to the
same side at once, the rates as well; they are wider than a 95% interval.

With `N` replicas, `b` sequences in a replica's batch, and every rate that of one replica:

    sampling(stage) = sampled_tokens / (N rate(b)) + prompt_tokens / (N prompt_rate)
    executing       = max(programs / (N programs_rate), calls / (N calls_rate))
    seconds(stage)  = sampling + tail                       stages 1 to 4 and the evaluation
    seconds(5)      = max(sampling, executing) + tail       they overlap: the slower one counts
    seconds(6)      = trained_tokens / training_rate        on one machine, whatever N is

A step of a batch takes `t0 + b t1`: the weights are read once, the rest is work for each sequence.
So `rate(b) = b / (t0 + b t1)`, and what one sequence alone and a full batch reach give both. The
tail is the last sequence of a stage, which has the machine to itself.

Grading benchmarks overlaps with sampling for them and is taken to be quicker. Not included:
download and conversion of models, and nodes that join late.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ucoder.analysis.numbers import plain
from ucoder.config import RunConfig
from ucoder.planning.assumptions import ENDS, MEASURED, OPPOSITE, Assumptions, Range, total
from ucoder.planning.rates import Rates
from ucoder.planning.work import checkpoint_bytes, estimate, n_models, training_bytes, uncounted
from ucoder.stages.solutions import ROUND_SIZE

TOGETHER: Final = ("problems", "ratings", "interfaces")
"""Stages 1 to 3 run as one task a problem and are timed as one, under the name of the first."""
START: Final = "engine start"
MAX_ANSWER_TOKENS: Final = 768
"""Of most benchmarks, where the configuration does not say."""
NOTHING: Final = Range.exactly(0)
_UNITS: Final = {"problems": "attempts", "test_inputs": "suites", "solutions": "candidates",
                 "consolidation": "examples", "evaluation": "answers"}  # fmt: skip
_TITLES: Final = {"problems": "making problems", "test_inputs": "writing test inputs",
                  "solutions": "sampling and running solutions", "consolidation": "training",
                  START: "starting engines"}  # fmt: skip
OPTIONS: Final = {"sampled_tokens_per_s": "--tokens-per-s", "programs_per_s": "--programs-per-s",
                  "training_tokens_per_s": "--training-tokens-per-s"}  # fmt: skip
"""What states a rate on the command line."""


@dataclass(frozen=True, slots=True)
class StageWork:
    """One stage over all iterations, named as in `ucoder.analysis.costs.STAGES`.

    Prompts are read once a request, because n completions share theirs. Programs are distinct, and
    run on all inputs of their problem; `probes` run beside them and are not kept
    (`solutions.distinguishing_inputs`). Tokens are trained on anew in each epoch.
    """

    stage: str
    unit: str
    units: Range
    sampled_tokens: Range = NOTHING
    prompt_tokens: Range = NOTHING
    programs: Range = NOTHING
    calls: Range = NOTHING
    probes: Range = NOTHING
    steps: Range = NOTHING
    trained_tokens: Range = NOTHING


@dataclass(frozen=True, slots=True)
class ExpectedWork:
    """Problems accepted, those decided in stage 5, work by stage, and what cannot be counted."""

    problems: Range
    decided: Range
    stages: tuple[StageWork, ...]
    notes: tuple[str, ...] = ()

    def stage(self, name: str) -> StageWork | None:
        """One stage, None where the run has none of that name."""
        return next((work for work in self.stages if work.stage == name), None)


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes by table and of the trained models (None where their size is not known), and files."""

    tables: Mapping[str, Range]
    checkpoints: Range | None
    files: Range

    @property
    def total(self) -> Range:
        """Bytes of everything that is known."""
        return total([*self.tables.values(), self.checkpoints or NOTHING])


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds by stage at the rates of some hardware; None where a rate is missing."""

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

    def sentences(self) -> list[str]:
        """How long in all, which rates are missing, and what is not included."""
        lines, known = [], {name: span.likely for name, span in self.seconds.items() if span}
        if sum(known.values()):
            longest = max(known, key=known.__getitem__)
            most = "most" if known[longest] > 0.5 * sum(known.values()) else "the largest part"
            without = ", ".join(_TITLES.get(stage, stage) for stage in self.unknown)
            lines.append(
                f"{self.rates.hardware}: {duration_in_words(self.total)}, {most} of it "
                f"{_TITLES.get(longest, longest)}"
                + (f"; without {without}, whose time is unknown" if without else "")
            )
        return [*lines, *([_how_to_get(self.missing)] if self.missing else []), *self.notes]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is assumed, done, left and needed; `training_bytes` of each GPU by their number."""

    assumed: Assumptions
    expected: ExpectedWork
    disk: Disk
    training_bytes: Mapping[int, int]
    forecasts: tuple[Forecast, ...]

    def sentences(self) -> list[str]:
        """How long in all, by hardware, and what is not included."""
        lines = [line for forecast in self.forecasts for line in forecast.sentences()]
        if not self.forecasts:
            lines.append(_how_to_get(("sampled_tokens_per_s", "programs_per_s")))
        return [*lines, *self.expected.notes]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        values: dict[str, Any] = plain(self)
        for told, one in zip(values["forecasts"], self.forecasts, strict=True):
            told |= {"rates": one.rates.model_dump(mode="json"), "total": plain(one.total)}
        return {**values, "sentences": self.sentences()}


def make_plan(
    config: RunConfig,
    rates: Sequence[Rates] = (),
    *,
    assumed: Assumptions = MEASURED,
    replicas: int | None = None,
) -> Plan:
    """Plan a run.

    Args:
        config: Of the run.
        rates: Of each hardware that is considered.
        assumed: About the model; `observed(run)` where a run has shown it.
        replicas: Of the engine and the executor; `scale.n_replicas` where None, and else 1.
    """
    assumptions = [assumed.at(end, config.problems.n) for end in ENDS]
    cases = [estimate(config, a, end) for a, end in zip(assumptions, ENDS, strict=True)]
    n = replicas or config.scale.n_replicas or 1
    forecasts = []
    for one in rates:
        low, likely, high = (
            _seconds(config, case["stages"], one.at(OPPOSITE[end]), n, a["tail"])
            for case, a, end in zip(cases, assumptions, ENDS, strict=True)
        )
        forecasts.append(_forecast(config, _spans(low, likely, high), one, n))
    told = _spans(*cases)
    works = [StageWork(name, _UNITS.get(name, name), **w) for name, w in told["stages"].items()]
    return Plan(
        assumed,
        ExpectedWork(told["problems"], told["decided"], tuple(works), uncounted(config)),
        Disk(told["tables"], checkpoint_bytes(config), told["files"]),
        training_bytes(config),
        tuple(forecasts),
    )


def _spans(low: Any, likely: Any, high: Any) -> Any:
    """Three numbers as a range, mappings key by key; None where the number is NaN."""
    if isinstance(likely, dict):
        return {key: _spans(low[key], likely[key], high[key]) for key in likely}
    if math.isnan(likely):
        return None
    return Range(min(low, likely, high), likely, max(low, likely, high))


def _seconds(
    config: RunConfig,
    stages: Mapping[str, Mapping[str, float]],
    rate: Mapping[str, float],
    n: int,
    tail: float,
) -> dict[str, float]:
    """Of every stage over all iterations; NaN where a rate is not known."""
    seconds: dict[str, float] = {}
    for stage, work in stages.items():
        name = TOGETHER[0] if stage in TOGETHER else stage
        sampling = executing = last = 0.0
        if stage == "consolidation":
            trained = work.get("trained_tokens", 0)
            seconds[name] = trained / rate["training_tokens_per_s"] if trained else 0.0
            continue
        if config.engine.provider != "scripted":  # its answers are looked up
            b, last_tokens = _batch(config, stage, work["units"], n)
            sampling = work["sampled_tokens"] / (n * _sampling_rate(config, rate, b))
            sampling += work["prompt_tokens"] / (n * rate["prompt_tokens_per_s"])
            last = tail * last_tokens / rate["alone_tokens_per_s"]
        if stage == "solutions":
            programs = (work["programs"] + work["probes"]) / (n * rate["programs_per_s"])
            executing = _slower(programs, work["calls"] / (n * rate["calls_per_s"]))
        seconds[name] = seconds.get(name, 0.0) + _slower(sampling, executing) + last
    if rate["engine_start_s"]:
        seconds[START] = rate["engine_start_s"] * n_models(config)
    return seconds


def _slower(one: float, other: float) -> float:
    """The larger of two times; NaN where one of them is."""
    return max(one, other) if one + other >= 0 else math.nan


def _batch(config: RunConfig, stage: str, units: float, n: int) -> tuple[float, int]:
    """Sequences of a stage in one replica's batch, and the tokens of all its last completions."""
    asked, passes = config.evaluation, config.consolidation.iterations
    at_once, longest = 1, asked.max_tokens or MAX_ANSWER_TOKENS
    if stage in TOGETHER:
        tasks = units / 2  # as the last problem comes near, fewer are begun: on average half
    elif stage == "test_inputs":
        tasks, at_once = units, config.test_inputs.n_completions
    elif stage == "solutions":
        tasks = units / (config.solutions.n * passes)
        at_once = min(config.solutions.n, ROUND_SIZE)
    else:
        passes, at_once = n_models(config), asked.n
        tasks = units / (asked.n * passes)
    if stage != "evaluation":
        longest = getattr(config, stage).sampling.max_tokens
    ends = passes if stage in ("solutions", "evaluation") else 1
    return min(config.max_concurrency, tasks / n) * at_once, longest * ends


def _sampling_rate(config: RunConfig, rate: Mapping[str, float], b: float) -> float:
    """Tokens a second of a replica with b sequences in its batch."""
    full, alone, batch = (rate[name] for name in
                          ("sampled_tokens_per_s", "alone_tokens_per_s", "batch"))  # fmt: skip
    if math.isinf(alone) or batch == 1:
        return full
    b = max(1.0, min(batch, config.engine.max_sequences, b))
    # Two equations: alone = 1 / (t0 + t1), full = batch / (t0 + batch t1).
    t1 = max(0.0, (batch / full - 1 / alone) / (batch - 1))
    t0 = max(0.0, 1 / alone - t1)
    return b / (t0 + b * t1)


def _forecast(
    config: RunConfig, seconds: Mapping[str, Range | None], rates: Rates, n: int
) -> Forecast:
    needed = {
        "sampled_tokens_per_s": config.engine.provider != "scripted",
        "programs_per_s": "solutions" in seconds,
        "training_tokens_per_s": seconds.get("consolidation", NOTHING) is None,
    }
    notes = []
    measured = (rates.engine or config.engine.provider, rates.model or config.model)
    if measured != (config.engine.provider, config.model):
        notes.append(
            f"{rates.hardware}: these rates were measured with engine={measured[0]} "
            f"model={measured[1]}, and the plan is for engine={config.engine.provider} "
            f"model={config.model}; expect other hours"
        )
    if rates.sampled_tokens_per_s is not None and rates.prompt_tokens_per_s is None:
        notes.append("reading prompts is left out of the hours: prompt_tokens_per_s is unknown")
    if rates.sampled_tokens_per_s is not None and rates.alone_tokens_per_s is None:
        notes.append("batches are assumed to be full throughout: alone_tokens_per_s is unknown")
    missing = tuple(name for name, is_needed in needed.items()
                    if is_needed and getattr(rates, name) is None)  # fmt: skip
    return Forecast(rates, n, seconds, missing, tuple(notes))


def _how_to_get(missing: tuple[str, ...]) -> str:
    options = ", ".join(OPTIONS[name] for name in missing)
    training = " (with --training)" if "training_tokens_per_s" in missing else ""
    return (
        f"hours need {', '.join(missing)}: `ucoder doctor rates`{training} measures them on a "
        f"machine, {options} state them"
    )


def duration_in_words(seconds: Range) -> str:
    """Such as `about 14 hours (9.0 to 22)`."""
    unit, divisor = "seconds", 1
    for name, length, least in (("minutes", 60, 90), ("hours", 3600, 5400),
                                ("days", 86_400, 172_800)):  # fmt: skip
        if seconds.likely >= least:
            unit, divisor = name, length
    low, likely, high = (_two_digits(getattr(seconds, end) / divisor) for end in ENDS)
    return f"about {likely} {unit[:-1] if likely == '1' else unit} ({low} to {high})"


def _two_digits(value: float) -> str:
    digits = 1 - math.floor(math.log10(value)) if value else 0
    rounded = round(value, digits)
    return f"{rounded:,.{digits if digits > 0 and 0 < rounded < 10 else 0}f}"

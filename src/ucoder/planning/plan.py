"""A plan: what a run will do, what it leaves on disk, and how long that takes where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ucoder.analysis.numbers import plain
from ucoder.config import RunConfig
from ucoder.planning.assumptions import MEASURED, Assumptions
from ucoder.planning.disk import Disk, disk_of
from ucoder.planning.durations import START, Forecast, forecast, how_to_get
from ucoder.planning.expectations import Expectation, expect
from ucoder.planning.memory import training_bytes
from ucoder.planning.ranges import Range
from ucoder.planning.rates import Rates

TITLES: Final = {
    "problems": "making problems",
    "test_inputs": "writing test inputs",
    "solutions": "sampling and running solutions",
    "consolidation": "training",
    "evaluation": "evaluation",
    START: "starting engines",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan.

    Attributes:
        assumed: About the model.
        expected: What the run does.
        disk: What it leaves.
        training_bytes: On each GPU while training, by number of GPUs; empty where it is not known.
        forecasts: How long it takes, one for each hardware; none where no rate is known.
    """

    assumed: Assumptions
    expected: Expectation
    disk: Disk
    training_bytes: Mapping[int, int]
    forecasts: tuple[Forecast, ...]

    def sentences(self) -> list[str]:
        """How long in all, by hardware, and what is not in it."""
        lines = [one for forecast in self.forecasts for one in _sentences(forecast)]
        if not self.forecasts:
            lines.append(how_to_get(("sampled_tokens_per_s", "programs_per_s")))
        return [*lines, *self.expected.notes]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        values: dict[str, Any] = plain(self)
        for told, one in zip(values["forecasts"], self.forecasts, strict=True):
            told["rates"] = one.rates.model_dump(mode="json")
            told["total"] = plain(one.total)
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
        rates: Of each hardware that is thought of.
        assumed: About the model; `observed(run)` where a run has shown it.
        replicas: Of the engine and the executor; `scale.n_replicas` where None, and else 1.
    """
    expected = expect(config, assumed)
    n = replicas or config.scale.n_replicas or 1
    forecasts = tuple(forecast(config, expected, one, n) for one in rates)
    return Plan(assumed, expected, disk_of(config, expected), training_bytes(config), forecasts)


def _sentences(one: Forecast) -> list[str]:
    known = {stage: span for stage, span in one.seconds.items() if span is not None}
    lines = []
    if one.total.likely:
        longest = max(known, key=lambda stage: known[stage].likely)
        share = known[longest].likely / one.total.likely
        most = "most of it" if share > 0.5 else "the largest part of it"
        without = ", ".join(TITLES[stage] for stage in one.unknown)
        lines.append(
            f"{one.rates.hardware}: {duration_in_words(one.total)}, {most} {TITLES[longest]}"
            + (f"; without {without}, whose time is unknown" if without else "")
        )
    if one.missing:
        lines.append(how_to_get(one.missing))
    return [*lines, *one.notes]


def duration_in_words(seconds: Range) -> str:
    """Such as `about 14 hours (9 to 22)`."""
    unit, divisor, _ = next(one for one in _UNITS if seconds.likely >= one[2])
    low, likely, high = (_two_digits(end / divisor) for end in
                         (seconds.low, seconds.likely, seconds.high))  # fmt: skip
    unit = unit.removesuffix("s") if likely == "1" else unit
    return f"about {likely} {unit} ({low} to {high})"


_UNITS: Final = (
    ("days", 86_400, 172_800),
    ("hours", 3600, 5400),
    ("minutes", 60, 90),
    ("seconds", 1, 0),
)
"""Name, seconds in one, and from how many seconds on it is used."""


def _two_digits(value: float) -> str:
    if value == 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, digits) if rounded < 10 else 0}f}"

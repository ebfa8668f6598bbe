"""After a run: what was planned, what happened, and which assumption was furthest off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from ucoder.analysis.costs import STAGES
from ucoder.analysis.numbers import plain
from ucoder.analysis.summary import Summary, summarise
from ucoder.config import RunConfig
from ucoder.errors import ConfigError
from ucoder.planning.observed import look_at
from ucoder.planning.plan import Plan, make_plan
from ucoder.planning.ranges import Range, total
from ucoder.planning.rates import Rates
from ucoder.records import NAN

if TYPE_CHECKING:
    from ucoder.runs import Run

PLAN_FILE: Final = "plan.json"
NEARLY: Final = 1.05
"""A range this narrow or narrower counts as one of this factor, when surprises are compared."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity, as planned and as it was.

    Attributes:
        stage: Its stage.
        quantity: Which, in words.
        planned: The range; None where it was not planned.
        actual: What happened, NaN where the run did not say.
    """

    stage: str
    quantity: str
    planned: Range | None
    actual: float

    @property
    def ratio(self) -> float:
        """What happened over what was likeliest; NaN where either is undefined or 0."""
        if self.planned is None or not self.planned.likely or not self.actual:
            return NAN
        return self.actual / self.planned.likely

    @property
    def surprise(self) -> float:
        """How far from the likeliest value, in steps as large as the range on that side.

        1 is the range's end, as a factor: with 2 to 8 around 4, both 8 and 2. NaN as `ratio`.
        """
        if math.isnan(self.ratio) or self.planned is None:
            return NAN
        span = self.planned
        end = span.high / span.likely if self.ratio > 1 else span.likely / max(span.low, 1e-12)
        return abs(math.log(self.ratio)) / math.log(max(end, NEARLY))


@dataclass(frozen=True, slots=True)
class Review:
    """A plan against its run.

    Attributes:
        was_kept: Whether the plan was made before the run; else it was made now, as it would have
            been.
        source: Where the plan's assumptions came from.
        quantities: Counts and seconds, by stage.
        assumptions: What was assumed about the model, and what it was like.
        missing: What the run has still to do, in words.
    """

    was_kept: bool
    source: str
    quantities: tuple[Compared, ...]
    assumptions: tuple[Compared, ...]
    missing: tuple[str, ...]

    def furthest_off(self) -> Compared | None:
        """The assumption with the largest surprise; None where none can be judged."""
        known = [one for one in self.assumptions if not math.isnan(one.surprise)]
        return max(known, key=lambda one: one.surprise, default=None)

    def sentences(self) -> list[str]:
        """What to learn from it."""
        judged = [one for one in self.quantities if one.planned and not math.isnan(one.actual)]
        inside = sum(one.planned.holds(one.actual) for one in judged if one.planned)
        lines = [f"{inside} of {len(judged)} quantities lie within their range"]
        if self.missing:
            lines.append(
                f"the run is not finished ({self.missing[0]}), so its counts are not whole"
            )
        worst = self.furthest_off()
        if worst is not None and worst.planned is not None:
            span = worst.planned
            where = "outside" if not span.holds(worst.actual) else "within"
            lines.append(
                f"furthest off: {worst.quantity}: {worst.actual:.3g}, where {span.likely:.3g} "
                f"({span.low:.3g} to {span.high:.3g}) was assumed, {where} that range"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        values: dict[str, Any] = plain(self)
        for name in ("quantities", "assumptions"):
            for told, one in zip(values[name], getattr(self, name), strict=True):
                told["ratio"] = plain(one.ratio)
        return {**values, "sentences": self.sentences()}


def write_plan(run_path: Path, config: RunConfig, rates: Sequence[Rates] = ()) -> Plan:
    """Plan a run and keep the plan beside it, so that it can be judged afterwards."""
    plan = make_plan(config, rates)
    (run_path / PLAN_FILE).write_bytes(_PLANS.dump_json(plan, indent=1))
    return plan


def read_plan(run_path: Path) -> Plan | None:
    """The plan that was kept; None where none was.

    Raises:
        ConfigError: It is damaged.
    """
    path = run_path / PLAN_FILE
    if not path.exists():
        return None
    try:
        return _PLANS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"{path} is no plan of this version: {error}; delete it to compare with a plan that "
            f"is made now"
        ) from None


_PLANS: Final = TypeAdapter(Plan)


def review(run: Run, plan: Plan | None = None) -> Review:
    """Compare a run with its plan.

    Args:
        run: Which.
        plan: Made afterwards, for a run that kept none; with defaults where None.

    Raises:
        ConfigError: The plan that was kept is damaged.
        DamagedShard: A table's file cannot be read.
    """
    kept = read_plan(run.path)
    plan = kept or plan or make_plan(run.config)
    summary = summarise(run)
    planned, seen = plan.assumed.in_words(), look_at(run).in_words()
    assumptions = [
        Compared("", name, planned.get(name), value.likely) for name, value in seen.items()
    ]
    quantities = [*_counts(plan, run, summary), *_seconds(plan, summary)]
    return Review(
        was_kept=kept is not None,
        source=plan.assumed.source,
        quantities=tuple(sorted(quantities, key=lambda row: _ORDER.index(row.stage))),
        assumptions=(*assumptions, *_speeds(plan, summary)),
        missing=summary.missing,
    )


_ORDER: Final = (*STAGES, "disk")


def _counts(plan: Plan, run: Run, summary: Summary) -> Iterator[Compared]:
    space, passes = summary.problem_space, summary.iterations
    checkpoints = [one.checkpoint for one in passes if one.checkpoint is not None]
    answers = sum(len(run.answers(*key).rows()) for key in run.answered())
    units = {
        "problems": space.n_attempts,
        "ratings": space.left_after("problems"),
        "interfaces": space.left_after("ratings"),
        "test_inputs": summary.input_space.n_suites,
        "solutions": sum(one.n_candidates for one in passes),
        "consolidation": sum(one.n_examples for one in passes),
        "evaluation": answers,
    }
    tokens = {cost.stage: cost.tokens for cost in summary.costs if cost.tokens is not None}
    for work in plan.expected.stages:
        yield Compared(work.stage, work.unit, work.units, units[work.stage])
        if work.sampled_tokens.high:
            sampled = tokens.get(work.stage, 0)
            yield Compared(work.stage, "sampled tokens", work.sampled_tokens, sampled)
        if work.programs.high:
            n_executed = sum(one.n_executed for one in passes)
            yield Compared(work.stage, "programs", work.programs, n_executed)
            n_calls = sum(one.n_calls for one in passes)
            yield Compared(work.stage, "calls", work.calls, n_calls)
        if work.steps.high:
            n_steps = sum(one.n_steps for one in checkpoints)
            yield Compared(work.stage, "optimiser steps", work.steps, n_steps)
    stored = sum(file.stat().st_size for file in (run.path / "tables").rglob("*.parquet"))
    yield Compared("disk", "bytes of tables", total(plan.disk.tables.values()), stored)


def _seconds(plan: Plan, summary: Summary) -> Iterator[Compared]:
    """Times that the journal knows; the first forecast's, which is that of the run's machine."""
    planned = plan.forecasts[0].seconds if plan.forecasts else {}
    for cost in summary.costs:
        if cost.stage in STAGES and not math.isnan(cost.seconds):
            yield Compared(cost.stage, "seconds", planned.get(cost.stage), cost.seconds)


def _speeds(plan: Plan, summary: Summary) -> Iterator[Compared]:
    """How fast stage 5 was planned to be, and was: what is left of its time without its size."""
    work = plan.expected.stage("solutions")
    spent = next((cost for cost in summary.costs if cost.stage == "solutions"), None)
    if work is None or spent is None or not spent.tokens or not spent.seconds > 0:
        return
    for one in plan.forecasts[:1]:
        seconds = one.seconds.get("solutions")
        if seconds is not None and seconds.low > 0:
            # Both grow with the same tokens, so their ends belong together.
            likely = work.sampled_tokens.likely / seconds.likely
            ends = [
                work.sampled_tokens.low / seconds.low, work.sampled_tokens.high / seconds.high
            ]  # fmt: skip
            rate = one.rates.sampled_tokens_per_s
            if rate is not None:
                ends += [likely * rate.low / rate.likely, likely * rate.high / rate.likely]
            yield Compared(
                "solutions",
                "tokens a second in stage 5",
                Range(min(likely, *ends), likely, max(likely, *ends)),
                spent.tokens / spent.seconds,
            )

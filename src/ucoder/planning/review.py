"""After a run: what it showed about its model, and how far off its plan was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from ucoder.analysis.costs import STAGES
from ucoder.analysis.numbers import plain
from ucoder.analysis.summary import Summary, summarise
from ucoder.config import RunConfig
from ucoder.errors import ConfigError
from ucoder.evaluation.statistics import wilson
from ucoder.files import write_atomically
from ucoder.planning.assumptions import (
    CHARACTERS_PER_TOKEN,
    DISTINCT_EXPONENT,
    MEASURED,
    Assumptions,
    Range,
    total,
    words,
)
from ucoder.planning.plan import Plan, make_plan
from ucoder.planning.rates import Rates
from ucoder.planning.work import least_candidates
from ucoder.records import NAN
from ucoder.stages.solutions import ROUND_SIZE

if TYPE_CHECKING:
    from pathlib import Path

    from ucoder.runs import Run

PLAN_FILE: Final = "plan.json"
OTHER_SETTINGS: Final = 1.1
"""What another seed, another temperature or a trained model changes by itself, as a factor."""
NEARLY: Final = 1.05
"""A range narrower than this factor counts as one of this factor when surprises are compared."""


def observed(run: Run) -> Assumptions:
    """What to assume for a run like this one; the defaults where it has nothing to say.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    rows = {**MEASURED.rows, **seen_in(run, summarise(run))}
    return Assumptions(f"the run {run.path.resolve().name} of {run.config.model}", rows)


def seen_in(run: Run, summary: Summary) -> dict[str, Range]:
    """Rows of the assumptions that a run has something to say about.

    Shares get Wilson's interval at 95%. A mean over m units gets two standard errors, with a
    standard deviation of half the mean, which completions have: a factor of 1 + 1 / sqrt(m). Both
    get a tenth more for what differs between runs.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    space, suites, config = summary.problem_space, summary.input_space, run.config
    accepted, attempts, usable = space.n_accepted, space.n_attempts, suites.n_usable
    rated, asked = space.left_after("problems"), space.left_after("ratings")
    solved = [one for one in summary.iterations if one.n_decided]
    problems = sum(one.n_decided for one in solved)
    candidates = sum(one.n_candidates for one in solved)
    greedy = sum(one.n_greedy for one in solved)
    # The more candidates a problem has, the more of them are duplicates.
    rounds = candidates / (ROUND_SIZE * max(1, sum(one.n_problems for one in solved)))
    distinct = sum(one.n_programs for one in solved) * rounds**-DISTINCT_EXPONENT
    least = least_candidates(config)
    completions, wanted = config.test_inputs.n_completions, usable * config.test_inputs.n
    n_inputs = suites.n_inputs - suites.by_origin.get("distinguishing", 0)
    origins = run.suites.columns("inputs.list.element.origin")
    extended = sum({"origin": "distinguishing"} in row["inputs"] for row in origins)
    searched = usable if config.solutions.distinguishing_inputs else 0
    examples = [len(row["prompt"] + row["completion"]) for t in run.iterations()
                for row in run.examples(t).columns("prompt", "completion")]  # fmt: skip
    found = {
        "accepted": _share(accepted, attempts if accepted else 0),
        "ratings_per_problem": _tries(accepted, rated),
        "interfaces_per_problem": _tries(accepted, asked),
        "problem_tokens": _mean(space.tokens["problems"], attempts),
        "rating_tokens": _mean(space.tokens["ratings"], rated),
        "interface_tokens": _mean(space.tokens["interfaces"], asked),
        "input_tokens": _mean(suites.tokens, suites.n_suites * completions, suites.n_suites),
        "usable": _share(usable, suites.n_suites),
        "filled": _mean(min(n_inputs, wanted), wanted, usable),
        "solution_tokens": _mean(sum(one.tokens for one in solved), candidates + greedy, problems),
        "drawn": _share(candidates - problems * least, problems * (config.solutions.n - least)),
        "distinct": _mean(distinct, candidates, problems),
        "extended": _share(extended, searched),
        "selected": _share(sum(one.n_selected for one in solved), problems),
        "example_tokens": _mean(sum(examples) / CHARACTERS_PER_TOKEN, len(examples)),
    }
    answers: dict[str, list[int]] = {}
    for prompts, model_index in run.answered():
        rows = run.answers(prompts, model_index).columns("n_tokens")
        answers.setdefault(f"answer_tokens.{prompts}", []).extend(row["n_tokens"] for row in rows)
    found |= {name: _mean(sum(tokens), len(tokens)) for name, tokens in answers.items()}
    return {name: span for name, span in found.items() if span is not None}


def _share(part: int, whole: int) -> Range | None:
    if whole <= 0:
        return None
    seen = wilson(part, whole)
    likely = seen.value or 0.5 / (whole + 1)  # none of ten is little, but not never
    low, high = min(seen.low, likely), max(seen.high, likely)
    return Range(low / OTHER_SETTINGS, likely, min(1.0, high * OTHER_SETTINGS))


def _tries(successes: int, tries: int) -> Range | None:
    """How many tries a success takes."""
    share = _share(successes, tries if successes else 0)
    return share and Range(1 / share.high, 1 / share.likely, 1 / share.low)


def _mean(amount: float, over: float, units: float | None = None) -> Range | None:
    """A mean, known the better the more units were seen."""
    units = over if units is None else units
    if not over or not units:
        return None
    return Range.within(amount / over, OTHER_SETTINGS + 1 / math.sqrt(units))


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity of a stage: as planned (None where it was not), and as it was (or NaN)."""

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
        if (span := self.planned) is None or math.isnan(self.ratio):
            return NAN
        end = span.high / span.likely if self.ratio > 1 else span.likely / max(span.low, 1e-12)
        return abs(math.log(self.ratio)) / math.log(max(end, NEARLY))

    @property
    def is_inside(self) -> bool:
        """Whether it was planned and lies within its range."""
        return self.planned is not None and self.planned.holds(self.actual)


@dataclass(frozen=True, slots=True)
class Review:
    """A plan against its run: counts and seconds by stage, and what was assumed about the model.

    A plan that was not kept before the run is made now, as it would have been. `missing` says what
    the run has still to do.
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
        inside = sum(one.is_inside for one in judged)
        lines = [f"{inside} of {len(judged)} quantities lie within their range"]
        if self.missing:
            lines.append(f"the run is not finished ({self.missing[0]}), so its counts are partial")
        worst = self.furthest_off()
        if worst is not None and (span := worst.planned) is not None:
            lines.append(
                f"furthest off: {worst.quantity}: {worst.actual:.3g}, where {span.likely:.3g} "
                f"({span.low:.3g} to {span.high:.3g}) was assumed, "
                f"{'within' if worst.is_inside else 'outside'} that range"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        values: dict[str, Any] = plain(self)
        for told, one in zip(values["quantities"] + values["assumptions"],
                             self.quantities + self.assumptions, strict=True):  # fmt: skip
            told["ratio"] = plain(one.ratio)
        return {**values, "sentences": self.sentences()}


_PLANS: Final = TypeAdapter(Plan)


def write_plan(run_path: Path, config: RunConfig, rates: Sequence[Rates] = ()) -> Plan:
    """Plan a run and keep the plan beside it, so that it can be judged afterwards."""
    plan = make_plan(config, rates)
    write_atomically(run_path / PLAN_FILE, _PLANS.dump_json(plan, indent=1))
    return plan


def read_plan(run_path: Path) -> Plan | None:
    """The plan that was kept; None where none was.

    Raises:
        ConfigError: It is damaged, or of another version.
    """
    path = run_path / PLAN_FILE
    try:
        return _PLANS.validate_json(path.read_bytes()) if path.exists() else None
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"{path} is not a plan of this version: {error}; delete it to compare with a plan "
            f"that is made now"
        ) from None


def review(run: Run, plan: Plan | None = None) -> Review:
    """Compare a run with its plan; `plan` stands in where none was kept, else one with defaults.

    Raises:
        ConfigError: The plan that was kept is damaged.
        DamagedShard: A table's file cannot be read.
    """
    kept = read_plan(run.path)
    plan = kept or plan or make_plan(run.config)
    summary, order = summarise(run), (*STAGES, "disk")
    seen, rows = seen_in(run, summary), plan.assumed.rows
    quantities = sorted(_quantities(plan, run, summary), key=lambda row: order.index(row.stage))
    return Review(
        kept is not None,
        plan.assumed.source,
        tuple(quantities),
        tuple(Compared("", words(name), rows.get(name), seen[name].likely) for name in seen),
        summary.missing,
    )


def _quantities(plan: Plan, run: Run, summary: Summary) -> Iterator[Compared]:
    """Counts, then seconds that the journal knows against those of the first forecast."""
    space, passes = summary.problem_space, summary.iterations
    answers = [
        shard.num_rows for k in run.answered() for shard in run.answers(*k).arrow("n_tokens")
    ]
    units = {
        "problems": space.n_attempts,
        "ratings": space.left_after("problems"),
        "interfaces": space.left_after("ratings"),
        "test_inputs": summary.input_space.n_suites,
        "solutions": sum(one.n_candidates for one in passes),
        "consolidation": sum(one.n_examples for one in passes),
        "evaluation": sum(answers),
    }
    programs, calls = sum(one.n_executed for one in passes), sum(one.n_calls for one in passes)
    steps = sum(one.checkpoint.n_steps for one in passes if one.checkpoint is not None)
    costs = {cost.stage: cost for cost in summary.costs if cost.stage in STAGES}
    for work in plan.expected.stages:
        tokens = costs[work.stage].tokens if work.stage in costs else 0
        yield Compared(work.stage, work.unit, work.units, units[work.stage])
        for quantity, planned, actual in (
            ("sampled tokens", work.sampled_tokens, tokens or 0),
            ("programs", work.programs, programs),
            ("calls", work.calls, calls),
            ("optimiser steps", work.steps, steps),
        ):
            if planned.high:
                yield Compared(work.stage, quantity, planned, actual)
    stored = sum(file.stat().st_size for file in (run.path / "tables").rglob("*.parquet"))
    yield Compared("disk", "bytes of tables", total(plan.disk.tables.values()), stored)
    seconds = plan.forecasts[0].seconds if plan.forecasts else {}
    for stage, cost in costs.items():
        if not math.isnan(cost.seconds):
            yield Compared(stage, "seconds", seconds.get(stage), cost.seconds)

"""`ucoder plan`: prints a plan as a table, or compares a run with its plan."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ucoder.config import RunConfig, load_config
from ucoder.errors import ConfigError
from ucoder.planning.assumptions import ENDS, MEASURED, Range
from ucoder.planning.plan import (
    START,
    TOGETHER,
    Disk,
    Plan,
    StageWork,
    duration_in_words,
    make_plan,
)
from ucoder.planning.rates import Rates, hardware_name, kept_rates_path, read_rates
from ucoder.planning.review import Review, observed, review
from ucoder.runs import Run


@dataclass(frozen=True, slots=True)
class Speeds:
    """What the command line says about how fast things go.

    Attributes:
        files: Files with measured rates, one for each hardware.
        tokens_per_s: As stated: a number, or `LOW-HIGH`; "" where it was not stated, as the others.
        programs_per_s: As stated.
        training_tokens_per_s: As stated.
    """

    files: Sequence[Path] = ()
    tokens_per_s: str = ""
    programs_per_s: str = ""
    training_tokens_per_s: str = ""


def print_plan(
    name: str,
    overrides: list[str],
    speeds: Speeds,
    replicas: int | None,
    like: Path | None,
    as_json: bool,
    out: Console,
) -> None:
    """Plan a configuration, or compare a run with its plan.

    Raises:
        ConfigError: The configuration, a rates file or a stated rate cannot be read.
    """
    path = Path(name)
    if (path / "manifest.json").is_file():
        if overrides:
            raise ConfigError(f"{path} is a run, whose configuration is settled; drop {overrides}")
        run = Run.open(path)
        config = run.config
    else:
        run, config = None, load_config(name, overrides)
    assumed = MEASURED if like is None else observed(Run.open(like))
    plan = make_plan(config, rates_for(config, speeds), assumed=assumed, replicas=replicas)
    told = plan if run is None else review(run, plan)
    if as_json:
        print(json.dumps(told.to_dict(), indent=2))
        return
    out.print(_plan_table(path.name, plan) if isinstance(told, Plan) else _review_table(name, told))
    if isinstance(told, Plan):
        out.print(_disk_line(told.disk), highlight=False, soft_wrap=True)
        if told.training_bytes:
            each = [f"{size / 2**30:.0f} GiB on {n}" for n, size in told.training_bytes.items()]
            out.print(
                f"memory of each GPU in training: {', '.join(each)}",
                highlight=False,
                soft_wrap=True,
            )
        out.print(f"assumed from {told.assumed.source}", style="dim", highlight=False)
    for line in told.sentences():
        out.print(line, highlight=False, soft_wrap=True)


def rates_for(config: RunConfig, speeds: Speeds) -> list[Rates]:
    """The rates that were given; else those that were measured here for this engine and model.

    Raises:
        ConfigError: A file or a number cannot be read.
    """
    found = [read_rates(path) for path in speeds.files]
    stated = {
        "sampled_tokens_per_s": _stated("--tokens-per-s", speeds.tokens_per_s),
        "programs_per_s": _stated("--programs-per-s", speeds.programs_per_s),
        "training_tokens_per_s": _stated("--training-tokens-per-s", speeds.training_tokens_per_s),
    }
    said = {name: value for name, value in stated.items() if value is not None}
    if not found and said:
        return [Rates(hardware="as stated").model_copy(update=said)]
    kept = kept_rates_path(hardware_name(), config)
    if not found and kept.exists():
        found = [read_rates(kept)]
    return [rates.model_copy(update=said) for rates in found]


def _stated(option: str, text: str) -> Range | None:
    """`N` or `LOW-HIGH`, a second."""
    if not text:
        return None
    try:
        ends = [float(part) for part in text.split("-", 1)]
        if min(ends) <= 0 or ends[0] > ends[-1] or not all(map(math.isfinite, ends)):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{option} {text!r}: write a number above 0, or two as LOW-HIGH, such as 15000-25000"
        ) from None
    return Range(ends[0], math.sqrt(ends[0] * ends[-1]), ends[-1])


def _plan_table(name: str, plan: Plan) -> Table:
    table = Table(title=f"plan of {name}", title_justify="left")
    for column in ("stage", "what"):
        table.add_column(column)
    for column in ("tokens sampled", "programs"):
        table.add_column(column, justify="right")
    for one in plan.forecasts:
        by = f", {one.replicas} replicas" if one.replicas > 1 else ""
        table.add_column(f"{one.rates.hardware}{by}", justify="right", overflow="fold")
    for work in plan.expected.stages:
        table.add_row(
            work.stage, _work(work), _cell(work.sampled_tokens), _cell(work.programs),
            *(_time(one.seconds, work.stage) for one in plan.forecasts),
        )  # fmt: skip
    if any(START in one.seconds for one in plan.forecasts):
        table.add_row(START, "", "", "", *(_time(one.seconds, START) for one in plan.forecasts))
    return table


def _work(work: StageWork) -> Text:
    said = _cell(work.units, work.unit)
    if work.trained_tokens.high:
        said.append("\n").append(_cell(work.trained_tokens, "tokens trained"))
        said.append("\n").append(_cell(work.steps, "optimiser steps"))
    return said


def _time(seconds: Mapping[str, Range | None], stage: str) -> Text:
    if stage in TOGETHER[1:]:
        return Text('"', style="dim")
    span = seconds.get(stage)
    if span is None:
        return Text("unknown" if stage in seconds else "", style="dim")
    if not span.likely:
        return Text("0")
    likely, ends = duration_in_words(span).removeprefix("about ").split(" (")
    return Text(likely).append(f"\n{ends.removesuffix(')')}", style="dim")


def _cell(span: Range, unit: str = "") -> Text:
    """The likeliest value, and the range below it."""
    if not span.high:
        return Text("")
    low, likely, high = (_amount(getattr(span, end)) for end in ENDS)
    said = Text(f"{likely} {unit}".rstrip())
    if not low == likely == high:
        said.append(f"\n{low} to {high}", style="dim")
    return said


def _disk_line(disk: Disk) -> str:
    tables = [f"{name} {_amount(span.likely)}B" for name, span in disk.tables.items()]
    if disk.checkpoints is None:
        models = "trained models unknown, as the model's size is"
    else:
        models = f"trained models {_amount(disk.checkpoints.likely)}B"
    low, likely, high = (_amount(getattr(disk.total, end)) for end in ENDS)
    files = f"{_amount(disk.files.likely)} files"
    return f"disk: {likely}B ({low}B to {high}B) in {files}: {', '.join([*tables, models])}"


def _review_table(name: str, told: Review) -> Table:
    made = "planned before the run" if told.was_kept else "as it would have been planned"
    table = Table(title=f"{name}, {made}, from {told.source}", title_justify="left")
    table.add_column("stage")
    table.add_column("")
    for column in ("planned", "actual", "ratio", ""):
        table.add_column(column, justify="right")
    before = ""
    for row in told.quantities:
        mark = Text("ok", style="green") if row.is_inside else Text("off", style="yellow")
        table.add_row(
            row.stage if row.stage != before else "", row.quantity,
            "not planned" if row.planned is None else _span(row.planned),
            _amount(row.actual), "" if math.isnan(row.ratio) else f"{row.ratio:.2f}",
            Text("") if row.planned is None else mark,
        )  # fmt: skip
        before = row.stage
    return table


def _span(span: Range) -> str:
    """Such as `2.1G (1.3G to 4.6G)`; the number alone where all three look the same."""
    low, likely, high = (_amount(getattr(span, end)) for end in ENDS)
    if not span.high:
        return ""
    return likely if low == likely == high else f"{likely} ({low} to {high})"


def _amount(value: float) -> str:
    """With a decimal prefix from ten thousand on, two digits or more."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= (10_000 if prefix == "k" else size):
            scaled = value / size
            return f"{scaled:.1f}{prefix}" if scaled < 10 else f"{scaled:,.0f}{prefix}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"

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
    OPTIONS,
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

    `files` hold measured rates, one file for each hardware. The others are as they were typed: a
    number, or `LOW-HIGH`; "" where nothing was.
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
    lines = told.sentences()
    if isinstance(told, Plan):
        out.print(_plan_table(path.name, plan))
        each = [f"{size / 2**30:.0f} GiB on {n}" for n, size in plan.training_bytes.items()]
        memory = [f"memory of each GPU in training: {', '.join(each)}"] if each else []
        lines = [_disk_line(plan.disk), *memory, f"assumed from {plan.assumed.source}", *lines]
    else:
        out.print(_review_table(name, told))
    for line in lines:
        out.print(line, highlight=False, soft_wrap=True)


def rates_for(config: RunConfig, speeds: Speeds) -> list[Rates]:
    """The rates that were given; else those that were measured here for this engine and model.

    Raises:
        ConfigError: A file or a number cannot be read.
    """
    found = [read_rates(path) for path in speeds.files]
    typed = (speeds.tokens_per_s, speeds.programs_per_s, speeds.training_tokens_per_s)
    stated = zip(OPTIONS.items(), typed, strict=True)
    said = {name: _stated(option, text) for (name, option), text in stated if text}
    if not found and said:
        return [Rates(hardware="as stated").model_copy(update=said)]
    kept = kept_rates_path(hardware_name(), config)
    if not found and kept.exists():
        found = [read_rates(kept)]
    return [rates.model_copy(update=said) for rates in found]


def _stated(option: str, text: str) -> Range:
    """`N` or `LOW-HIGH`, a second."""
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
    columns = ["tokens sampled", "programs"]
    for one in plan.forecasts:
        by = f", {one.replicas} replicas" if one.replicas > 1 else ""
        columns.append(f"{one.rates.hardware}{by}")
    table = _table(f"plan of {name}", ("stage", "what"), columns)
    rows = [
        (w.stage, _work(w), _cell(w.sampled_tokens), _cell(w.programs))
        for w in plan.expected.stages
    ]
    if any(START in one.seconds for one in plan.forecasts):
        rows.append((START, Text(), Text(), Text()))
    for row in rows:
        table.add_row(*row, *(_time(one.seconds, row[0]) for one in plan.forecasts))
    return table


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in left:
        table.add_column(column)
    for column in right:
        table.add_column(column, justify="right", overflow="fold")
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


def _told(span: Range) -> tuple[str, str]:
    """The likeliest value, and the range around it; "" where all three look the same."""
    low, likely, high = (_amount(getattr(span, end)) for end in ENDS)
    return likely, "" if low == likely == high else f"{low} to {high}"


def _cell(span: Range, unit: str = "") -> Text:
    if not span.high:
        return Text()
    likely, ends = _told(span)
    return Text(f"{likely} {unit}".rstrip()).append(f"\n{ends}" if ends else "", style="dim")


def _disk_line(disk: Disk) -> str:
    tables = [f"{name} {_amount(span.likely)}B" for name, span in disk.tables.items()]
    models = "trained models " + (
        "unknown, as the model's size is"
        if disk.checkpoints is None
        else f"{_amount(disk.checkpoints.likely)}B"
    )
    low, likely, high = (_amount(getattr(disk.total, end)) for end in ENDS)
    files = f"{_amount(disk.files.likely)} files"
    return f"disk: {likely}B ({low}B to {high}B) in {files}: {', '.join([*tables, models])}"


def _review_table(name: str, told: Review) -> Table:
    made = "planned before the run" if told.was_kept else "as it would have been planned"
    columns = ("planned", "actual", "ratio", "")
    table = _table(f"{name}, {made}, from {told.source}", ("stage", ""), columns)
    before = ""
    for row in told.quantities:
        planned, mark = "not planned", Text()
        if row.planned is not None:
            likely, ends = _told(row.planned)
            planned = (f"{likely} ({ends})" if ends else likely) if row.planned.high else ""
            mark = Text("ok", style="green") if row.is_inside else Text("off", style="yellow")
        table.add_row(
            row.stage if row.stage != before else "", row.quantity, planned, _amount(row.actual),
            "" if math.isnan(row.ratio) else f"{row.ratio:.2f}", mark,
        )  # fmt: skip
        before = row.stage
    return table


def _amount(value: float) -> str:
    """With a decimal prefix from ten thousand on, two digits or more."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= (10_000 if prefix == "k" else size):
            scaled = value / size
            return f"{scaled:.1f}{prefix}" if scaled < 10 else f"{scaled:,.0f}{prefix}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"

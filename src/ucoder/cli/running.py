"""Commands that work: `run`, `resume`."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from ucoder.cli.drawing import Bars, Verbosity, tracebacks
from ucoder.cli.interrupts import INTERRUPTS
from ucoder.cli.planning import Speeds, rates_for
from ucoder.cli.viewing import print_findings
from ucoder.config import load_config
from ucoder.errors import MissingDependency
from ucoder.pipeline import run_pipeline
from ucoder.planning.review import write_plan
from ucoder.runs import Run


async def run_new(
    name: str, overrides: list[str], output: Path | None, told: Verbosity, out: Console
) -> None:
    """Create a run and carry it to its end."""
    config = load_config(name, overrides)
    if output is None:
        output = Path("runs") / f"{Path(name).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    run = Run.create(output, config)
    INTERRUPTS.go_on = ["ucoder", "resume", str(output)]
    # Kept before the run starts, so that the comparison afterwards is an honest one.
    write_plan(run.path, config, rates_for(config, Speeds()))
    if told is not Verbosity.QUIET:
        out.print(f"run: {output}", markup=False, highlight=False, soft_wrap=True)
    await _carry_on(run, told, out)


async def run_on(path: Path, told: Verbosity, out: Console) -> None:
    """Carry an existing run to its end."""
    await _carry_on(Run.open(path), told, out)


async def _carry_on(run: Run, told: Verbosity, out: Console) -> None:
    with Bars(out, told) as bars, tracebacks(told):
        await run_pipeline(run, progress=bars)
        try:
            from ucoder.report import write_report

            report: Path | None = write_report(run)
        except MissingDependency as error:
            bars.message(f"no report: {error}")
            report = None
    if told is not Verbosity.QUIET:
        print_findings(run, report, out)
    elif report is not None:
        out.print(str(report), markup=False, highlight=False, soft_wrap=True)

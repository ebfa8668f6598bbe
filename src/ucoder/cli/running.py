"""Commands that work: `run`, `resume`."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from ucoder.changes import check_taking, store_settings, take, with_settings
from ucoder.cli.drawing import Bars, Verbosity, tracebacks
from ucoder.cli.interrupts import INTERRUPTS
from ucoder.cli.planning import Speeds, rates_for
from ucoder.cli.viewing import print_findings
from ucoder.components import Components
from ucoder.config import load_config
from ucoder.errors import MissingDependency
from ucoder.models import load_catalog
from ucoder.pipeline import run_pipeline
from ucoder.planning.review import write_plan
from ucoder.requirements import check_requirements
from ucoder.runs import Run
from ucoder.runs.directory import check_output


async def run_new(
    name: str,
    overrides: list[str],
    output: Path | None,
    told: Verbosity,
    out: Console,
    source: Path | None = None,
) -> None:
    """Create a run, with the samples of a finished one where `source` names it, and carry it on."""
    config = load_config(name, overrides).with_absolute_paths(load_catalog().models)
    if output is None:
        output = Path("runs") / f"{Path(name).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    check_output(output)
    taken = None if source is None else Run.open(source)
    if taken is not None:
        check_taking(taken, config)
    with Bars(out, told) as bars, tracebacks(told):
        components = Components(config, bars)
        await check_requirements(components, has_samples=taken is not None)
        run = Run.create(output, config) if taken is None else take(taken, config, output)
        INTERRUPTS.go_on = ["ucoder", "resume", str(output)]
        if taken is None:
            # Kept before the run starts, so that the comparison afterwards is an honest one.
            write_plan(run.path, config, rates_for(config, Speeds()))
        if told is not Verbosity.QUIET:
            begins = "" if source is None else f", which begins with the samples of {source}"
            out.print(f"run: {output}{begins}", highlight=False, soft_wrap=True)
        report = await _carry_on(run, components, bars)
    _tell(run, report, told, out)


async def run_on(path: Path, overrides: list[str], told: Verbosity, out: Console) -> None:
    """Carry an existing run to its end, with other settings where no record depends on them."""
    run = Run.open(path)
    if overrides:
        run = with_settings(run, overrides)
    with Bars(out, told) as bars, tracebacks(told):
        components = Components(run.config, bars)
        if overrides:
            await check_requirements(components, run)
            store_settings(run)
        report = await _carry_on(run, components, bars)
    _tell(run, report, told, out)


async def _carry_on(run: Run, components: Components, bars: Bars) -> Path | None:
    """Run the pipeline, and write the report where its packages are installed."""
    from ucoder.report import page

    try:
        page.require_packages()
    except MissingDependency as error:
        bars.message(f"there will be no report: {error}")
        await run_pipeline(run, components, bars)
        return None
    await run_pipeline(run, components, bars)
    return page.write_report(run)


def _tell(run: Run, report: Path | None, told: Verbosity, out: Console) -> None:
    if told is not Verbosity.QUIET:
        print_findings(run, report, out)
    elif report is not None:
        out.print(str(report), highlight=False, soft_wrap=True)

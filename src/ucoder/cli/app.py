"""The commands and what they take. What each does is in the modules beside this one.

Errors of ours end a command with their message and status 1, wrong arguments with status 2; a bug
keeps its traceback.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ucoder import __version__
from ucoder.cli.studying import study
from ucoder.errors import UcoderError

app = typer.Typer(
    name="ucoder",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""
Make a code model better with nothing but itself: it invents problems, writes test inputs and many
solutions; ucoder runs them in a sandbox, keeps what consensus marks as right, and fine-tunes.

First open implementation of UCoder (arXiv 2512.17385).

**Start here:** `ucoder doctor`, then `ucoder run demo`.
""",
)

app.add_typer(study, name="study")

RunPath = Annotated[Path, typer.Argument(help="A run directory, made by `ucoder run`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

out = Console()
err = Console(stderr=True)


def main() -> None:
    """Entry point of the `ucoder` command."""
    try:
        app()
    except UcoderError as error:
        err.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("stopped; everything finished is on disk. Go on with: ucoder resume RUN")
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"ucoder {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A preset (demo, paper-7b, ...) or a YAML file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as solutions.n=64.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The run directory; made. [runs/NAME-...]")
    ] = None,
    topics: Annotated[
        Path | None, typer.Option("--topics", help="Your own topics, one a line.")
    ] = None,
) -> None:
    """Start a run: from a model and nothing else to a fine-tuned model and a report.

    Examples:
        ucoder run demo

        ucoder run demo problems.n=100 solutions.n=64 -o runs/bigger

        ucoder run my.yaml model=/models/my-code-model
    """
    from ucoder.cli.running import run_new

    settings = list(overrides or [])
    if topics is not None:
        settings.append(f"problems.topics={topics.resolve()}")
    asyncio.run(run_new(config, settings, output, out))


@app.command()
def resume(run: RunPath) -> None:
    """Go on with a run that was stopped or killed; what is finished is not done again."""
    from ucoder.cli.running import run_on

    asyncio.run(run_on(run, out))


@app.command()
def status(run: RunPath, json: Json = False) -> None:
    """How far a run is: counts by stage, reasons for losses, scores, seconds and tokens."""
    from ucoder.cli.viewing import print_status

    print_status(run, json, out)


@app.command()
def show(
    run: RunPath,
    problem: Annotated[
        str | None, typer.Argument(help="A problem's id or the start of it; none: list them.")
    ] = None,
    iteration: Annotated[int, typer.Option("--iteration", "-t", help="Which iteration.")] = 0,
) -> None:
    """A problem from near: its inputs, its clusters side by side, who won and why."""
    from ucoder.cli.viewing import print_problem, print_problems

    if problem is None:
        print_problems(run, iteration, out)
    else:
        print_problem(run, problem, iteration, out)


@app.command(name="eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="A catalog name, a hub id, or a local path.")],
    n_tasks: Annotated[int | None, typer.Option(help="A fixed subset of so many tasks.")] = None,
    engine: Annotated[str, typer.Option(help="openvino or transformers.")] = "openvino",
    json: Json = False,
) -> None:
    """Score any model on HumanEval, pass@1, greedy, with a 95% interval."""
    from ucoder.cli.running import evaluate_model

    asyncio.run(evaluate_model(model, n_tasks, engine, json, out))


@app.command()
def export(
    run: RunPath,
    output: Annotated[Path, typer.Argument(help="A file ending in .jsonl or .parquet.")],
    iteration: Annotated[
        int | None, typer.Option("--iteration", "-t", help="One iteration; all where not given.")
    ] = None,
) -> None:
    """Write the selected pairs as a chat data set, with provenance, for other trainers."""
    from ucoder.cli.exporting import export_examples

    n = export_examples(run, output, iteration)
    out.print(f"{n} examples in {output}")


@app.command()
def report(run: RunPath) -> None:
    """Write the run's report: one HTML file that opens offline."""
    from ucoder.report import write_report
    from ucoder.runs import Run

    out.print(f"report: {write_report(Run.open(run))}", soft_wrap=True)


@app.command()
def doctor(
    execution: Annotated[
        bool, typer.Option("--execution", help="Attack the sandbox, and say what it holds.")
    ] = False,
    provider: Annotated[
        str, typer.Option(help="With --execution: which provider; auto takes the best one here.")
    ] = "auto",
    url: Annotated[
        str | None, typer.Option(help="With --provider sandbox-fusion: the server's URL.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="With --execution: every attack.")] = False,
    json: Json = False,
) -> None:
    """Check this machine: sandbox, engine, trainer, memory, disk, model cache; each by doing it.

    Examples:
        ucoder doctor

        ucoder doctor --execution --provider landlock
    """
    from ucoder.cli.doctor import print_checkup
    from ucoder.cli.doctor_execution import print_conformance

    if execution:
        is_well = asyncio.run(print_conformance(provider, full, json, out, url))
    elif full or url or provider != "auto":
        raise typer.BadParameter("--provider, --url and --full go with --execution")
    else:
        is_well = asyncio.run(print_checkup(json, out))
    if not is_well:
        raise typer.Exit(1)

"""The commands and their arguments; the modules of this package implement them.

A `UcoderError` ends a command with its message and status 1, wrong arguments with status 2; any
other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from json import dumps as quoted
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.rich_utils import rich_format_error

from ucoder import __version__
from ucoder.cli.doctor import doctor
from ucoder.cli.drawing import Verbosity
from ucoder.cli.interrupts import INTERRUPTS
from ucoder.cli.studying import study
from ucoder.cli.terminal import PlainConsole, replace_what_cannot_be_encoded
from ucoder.errors import ConfigError, FileError, UcoderError
from ucoder.files import file_error, undecodable
from ucoder.visible import visible

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

app.add_typer(doctor, name="doctor")
app.add_typer(study, name="study")

RunPath = Annotated[Path, typer.Argument(help="A run directory, made by `ucoder run`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors and the report's path.")
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Print every step, warnings, and tracebacks of errors."),
]

out = PlainConsole()
err = PlainConsole(stderr=True)

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for arguments that it cannot read; only its subclasses have public names."""


def run_command() -> None:
    """Run the command of this process's arguments, and exit with its status."""
    replace_what_cannot_be_encoded()
    try:
        for argument in sys.argv[1:]:
            if any("\ud800" <= character <= "\udfff" for character in argument):
                raise ConfigError(undecodable(argument))
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except UcoderError as error:
        status = _told(error)
    except _UsageError as error:
        usage: Any = error
        usage.message = visible(usage.message)
        rich_format_error(usage)
        status = usage.exit_code
    except OSError as error:
        if error.errno is None:  # no file's fault
            raise
        status = _told(file_error(error, verb="used"))
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # it may be what failed
    sys.exit(status)


def _told(error: UcoderError) -> int:
    """Print an error, and how to continue where that is known; returns the exit status."""
    err.print(f"{type(error).__name__}: ", style="bold red", end="")
    err.print(str(error), soft_wrap=True)
    if isinstance(error, FileError):
        err.print(INTERRUPTS.hint(), soft_wrap=True)
    return 1


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"ucoder {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Annotated[
        str | None,
        typer.Argument(
            help="A preset (demo, paper-7b, ...), a YAML file, or a run to start anew. [with "
            "--from: that run]"
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as solutions.n=64.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The run directory, which must not hold a run. [runs/NAME-...]"
        ),
    ] = None,
    topics: Annotated[
        Path | None, typer.Option("--topics", help="Your own topics, one a line.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A finished run whose problems, inputs, candidates and executions are taken.",
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Start a run: from a model and nothing else to a fine-tuned model and a report.

    With --from, a run begins with the samples of another one and does what comes after them:
    selection, training pairs, training, evaluation. Settings that samples depend on are refused.

    Examples:
        ucoder run demo

        ucoder run demo problems.n=100 solutions.n=64 -o runs/bigger

        ucoder run my.yaml model=/models/my-code-model

        ucoder run --from runs/mine solutions.selector=random -o runs/random
    """
    from ucoder.cli.running import run_new

    settings = list(overrides or [])
    if source is not None and config is not None and "=" in config and not Path(config).exists():
        settings.insert(0, config)
        config = None
    if config is None and source is None:
        raise typer.BadParameter("give a preset, a YAML file or a run; ucoder run demo is the demo")
    if topics is not None:
        # In quotes, which JSON and YAML share: a path may hold what means something in YAML.
        settings.append(f"problems.topics={quoted(str(topics.resolve()))}")
    verbosity = _verbosity(quiet, verbose)
    INTERRUPTS.run(run_new(config or str(source), settings, output, verbosity, out, source))


@app.command()
def plan(
    config: Annotated[
        str, typer.Argument(help="A preset, a YAML file, or a run whose plan is to be checked.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as solutions.n=64.")
    ] = None,
    rates: Annotated[
        list[Path] | None,
        typer.Option(help="A file of `ucoder doctor rates -o`; repeated: one column each."),
    ] = None,
    tokens_per_s: Annotated[
        str, typer.Option(help="Tokens sampled per second with a full batch: N or LOW-HIGH.")
    ] = "",
    programs_per_s: Annotated[
        str, typer.Option(help="Programs run per second, each on all inputs: N or LOW-HIGH.")
    ] = "",
    training_tokens_per_s: Annotated[
        str, typer.Option(help="Tokens trained on per second: N or LOW-HIGH.")
    ] = "",
    replicas: Annotated[
        int | None,
        typer.Option(min=1, help="Replicas of engine and executor. [scale.n_replicas, or 1]"),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="A run of yours, whose measured figures replace our assumptions."),
    ] = None,
    json: Json = False,
) -> None:
    """Estimate a run's tokens, programs, disk and hours; or compare a finished run with its plan.

    Rates are those given, else those that `ucoder doctor rates` measured on this machine for the
    configuration's engine and model. Without rates, the plan leaves out the hours.

    Examples:
        ucoder plan demo

        ucoder plan paper-7b --tokens-per-s 15000-25000 --programs-per-s 5000 --replicas 8

        ucoder plan my.yaml --rates h100.yaml --rates laptop.yaml --like runs/pilot

        ucoder plan runs/demo-20261122-101500
    """
    from ucoder.cli.planning import Speeds, print_plan

    speeds = Speeds(tuple(rates or ()), tokens_per_s, programs_per_s, training_tokens_per_s)
    print_plan(config, overrides or [], speeds, replicas, like, json, out)


@app.command()
def resume(
    run: RunPath,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, where it changes nothing that is recorded."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Continue a run that was stopped or killed; what is finished is not done again.

    Settings may change as long as no record depends on them: where data are, how much runs at
    once, more iterations. Others are refused with the reason.

    Examples:
        ucoder resume runs/mine

        ucoder resume runs/mine consolidation.iterations=3

        ucoder resume runs/mine max_concurrency=8 evaluation.data.humaneval=/data/HumanEval.jsonl
    """
    from ucoder.cli.running import run_on

    INTERRUPTS.run(run_on(run, overrides or [], _verbosity(quiet, verbose), out))


def _verbosity(quiet: bool, verbose: bool) -> Verbosity:
    if quiet and verbose:
        raise typer.BadParameter("give --quiet or --verbose, not both")
    return Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL


@app.command()
def status(run: RunPath, json: Json = False) -> None:
    """Show a run's state and progress: is it running, counts by stage, rejections, scores."""
    from ucoder.cli.viewing import print_status

    print_status(run, json, out)


@app.command()
def show(
    run: RunPath,
    problem: Annotated[
        str | None,
        typer.Argument(help="A problem's id or the start of it; without one, list the problems."),
    ] = None,
    iteration: Annotated[int, typer.Option("--iteration", "-t", help="Which iteration.")] = 0,
    reason: Annotated[
        list[str] | None,
        typer.Option(
            "--reason",
            help="List only what has this outcome: selected, not_yet, or a reason that status "
            "counts, such as low_probability or duplicate; may be repeated.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Inspect a problem: its inputs, its clusters side by side, which program won and why.

    Examples:
        ucoder show runs/mine

        ucoder show runs/mine --reason no_consensus --reason low_probability

        ucoder show runs/mine 3f2a --json
    """
    from ucoder.cli.viewing import print_problem, print_problems

    if problem is None:
        print_problems(run, iteration, reason or [], json, out)
    elif reason:
        raise typer.BadParameter("--reason filters the list; give it without a PROBLEM")
    else:
        print_problem(run, problem, iteration, json, out)


@app.command(name="eval")
def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A catalog name, a hub id, a local path, or a run and its model: RUN:M1."
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark", "-b", help="A name (see --list) or a .py file; may be repeated."
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Score these, not a MODEL: JSON lines of task_id, solution or completion; "
            "plain, .gz or .zst."
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", help="Samples a task. [1]")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy. [0]")] = None,
    k: Annotated[
        str | None,
        typer.Option(help="Which pass@k, such as 1,5. [1, 10 and 100, up to the samples a task]"),
    ] = None,
    n_tasks: Annotated[int | None, typer.Option(help="A fixed subset of this many tasks.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="name=FILE, or FILE for a single benchmark: your copy of its data."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A folder for samples, verdicts and results."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="openvino, vllm, transformers, openai. [for a run's model: the run's; openvino]"
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, such as evaluation.max_tokens=1024."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Grade again, and ignore stored verdicts.")
    ] = False,
    list_: Annotated[
        bool,
        typer.Option("--list", help="List every benchmark, and whether its data are available."),
    ] = False,
    json: Json = False,
) -> None:
    """Score a model, or samples made elsewhere, on benchmarks, with 95% intervals.

    Answers and verdicts are stored: the same command continues where it was stopped, and a
    benchmark that shares its prompts with an earlier one (HumanEval+ with HumanEval) samples
    nothing again.

    Examples:
        ucoder eval qwen2.5-coder-0.5b-instruct -b humaneval+ -b mbpp+

        ucoder eval my/model -b humaneval+ -n 20 --temperature 0.8 --k 1,10 -o results/my

        ucoder eval runs/mine:M1 -b humaneval+

        ucoder eval --samples evalplus_results/samples.jsonl -b mbpp+

        ucoder eval my/model -b livecodebench --set evaluation.livecodebench.start=2025-01-01
    """
    from ucoder.cli.evaluating import evaluate_model, print_benchmarks, score_samples
    from ucoder.cli.evaluation_config import data_files, evaluation_config, numbers, refuse_idle

    given = {
        "MODEL": model, "--benchmark": benchmark, "--samples": samples, "--n": n,
        "--temperature": temperature, "--k": k, "--n-tasks": n_tasks, "--output": output,
        "--engine": engine, "--again": again or None,
    }  # fmt: skip
    if list_:
        refuse_idle(given, given, "--list")
    if samples is not None:
        idle = ("MODEL", "--n", "--temperature", "--engine")
        refuse_idle(given, idle, "--samples, which are made already")
    if model is None and samples is None and not list_:
        raise typer.BadParameter("give a MODEL, or --samples FILE")
    values: dict[str, Any] = {"benchmarks": benchmark or ["humaneval"], "n_tasks": n_tasks}
    values["data"] = data_files(data or [], values["benchmarks"])
    ks = None if k is None else numbers(k)
    if samples is not None:  # n comes from the file, which holds each task's
        values |= {"n": max(ks or [1]), "temperature": 1.0}
    values |= {
        name: value for name, value in (("n", n), ("temperature", temperature), ("k", ks))
        if value is not None
    }  # fmt: skip
    config = evaluation_config(model, engine, values, setting or [], samples is not None)
    if list_:
        print_benchmarks(config, json, out)
    elif samples is not None:
        INTERRUPTS.run(score_samples(samples, config, ks, again, output, json, out))
    else:
        INTERRUPTS.run(evaluate_model(config, again, output, json, out))


@app.command()
def compare(
    first: Annotated[
        Path, typer.Argument(help="A folder of `ucoder eval -o`, or a run's model: RUN:M0.")
    ],
    second: Annotated[
        Path | None, typer.Argument(help="Another. Without it: a run's M0 against its last model.")
    ] = None,
    json: Json = False,
) -> None:
    """Is the second model better? A paired comparison on the tasks that both ran.

    Two models are compared task by task (McNemar's exact test; with several samples a task a
    permutation test), because overlapping intervals do not show that two models are equal.

    Examples:
        ucoder compare results/base results/trained

        ucoder compare runs/mine

        ucoder compare runs/mine:M1 runs/other:M2
    """
    from ucoder.cli.evaluating import compare_evaluations

    compare_evaluations(first, second, json, out)


@app.command()
def export(
    run: RunPath,
    output: Annotated[Path, typer.Argument(help="A file ending in .jsonl or .parquet.")],
    iteration: Annotated[
        int | None, typer.Option("--iteration", "-t", help="One iteration. [all]")
    ] = None,
    preferences: Annotated[
        bool,
        typer.Option(
            "--preferences",
            help="Preference pairs in TRL's format, each with an input on which they differ.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write the selected pairs as a chat data set, with provenance, for other trainers."""
    from ucoder.cli.exporting import export_examples, export_preferences

    export_pairs = export_preferences if preferences else export_examples
    n = export_pairs(run, output, iteration, replace=force)
    what = "preference pairs" if preferences else "examples"
    out.print(f"{n} {what} in {output}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def report(run: RunPath) -> None:
    """Write the run's report: one HTML file that opens offline."""
    from ucoder.report import write_report
    from ucoder.runs import Run

    path = write_report(Run.open(run))
    out.print(f"report: {path}", markup=False, highlight=False, soft_wrap=True)

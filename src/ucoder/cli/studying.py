"""`ucoder study`: experiments on samples that exist already.

DATA is a file of samples (gzipped JSON lines, one task a line, with a test script for scoring), the
name of one that comes with ucoder, or a run directory. Programs run once, in the sandbox; their
results are kept, so the next study of the same data starts at once. Which candidates of a run are
right is known where its problems are known answers. Of other runs, studies say how often choices
agree, and nothing of pass@1.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ucoder.cli.drawing import Bars
from ucoder.cli.terminal import PlainConsole
from ucoder.errors import BenchmarkError, NothingToDo, command
from ucoder.runtime import require

if TYPE_CHECKING:
    from ucoder.studies.tasks import StudyTask

study = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""
Experiments on samples that exist already: which selector, how many inputs, how many samples.

DATA is a file of samples (`.jsonl.gz`, one task a line), a run directory, or `known-answers`:
samples of the default model for problems whose answers are certain, which come with ucoder.
Each study writes tables (Parquet and CSV), a summary (JSON) and figures (PNG and SVG), with 95%
intervals over tasks.
""",
)

Data = Annotated[
    Path,
    typer.Argument(help="A file of samples (.jsonl.gz), a run directory, or `known-answers`."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where tables and figures go. [studies/NAME OF DATA]"),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Where executions are kept. [a folder of the model cache]"),
]
Selector = Annotated[
    list[str] | None,
    typer.Option("--selector", "-s", help="A selector; may be repeated."),
]
Tasks = Annotated[
    int | None, typer.Option("--tasks", "-n", min=1, help="Only this many tasks, the first ones.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the subsets that are drawn.")]
Iteration = Annotated[int, typer.Option("--iteration", "-t", help="Of a run: which iteration.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for scripts.")]

_SELECTION = """Selector against selector: pass@1, paired with the paper's rule, and calibration.

Two lines frame the selectors: a random candidate, and the oracle that is right wherever one
candidate is. Every selector chooses on all inputs, and on the model's own alone. Where a
selection carries a probability: how reliable it is, and precision at 50 to 100% coverage.

Examples:
    ucoder study selection known-answers

    ucoder study selection runs/demo -s agreement -s consensus
"""
_COVERAGE = """How many inputs a choice needs: 1 to 200 at random, and the fewest that distinguish.

The knee is the fewest inputs from which on more than 95% of the more probable half of the choices
are right.

Examples:
    ucoder study coverage known-answers -s consensus -s agreement
"""
_SAMPLES = """How many samples a choice needs: 4 to 128, and where sampling in rounds may stop.

Stopping is tried at several values of `max_regret`: samples and tokens saved, choices that
differ, and pass@1 lost against all samples.

Examples:
    ucoder study samples samples.jsonl.gz -s agreement
"""


def _add(name: str, function: str, described: str) -> None:
    @study.command(name, help=described)
    def command(
        data: Data,
        output: Output = None,
        cache: Cache = None,
        selector: Selector = None,
        tasks: Tasks = None,
        seed: Seed = 0,
        iteration: Iteration = 0,
        json: Json = False,
    ) -> None:
        _study(function, data, output, cache, selector, tasks, seed, iteration, json)


_add("selection", "selection.study_selection", _SELECTION)
_add("coverage", "subsets.study_coverage", _COVERAGE)
_add("samples", "subsets.study_sampling", _SAMPLES)


@study.command()
def adversary(
    data: Data,
    output: Output = None,
    cache: Cache = None,
    selector: Selector = None,
    tasks: Tasks = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """At which share of planted wrong programs, which agree on purpose, each selector breaks.

    Needs a file of samples: planting wrong programs takes knowing which ones are wrong.

    Examples:
        ucoder study adversary samples.jsonl.gz --output studies/adversary
    """
    if data.is_dir():
        raise BenchmarkError(
            f"{data} is a folder, and which candidates of a run are right is unknown; give a "
            f"file of samples whose tasks hold a test script"
        )
    _study("adversary.study_adversary", data, output, cache, selector, tasks, seed, 0, json)


def _study(
    function: str,
    data: Path,
    output: Path | None,
    cache: Path | None,
    selectors: list[str] | None,
    n_tasks: int | None,
    seed: int,
    iteration: int,
    as_json: bool,
) -> None:
    """Run one study, write it down and print it."""
    from ucoder.analysis.numbers import plain
    from ucoder.studies.results import print_study, write_study
    from ucoder.studies.samples import samples_file

    folder = output or Path("studies") / data.resolve().name.split(".")[0]
    data = samples_file(data)
    module, _, name = function.partition(".")
    if seed and name == "study_selection":
        raise typer.BadParameter("--seed has no effect: study selection draws nothing at random")
    if iteration and data.is_file():
        raise typer.BadParameter(f"--iteration has no effect: {data} is a file of samples, no run")
    if cache is not None and data.is_dir():
        raise typer.BadParameter(f"--cache has no effect: {data} is a run, which has its own")
    study_of = getattr(import_module(f"ucoder.studies.{module}"), name)
    out = PlainConsole(stderr=as_json)
    with Bars(out) as bars:
        found = study_of(_tasks(data, cache, n_tasks, iteration, bars), selectors or (), seed)
    write_study(found, folder)
    if as_json:
        print(json_module.dumps(plain(found.summary), indent=2))
    else:
        print_study(found, out)
    out.print(f"tables and figures: {folder}", highlight=False, soft_wrap=True)


def _tasks(
    data: Path, cache: Path | None, n_tasks: int | None, iteration: int, bars: Bars
) -> Iterator[StudyTask]:
    """The tasks one after the other, with a bar; what is not executed yet is executed first."""
    from ucoder.runs import Run
    from ucoder.studies.pools import open_pools, pools_of_run
    from ucoder.studies.samples import read_samples
    from ucoder.studies.tasks import tasks_of

    require("a study", "pandas", "matplotlib", extra="study")
    if data.is_dir():
        run = Run.open(data)
        n = len(run.selections(iteration).keys())
        if n == 0:
            raise NothingToDo(
                f"{data} holds no selection of iteration {iteration}; see "
                f"`{command('status', data)}`"
            )
        pools, n = pools_of_run(run, iteration), min(n, n_tasks or n)
        has_truth = bool(run.judgements(iteration).keys())
    else:
        pools = open_pools(data, cache, n_tasks=n_tasks, progress=bars)
        n, has_truth = sum(1 for _ in islice(read_samples(data), n_tasks)), True
    bars.begin("tasks", n)
    for done, task in enumerate(tasks_of(islice(pools, n), has_truth=has_truth)):
        bars.advance("tasks", done)
        yield task
    bars.end("tasks")

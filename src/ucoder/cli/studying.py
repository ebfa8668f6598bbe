"""`ucoder study`: experiments on samples that exist already.

DATA is a file of samples (gzipped JSON lines, one task a line, with a test script for scoring), or
a run directory. Programs run once, in the sandbox; what they did is kept, so the next study of the
same data starts at once. Nobody knows which candidates of a run are right: there, studies say how
often choices agree, and nothing of pass@1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ucoder.cli.drawing import Bars
from ucoder.errors import BenchmarkError, MissingDependency, NothingToDo

if TYPE_CHECKING:
    from ucoder.studies.tables import Study
    from ucoder.studies.tasks import Task

study = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""
Experiments on samples that exist already: which selector, how many inputs, how many samples.

DATA is a file of samples (`.jsonl.gz`, one task a line) or a run directory. Each study writes
tables (Parquet and CSV), a summary (JSON) and figures (PNG and SVG), with 95% intervals over tasks.
""",
)

Data = Annotated[Path, typer.Argument(help="A file of samples (.jsonl.gz), or a run directory.")]
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
    int | None, typer.Option("--tasks", "-n", min=1, help="Only the first so many tasks.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of subsets and of resampling.")]
Iteration = Annotated[int, typer.Option("--iteration", "-t", help="Of a run: which iteration.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for scripts.")]


@dataclass(frozen=True)
class Request:
    """What every study is asked with; the fields are the command's options."""

    data: Path
    output: Path | None
    cache: Path | None
    n_tasks: int | None
    iteration: int
    as_json: bool


@study.command()
def selection(
    data: Data,
    output: Output = None,
    cache: Cache = None,
    selector: Selector = None,
    tasks: Tasks = None,
    seed: Seed = 0,
    iteration: Iteration = 0,
    json: Json = False,
) -> None:
    """Selector against selector: pass@1, paired with the paper's rule, and calibration.

    Two lines frame the selectors: a random candidate, and the oracle that is right wherever one
    candidate is. Every selector chooses on all inputs, and on the model's own alone. Where a
    selection carries a probability: how reliable it is, and precision at 50 to 100% coverage.

    Examples:
        ucoder study selection samples.jsonl.gz

        ucoder study selection runs/demo -s agreement -s consensus
    """
    from ucoder.studies.selection import study_selection

    request = Request(data, output, cache, tasks, iteration, json)
    _carry_out(request, lambda found: study_selection(found, selector or (), seed))


@study.command()
def coverage(
    data: Data,
    output: Output = None,
    cache: Cache = None,
    selector: Selector = None,
    tasks: Tasks = None,
    seed: Seed = 0,
    iteration: Iteration = 0,
    json: Json = False,
) -> None:
    """How many inputs a choice needs: 1 to 200 at random, and the fewest that separate.

    The knee is the fewest inputs from which on more than 95% of the choices are those of all
    inputs.

    Examples:
        ucoder study coverage samples.jsonl.gz -s consensus -s agreement
    """
    from ucoder.studies.coverage import study_coverage

    request = Request(data, output, cache, tasks, iteration, json)
    _carry_out(request, lambda found: study_coverage(found, selector or (), seed))


@study.command()
def samples(
    data: Data,
    output: Output = None,
    cache: Cache = None,
    selector: Selector = None,
    tasks: Tasks = None,
    seed: Seed = 0,
    iteration: Iteration = 0,
    json: Json = False,
) -> None:
    """How many samples a choice needs: 4 to 128, and where sampling in rounds may stop.

    Stopping is tried at several values of `max_regret`: samples and tokens saved, choices that
    differ, and pass@1 lost against all samples.

    Examples:
        ucoder study samples samples.jsonl.gz -s agreement
    """
    from ucoder.studies.sampling import study_sampling

    request = Request(data, output, cache, tasks, iteration, json)
    _carry_out(request, lambda found: study_sampling(found, selector or (), seed))


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
    """At which share of planted wrong programs, that agree on purpose, each selector breaks.

    Needs a file of samples: planting wrong programs takes knowing which are.

    Examples:
        ucoder study adversary samples.jsonl.gz --output studies/adversary
    """
    from ucoder.studies.adversary import study_adversary

    if data.is_dir():
        raise BenchmarkError(
            f"{data} is a folder, and nobody knows which candidates of a run are right; give a "
            f"file of samples whose tasks hold a test script"
        )
    request = Request(data, output, cache, tasks, 0, json)
    _carry_out(request, lambda found: study_adversary(found, selector or (), seed))


def _carry_out(request: Request, made_of: Callable[[Iterable[Task]], Study]) -> None:
    """Execute what is missing, study it, write it down and print it."""
    from ucoder.cli.study_tables import print_study
    from ucoder.studies.tables import plain, write_study

    out = Console(stderr=request.as_json)
    with Bars(out) as bars:
        n, tasks = _tasks(request, bars)
        found = made_of(_watched(tasks, n, bars))
    folder = request.output or Path("studies") / request.data.resolve().name.split(".")[0]
    try:
        write_study(found, folder)
    except MissingDependency as error:
        out.print(f"no figures: {error}", style="yellow", markup=False)
    if request.as_json:
        print(json.dumps(plain(found.summary()), indent=2))
    else:
        print_study(found, out)
    out.print(f"tables and figures: {folder}", highlight=False, soft_wrap=True)


def _tasks(request: Request, bars: Bars) -> tuple[int, Iterator[Task]]:
    """How many tasks there are, and each as it is read."""
    from ucoder.runs import Run
    from ucoder.studies.pools import open_pools, pools_of_run
    from ucoder.studies.samples import read_samples
    from ucoder.studies.tasks import tasks_of

    if request.data.is_dir():
        run = Run.open(request.data)
        n = len(run.selections(request.iteration).keys())
        if n == 0:
            raise NothingToDo(
                f"{request.data} holds no selection of iteration {request.iteration}; "
                f"ucoder status {request.data}"
            )
        finished = islice(pools_of_run(run, request.iteration), request.n_tasks)
        return min(n, request.n_tasks or n), tasks_of(finished, has_truth=False)
    pools = open_pools(request.data, request.cache, n_tasks=request.n_tasks, progress=bars)
    n = sum(1 for _ in islice(read_samples(request.data), request.n_tasks))
    return n, tasks_of(pools)


def _watched(tasks: Iterable[Task], n: int, bars: Bars) -> Iterator[Task]:
    bars.begin("tasks", n)
    for done, task in enumerate(tasks):
        bars.advance("tasks", done)
        yield task
    bars.end("tasks")

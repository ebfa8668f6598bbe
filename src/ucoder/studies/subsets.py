"""Studies: how many inputs, and how many samples, a choice needs.

Random subsets of each task's inputs or candidates, several of each size, the smaller ones parts of
the larger ones: how often the choice is right (`pass_at_1`), and how often it answers all inputs as
the choice on everything does (`same_choice`). `n_tasks_with_more` counts the tasks from which
something was left out.

Of inputs, every selector counts all that are left. The knee is the fewest from which on
`reliability` is above 95%: the share of right choices among the more probable half of them, which
is what a threshold for training data would keep. To choose as on all inputs is not to be right, so
the fewest inputs from which on `same_choice` is above 95% are reported beside it. The table
`coverage_distinguishing` says how few inputs, chosen greedily, tell as many behaviours apart as all
of those that count.

Of samples, the study also asks where sampling in rounds may stop by itself, see `sequential`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ucoder.consensus.inputs import distinguishing_inputs
from ucoder.consensus.selection import counting
from ucoder.consensus.votes import Votes
from ucoder.evaluation.statistics import bootstrap_interval
from ucoder.records import NAN
from ucoder.studies import results
from ucoder.studies.figures import curves, tradeoff
from ucoder.studies.sequential import MEASURES, REGRETS, ROUND, can_forecast, stops_of
from ucoder.studies.tasks import (
    ALL,
    AS_RUN,
    MAIN,
    ON_ALL,
    StudyChoice,
    StudyTask,
    choose,
    known_selectors,
)

if TYPE_CHECKING:
    from pandas import DataFrame

INPUT_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 150, 200)
SAMPLE_SIZES: Final = (4, 8, 16, 32, 64, 128)
REPEATS: Final = 3
SHUFFLES: Final = 3
KNEE: Final = 0.95
KEPT: Final = 0.5
"""Share of the choices, the most probable ones, whose correctness is called reliability."""

_MEASURES = ("pass_at_1", "same_choice")
_COVERAGE_MEASURES = ("pass_at_1", "reliability", "same_choice")


def study_coverage(
    tasks: Iterable[StudyTask],
    selectors: Sequence[str] = MAIN,
    seed: int = 0,
    *,
    sizes: Sequence[int] = INPUT_SIZES,
    repeats: int = REPEATS,
) -> results.Study:
    """Leave inputs out, `repeats` subsets of each size, and choose again.

    Tasks are read once, one at a time; those without an input are passed over.

    Raises:
        ConfigError: A selector is unknown.
    """
    names = known_selectors(selectors or MAIN)
    rows: list[dict[str, Any]] = []
    suites: list[dict[str, Any]] = []
    for task in tasks:
        n = len(task.votes.inputs)
        if n == 0:
            continue

        def on(kept: NDArray[np.int64], votes: Votes = task.votes) -> Votes:
            return votes.on(np.sort(kept).tolist())

        found = _subsets(
            task, names, sizes, repeats, (seed, "coverage"), n, on,
            inputs=ALL, with_probability=True,
        )  # fmt: skip
        rows += ({"task": len(suites), **row} for row in found)
        suites.append(_distinguishing(task))
    fewest = results.frame(
        suites, ("task_id", "n_inputs", "n_kept", "n_distinguishing", "n_clusters")
    )
    labels, counts = {size: size for size in sizes}, list(fewest["n_inputs"])
    _add_reliability(rows)
    table = _table(rows, "n_inputs", labels, names, seed, counts, _COVERAGE_MEASURES)
    distinguishing, kept = (
        bootstrap_interval(fewest[column].to_numpy(float), seed)
        for column in ("n_distinguishing", "n_kept")
    )
    reliable = {name: knee(table[table["selector"] == name], "reliability") for name in names}
    settled = {name: knee(table[table["selector"] == name], "same_choice") for name in names}
    return results.Study(
        name="coverage",
        tables={"coverage": table, "coverage_distinguishing": fewest},
        summary={
            "study": "coverage",
            "n_tasks": len(suites),
            "subsets": repeats,
            "knee_above": KNEE,
            "knee": {name: size or "not reached" for name, size in reliable.items()},
            "same_choice_from": {name: size or "not reached" for name, size in settled.items()},
            "distinguishing_inputs": distinguishing,
            "kept_inputs": kept,
            "rows": results.nested(table),
        },
        listings=[_listing(table, f"inputs, {len(suites)} tasks", "inputs", "n_inputs")],
        notes=[
            f"{name}: reliability above 95% {_from(reliable[name])}, the same choice as on all "
            f"inputs in more than 95% {_from(settled[name])}"
            for name in names
        ]
        + [f"{distinguishing.value:.1f} inputs distinguish what {kept.value:.1f} do, on average"]
        * (kept.n > 0),
        figures=_figures(table, "coverage", "n_inputs", "inputs", KNEE),
    )


def knee(table: DataFrame, measure: str) -> int | None:
    """The fewest inputs from which on a measure is above 95%, for one selector's rows.

    None where it is not, or unknown, with the most inputs. For `same_choice`, sizes at which
    nothing was left out do not count: there it is 1 by definition.
    """
    found = None
    for row in reversed(table.to_dict("records")):
        if not row[measure] > KNEE:
            break
        if row["n_tasks_with_more"] or measure != "same_choice":
            found = row["n_inputs"]
    return found


def _from(size: int | None) -> str:
    return "nowhere" if size is None else f"from {size} inputs on"


def _add_reliability(rows: list[dict[str, Any]]) -> None:
    """Say of each choice whether it is right, under `reliability`, if its subset keeps it.

    Of every selector, size and repetition, the more probable half of the tasks with a known truth
    is kept; where equally probable, the wrong ones. No selection is kept last, and is wrong. All
    other rows get NaN, and so does a selector that gives no probability.
    """
    subsets: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for row in rows:
        row["reliability"] = NAN
        if not math.isnan(row["pass_at_1"]):
            subsets.setdefault((row["selector"], row["size"], row["repeat"]), []).append(row)
    for found in subsets.values():
        if all(math.isnan(row["probability"]) for row in found):
            continue
        found.sort(key=lambda row: (-np.nan_to_num(row["probability"], nan=-1.0), row["pass_at_1"]))
        for row in found[: math.ceil(KEPT * len(found))]:
            row["reliability"] = row["pass_at_1"]


def study_sampling(
    tasks: Iterable[StudyTask],
    selectors: Sequence[str] = MAIN,
    seed: int = 0,
    *,
    sizes: Sequence[int] = SAMPLE_SIZES,
    repeats: int = REPEATS,
    shuffles: int = SHUFFLES,
    regrets: Sequence[float] = REGRETS,
) -> results.Study:
    """Leave candidates out, and choose again; then sample in rounds, and stop.

    Tasks are read once, one at a time; those without a candidate are passed over. The number of
    candidates of the task with most takes the place of larger `sizes`. Sampling in rounds is tried
    on `shuffles` orders of each task, with each of `regrets` as `max_regret`.

    Raises:
        ConfigError: A selector is unknown.
    """
    names = known_selectors(selectors or MAIN)
    rows: list[dict[str, Any]] = []
    stops: list[dict[str, Any]] = []
    n_samples: list[int] = []
    able: set[str] = set()
    for task in tasks:
        if task.n == 0:
            continue
        at, seeds = {"task": len(n_samples)}, (seed, "samples")
        found = _subsets(task, names, sizes, repeats, seeds, task.n, task.sampled)
        rows += (at | row for row in found)
        stops += (at | row for row in stops_of(task, names, regrets, shuffles, seed))
        able |= can_forecast(task, names)
        n_samples.append(task.n)
    most = max(n_samples, default=0)
    labels = {size: min(size, most) for size in sorted(set(sizes), reverse=True)}
    table = _table(rows, "n_samples", labels, names, seed, n_samples)
    forecast = [name for name in names if name in able]
    by: dict[str, Sequence[Any]] = {"selector": forecast, "max_regret": sorted(set(regrets))}
    stopping = results.interval_table(stops, by, MEASURES, seed)
    not_forecast = [name for name in names if name not in able]
    figures = _figures(table, "samples", "n_samples", "samples")
    listings = [_listing(table, f"samples, {len(n_samples)} tasks", "samples", "n_samples")]
    if len(stopping):
        figures["samples_stopping"] = _stopping_figure(stopping)
        listings.append(_stopping_listing(stopping, most))
    return results.Study(
        name="samples",
        tables={"samples": table, "samples_stopping": stopping},
        summary={
            "study": "samples",
            "n_tasks": len(n_samples),
            "n_samples": most,
            "subsets": repeats,
            "shuffles": shuffles,
            "round": ROUND,
            "not_forecast": not_forecast,
            "rows": results.nested(table),
            "stopping": results.nested(stopping),
        },
        listings=listings,
        notes=[f"no forecast, so no stopping: {', '.join(not_forecast)}"] if not_forecast else [],
        figures=figures,
    )


def _subsets(
    task: StudyTask,
    names: Sequence[str],
    sizes: Sequence[int],
    repeats: int,
    seed: tuple[int, str],
    n: int,
    votes_on: Callable[[NDArray[np.int64]], Votes],
    *,
    inputs: str = AS_RUN,
    with_probability: bool = False,
) -> Iterator[dict[str, Any]]:
    """Choices on subsets of the n inputs or candidates of one task, compared with that on all."""

    def chosen(votes: Votes) -> dict[str, StudyChoice]:
        return choose(votes, names, inputs=inputs, with_probability=with_probability)

    full = chosen(task.votes)
    for repeat, order in enumerate(task.orders(n, repeats, *seed)):
        for size in sorted(set(sizes)):
            choices = chosen(votes_on(order[:size])) if size < n else full
            for name, choice in choices.items():
                yield {
                    "selector": name,
                    "size": size,
                    "repeat": repeat,
                    "probability": choice.probability,
                    "pass_at_1": task.chance_right(choice),
                    "same_choice": float(task.answers_alike(choice, full[name])),
                }


def _table(
    rows: list[dict[str, Any]],
    column: str,
    labels: dict[int, int],
    names: Sequence[str],
    seed: int,
    counts: Sequence[int],
    measures: Sequence[str] = _MEASURES,
) -> DataFrame:
    """Means by selector and size; a size stands under its label, the smallest with the same one."""
    sizes = sorted({label: size for size, label in labels.items()}.items())
    by = {"selector": names, "size": [size for _, size in sizes]}
    table = results.interval_table(rows, by, measures, seed)
    table["size"] = table["size"].map(labels)
    more = [sum(n > size for n in counts) for size in table["size"]]
    table.insert(2, "n_tasks_with_more", more)
    return table.rename(columns={"size": column})


def _distinguishing(task: StudyTask) -> dict[str, Any]:
    votes = counting(task.votes, ON_ALL)
    return {
        "task_id": results.readable(task.task_id),
        "n_inputs": len(task.votes.inputs),
        "n_kept": len(votes.inputs),
        "n_distinguishing": len(distinguishing_inputs(votes)),
        "n_clusters": len(set(votes.clusters_P.tolist())),
    }


def _listing(table: DataFrame, title: str, heading: str, column: str) -> results.Listing:
    is_inputs = heading == "inputs"
    more = {"tasks with more": ("n_tasks_with_more", results.PLAIN)} if is_inputs else {}
    reliable = {"reliability": ("reliability", results.PERCENT)} if is_inputs else {}
    cells = {"selector": ("selector", results.PLAIN), heading: (column, results.PLAIN), **more,
             "pass@1": ("pass_at_1", results.PERCENT), **reliable,
             "same choice": ("same_choice", results.PERCENT)}  # fmt: skip
    return results.Listing(title, table, cells)


def _stopping_listing(stopping: DataFrame, most: int) -> results.Listing:
    cells = {"selector": ("selector", results.PLAIN), "regret": ("max_regret", "{:g}"),
             "samples": ("saved", results.PERCENT), "tokens": ("tokens_saved", results.PERCENT),
             "differs": ("differs", results.PERCENT),
             "pass@1 lost": ("lost", results.DIFFERENCE)}  # fmt: skip
    title = f"stopping at max_regret: saved of {most} samples"
    return results.Listing(title, stopping, cells)


def _figures(
    table: DataFrame, name: str, column: str, things: str, level: float | None = None
) -> dict[str, Any]:
    if not table[column].any():
        return {}
    panels = {"pass_at_1": "pass@1", "same_choice": f"same choice as with all {things}"}
    if "reliability" in table:
        panels["reliability"] = "right, of the more probable half"
    label = f"{things} of a task, at most"
    return {name: partial(curves, table, column, label, panels, counts=True, level=level)}


def _stopping_figure(stopping: DataFrame) -> Any:
    has_truth = bool(stopping["lost_n"].any())
    y, label = ("lost", "pass@1 lost") if has_truth else ("differs", "choices that differ")
    x_label = "samples saved; the numbers are max_regret"
    return partial(tradeoff, stopping, "saved", x_label, y, label, note="max_regret")

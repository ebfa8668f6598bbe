"""Study: selector against selector, on the same tasks.

pass@1 is the share of tasks whose choice the truth accepts. A selector that draws at random is
scored by its exact expectation, not by one draw. Two lines frame all of them: a candidate drawn
from everything that was sampled, rejected ones being wrong, and the oracle, which is right wherever
one candidate is. Every selector chooses on the inputs that a run would count for it, on all, and on
the model's own alone, which shows how much mutations and boundary values help or hurt.

In the table `selection`, `against_paper` is pass@1 less that of the paper's consensus on the same
inputs, paired by task, and `as_paper` the share of tasks whose choice answers all inputs as the
paper's choice does. `selection_tasks` holds every choice; the tables of probabilities, which are
those on the inputs of a run, are made in `calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ucoder.consensus.selection import counting
from ucoder.consensus.selectors import Rule
from ucoder.consensus.theorem import Observation, TheoremEstimate, estimate, observe
from ucoder.evaluation.statistics import Interval, mean_interval
from ucoder.records import NAN
from ucoder.studies import results
from ucoder.studies.calibration import calibration, precisions, reliability
from ucoder.studies.figures import selector_rows, tradeoff
from ucoder.studies.tasks import (
    ALL,
    AS_RUN,
    OWN,
    PAPER,
    RULE,
    StudyTask,
    choose,
    known_selectors,
)

if TYPE_CHECKING:
    from pandas import DataFrame

TITLES: Final = {
    AS_RUN: "the inputs that a run counts",
    ALL: "all inputs",
    OWN: "the model's own inputs",
}

_CHOICES = ("task_id", "inputs", "selector", "selected", "right", "probability", "as_paper")
_MEASURES = ("pass_at_1", "against_paper", "coverage", "as_paper")


def study_selection(
    tasks: Iterable[StudyTask], selectors: Sequence[str] = (), seed: int = 0
) -> results.Study:
    """Let every selector, or those that are named, choose on every task; tasks are read once.

    `seed` is that of every study; nothing of this one is drawn at random.

    Raises:
        ConfigError: A selector is unknown.
    """
    names = known_selectors(selectors)
    rows: list[dict[str, Any]] = []
    random: list[float] = []
    observations: dict[str, list[Observation]] = {OWN: [], ALL: []}
    for number, task in enumerate(tasks):
        rows += ({"task": number, **row} for row in _choices(task, names))
        random.append(task.share_right())
        for inputs, observed in observations.items():
            observed += _observed(task, replace(RULE, inputs=inputs))
    theorems = {inputs: estimate(observed) for inputs, observed in observations.items() if observed}
    oracle = [NAN if math.isnan(value) else float(value > 0.0) for value in random]
    choices = results.frame(rows, _CHOICES)
    measured = ({**row, "pass_at_1": row["right"], "coverage": row["selected"]} for row in rows)
    by = {"inputs": tuple(TITLES), "selector": names}
    table = results.interval_table(measured, by, _MEASURES, seed)
    probabilities = _probability_tables(choices, names)
    lines = {
        name: mean_interval(of_tasks) for name, of_tasks in (("random", random), ("oracle", oracle))
    }
    tables = {"selection": table, **probabilities, "selection_tasks": choices}
    return results.Study(
        name="selection",
        tables=tables,
        summary={
            "study": "selection",
            "n_tasks": len(random),
            "tau": RULE.tau,
            "rho": RULE.rho,
            "min_input_support": RULE.min_input_support,
            **lines,
            "selectors": results.nested(table),
            "calibration": results.nested(tables["selection_calibration"]),
            "precision": results.nested(tables["selection_precision"]),
            "theorem_2_4": {inputs: asdict(found) for inputs, found in theorems.items()},
        },
        listings=_listings(table, len(random)),
        notes=[*_notes(tables, lines), *theorem_lines(theorems)],
        figures=_figures(tables, lines),
    )


def best_selector(table: DataFrame) -> dict[str, Any]:
    """The row with the highest pass@1 as in a run; `agreement`, then the first, where equal."""
    shown = table[table["inputs"] == AS_RUN]
    shown = shown.assign(
        rounded=shown["pass_at_1"].round(9), other=shown["selector"] != "agreement"
    )
    ordered = shown.sort_values(["rounded", "other"], ascending=[False, True], kind="stable")
    return results.records(ordered)[0]


def shown_probabilities(tables: Mapping[str, DataFrame]) -> list[str]:
    """The selectors whose probabilities are shown: the paper's, and the best one that gives any.

    The tables hold those of all; drawn together they would hide each other.
    """
    known = set(tables["selection_calibration"]["selector"])
    table = tables["selection"]
    ranked = table[(table["inputs"] == AS_RUN) & table["selector"].isin(known)]
    best = ranked.sort_values("pass_at_1", ascending=False, kind="stable")["selector"].head(1)
    return [name for name in dict.fromkeys((PAPER, *best)) if name in known]


def probability_lines(tables: Mapping[str, DataFrame]) -> Iterator[str]:
    """For each selector of `shown_probabilities`: how good its probabilities are, in words."""
    for name in shown_probabilities(tables):
        said, *_ = _rows_of(tables["selection_calibration"], name)
        kept = _rows_of(tables["selection_precision"], name)
        precision = ", ".join(
            f"{results.mean_of(row, 'precision')} at {100 * row['coverage']:.0f}%" for row in kept
        )
        yield (
            f"{name}: Brier {said['brier']:.3f}, calibration error {said['expected_error']:.3f}; "
            f"precision {precision}"
        )


def theorem_lines(theorems: Mapping[str, TheoremEstimate]) -> Iterator[str]:
    """What theorem 2.4 promises for the largest cluster, and what was observed."""
    for inputs, found in theorems.items():
        is_promise = found.bound > 0.0  # False for NaN
        promised = f"in at least {100 * found.bound:.1f}%" if is_promise else "nothing"
        yield (
            f"theorem 2.4, {TITLES[inputs]}: the largest cluster holds right programs alone in "
            f"{100 * found.observed:.1f}% of {found.n_problems} tasks; promised: {promised}"
        )


def _choices(task: StudyTask, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for inputs in TITLES:
        asked = tuple(dict.fromkeys((*names, PAPER)))
        choices = choose(task.votes, asked, inputs=inputs, with_probability=inputs == AS_RUN)
        right = {name: task.chance_right(choices[name]) for name in asked}
        for name in asked:
            yield {
                "task_id": results.readable(task.task_id),
                "inputs": inputs,
                "selector": name,
                "selected": choices[name].program is not None,
                "right": right[name],
                "probability": choices[name].probability,
                "as_paper": task.answers_alike(choices[name], choices[PAPER]),
                "against_paper": right[name] - right[PAPER],
            }


def _observed(task: StudyTask, rule: Rule) -> list[Observation]:
    """What theorem 2.4 speaks of, on the inputs of a rule; nothing where no truth is known."""
    known = ~np.isnan(task.right_P)
    if not known.any():
        return []
    votes = counting(task.votes, rule)
    right_P = task.right_P[known] == 1.0
    return [observe(votes.answers_PT[known], votes.weights_P[known], right_P)]


def _probability_tables(choices: DataFrame, names: Sequence[str]) -> dict[str, DataFrame]:
    """Of every selector that gives a probability where the truth is known, on its own inputs."""
    summaries, bins, kept = [], [], []
    for name in names:
        rows = choices[(choices["inputs"] == AS_RUN) & (choices["selector"] == name)]
        p, right = (rows[column].to_numpy(float) for column in ("probability", "right"))
        if np.isnan(p + right).all():
            continue
        selector = {"selector": name}
        summaries.append(selector | calibration(p, right))
        bins += [selector | row for row in reliability(p, right)]
        kept += [selector | row for row in precisions(p, right)]
    return {
        f"selection_{name}": results.frame(found, ("selector", *columns), intervals)
        for name, found, columns, intervals in (
            ("calibration", summaries, ("brier", "expected_error", "mean_probability", "right"),
             ("brier", "right")),
            ("reliability", bins, ("low", "high", "probability", "right"), ("right",)),
            ("precision", kept, ("coverage", "n_kept", "least_probability", "precision"),
             ("precision",)),
        )
    }  # fmt: skip


def _listings(table: DataFrame, n_tasks: int) -> list[results.Listing]:
    cells = {"selector": ("selector", results.PLAIN), "pass@1": ("pass_at_1", results.PERCENT),
             "minus consensus": ("against_paper", results.DIFFERENCE),
             "chosen": ("coverage", results.SHARE),
             "as consensus": ("as_paper", results.PERCENT)}  # fmt: skip
    return [
        results.Listing(
            f"selection on {title}, {n_tasks} tasks", table[table["inputs"] == inputs], cells
        )
        for inputs, title in TITLES.items()
    ]


def _notes(tables: Mapping[str, DataFrame], lines: Mapping[str, Interval]) -> list[str]:
    framed = [f"random candidate {lines['random']}, oracle {lines['oracle']}"]
    rule = (
        f"every selector with tau={RULE.tau}; nothing selected counts as wrong; as consensus: the "
        f"same answers to all inputs as its choice"
    )
    return [*(framed if lines["random"].n else []), rule, *probability_lines(tables)]


def _figures(tables: Mapping[str, DataFrame], lines: Mapping[str, Interval]) -> dict[str, Any]:
    table, bins = tables["selection"], tables["selection_reliability"]
    has_truth = lines["random"].n > 0
    figures: dict[str, Any] = {
        "selection": partial(
            selector_rows,
            {TITLES[inputs]: table[table["inputs"] == inputs] for inputs in (ALL, OWN)},
            "pass_at_1" if has_truth else "as_paper",
            ("pass@1" if has_truth else "tasks answered as by the paper's choice")
            + ", with 95% intervals over tasks",
            {name: line.value for name, line in lines.items()} if has_truth else {},
        )
    }  # fmt: skip
    bins = bins[bins["selector"].isin(shown_probabilities(tables))]
    if len(bins):
        figures["selection_reliability"] = partial(
            tradeoff, bins, "probability", "probability of a choice, mean of a bin", "right",
            "share of choices that are right", diagonal=True,
        )  # fmt: skip
    return figures


def _rows_of(table: DataFrame, selector: str) -> list[dict[str, Any]]:
    return results.records(table[table["selector"] == selector])

"""Study: selector against selector, on the same tasks.

pass@1 is the share of tasks whose choice the truth accepts. A selector that draws at random is
scored by its exact expectation, not by one draw. Two lines frame all of them: a candidate drawn
from everything that was sampled, refused ones being wrong, and the oracle, which is right wherever
one candidate is. Every selector also chooses on the model's own inputs alone: how far mutations
and boundary values help beside the rule shows there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ucoder.consensus.inputs import kept_inputs
from ucoder.consensus.theorem import Observation, TheoremEstimate, estimate, observe
from ucoder.consensus.votes import Floats
from ucoder.evaluation.statistics import Interval, bootstrap_difference, bootstrap_interval
from ucoder.studies.calibration import (
    Bin,
    Calibration,
    Precision,
    calibration,
    precisions,
    reliability,
)
from ucoder.studies.choices import PAPER, RULE, choose, known_selectors
from ucoder.studies.figures_selection import draw_reliability, draw_selectors
from ucoder.studies.tables import Table
from ucoder.studies.tasks import Task

ALL: Final = "all"
OWN: Final = "own"


@dataclass(frozen=True, slots=True)
class Scored:
    """One choice: one task, one selector, one set of inputs.

    Attributes:
        task_id: The task.
        inputs: "all", or "own" for the model's own alone.
        selector: Who chose.
        selected: Whether there is a choice.
        right: How likely it is right, 0 or 1 but for lotteries; NaN where the truth is unknown.
        probability: What was said of it; NaN where nothing was.
        as_paper: Whether it answers all inputs as the paper's choice does.
    """

    task_id: str
    inputs: str
    selector: str
    selected: bool
    right: float
    probability: float
    as_paper: bool


@dataclass(frozen=True, slots=True)
class Result:
    """One selector on one set of inputs.

    Attributes:
        inputs: As in `Scored`.
        selector: Who chose.
        pass_at_1: Nothing selected counts as wrong.
        against_paper: pass@1 less that of the paper's consensus on the same inputs, paired.
        coverage: Share of tasks with a selection.
        as_paper: Share of tasks that are answered as by the paper's choice.
    """

    inputs: str
    selector: str
    pass_at_1: Interval
    against_paper: Interval
    coverage: Interval
    as_paper: Interval


@dataclass(frozen=True)
class SelectionStudy:
    """What was found; see the module.

    Attributes:
        n_tasks: Tasks.
        random: pass@1 of a candidate drawn from all.
        oracle: Share of tasks with at least one right candidate.
        results: Selectors in the order of their registry, on all inputs and then on the own.
        calibrations: Of selectors with a probability, on all inputs.
        bins: Their reliability tables.
        precisions: Their precision at coverage.
        theorem: Theorem 2.4's bound beside what was observed; None where no truth is known.
        scored: Every choice.
    """

    n_tasks: int
    random: Interval
    oracle: Interval
    results: tuple[Result, ...]
    calibrations: tuple[Calibration, ...]
    bins: tuple[Bin, ...]
    precisions: tuple[Precision, ...]
    theorem: TheoremEstimate | None
    scored: tuple[Scored, ...]
    name: str = "selection"

    def on(self, inputs: str) -> list[Result]:
        """The results on one set of inputs."""
        return [result for result in self.results if result.inputs == inputs]

    def best(self) -> Result:
        """The highest pass@1 on all inputs; `agreement`, then the registry's order, where equal.

        Raises:
            ValueError: There is no result.
        """
        ordered = sorted(self.on(ALL), key=lambda result: result.selector != "agreement")
        return max(ordered, key=lambda result: round(result.pass_at_1.value, 9))

    def told(self) -> tuple[str, ...]:
        """Whose probabilities are shown: the paper's rule, and the best selector that gives any.

        Those of all are in the tables; drawn together they would hide each other.
        """
        said = {found.selector for found in self.calibrations}
        ranked = sorted(self.on(ALL), key=lambda result: -result.pass_at_1.value)
        best = [result.selector for result in ranked if result.selector in said]
        return tuple(dict.fromkeys((PAPER, *best[:1])))

    def tables(self) -> list[Table]:
        """See `Study.tables`."""
        return [
            Table("selection", Result, self.results),
            Table("selection_calibration", Calibration, self.calibrations),
            Table("selection_reliability", Bin, self.bins),
            Table("selection_precision", Precision, self.precisions),
            Table("selection_tasks", Scored, self.scored),
        ]

    def summary(self) -> dict[str, Any]:
        """See `Study.summary`."""
        return {
            "study": self.name,
            "n_tasks": self.n_tasks,
            "tau": RULE.tau,
            "rho": RULE.rho,
            "min_input_support": RULE.min_input_support,
            "random": self.random,
            "oracle": self.oracle,
            "selectors": self.results,
            "calibration": self.calibrations,
            "precision": self.precisions,
            "theorem_2_4": self.theorem,
        }

    def draw(self, folder: Path) -> list[Path]:
        """See `Study.draw`."""
        rows = [
            (result.selector, result.inputs == ALL, result.pass_at_1, result.as_paper)
            for result in self.results
        ]
        drawn = draw_selectors(rows, self.random, self.oracle, folder, self.name)
        bins = [row for row in self.bins if row.selector in self.told()]
        return drawn + draw_reliability(bins, folder, f"{self.name}_reliability")


def study_selection(
    tasks: Iterable[Task], selectors: Sequence[str] = (), seed: int = 0
) -> SelectionStudy:
    """Let every selector choose on every task.

    Args:
        tasks: Read once, one at a time.
        selectors: Their names; all where none is given.
        seed: Of the resampling of tasks.

    Raises:
        ConfigError: A name is no selector's.
    """
    names = known_selectors(selectors)
    scored: list[Scored] = []
    random: list[float] = []
    oracle: list[float] = []
    observations: list[Observation] = []
    for task in tasks:
        scored += _scored(task, names)
        random.append(task.share_right())
        oracle.append(float(random[-1] > 0.0) if not math.isnan(random[-1]) else math.nan)
        observations += _observed(task)
    said = {name: _probabilities(scored, name) for name in names}
    known = [(name, p, r) for name, (p, r) in said.items() if not np.isnan(p + r).all()]
    return SelectionStudy(
        n_tasks=len(random),
        random=bootstrap_interval(random, seed),
        oracle=bootstrap_interval(oracle, seed),
        results=tuple(_results(scored, names, seed)),
        calibrations=tuple(calibration(name, p, r, seed) for name, p, r in known),
        bins=tuple(row for name, p, r in known for row in reliability(name, p, r)),
        precisions=tuple(row for name, p, r in known for row in precisions(name, p, r)),
        theorem=estimate(observations) if observations else None,
        scored=tuple(scored),
    )


def _scored(task: Task, names: Sequence[str]) -> list[Scored]:
    rows = []
    for inputs, votes in ((ALL, task.votes), (OWN, task.with_own_inputs())):
        asked = tuple(dict.fromkeys((*names, PAPER)))
        choices = choose(votes, asked, with_probability=inputs == ALL)
        rows += [
            Scored(
                task_id=task.task_id,
                inputs=inputs,
                selector=name,
                selected=choices[name].program is not None,
                right=task.chance_right(choices[name]),
                probability=choices[name].probability,
                as_paper=task.answers_alike(choices[name], choices[PAPER]),
            )
            for name in asked
        ]
    return rows


def _results(scored: Sequence[Scored], names: Sequence[str], seed: int) -> list[Result]:
    results = []
    for inputs in (ALL, OWN):
        paper = [s.right for s in scored if (s.inputs, s.selector) == (inputs, PAPER)]
        for name in names:
            rows = [s for s in scored if (s.inputs, s.selector) == (inputs, name)]
            right = [s.right for s in rows]
            results.append(
                Result(
                    inputs=inputs,
                    selector=name,
                    pass_at_1=bootstrap_interval(right, seed),
                    against_paper=bootstrap_difference(right, paper, seed),
                    coverage=bootstrap_interval([float(s.selected) for s in rows], seed),
                    as_paper=bootstrap_interval([float(s.as_paper) for s in rows], seed),
                )
            )
    return results


def _probabilities(scored: Sequence[Scored], name: str) -> tuple[Floats, Floats]:
    """Probability and truth of a selector's choices on all inputs."""
    rows = [s for s in scored if (s.inputs, s.selector) == (ALL, name)]
    return np.array([s.probability for s in rows]), np.array([s.right for s in rows])


def _observed(task: Task) -> list[Observation]:
    """What theorem 2.4 speaks of, on the inputs that count; nothing where no truth is known."""
    known = ~np.isnan(task.right_P)
    if not known.any():
        return []
    votes = task.votes.on(kept_inputs(task.votes, RULE.min_input_support))
    right_P = task.right_P[known] == 1.0
    return [observe(votes.answers_PT[known], votes.weights_P[known], right_P)]

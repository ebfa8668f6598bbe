"""Study: how many inputs a choice needs, and which.

Random subsets of each task's inputs, several of each size. Two questions: how often the choice is
right, and how often it is the one that all inputs give (the same answers to all of them). The knee
is the fewest inputs from which on the second is above 95%. Beside it stands the smallest set of
inputs that tells as many behaviours apart as all of them do: what random inputs waste.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ucoder.consensus.inputs import distinguishing_inputs, kept_inputs
from ucoder.evaluation.statistics import Interval, bootstrap_interval, mean_of_known
from ucoder.seeds import derive_seed
from ucoder.studies.choices import MAIN, RULE, choose, known_selectors
from ucoder.studies.figures import MUTED, counts, drawing, legend, lines, save
from ucoder.studies.tables import Table
from ucoder.studies.tasks import Task

SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 150, 200)
REPEATS: Final = 3
KNEE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Coverage:
    """One selector with so many inputs.

    Attributes:
        selector: Who chose.
        n_inputs: Most inputs of a task; a task that has fewer keeps all.
        n_tasks_with_more: Tasks from which inputs were left out.
        pass_at_1: Mean over the subsets; unknown where the truth is.
        same_choice: Share of choices that answer all inputs as the choice on all inputs does.
    """

    selector: str
    n_inputs: int
    n_tasks_with_more: int
    pass_at_1: Interval
    same_choice: Interval


@dataclass(frozen=True, slots=True)
class Separation:
    """How few inputs would do for one task.

    Attributes:
        task_id: The task.
        n_inputs: Its inputs.
        n_kept: Those that count: enough candidates answer.
        n_distinguishing: Of these, chosen greedily, that keep all clusters apart.
        n_clusters: Clusters of equal answers.
    """

    task_id: str
    n_inputs: int
    n_kept: int
    n_distinguishing: int
    n_clusters: int


@dataclass(frozen=True)
class CoverageStudy:
    """What was found; see the module.

    Attributes:
        n_tasks: Tasks with an input; those without have nothing to leave out.
        repeats: Subsets of each size and task.
        rows: By selector, then size.
        separations: One a task.
        separating: Mean size of the smallest separating set.
        kept: Mean number of inputs that count.
    """

    n_tasks: int
    repeats: int
    rows: tuple[Coverage, ...]
    separations: tuple[Separation, ...]
    separating: Interval
    kept: Interval
    name: str = "coverage"

    def knees(self) -> dict[str, int | None]:
        """By selector, the fewest inputs from which on the same choice is above 95%.

        None where it is not reached by leaving inputs out: with all inputs it always is.
        """
        found: dict[str, int | None] = {}
        for selector in dict.fromkeys(row.selector for row in self.rows):
            found[selector] = None
            for row in reversed([row for row in self.rows if row.selector == selector]):
                if not row.same_choice.value > KNEE:
                    break
                if row.n_tasks_with_more:
                    found[selector] = row.n_inputs
        return found

    def tables(self) -> list[Table]:
        """See `Study.tables`."""
        return [
            Table("coverage", Coverage, self.rows),
            Table("coverage_distinguishing", Separation, self.separations),
        ]

    def summary(self) -> dict[str, Any]:
        """See `Study.summary`."""
        return {
            "study": self.name,
            "n_tasks": self.n_tasks,
            "subsets": self.repeats,
            "knee_above": KNEE,
            "knee": {name: knee or "not reached" for name, knee in self.knees().items()},
            "distinguishing_inputs": self.separating,
            "kept_inputs": self.kept,
            "rows": self.rows,
        }

    def draw(self, folder: Path) -> list[Path]:
        """See `Study.draw`."""
        selectors = dict.fromkeys(row.selector for row in self.rows)
        sizes = sorted({row.n_inputs for row in self.rows})
        if not sizes:
            return []
        has_truth = any(row.pass_at_1.n for row in self.rows)
        with drawing(1 + has_truth, 5.0 * (1 + has_truth), 3.9) as (figure, panels):
            lines(
                panels[-1],
                {s: [(r.n_inputs, r.same_choice) for r in self.rows if r.selector == s]
                 for s in selectors},
                label="same choice as with all inputs",
            )  # fmt: skip
            panels[-1].axhline(KNEE, color=MUTED, linewidth=1.2, linestyle=(0, (4, 2)))
            if has_truth:
                lines(
                    panels[0],
                    {s: [(r.n_inputs, r.pass_at_1) for r in self.rows if r.selector == s]
                     for s in selectors},
                    label="pass@1",
                )  # fmt: skip
            for axes in panels:
                counts(axes, sizes)
                axes.set_xlabel("inputs of a task, at most")
            legend(panels[-1], loc="lower right")
            return save(figure, folder, self.name)


def study_coverage(
    tasks: Iterable[Task],
    selectors: Sequence[str] = MAIN,
    seed: int = 0,
    *,
    sizes: Sequence[int] = SIZES,
    repeats: int = REPEATS,
) -> CoverageStudy:
    """Leave inputs out, and choose again.

    Args:
        tasks: Read once, one at a time; those without an input are passed over.
        selectors: Their names.
        seed: Of the subsets and of the resampling of tasks.
        sizes: Numbers of inputs.
        repeats: Subsets of each size; the smaller ones are parts of the larger ones.

    Raises:
        ConfigError: A name is no selector's.
    """
    names, sizes = known_selectors(selectors or MAIN), sorted(set(sizes))
    right: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    same: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    n_inputs: list[int] = []
    separations: list[Separation] = []
    for task in tasks:
        T = len(task.votes.inputs)
        if T == 0:
            continue
        n_inputs.append(T)
        separations.append(_separation(task))
        for key, (rights, sames) in _subsets(task, names, sizes, repeats, seed).items():
            right[key].append(mean_of_known(rights))
            same[key].append(mean_of_known(sames))
    return CoverageStudy(
        n_tasks=len(n_inputs),
        repeats=repeats,
        rows=tuple(
            Coverage(
                selector=name,
                n_inputs=size,
                n_tasks_with_more=sum(n > size for n in n_inputs),
                pass_at_1=bootstrap_interval(right[name, size], seed),
                same_choice=bootstrap_interval(same[name, size], seed),
            )
            for name in names
            for size in sizes
        ),
        separations=tuple(separations),
        separating=bootstrap_interval([s.n_distinguishing for s in separations], seed),
        kept=bootstrap_interval([s.n_kept for s in separations], seed),
    )


_Found = dict[tuple[str, int], tuple[list[float], list[float]]]


def _subsets(
    task: Task, names: Sequence[str], sizes: Sequence[int], repeats: int, seed: int
) -> _Found:
    """By selector and size: how likely each choice is right, and whether it is the full one."""
    found: _Found = {(name, size): ([], []) for name in names for size in sizes}
    full = choose(task.votes, names)
    T = len(task.votes.inputs)
    for repeat in range(repeats):
        random = np.random.default_rng(derive_seed(seed, "coverage", task.task_id, repeat))
        order = random.permutation(T)
        for size in sizes:
            choices = (
                choose(task.votes.on(np.sort(order[:size]).tolist()), names) if size < T else full
            )
            for name, choice in choices.items():
                rights, sames = found[name, size]
                rights.append(task.chance_right(choice))
                sames.append(float(task.answers_alike(choice, full[name])))
    return found


def _separation(task: Task) -> Separation:
    votes = task.votes.on(kept_inputs(task.votes, RULE.min_input_support))
    return Separation(
        task_id=task.task_id,
        n_inputs=len(task.votes.inputs),
        n_kept=len(votes.inputs),
        n_distinguishing=len(distinguishing_inputs(votes)),
        n_clusters=len(set(votes.clusters_P.tolist())),
    )

"""Study: at which share of wrong programs that agree on purpose each selector breaks.

A share of a task's candidates, drawn at random, is replaced by programs that all behave alike and
are wrong: the assumption that theorem 2.4 cannot do without. Each is a text of its own, so that
rules which count equal texts once are not spared. The attacker knows what votes look like: the
planted programs return on every input where the copied one does, their answers vary, and they do
not give their argument back.

Only tasks with a right candidate take part, because the others are lost from the start. A selector
breaks at the share at which its pass@1 is half of what it is without planting; its probability has
warned where wrong choices come with a low one (`probability_wrong`, a mean). `planted_chosen` is
the share of choices that behave as the planted programs: at share 0, how often the wrong behaviour
is chosen already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ucoder.consensus.inputs import echoes
from ucoder.consensus.selection import counting
from ucoder.consensus.votes import BOTTOM, Bools, Ints
from ucoder.errors import BenchmarkError
from ucoder.records import NAN
from ucoder.studies import results
from ucoder.studies.figures import curves
from ucoder.studies.tasks import (
    MAIN,
    ON_ALL,
    RULE,
    StudyChoice,
    StudyTask,
    choose,
    known_selectors,
)

if TYPE_CHECKING:
    from pandas import DataFrame

SHARES: Final = tuple(at / 100 for at in range(0, 65, 5))
REPEATS: Final = 3
BROKEN: Final = 0.5

_MEASURES = ("pass_at_1", "planted_chosen", "probability_wrong", "probability_right")
_PREFIX: Final = "planted "


@dataclass(frozen=True, eq=False)
class PlantedBehaviour:
    """What the planted programs do.

    `texts` holds all answers by code: those of the votes, then new ones. `is_synthetic` says that
    no candidate was wrong in a way worth copying.
    """

    answers_T: Ints
    returned_T: Bools
    texts: tuple[str, ...]
    source: str
    is_synthetic: bool


def study_adversary(
    tasks: Iterable[StudyTask],
    selectors: Sequence[str] = MAIN,
    seed: int = 0,
    *,
    shares: Sequence[float] = SHARES,
    repeats: int = REPEATS,
) -> results.Study:
    """Replace a growing share of the candidates by wrong programs that agree, and choose.

    Tasks are read once, one at a time. 0 is always among the shares. Who is replaced is drawn
    `repeats` times; what a smaller share replaces, a larger one does too.

    Raises:
        BenchmarkError: No task has a candidate that is known to be right.
        ConfigError: A selector is unknown.
    """
    names, shares = known_selectors(selectors or MAIN), sorted({0.0, *shares})
    rows: list[dict[str, Any]] = []
    n_tasks = n_left_out = n_synthetic = 0
    for task in tasks:
        if not (task.right_P == 1.0).any() or not task.votes.inputs:
            n_left_out += 1
            continue
        behaviour = wrong_behaviour(task)
        attacked = _attacked(task, behaviour, names, shares, repeats, seed)
        rows += ({"task": n_tasks, **row} for row in attacked)
        n_tasks += 1
        n_synthetic += behaviour.is_synthetic
    if n_tasks == 0:
        raise BenchmarkError(
            f"none of {n_left_out} tasks has a candidate that is known to be right, so there is "
            f"nothing to break; give a file of samples whose tasks hold a test script"
        )
    table = results.interval_table(rows, {"selector": names, "share": shares}, _MEASURES, seed)
    broken = {name: breaks_at(table[table["selector"] == name]) for name in names}
    return results.Study(
        name="adversary",
        tables={"adversary": table},
        summary={
            "study": "adversary",
            "n_tasks": n_tasks,
            "n_without_right_candidate": n_left_out,
            "n_synthetic": n_synthetic,
            "draws": repeats,
            "breaks_at": {n: "not reached" if at is None else at for n, at in broken.items()},
            "rows": results.nested(table),
        },
        listings=[_listing(table, n_tasks)],
        notes=[
            f"{name}: " + ("does not break" if at is None else f"breaks at {100 * at:.0f}%")
            for name, at in broken.items()
        ],
        figures={
            "adversary": partial(
                curves, table, "share", "candidates that are planted and agree",
                {"pass_at_1": "pass@1 of tasks with a right candidate",
                 "probability_wrong": "mean probability of wrong choices"},
            )
        },
    )  # fmt: skip


def breaks_at(table: DataFrame) -> float | None:
    """The least share at which pass@1 is at most half of the clean one, for one selector's rows.

    None where that is not reached, or where the clean one is 0.
    """
    clean = table["pass_at_1"].iloc[0]
    broken = table["share"][(table["pass_at_1"] <= BROKEN * clean) & (clean > 0)]
    return float(broken.iloc[0]) if len(broken) else None


def wrong_behaviour(task: StudyTask) -> PlantedBehaviour:
    """The largest cluster of wrong programs, or right answers in each other's places.

    A cluster is worth copying where no member is right or unknown, it is reliable on the inputs
    that count, its answers vary, and it does not echo its argument. Otherwise each answer of the
    largest right cluster is replaced by its next one, or, where it has only one, by two that no
    candidate gives. The task must have a right program.
    """
    votes = task.votes
    kept = counting(votes, ON_ALL)
    sizes_C = np.bincount(votes.clusters_P, votes.weights_P)
    not_wrong_C = np.bincount(votes.clusters_P, task.right_P != 0.0)
    varied_P = np.array([len(set(row) - {BOTTOM}) > 1 for row in kept.answers_PT.tolist()])
    able_P = (kept.success_P >= RULE.rho) & varied_P & ~echoes(kept)
    able_P &= not_wrong_C[votes.clusters_P] == 0
    is_synthetic = not able_P.any()
    able_P = task.right_P == 1.0 if is_synthetic else able_P
    at = int(np.argmax(np.where(able_P, sizes_C[votes.clusters_P], -1)))
    answers_T, returned_T, texts = votes.answers_PT[at], votes.returned_PT[at], votes.texts
    if is_synthetic:
        answers_T, texts = _exchanged(answers_T, returned_T, texts)
    return PlantedBehaviour(answers_T, returned_T, texts, votes.sources[at], is_synthetic)


def plant(task: StudyTask, behaviour: PlantedBehaviour, replaced: NDArray[np.int64]) -> StudyTask:
    """The task with these candidates replaced.

    A planted program has the perplexity of the candidate in whose place it stands.
    """
    if replaced.size == 0:
        return task
    is_replaced = np.zeros(task.n, dtype=np.bool_)
    is_replaced[replaced] = True
    votes = task.sampled(np.flatnonzero(~is_replaced))
    n, T, n_left = replaced.size, len(votes.inputs), len(votes.programs)
    at_P = [task.places[program] for program in votes.programs]
    place_of = np.full(len(task.votes.programs) + 1, -1, dtype=np.int32)  # the last one: no vote
    place_of[at_P] = np.arange(n_left)
    programs_N = place_of[task.programs_N]
    programs_N[replaced] = np.arange(n_left, n_left + n)
    right_N = task.right_N.copy()
    right_N[replaced] = 0.0
    more = replace(
        votes,
        programs=votes.programs + tuple(f"{_PREFIX}{at:04}" for at in range(n)),
        sources=votes.sources + (behaviour.source,) * n,
        weights_P=np.append(votes.weights_P, np.ones(n, np.int32)).astype(np.int32),
        perplexities_P=np.append(votes.perplexities_P, task.perplexities_N[replaced]),
        answers_PT=np.vstack([votes.answers_PT, np.broadcast_to(behaviour.answers_T, (n, T))]),
        returned_PT=np.vstack([votes.returned_PT, np.broadcast_to(behaviour.returned_T, (n, T))]),
        texts=behaviour.texts,
    )
    right_P = np.append(task.right_P[at_P], np.zeros(n))
    return replace(task, votes=more, right_P=right_P, programs_N=programs_N, right_N=right_N)


def behaves_as(task: StudyTask, choice: StudyChoice, behaviour: PlantedBehaviour) -> bool:
    """Whether the chosen program is one of the planted, or one that they are copied from."""
    if choice.program is None:
        return False
    row_T = task.votes.answers_PT[task.places[choice.program]]
    return bool((row_T == behaviour.answers_T).all())


def _attacked(
    task: StudyTask,
    behaviour: PlantedBehaviour,
    names: Sequence[str],
    shares: Sequence[float],
    repeats: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    for order in task.orders(task.n, repeats, seed, "adversary"):
        for planted in shares:
            attacked = plant(task, behaviour, order[: round(planted * task.n)])
            for name, choice in choose(attacked.votes, names, with_probability=True).items():
                right = attacked.chance_right(choice)
                yield {
                    "selector": name,
                    "share": planted,
                    "pass_at_1": right,
                    "planted_chosen": float(behaves_as(attacked, choice, behaviour)),
                    "probability_wrong": choice.probability if right == 0.0 else NAN,
                    "probability_right": choice.probability if right == 1.0 else NAN,
                }


def _exchanged(
    row_T: Ints, returned_T: Bools, texts: tuple[str, ...]
) -> tuple[Ints, tuple[str, ...]]:
    """Each returned answer replaced by another one, and all answers by code."""
    answers = sorted(set(row_T[returned_T].tolist()))
    if len(answers) > 1:
        following = dict(zip(answers, [*answers[1:], answers[0]], strict=True))
        return np.array([following.get(c, c) for c in row_T.tolist()], dtype=np.int32), texts
    new = np.array((len(texts), len(texts) + 1), dtype=np.int32)
    planted_T = np.where(returned_T, np.resize(new, row_T.size), row_T).astype(np.int32)
    return planted_T, (*texts, "'planted 0'", "'planted 1'")


def _listing(table: DataFrame, n_tasks: int) -> results.Listing:
    cells = {"selector": ("selector", results.PLAIN), "planted": ("share", results.SHARE),
             "pass@1": ("pass_at_1", results.PERCENT),
             "chosen": ("planted_chosen", results.PERCENT),
             "p if wrong": ("probability_wrong", results.PERCENT),
             "p if right": ("probability_right", results.PERCENT)}  # fmt: skip
    title = f"planted wrong programs, {n_tasks} tasks with a right candidate"
    return results.Listing(title, table, cells)

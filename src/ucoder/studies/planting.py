"""Wrong programs planted that agree on purpose: the assumption that theorem 2.4 cannot do without.

A share of a task's candidates, drawn at random, is replaced by programs that all behave alike and
are wrong. Each is a text of its own, so that rules which count equal texts once are not spared.
Who is planted knows what votes look like: it returns on every input where the copied one does, its
answers vary, and it does not give its argument back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ucoder.consensus.inputs import echoes, kept_inputs
from ucoder.consensus.votes import BOTTOM, Bools, Ints, Votes
from ucoder.studies.choices import RULE, Choice
from ucoder.studies.tasks import Task

_PREFIX: Final = "planted "


@dataclass(frozen=True, eq=False)
class Behaviour:
    """What the planted programs do.

    Attributes:
        answers_T: Codes of their answers.
        returned_T: Whether each is returned.
        texts: All answers by code; those of the votes, and new ones behind them.
        source: Their text.
        is_synthetic: Whether no candidate was wrong in a way worth copying.
    """

    answers_T: Ints
    returned_T: Bools
    texts: tuple[str, ...]
    source: str
    is_synthetic: bool


def wrong_behaviour(task: Task) -> Behaviour:
    """The largest cluster of wrong programs, or right answers in each other's places.

    A cluster is worth copying where no member is right or unknown, it is reliable on the inputs
    that count, its answers vary, and it is no echo. Otherwise each answer of the largest right
    cluster is replaced by its next one, or, where it has but one, by two that nobody gives.

    Args:
        task: With at least one right program.
    """
    votes = task.votes
    kept = votes.on(kept_inputs(votes, RULE.min_input_support))
    sizes_C = np.bincount(votes.clusters_P, votes.weights_P)
    not_wrong_C = np.bincount(votes.clusters_P, task.right_P != 0.0)
    echo_P = echoes(kept)
    varied_P = np.array([len(set(row) - {BOTTOM}) > 1 for row in kept.answers_PT.tolist()])
    able_P = (kept.success_P >= RULE.rho) & varied_P & ~echo_P
    able_P &= not_wrong_C[votes.clusters_P] == 0
    if able_P.any():
        at = int(np.argmax(np.where(able_P, sizes_C[votes.clusters_P], -1)))
        return Behaviour(
            votes.answers_PT[at], votes.returned_PT[at], votes.texts, votes.sources[at], False
        )
    right_P = task.right_P == 1.0
    at = int(np.argmax(np.where(right_P, sizes_C[votes.clusters_P], -1)))
    return _synthetic(votes, at)


def plant(task: Task, behaviour: Behaviour, replaced: NDArray[np.int64]) -> Task:
    """The task with these candidates replaced.

    A planted program has the perplexity of the candidate in whose place it stands.

    Args:
        task: The task.
        behaviour: Of the planted programs.
        replaced: Places of the candidates.
    """
    if replaced.size == 0:
        return task
    is_replaced = np.zeros(task.n, dtype=np.bool_)
    is_replaced[replaced] = True
    votes = task.sampled(np.flatnonzero(~is_replaced))
    n, T = replaced.size, len(votes.inputs)
    order = {program: at for at, program in enumerate(votes.programs)}
    at_P = [task.places[program] for program in votes.programs]
    place_of = np.full(len(task.votes.programs) + 1, -1, dtype=np.int32)  # the last one: no vote
    place_of[at_P] = list(order.values())
    programs_N = place_of[task.programs_N]
    programs_N[replaced] = np.arange(len(order), len(order) + n)
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


def behaves_as(task: Task, choice: Choice, behaviour: Behaviour) -> bool:
    """Whether the program that was chosen is one of the planted, or what they are copied from."""
    if choice.program is None:
        return False
    row_T = task.votes.answers_PT[task.places[choice.program]]
    return bool((row_T == behaviour.answers_T).all())


def _synthetic(votes: Votes, at: int) -> Behaviour:
    row = votes.answers_PT[at]
    answers = sorted(set(row[votes.returned_PT[at]].tolist()))
    texts = votes.texts
    if len(answers) > 1:
        following = dict(zip(answers, [*answers[1:], answers[0]], strict=True))
        planted = np.array([following.get(code, code) for code in row.tolist()], dtype=np.int32)
    else:
        new = (len(texts), len(texts) + 1)
        texts = (*texts, "'planted 0'", "'planted 1'")
        planted = np.where(
            votes.returned_PT[at], np.resize(np.array(new, dtype=np.int32), row.size), row
        ).astype(np.int32)
    return Behaviour(planted, votes.returned_PT[at].copy(), texts, votes.sources[at], True)

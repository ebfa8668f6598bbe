"""How hard a problem is for its model, and which pairs are kept.

A problem on which nearly all candidates agree, the greedy answer among them, teaches little: the
model solves it already. Difficulty is estimated from the share of the candidates that behave like
the selected one, and from the greedy answer; no label is needed. It is the model's own difficulty,
so a wrong majority looks easy.

Pairs are left out for three reasons, in this order, each drawing by the run's seed: the greedy
answer is right already (`consolidation.replay`), the problem's class of difficulty has its share
(`difficulty.target`), there are enough pairs (`n_pairs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ucoder.config import ConsolidationConfig, DifficultyConfig, DifficultyTarget
from ucoder.records import Difficulty, ExampleKind, PairChoice, Reason
from ucoder.seeds import derive_seed


def difficulty_of(agreeing: float, is_greedy_wrong: bool, config: DifficultyConfig) -> Difficulty:
    """The class of a problem.

    Args:
        agreeing: Share of the candidates that behave like the selected one.
        is_greedy_wrong: Whether the greedy answer behaves differently; False where there is none.
        config: The thresholds.
    """
    if agreeing < config.hard_below:
        return Difficulty.HARD
    is_easy = agreeing >= config.easy_from and not is_greedy_wrong
    return Difficulty.EASY if is_easy else Difficulty.MEDIUM


def with_reasons(
    choices: Iterable[PairChoice], config: ConsolidationConfig, run_seed: int
) -> list[PairChoice]:
    """The same choices, by problem id; those that are left out by the seed have a reason now.

    Whether a problem stays does not depend on the order of the choices.
    """
    left = sorted(choices, key=lambda c: derive_seed(run_seed, "pairs", c.iteration, c.problem_id))
    left = _beyond_replay(left, config.replay)
    if config.difficulty.target is not None:
        left = _beyond_target(left, config.difficulty.target, config.n_pairs)
    if config.n_pairs is not None:
        left = _beyond(left, config.n_pairs, Reason.ENOUGH_PAIRS)
    return sorted(left, key=lambda choice: choice.problem_id)


def is_filled(choices: Sequence[PairChoice], config: ConsolidationConfig) -> bool:
    """Whether no further problems are wanted: as many pairs are kept as were asked for."""
    return config.n_pairs is None or sum(c.reason is None for c in choices) >= config.n_pairs


def quotas(target: DifficultyTarget, n: int) -> dict[Difficulty, int]:
    """How many of n pairs each class has; they add up to n."""
    shares = {
        Difficulty.EASY: target.easy,
        Difficulty.MEDIUM: target.medium,
        Difficulty.HARD: target.hard,
    }
    found: dict[Difficulty, int] = {}
    together = 0.0
    for difficulty, share in shares.items():
        together += share
        found[difficulty] = math.floor(min(1.0, together) * n + 0.5) - sum(found.values())
    return found


def _beyond_replay(choices: list[PairChoice], share: float) -> list[PairChoice]:
    replayed = [c for c in choices if c.kind is ExampleKind.REPLAYED]
    n_kept = round(share * sum(c.reason is None for c in replayed))
    out = _beyond(replayed, n_kept, Reason.ALREADY_KNOWN)
    by_id = {choice.problem_id: choice for choice in out}
    return [by_id.get(choice.problem_id, choice) for choice in choices]


def _beyond_target(
    choices: list[PairChoice], target: DifficultyTarget, n_pairs: int | None
) -> list[PairChoice]:
    n = n_pairs or sum(choice.reason is None for choice in choices)
    by_id: dict[str, PairChoice] = {}
    for difficulty, n_kept in quotas(target, n).items():
        of_class = [choice for choice in choices if choice.difficulty is difficulty]
        out = _beyond(of_class, n_kept, Reason.ENOUGH_OF_ITS_DIFFICULTY)
        by_id.update({choice.problem_id: choice for choice in out})
    return [by_id[choice.problem_id] for choice in choices]


def _beyond(choices: Iterable[PairChoice], n_kept: int, reason: Reason) -> list[PairChoice]:
    """The choices, of which the first `n_kept` without a reason stay without one."""
    found = []
    for choice in choices:
        if choice.reason is None:
            n_kept -= 1
            choice = choice if n_kept >= 0 else replace(choice, reason=reason)
        found.append(choice)
    return found

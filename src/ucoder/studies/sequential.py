"""Sampling in rounds on samples that exist already: what stopping early would save and cost.

A task's candidates are shuffled and handed out 8 at a time. After each round the rule of
`ucoder.consensus.stopping` looks at those that are there, and stops as soon as the regret is small
enough. What it would have chosen then is compared with the choice from all of the candidates.
The table `samples_stopping` holds the means over tasks for each selector and value of `max_regret`.
`saved` is the share of the samples that were not needed and `tokens_saved` that of the tokens;
choices at stopping are compared with the full ones: `differs` where they answer some input
differently, `correctness_differs` where one is right and the other wrong, `lost` what pass@1 loses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ucoder.consensus.selection import counting
from ucoder.consensus.stopping import regret_of
from ucoder.records import NAN
from ucoder.studies.tasks import RULE, StudyChoice, StudyTask, choose

ROUND: Final = 8
REGRETS: Final = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
MEASURES: Final = (
    "samples", "saved", "tokens_saved", "differs", "correctness_differs", "pass_at_1", "lost",
)  # fmt: skip


def stops_of(
    task: StudyTask, selectors: Sequence[str], regrets: Sequence[float], repeats: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Where sampling one task would have stopped; at its end where there is no forecast.

    Yields:
        `selector`, `max_regret` and `MEASURES`, for each of `repeats` shuffles.
    """
    full, able = choose(task.votes, selectors), can_forecast(task, selectors)
    for order in task.orders(task.n, repeats, seed, "samples"):
        for selector in selectors:
            sizes = dict.fromkeys(regrets, task.n)
            if selector in able:
                sizes |= _sizes(task, order, selector, regrets, seed)
            stops = {
                size: _stop(task, order[:size], selector, full[selector])
                for size in set(sizes.values())
            }
            for regret, size in sizes.items():
                yield {"selector": selector, "max_regret": regret, **stops[size]}


def can_forecast(task: StudyTask, selectors: Sequence[str]) -> set[str]:
    """The selectors that can say what more samples of this task would do."""
    rules = {name: replace(RULE, selector=name) for name in selectors}
    return {
        name
        for name, rule in rules.items()
        if not math.isnan(regret_of(counting(task.votes, rule), rule, 1))
    }


def _sizes(
    task: StudyTask, order: NDArray[np.int64], selector: str, regrets: Sequence[float], seed: int
) -> dict[float, int]:
    """After how many samples each regret stops; a regret that never does is missing."""
    rule = replace(RULE, selector=selector)
    waiting = sorted(regrets, reverse=True)
    sizes: dict[float, int] = {}
    for size in range(ROUND, task.n, ROUND):
        votes = counting(task.sampled(order[:size]), rule)
        regret = regret_of(votes, rule, task.n - size, seed=seed)
        while waiting and regret <= waiting[0]:  # never where it is NaN
            sizes[waiting.pop(0)] = size
        if not waiting:
            break
    return sizes


def _stop(
    task: StudyTask, drawn: NDArray[np.int64], selector: str, full: StudyChoice
) -> dict[str, float]:
    is_all = drawn.size == task.n
    choice = full if is_all else choose(task.sampled(drawn), [selector])[selector]
    right, right_at_all = task.chance_right(choice), task.chance_right(full)
    n_tokens = int(task.tokens_N.sum())
    return {
        "samples": drawn.size,
        "saved": 1.0 - drawn.size / task.n,
        "tokens_saved": 1.0 - int(task.tokens_N[drawn].sum()) / n_tokens if n_tokens else NAN,
        "differs": float(not task.answers_alike(choice, full)),
        "correctness_differs": abs(right - right_at_all),
        "pass_at_1": right,
        "lost": right_at_all - right,
    }

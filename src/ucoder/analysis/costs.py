"""What each stage cost: seconds from the journal, sampled tokens from the records.

Stages 1 to 3 run as one task for each problem and are timed together, under the name of the first;
generation overlaps execution, so stage 5 has one time for both. Evaluations are timed by benchmark
and model, such as `humaneval M0`; here they are summed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ucoder.analysis.numbers import share
from ucoder.records import NAN
from ucoder.runs.journal import StageTime

STAGES = (
    *("problems", "ratings", "interfaces", "test_inputs", "solutions", "consolidation"),
    "evaluation",
)
"""The paper's six stages (section 2.2) and the evaluation, named as in the configuration."""

_EVALUATION = re.compile(r".+ M\d+")


@dataclass(frozen=True, slots=True)
class StageCost:
    """One stage over all iterations."""

    stage: str
    seconds: float  # from the journal; NaN where it has no times of this stage
    tokens: int | None  # sampled from the model; None for a stage that samples none
    tokens_share: float  # of all sampled tokens; NaN where none were sampled
    # Whether every part that started has ended; None where it was not timed.
    finished: bool | None


def stage_costs(times: Sequence[StageTime], tokens: Mapping[str, int]) -> tuple[StageCost, ...]:
    """Cost of each stage that has seconds or tokens, in the paper's order.

    Stages that the paper does not have are listed where they ran.
    """
    times = [
        replace(time, stage="evaluation") if _EVALUATION.fullmatch(time.stage) else time
        for time in times
    ]
    total = sum(tokens.values())
    begun = [stage for stage in STAGES if tokens.get(stage) or _of(times, stage)]
    for time in times:
        if time.stage not in begun:
            begun.insert(_place(time.stage, times, begun), time.stage)
    costs = []
    for stage in begun:
        spans = _of(times, stage)
        costs.append(
            StageCost(
                stage=stage,
                seconds=sum(span.seconds for span in spans) if spans else NAN,
                tokens=tokens.get(stage),
                tokens_share=share(tokens[stage], total) if stage in tokens else NAN,
                finished=all(span.finished for span in spans) if spans else None,
            )
        )
    return tuple(costs)


def _of(times: Sequence[StageTime], stage: str) -> list[StageTime]:
    return [time for time in times if time.stage == stage]


def _place(stage: str, times: Sequence[StageTime], begun: Sequence[str]) -> int:
    """Before the first listed stage that began later than this one."""
    names = [time.stage for time in times]
    later = names[names.index(stage) + 1 :]
    return next((at for at, name in enumerate(begun) if name in later), len(begun))

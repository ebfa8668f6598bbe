"""Whether the probability of a selection can be believed, and what abstaining by it gains.

Three views of the same pairs of a probability and whether the choice was right. The reliability
table compares the mean probability in each tenth of the scale with the share that was right. Brier
score and expected calibration error are its summaries; the first also rewards a probability that
tells tasks apart. Precision at coverage keeps the most probable choices and asks how many of them
are right: what a threshold for training data would give.

The functions return rows for `results.frame`; shares carry Wilson's interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ucoder.consensus.votes import Floats
from ucoder.evaluation.statistics import Interval, mean_interval, wilson

N_BINS: Final = 10
COVERAGES: Final = (0.5, 0.6, 0.8, 1.0)


def reliability(probabilities: Floats, right: Floats) -> list[dict[str, Any]]:
    """Ten bins of equal width, those without a choice left out.

    `probabilities` has one value for each choice, `right` is 1 or 0; pairs with a NaN are left out.

    Returns:
        Rows of `low` and `high` (the ends of the bin; the upper one belongs to the last bin only),
        `probability` (the mean of its choices) and `right` (the share of them that is right).
    """
    p, r = _known(probabilities, right)
    at = np.minimum((p * N_BINS).astype(int), N_BINS - 1)
    return [
        {
            "low": b / N_BINS,
            "high": (b + 1) / N_BINS,
            "probability": float(p[at == b].mean()),
            "right": _share(r[at == b]),
        }
        for b in np.unique(at).tolist()
    ]


def calibration(probabilities: Floats, right: Floats) -> dict[str, Any]:
    """The summary of the probabilities; arguments as in `reliability`.

    Returns:
        `brier` (mean squared difference of probability and truth; 0 is perfect), `expected_error`
        (mean distance of probability and share right over the bins, weighted by their choices),
        `mean_probability`, and `right` (share of choices that is right).
    """
    p, r = _known(probabilities, right)
    bins = reliability(p, r)
    gaps = [abs(b["probability"] - b["right"].value) * b["right"].n for b in bins]
    return {
        "brier": mean_interval((p - r) ** 2),
        "expected_error": math.fsum(gaps) / p.size if p.size else math.nan,
        "mean_probability": float(p.mean()) if p.size else math.nan,
        "right": _share(r),
    }


def precisions(
    probabilities: Floats, right: Floats, coverages: Sequence[float] = COVERAGES
) -> list[dict[str, Any]]:
    """Precision of the most probable choices, at several coverages.

    Of choices that are equally probable, the wrong ones are kept first, so that the order of tasks
    cannot flatter. Where fewer tasks have a selection (NaN: none) than are kept, the rest counts as
    wrong. Tasks whose truth is unknown (NaN) are left out.

    Returns:
        Rows of `coverage` (the share of all tasks that is kept), `n_kept` (the number of tasks),
        `least_probability` (of a choice that is kept: the threshold that keeps them) and
        `precision` (the share of them that is right).
    """
    known = ~np.isnan(right)
    p, r = np.nan_to_num(probabilities[known], nan=-1.0), right[known]
    order = np.lexsort((r, -p))
    rows = []
    for coverage in coverages:
        kept = order[: math.ceil(round(coverage * r.size, 9))]
        least = float(p[kept[-1]]) if kept.size and p[kept[-1]] >= 0.0 else math.nan
        rows.append({"coverage": coverage, "n_kept": int(kept.size), "least_probability": least,
                     "precision": _share(r[kept])})  # fmt: skip
    return rows


def _share(right: Floats) -> Interval:
    return wilson(int(right.sum()), right.size)


def _known(probabilities: Floats, right: Floats) -> tuple[Floats, Floats]:
    known = ~np.isnan(probabilities) & ~np.isnan(right)
    return probabilities[known], right[known]

"""A selection in words, from its record alone."""

from __future__ import annotations

import math
from typing import Final

from ucoder.records import Flag, Reason, Selection

_MAX_SIZES: Final = 12

_CAUTIONS: Final = {
    Flag.FLOAT_NOISE: "answers that differ in the last bits of a float were counted as one",
    Flag.UNORDERED: "the winner and the next cluster differ in the order of elements alone",
    Flag.RIVAL: "the next cluster is at least half as large: perhaps both are right",
    Flag.RAISING: "on some inputs the winner's answer is an exception that it raises on purpose",
    Flag.FEW_INPUTS: "fewer than three inputs counted",
}

_REASONS: Final = {
    Reason.NO_CANDIDATE: "no candidate holds a program that could be judged",
    Reason.NO_INFORMATIVE_INPUT: "no input could be run by enough candidates to count",
    Reason.NO_RELIABLE_CANDIDATE: "no candidate returned on enough of the inputs that count",
    Reason.NO_CONSENSUS: "too few candidates agree",
    Reason.LOW_PROBABILITY: "the best one is right with too little probability",
}


def explain(selection: Selection) -> list[str]:
    """What was counted, who won by what, how sure that is, and what to be careful about."""
    sizes = [str(size) for size in selection.cluster_sizes[:_MAX_SIZES]]
    more = len(selection.cluster_sizes) - len(sizes)
    clusters = ", ".join(sizes) + (f" and {more} more" if more else "") if sizes else "none"
    lines = [
        f"{selection.n_candidates} candidates, {selection.n_programs} distinct programs on "
        f"{selection.n_kept_inputs} of {selection.n_inputs} inputs; {selection.n_reliable} "
        f"could win; clusters: {clusters}."
    ]
    if selection.n_sandbox_failures:
        lines.append(f"Left out, because the sandbox failed: {selection.n_sandbox_failures}.")
    margin = f"{number(selection.score)} ({selection.score_unit})"
    if not math.isnan(selection.runner_up_score):
        margin += f", next cluster {number(selection.runner_up_score)}"
    if selection.candidate_id is None:
        reason = selection.reason
        said = _REASONS.get(reason, str(reason)) if reason else "no reason was kept"
        best = "" if math.isnan(selection.score) else f" The best score was {margin}."
        lines.append(f"Nothing selected by {selection.selector}: {said}.{best}")
    else:
        fluency = (
            "" if math.isnan(selection.perplexity)
            else f", then the lowest perplexity ({selection.perplexity:.3f})"
        )  # fmt: skip
        lines.append(
            f"Selected {selection.candidate_id} by {selection.selector}: score {margin}; within "
            f"its cluster the highest e(r) ({selection.success:.2f}){fluency}."
        )
    if selection.n_candidates < selection.n_wanted:
        lines.append(
            f"Stopped after {selection.n_candidates} of {selection.n_wanted} candidates: the rest "
            f"would raise the probability of being right by {selection.regret:.3f} in expectation."
        )
    if not math.isnan(selection.probability):
        lines.append(f"It is right with probability {selection.probability:.2f}.")
    lines += [f"Careful: {_CAUTIONS[flag]}." for flag in selection.flags]
    return lines


def number(score: float) -> str:
    """A score without digits that say nothing."""
    return f"{score:.0f}" if score == int(score) and score >= 2 else f"{score:.3g}"

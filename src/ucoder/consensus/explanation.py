"""A selection in words, and its flags: signs that the problem has no single exact answer.

Float noise is merged while votes are counted. Other flags change nothing: they only mark selections
where equality of answers may split correct programs. Whether the order of a list matters, for
example, only the problem's statement can tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from ucoder.consensus.votes import Votes
from ucoder.execution.canonical import CanonicalError, key, parse, write
from ucoder.records import Flag, Reason, Selection

_MAX_SIZES: Final = 12
_RIVAL_SHARE: Final = 0.5
_MAX_CHARS: Final = 2_000

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
    Reason.LOW_PROBABILITY: "the probability that the best one is right is too low",
}


def flags_of(votes: Votes, order: Sequence[int]) -> tuple[Flag, ...]:
    """The flags of a selection.

    Args:
        votes: On the inputs that count.
        order: Programs that can win, the winner first; none give no flags.
    """
    if not order:
        return ()
    winner = order[0]
    clusters_P = votes.clusters_P
    rival = next((at for at in order if clusters_P[at] != clusters_P[winner]), None)
    found = []
    if votes.merged:
        found.append(Flag.FLOAT_NOISE)
    if rival is not None and _differ_by_order(votes, winner, rival):
        found.append(Flag.UNORDERED)
    if rival is not None and votes.sizes_P[rival] >= _RIVAL_SHARE * votes.sizes_P[winner]:
        found.append(Flag.RIVAL)
    if (~votes.returned_PT[winner] & (votes.answers_PT[winner] >= 0)).any():
        found.append(Flag.RAISING)
    if len(votes.inputs) < 3:
        found.append(Flag.FEW_INPUTS)
    return tuple(found)


def _differ_by_order(votes: Votes, a: int, b: int) -> bool:
    rows = zip(votes.answers_PT[a].tolist(), votes.answers_PT[b].tolist(), strict=True)
    different = [(x, y) for x, y in rows if x != y]
    return all(
        x >= 0 and y >= 0 and _same_elements(votes.texts[x], votes.texts[y]) for x, y in different
    )


def _same_elements(a: str, b: str) -> bool:
    # The same elements in another order have the same characters, which most pairs do not.
    if len(a) != len(b) or len(a) > _MAX_CHARS or sorted(a) != sorted(b):
        return False
    try:
        one, two = parse(a), parse(b)
    except CanonicalError:
        return False
    if not isinstance(one, list | tuple) or type(one) is not type(two):
        return False
    return sorted(key(write(x)) for x in one) == sorted(key(write(y)) for y in two)


def explain(selection: Selection) -> list[str]:
    """Lines on what was counted, which candidate won and why, how sure that is, and its flags."""
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
        said = _REASONS.get(reason, str(reason)) if reason else "no reason was recorded"
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
    """A score, without insignificant digits."""
    return f"{score:.0f}" if score == int(score) and score >= 2 else f"{score:.3g}"

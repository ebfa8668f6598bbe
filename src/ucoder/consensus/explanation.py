"""A rule and a selection in words, and its flags: signs that the problem has no exact answer.

Whatever a page or a command says about why a program was selected, or none, comes from here: from
the record of the selection, and from the numbers of the rule that made it.

Float noise is merged while votes are counted. Other flags change nothing: they only mark selections
where equality of answers may split correct programs. Whether the order of a list matters, for
example, only the problem's statement can tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from ucoder.config import SelectorName
from ucoder.consensus.selectors import Rule
from ucoder.consensus.selectors.paper import MIN_SUCCESS
from ucoder.consensus.selectors.peers import MAX_CRASHING, MAX_ENTROPY
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

_WINS: Final[Mapping[SelectorName, str]] = {
    "consensus": "the largest cluster, of at least {rule.tau} candidates with equal outputs and "
    "e(r) of at least {rule.rho:g}",
    "consensus_pass_fail": "the largest cluster, of at least {rule.tau} candidates that pass and "
    "fail the same predictions and have e(r) of at least {rule.rho:g}",
    "agreement": "the highest agreement with all candidates, corrected for chance",
    "random": "a random candidate with e(r) of at least {rule.rho:g}",
    "cluster": "a random member of the largest cluster",
    "low_perplexity": "the lowest perplexity among candidates with e(r) of at least {rule.rho:g}",
    "success_rate": f"a random candidate with e(r) above {MIN_SUCCESS:g}",
    "codet": "the most tests that the most solutions pass together",
    "mbr_soft": "the highest mean share of equal outputs",
    "mbr_hard": "the most candidates with all outputs equal",
    "srank": "the largest overlap, weighted by cluster sizes and pass rates",
    "conself": f"the highest mean share of equal outputs, where the entropy of the clusters is "
    f"below {MAX_ENTROPY:g} and fewer than {MAX_CRASHING:.0%} of the candidates fail everywhere",
}
_WITH_TAU: Final = ("consensus", "consensus_pass_fail")
_WITH_RHO: Final = (*_WITH_TAU, "random", "low_perplexity")
_DRAWING: Final = ("random", "cluster", "success_rate", "codet", "srank")
"""Selectors that draw among equal scores (`Ranking.is_lottery`)."""


def criterion(rule: Rule) -> str:
    """What a rule selects, with its own thresholds, such as `the largest cluster, of at ...`."""
    said = _WINS[rule.selector].format(rule=rule)  # type: ignore[index]
    if rule.selector == "agreement":
        asked = [f"e(r) of at least {rule.rho:g}"] if rule.is_rho_set else []
        asked += [f"a cluster of at least {rule.tau}"] if rule.is_tau_set else []
        said += f", with {' in '.join(asked)}" if asked else ""
    if rule.min_share:
        said += f"; at least {rule.min_share:.0%} of the candidates must behave like it"
    if rule.min_probability:
        said += f"; its probability of being right must be at least {rule.min_probability:g}"
    return said


def thresholds(rule: Rule) -> tuple[str, ...]:
    """The settings whose lower value lets this rule select more, as keys of the configuration."""
    asked = {
        "tau": rule.selector in _WITH_TAU or (rule.selector == "agreement" and rule.is_tau_set),
        "rho": _asks_rho(rule),
        "min_share": rule.min_share > 0,
        "min_probability": rule.min_probability > 0,
    }
    return tuple(f"solutions.{name}" for name, applies in asked.items() if applies)


def excluded(rule: Rule) -> str:
    """Why a candidate that ran could not win under a rule, in few words."""
    return "e(r) below ρ" if _asks_rho(rule) else "cannot win under the rule"


def _asks_rho(rule: Rule) -> bool:
    return rule.selector in _WITH_RHO or (rule.selector == "agreement" and rule.is_rho_set)


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


def explain(selection: Selection, rule: Rule) -> list[str]:
    """Lines on what was counted, which candidate won and why, how sure that is, and its flags.

    Args:
        selection: As it was recorded.
        rule: The one that made it.
    """
    sizes = [str(size) for size in selection.cluster_sizes[:_MAX_SIZES]]
    more = len(selection.cluster_sizes) - len(sizes)
    clusters = ", ".join(sizes) + (f" and {more} more" if more else "") if sizes else "none"
    lines = [
        f"{counted(selection.n_candidates, 'candidate')}, "
        f"{counted(selection.n_programs, 'distinct program')} on {selection.n_kept_inputs} of "
        f"{counted(selection.n_inputs, 'input')}; {selection.n_reliable} "
        f"could win; clusters: {clusters}."
    ]
    if selection.n_sandbox_failures:
        lines.append(f"Left out, because the sandbox failed: {selection.n_sandbox_failures}.")
    score = f"{number(selection.score)} ({selection.score_unit})"
    if not math.isnan(selection.runner_up_score):
        score += f", next cluster {number(selection.runner_up_score)}"
    if selection.candidate_id is None:
        best = "" if math.isnan(selection.score) else f" The best score was {score}."
        lines.append(
            f"Nothing selected by {selection.selector}: {_why_none(selection, rule)}.{best}"
        )
    else:
        lines.append(f"The rule: {criterion(rule)}.")
        lines.append(
            f"Selected {selection.candidate_id} by {selection.selector}: score {score}; "
            f"{_tie_break(selection)}."
        )
    if selection.n_candidates < selection.n_wanted:
        gain = "" if math.isnan(selection.regret) else (
            f": the rest would raise the probability of being right by {selection.regret:.3f} in "
            f"expectation"
        )  # fmt: skip
        lines.append(
            f"Stopped after {selection.n_candidates} of {selection.n_wanted} candidates{gain}."
        )
    if not math.isnan(selection.probability) and selection.reason is not Reason.LOW_PROBABILITY:
        which = "The best candidate" if selection.candidate_id is None else "It"
        asked = f"; at least {rule.min_probability:g} is required" if rule.min_probability else ""
        lines.append(f"{which} is right with probability {selection.probability:.2f}{asked}.")
    lines += [f"Careful: {_CAUTIONS[flag]}." for flag in selection.flags]
    return lines


def _why_none(selection: Selection, rule: Rule) -> str:
    """The stored reason in words, with the rule's own numbers."""
    reason = selection.reason
    if reason is Reason.NO_CANDIDATE:
        return "no candidate holds a program that could be judged"
    if reason is Reason.NO_INFORMATIVE_INPUT:
        if selection.n_kept_inputs:
            return "no input that counts has a predicted output to compare with"
        return (
            f"no input could be run by at least {rule.min_input_support:.0%} of the candidates, so "
            f"none counts"
        )
    if reason is Reason.NO_RELIABLE_CANDIDATE:
        if _asks_rho(rule):
            return f"no candidate has e(r) of at least {rule.rho:g} on the inputs that count"
        if selection.selector == "success_rate":
            return f"no candidate has e(r) above {MIN_SUCCESS:g} on the inputs that count"
        return "no candidate returned on any of the inputs that count"
    if reason is Reason.NO_CONSENSUS:
        if selection.selector in _WITH_TAU:
            return f"at least {rule.tau} {selection.score_unit} are required"
        return f"it selects only {criterion(rule)}"
    if reason is Reason.SMALL_MINORITY:
        return (
            f"only {selection.share:.0%} of the candidates behave like the best one, and at least "
            f"{rule.min_share:.0%} are required"
        )
    if reason is Reason.LOW_PROBABILITY:
        return (
            f"the best candidate is right with probability "
            f"{_below(selection.probability, rule.min_probability)} only, and at least "
            f"{rule.min_probability:g} is required"
        )
    return str(reason) if reason else "no reason was recorded"


def _tie_break(selection: Selection) -> str:
    f = "" if math.isnan(selection.perplexity) else f" ({selection.perplexity:.3f})"
    if selection.selector in _DRAWING:
        lowest = f"; of its equal candidates, the one of lowest perplexity{f}" if f else ""
        return f"its program was drawn among those with this score{lowest}"
    lowest = f", then the lowest perplexity{f}" if f else ""
    return f"among equal scores, the highest e(r) ({selection.success:.2f}){lowest}"


def _below(value: float, bound: float) -> str:
    """A number in as few digits, two or more, as show that it is below the bound."""
    texts = [f"{value:.{digits}f}" for digits in range(2, 7)]
    return next((text for text in texts if float(text) < bound), texts[-1])


def counted(count: int, noun: str) -> str:
    """`1 candidate`, `3 candidates`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def number(score: float) -> str:
    """A score, without insignificant digits; `nan` where it is undefined."""
    return f"{score:.0f}" if score.is_integer() and score >= 2 else f"{score:.3g}"

"""Stage 6 in numbers and in words: which pairs were made of what was selected, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final

from ucoder.analysis.numbers import tally
from ucoder.records import NAN, Difficulty, Evidence, ExampleKind, PairChoice, Reason

if TYPE_CHECKING:
    from ucoder.runs import Run

MEASURES: Final[Mapping[str, str]] = {
    "perplexity": "perplexity",
    "shortest": "tokens without comments and docstring",
    "fastest": "CPU seconds on all inputs",
    "maintainable": "maintainability, 0 to 1",
}
"""What each rule of `consolidation.choose` measures."""

_HOLDING: Final = (Evidence.HOLDS, Evidence.CORRECTED)
_WITH_EXAMPLE: Final = (*_HOLDING, Evidence.CONTRADICTED, Evidence.UNVERIFIED)

_EVIDENCE: Final[Mapping[Evidence, str]] = {
    Evidence.NO_EXAMPLE: "it states no example",
    Evidence.HOLDS: "the program returns what its examples say",
    Evidence.UNVERIFIED: "an example could not be verified and was kept",
    Evidence.CONTRADICTED: "the program contradicts an example, which was kept",
    Evidence.CORRECTED: "what the program returns was written into an example",
    Evidence.DROPPED: "examples were removed that the program does not reproduce",
    Evidence.REJECTED: "the program contradicts an example",
}


_WHY: Final[Mapping[Reason, str]] = {
    Reason.CONTAMINATED: "a benchmark asks the same",
    Reason.CONTRADICTED_EXAMPLE: "the program contradicts an example of the statement",
    Reason.ALREADY_KNOWN: "the greedy answer behaves like the program already "
    "(consolidation.replay)",
    Reason.ENOUGH_OF_ITS_DIFFICULTY: "there are enough pairs of its difficulty "
    "(consolidation.difficulty)",
    Reason.ENOUGH_PAIRS: "there are enough pairs (consolidation.n_pairs)",
}


@dataclass(frozen=True, slots=True)
class PairSpace:
    """What one iteration's stage 6 made of the selected problems; zeros where it has not run."""

    n_selected: int  # problems with a selected program that it looked at
    n_pairs: int  # those that are trained on
    left_out: Mapping[str, int]  # the others, by reason
    evidence: Mapping[str, int]  # what became of the examples, over all of them
    n_with_example: int  # pairs whose text states an example
    n_holding: int  # those of which every example is what the program returns
    kinds: Mapping[str, int]  # pairs by what they teach
    difficulty_before: Mapping[str, int]  # all of them by difficulty, easy first
    difficulty_after: Mapping[str, int]  # the pairs by difficulty
    n_preferences: int  # preference pairs
    chosen_by: str  # the rule within the winning cluster; "" where stage 6 has not run
    measure: float  # mean of what it measures, of the pairs' candidates; NaN where undefined
    cluster_measure: float  # the same mean over all candidates of their clusters

    @property
    def holding_share(self) -> float:
        """Share of the pairs with an example whose examples hold; NaN where there are none."""
        return self.n_holding / self.n_with_example if self.n_with_example else NAN


def pair_space(run: Run, iteration: int) -> PairSpace:
    """Count one iteration's choices.

    Raises:
        DamagedShard: A table's file cannot be read.
    """
    choices = run.pair_choices(iteration).rows()
    kept = [choice for choice in choices if choice.reason is None]
    return PairSpace(
        n_selected=len(choices),
        n_pairs=len(kept),
        left_out=tally(c.reason.value for c in choices if c.reason is not None),
        evidence=tally(c.evidence.value for c in choices),
        n_with_example=sum(c.evidence in _WITH_EXAMPLE for c in kept),
        n_holding=sum(c.evidence in _HOLDING for c in kept),
        kinds=tally(c.kind.value for c in kept),
        difficulty_before=_by_difficulty(choices),
        difficulty_after=_by_difficulty(kept),
        n_preferences=len(run.preferences(iteration).rows()),
        chosen_by=choices[0].chosen_by if choices else "",
        measure=_mean(c.measure for c in kept),
        cluster_measure=_mean(c.cluster_measure for c in kept),
    )


def said_of_pairs(pairs: PairSpace) -> list[str]:
    """An iteration's pairs in sentences; none where stage 6 has not chosen them."""
    if not pairs.n_selected:
        return []
    lost = f"; left out: {_counts(pairs.left_out)}" if pairs.left_out else ""
    lines = [
        f"{pairs.n_pairs} training pairs from {pairs.n_selected} selected problems{lost}",
        f"examples in statements: {_counts(pairs.evidence)}",
    ]
    if pairs.n_with_example:
        lines[1] += (
            f"; they hold in {pairs.n_holding} of the {pairs.n_with_example} pairs that state one "
            f"({pairs.holding_share:.0%})"
        )
    if pairs.n_pairs:
        lines.append(
            f"pairs by kind: {_counts(pairs.kinds)}; difficulty before: "
            f"{_counts(pairs.difficulty_before)}; after: {_counts(pairs.difficulty_after)}; "
            f"preference pairs: {pairs.n_preferences}"
        )
        lines.append(
            f"chosen within clusters by {pairs.chosen_by}: {pairs.measure:.4g} on average, the "
            f"clusters {pairs.cluster_measure:.4g} ({MEASURES[pairs.chosen_by]})"
        )
    return lines


def explain_choice(choice: PairChoice) -> list[str]:
    """What stage 6 made of one problem, in sentences."""
    lines = [
        f"Difficulty: {choice.difficulty.value}, as {choice.agreeing:.0%} of the candidates behave "
        f"like the selected one.",
        f"Examples: {_EVIDENCE[choice.evidence]} ({choice.n_examples} in all, "
        f"{choice.n_contradicted} contradicted, {choice.n_unverified} not verified).",
    ]
    if choice.chosen_by != "perplexity":
        which = f"{'most ' * (choice.chosen_by == 'maintainable')}{choice.chosen_by}"
        lines.append(
            f"Candidate {choice.candidate_id} stands for its cluster as the {which} one: "
            f"{choice.measure:.4g}, the mean is {choice.cluster_measure:.4g} "
            f"({MEASURES[choice.chosen_by]})."
        )
    if choice.reason is not None:
        lines.append(f"Not trained on: {_WHY[choice.reason]}.")
    elif choice.kind is ExampleKind.REPLAYED:
        lines.append("Trained on, to keep what the greedy answer does already.")
    else:
        lines.append("Trained on.")
    return lines


def _by_difficulty(choices: list[PairChoice]) -> dict[str, int]:
    counts = Counter(choice.difficulty for choice in choices)
    return {difficulty.value: counts[difficulty] for difficulty in Difficulty}


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else NAN


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())

"""When to stop sampling a problem: as soon as more samples could hardly make the choice better.

What n samples would have said can be simulated from the first m:

1. The share of each behaviour among the model's samples has a Dirichlet posterior, with the votes
   so far as counts and a concentration of 1 for behaviour not seen yet (a Dirichlet process).
2. Draw the n - m missing samples from it, many times, and score again. What was not seen yet is
   counted as one behaviour: the worst case, in which all that is new agrees.
3. In each draw, compare the winner at n with today's winner. The *regret* of stopping is by how
   much the probability of being right is higher for the winner at n, on average over the draws.

Sampling stops when the regret is at most `max_regret`. That is the bound: under the posterior,
stopping costs at most so much expected correctness against all n samples. A posterior mean holds
at the moment of stopping however often one looked before. It rests on samples being exchangeable
and on the probability being calibrated, and so is to be read beside the observed loss, which
`ucoder study samples` reports. The rule never goes beyond n.

The probability that the choice changes at all is the stricter question. Problems whose candidates
scatter change their winner to the end without ever getting a better one, and would cost all n
samples each; the regret lets go of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ucoder.consensus.agreement import Agreement
from ucoder.consensus.probability import chance_right
from ucoder.consensus.selectors import Rule, selector_named
from ucoder.consensus.votes import Votes

UNSEEN: Final = 1.0
"""Concentration of the Dirichlet process: after m samples the next is new with 1 / (m + 1)."""

DRAWS: Final = 200


@dataclass(frozen=True, slots=True)
class Outlook:
    """What more samples might do.

    Attributes:
        n_missing: Samples that are left.
        probability_of_change: That the winner after them is another behaviour.
        regret: Mean gain in the probability of being right, from 0 to 1.
    """

    n_missing: int
    probability_of_change: float
    regret: float


def outlook_of(votes: Votes, rule: Rule, n_missing: int, *, seed: int = 0) -> Outlook | None:
    """Simulate the samples that are missing.

    Args:
        votes: So far, on the inputs that count.
        rule: The selection's.
        n_missing: How many more may be drawn.
        seed: Of the simulation; equal votes give equal answers.

    Returns:
        None where the selector cannot forecast its scores, or nobody can win yet.
    """
    if n_missing <= 0:
        return Outlook(0, 0.0, 0.0)
    ranking = selector_named(rule.selector)(votes, rule)
    able_P = ~np.isnan(ranking.scores_P)
    if ranking.forecast is None or not able_P.any():
        return None
    agreement = Agreement.of(votes)
    counts_C = agreement.counts_C
    able_C = np.zeros(counts_C.size + 1, dtype=np.bool_)
    able_C[votes.clusters_P[able_P]] = True
    able_C[-1] = True

    random = np.random.default_rng(seed)
    shares_RC = random.dirichlet(np.append(counts_C, UNSEEN), size=DRAWS)
    final_RC = random.multinomial(n_missing, shares_RC) + np.append(counts_C, 0.0)
    scores_RC = np.where(able_C, ranking.forecast(final_RC), -1.0)
    scores_C = np.where(able_C[:-1], ranking.forecast(counts_C[None, :])[0], -1.0)
    today = int(scores_C.argmax())
    winners_R = scores_RC.argmax(axis=1)
    draws = np.arange(DRAWS)
    changed_R = scores_RC[draws, winners_R] > scores_RC[:, today]
    right_RC = chance_right(agreement.forecast(final_RC))
    gains_R = np.where(changed_R, right_RC[draws, winners_R] - right_RC[:, today], 0.0)
    regret = float(np.maximum(gains_R, 0.0).mean())
    return Outlook(n_missing, float(changed_R.mean()), regret)

"""When to stop sampling a problem: as soon as more samples could hardly make the choice better.

What n samples would have said can be simulated from the first m:

1. The share of each behaviour among the model's samples has a Dirichlet posterior, with the votes
   so far as counts; what was not seen yet has the share that Good and Turing estimate, that of the
   samples whose behaviour was seen once.
2. Draw the n - m missing samples from it, many times, and score again. New behaviour stays alone,
   but where nobody meets the given examples yet it may, with the chance that the next of C
   distinct behaviours does after none did (Laplace: 1 / (C + 2)), and then it wins.
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

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from ucoder.consensus.probability import Chances, chance_right
from ucoder.consensus.selectors import Rule, selector_named
from ucoder.consensus.votes import Floats, Votes

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
    chances = Chances.of(votes)
    counts_C = chances.agreement.counts_C
    able_C = np.zeros(counts_C.size + 1, dtype=np.bool_)
    able_C[votes.clusters_P[able_P]] = True
    able_C[-1] = True

    random = np.random.default_rng(seed)
    shares_RC = random.dirichlet(np.append(counts_C, _unseen(counts_C)), size=DRAWS)
    more_RC = random.multinomial(n_missing, shares_RC).astype(np.float64)
    new_R = more_RC[:, -1].copy()
    more_RC[:, -1] = np.minimum(new_R, 1.0)
    final_RC = more_RC + np.append(counts_C, 0.0)
    scores_RC = np.where(able_C, ranking.forecast(final_RC), -1.0)
    scores_C = np.where(able_C[:-1], ranking.forecast(counts_C[None, :])[0], -1.0)
    right_RC = chances.right(final_RC)
    if chances.examples_C.any() and chances.examples_C[able_C[:-1]].max() < 0:
        # Nobody meets the examples yet: who does will win, whatever the votes.
        rate = 1.0 / (counts_C.size + 2.0)
        found_R = random.random(DRAWS) < 1.0 - (1.0 - rate) ** new_R
        scores_RC[found_R, -1] = math.inf
        right_RC[found_R, -1] = chance_right(np.ones(1), np.ones(1))[0]
    today = int(scores_C.argmax())
    winners_R = scores_RC.argmax(axis=1)
    draws = np.arange(DRAWS)
    changed_R = scores_RC[draws, winners_R] > scores_RC[:, today]
    gains_R = np.where(changed_R, right_RC[draws, winners_R] - right_RC[:, today], 0.0)
    regret = float(np.maximum(gains_R, 0.0).mean())
    return Outlook(n_missing, float(changed_R.mean()), regret)


def _unseen(counts_C: Floats) -> float:
    """Prior count of new behaviour, so that the next sample is new with Good and Turing's share.

    That share is the share of samples whose behaviour was seen once; one is added to the
    denominator, because a first few samples that all differ do not say that all others will.
    """
    m = float(counts_C.sum())
    share = max(float((counts_C == 1).sum()), 0.5) / (m + 1.0)
    return m * share / (1.0 - share)

"""When to stop sampling a problem: as soon as more samples could hardly improve the choice.

The choice from n samples is simulated from the first m:

1. The share of each behaviour among the model's samples has a Dirichlet posterior, with the votes
   so far as counts. Behaviour not seen yet has the share that Good and Turing estimate: that of
   the samples whose behaviour was seen once.
2. Draw the n - m missing samples from the posterior, many times, and score again. New behaviour
   agrees only with itself. But where no program meets the given examples yet, a new one may, with
   the chance that the next behaviour does after none of C did (Laplace: 1 / (C + 2)); then it wins.
3. In each draw, compare the winner at n with the present winner. The *regret* of stopping is the
   mean gain, over the draws, in the probability of being correct.

Sampling stops when the regret is at most `max_regret`, and at n in any case. Under the posterior,
stopping then costs at most this much expected correctness against n samples, however often the rule
was evaluated before. This assumes exchangeable samples and a calibrated probability, so it should
be read beside the observed loss, which `ucoder study samples` reports.

Stopping when the choice is unlikely to change would be stricter. Where candidates are diverse, the
winner changes up to the end without becoming better; such problems would use all n samples, and the
regret avoids that.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ucoder.consensus.probability import Chances, chance_right
from ucoder.consensus.selectors import Rule, selector_named
from ucoder.consensus.votes import Floats, Votes
from ucoder.records import NAN

DRAWS: Final = 200
"""Simulated continuations of a sample."""


def regret_of(votes: Votes, rule: Rule, n_missing: int, *, seed: int = 0) -> float:
    """The regret of stopping now, by simulating the samples that are missing.

    Args:
        votes: Of the samples so far, on the inputs that count.
        rule: Selector and thresholds.
        n_missing: How many more samples may be drawn.
        seed: Of the simulation, which is deterministic.

    Returns:
        Mean gain in the probability of being correct, from 0 to 1; NaN where the selector cannot
        forecast its scores, or no program can win yet.
    """
    if n_missing <= 0:
        return 0.0
    ranking = selector_named(rule.selector)(votes, rule)
    able_P = ~np.isnan(ranking.scores_P)
    if ranking.forecast is None or not able_P.any():
        return NAN
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
        # No program meets the examples yet: one that does will win, whatever the votes.
        rate = 1.0 / (counts_C.size + 2.0)
        found_R = random.random(DRAWS) < 1.0 - (1.0 - rate) ** new_R
        scores_RC[found_R, -1] = math.inf
        right_RC[found_R, -1] = chance_right(np.ones(1), np.ones(1))[0]
    present = int(scores_C.argmax())
    winners_R = scores_RC.argmax(axis=1)
    draws = np.arange(DRAWS)
    changed_R = scores_RC[draws, winners_R] > scores_RC[:, present]
    gains_R = np.where(changed_R, right_RC[draws, winners_R] - right_RC[:, present], 0.0)
    return float(np.maximum(gains_R, 0.0).mean())


def _unseen(counts_C: Floats) -> float:
    """Prior count of new behaviour: the next sample is new with Good and Turing's probability.

    That is the share of samples whose behaviour was seen once. One is added to the denominator,
    because a few first samples that all differ do not mean that all others will.
    """
    m = float(counts_C.sum())
    share = max(float((counts_C == 1).sum()), 0.5) / (m + 1.0)
    return m * share / (1.0 - share)

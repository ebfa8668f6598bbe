"""Our rule: the candidate whose behaviour the others support most, beyond chance.

    score(r) = sqrt( H(r) * S(r) )
    H(r) = share of the votes of candidates whose answers all equal those of r
    S(r) = mean over all votes of kappa(r, r')
    a candidate's vote = the length of its program, weighted by the share of the model's
                         predictions that it meets (`ucoder.consensus.agreement.vote_of_each`)

The ideas, none of which needs a tuned number:

- *Agreement is corrected for chance* (Cohen's kappa, `ucoder.consensus.agreement`). A constant
  program agrees with no other beyond chance, not even with an equal one, and where few answers are
  possible (True or False), agreement is weak evidence. So no list of trivial programs is needed.
- *Exact and partial agreement both count.* Exact agreement (H) is what correct programs share.
  Partial agreement (S) keeps the evidence of almost correct programs, which the largest cluster
  discards, and survives a few invalid inputs on which correct programs differ. The geometric mean
  asks for both.
- *Longer programs have heavier votes.* Programs agree easily when they do the same simple thing:
  most incorrect majorities are naive programs that ignore half of the problem. Agreement of longer
  programs is less likely to be accidental.
- *Predicted outputs are weak evidence*, so they weight votes and exclude no program.
- *Examples of a given statement are strong evidence*: a program that meets fewer of them than the
  best one does cannot win. Examples of a problem that the model invented count as predictions: if
  the model got its own example wrong, the programs that reproduce the error would win.

`rho` and `tau` are not needed; where they are set, only programs with e(r) >= rho in clusters of at
least tau candidates can win.

In addition, a program that returns on no input cannot win, and neither can one that returns its own
argument, unless all programs do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ucoder.consensus.agreement import agreement_of
from ucoder.consensus.inputs import echoes, examples_met
from ucoder.consensus.selectors.ranking import Ranking, Rule, has_executed, ranking_of
from ucoder.consensus.votes import Votes
from ucoder.records import Reason

UNIT = "agreement beyond chance, 0 to 1"


def by_agreement(votes: Votes, rule: Rule) -> Ranking:
    """Score each program by its agreement with all candidates, including its own."""
    may_win = has_executed(votes, rule)
    if not votes.inputs or not may_win.any():
        return ranking_of(votes, np.zeros(may_win.size), may_win, UNIT)
    agreement = agreement_of(votes)
    echo = echoes(votes)
    if not echo[may_win].all():
        may_win &= ~echo
    met = examples_met(votes)
    may_win &= met == met[may_win].max()
    if rule.is_rho_set:
        may_win &= votes.success_P >= rule.rho
    ranking = ranking_of(votes, agreement.scores()[votes.clusters_P], may_win, UNIT)
    if rule.is_tau_set:
        is_large_P = votes.sizes_P >= rule.tau
        if ranking.reason is None and not (may_win & is_large_P).any():
            ranking = replace(ranking, reason=Reason.NO_CONSENSUS)
        elif ranking.reason is None:
            scores_P = np.where(is_large_P, ranking.scores_P, np.nan)
            ranking = replace(ranking, scores_P=scores_P)
    return replace(ranking, forecast=agreement.forecast)

"""Ours: the candidate whose behaviour the others support, beyond what chance explains.

    score(r) = sqrt( H(r) * S(r) )
    H(r) = share of the votes of candidates that answer exactly as r does
    S(r) = mean over all votes of kappa(r, r')
    a candidate's vote = the length of its program, weighed by the share of the model's
                         predictions that it meets (`ucoder.consensus.agreement.vote_of_each`)

The ideas, none with a number to be tuned:

- *Agreement is corrected for chance* (Cohen's kappa, `ucoder.consensus.agreement`). A constant
  program agrees with nobody beyond chance, not even with its equals, and where the answers allow
  little else (True or False), agreeing says little. So no list of trivial programs is kept.
- *Both kinds of agreement count.* Exact agreement (H) is what right programs have in common.
  Partial agreement (S) keeps the evidence of programs that are almost right, which the largest
  cluster throws away, and survives a few invalid inputs on which right programs differ. The
  geometric mean asks for both.
- *A vote weighs as much as the program says.* Programs that agree because they do the same simple
  thing are cheap: most wrong majorities are naive programs that leave out half of the problem.
  Agreement of longer programs is less likely to be an accident.

- *Predicted outputs are weak evidence*, so they weigh votes and exclude nobody.
- *Examples of a given statement are strong evidence*, so they decide who can win: nobody who
  meets fewer of them than the best program does. Examples of a problem that the model invented
  are predictions like any other: a model that cannot compute its own example would let the
  programs win that copy it.

Two demands on top: a program that returns on no input cannot win, and one that gives back its own
argument cannot unless all do.
"""

from __future__ import annotations

import math

import numpy as np

from ucoder.consensus.agreement import Agreement
from ucoder.consensus.inputs import echoes, examples_met
from ucoder.consensus.selectors.consensus import why_none
from ucoder.consensus.selectors.protocol import Ranking, Rule
from ucoder.consensus.selectors.rows import has_executed
from ucoder.consensus.votes import Votes

UNIT = "agreement beyond chance, 0 to 1"


def by_agreement(votes: Votes, rule: Rule) -> Ranking:
    """Score each program by the agreement of all candidates, itself included."""
    scores_P = np.full(len(votes.programs), math.nan)
    may_win = has_executed(votes, rule)
    if not votes.inputs or not may_win.any():
        return Ranking(scores_P, UNIT, why_none(votes, 0))
    agreement = Agreement.of(votes)
    echo = echoes(votes)
    if not echo[may_win].all():
        may_win &= ~echo
    met = examples_met(votes)
    may_win &= met == met[may_win].max()
    scores_P[may_win] = agreement.scores()[votes.clusters_P][may_win]
    return Ranking(
        scores_P,
        UNIT,
        n_reliable=int(votes.weights_P[may_win].sum()),
        forecast=agreement.forecast,
    )

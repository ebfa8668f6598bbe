"""A calibrated probability that the selected program is correct.

    P(correct) = logistic(a + b * support + c * [meets every example] - d * [misses an example])

The *support* of a program is its mean kappa with the candidates that meet as many of the given
statement's examples as it does: candidates that contradict the examples are not counted. Without
given examples both brackets are 0.

The coefficients were fitted by penalised logistic regression (ridge 0.5) on the choices of the
`agreement` selector on 144 problems of two models (CodeGen-16B on the even-numbered half of
HumanEval as CodeT published it, without examples; Qwen2.5-Coder-0.5B-Instruct on 45 HumanEval and
17 sanitized MBPP problems, with examples), and so rest on the labels of benchmarks;
`benchmarks/calibration.py` fits them on known answers instead. On those problems they also hold for
the choices of other selectors, because the features describe the program, not the rule. On harder
problems they claim too much (docs/selection.md). For other models or kinds of problems, check the
reliability table of `ucoder study selection` first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ucoder.consensus.agreement import Agreement, agreement_of
from ucoder.consensus.inputs import examples_met, n_examples
from ucoder.consensus.votes import Floats, Votes, firsts
from ucoder.records import NAN

INTERCEPT: Final = -1.17
SUPPORT: Final = 3.33
MEETS_EXAMPLES: Final = 1.10
MISSES_EXAMPLES: Final = -1.85


def probability_right(votes: Votes, winner: int) -> float:
    """The probability that a program is correct, given how the candidates agree.

    Args:
        votes: On the inputs that count.
        winner: The program, by place in `votes.programs`; any selector may have chosen it.

    Returns:
        From 0 to 1; NaN where no input counts.
    """
    if not votes.inputs:
        return NAN
    chances = Chances.of(votes)
    counts_C = chances.agreement.counts_C
    right_C = chances.right(counts_C[None, :])[0]
    # Rounded, so that the order of summation has no effect.
    return round(float(right_C[votes.clusters_P[winner]]), 6)


@dataclass(frozen=True, slots=True)
class Chances:
    """The probability that each behaviour is correct, for any numbers of candidates.

    Attributes:
        agreement: Among the problem's candidates.
        witnesses_CC: Which clusters (columns) count for the support of each cluster (rows).
        examples_C: 1 where a cluster meets every example, -1 where not, 0 without examples.
    """

    agreement: Agreement
    witnesses_CC: Floats
    examples_C: Floats

    @classmethod
    def of(cls, votes: Votes) -> Chances:
        """The chances of a problem's candidates."""
        met_C = examples_met(votes)[firsts(votes.clusters_P)]
        n = n_examples(votes)
        examples_C = np.where(met_C == n, 1.0, -1.0) if n else np.zeros(met_C.size)
        return cls(agreement_of(votes), (met_C[:, None] == met_C).astype(np.float64), examples_C)

    def support(self, counts_RC: Floats) -> Floats:
        """The support of each cluster, R x columns, from 0 to 1.

        Args:
            counts_RC: As in `Agreement.forecast`.
        """
        C = self.examples_C.size
        seen_RC = counts_RC[:, :C]
        agreeing_RC = np.einsum("rk,ck->rc", seen_RC, self.agreement.kappa_CC * self.witnesses_CC)
        heard_RC = np.einsum("rk,ck->rc", seen_RC, self.witnesses_CC)
        support_RC = agreeing_RC / np.maximum(heard_RC, 1e-12)
        unseen_RC = counts_RC[:, C:] / np.maximum(counts_RC.sum(axis=1, keepdims=True), 1e-12)
        return np.concatenate([support_RC, unseen_RC], axis=1)

    def right(self, counts_RC: Floats) -> Floats:
        """The probability that each cluster is correct, R x columns; arguments as in `support`."""
        support_RC = self.support(counts_RC)
        examples = np.zeros(support_RC.shape[1])
        examples[: self.examples_C.size] = self.examples_C
        return chance_right(support_RC, examples)


def chance_right(support: Floats, examples: Floats) -> Floats:
    """The module's formula.

    Args:
        support: From 0 to 1.
        examples: 1 where every example is met, -1 where not, 0 where there is none.
    """
    bonus = np.where(examples > 0, MEETS_EXAMPLES, np.where(examples < 0, MISSES_EXAMPLES, 0.0))
    chance: Floats = 1.0 / (1.0 + np.exp(-(INTERCEPT + SUPPORT * support + bonus)))
    return chance

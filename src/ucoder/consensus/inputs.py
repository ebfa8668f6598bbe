"""Which inputs count, the fewest that keep the partition, and what programs return on them.

An input that hardly any candidate can run is more likely to be invalid than all candidates are to
be incorrect; counted in e(r), a few of them would reject whole problems. Where programs raise on
purpose, by an exception that their own source raises, that may be the right answer, and such an
input counts.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ucoder.consensus.votes import BOTTOM, Bools, Floats, Ints, Votes
from ucoder.execution.canonical import CanonicalError, key, parse, write
from ucoder.records import InputOrigin, Prediction

UNASKED: Final = (InputOrigin.BOUNDARY, InputOrigin.MUTATION)
"""Origins of inputs that neither the statement, nor the model, nor a search brought up."""

MIN_OWN: Final = 3
"""With fewer inputs besides, those of `UNASKED` count under every rule."""


def support(votes: Votes) -> Floats:
    """The share of candidates with an answer to each input, T."""
    if votes.n == 0:
        return np.zeros(len(votes.inputs))
    answered_PT = votes.answers_PT != BOTTOM
    shares: Floats = votes.weights_P @ answered_PT / votes.n
    return shares


def kept_inputs(votes: Votes, min_support: float, *, own: bool = False) -> tuple[int, ...]:
    """The inputs that enough candidates can answer, by place in `votes.inputs`.

    This departs from the paper, which computes e(r) over all inputs; `min_support=0` restores it.

    Args:
        votes: Of the problem, on all inputs.
        min_support: Minimum share of the candidates that answer, from 0 to 1.
        own: Whether boundary values and mutants are left out, where at least `MIN_OWN` other
            inputs are kept.
    """
    if votes.n == 0:
        return ()
    kept_T = support(votes) >= min_support
    own_T = kept_T & np.array([one.origin not in UNASKED for one in votes.inputs], dtype=np.bool_)
    if own and own_T.sum() >= MIN_OWN:
        kept_T = own_T
    return tuple(int(at) for at in np.flatnonzero(kept_T))


def distinguishing_inputs(votes: Votes, limit: int | None = None) -> tuple[int, ...]:
    """A small set of inputs that keeps the partition of the candidates, by place in `inputs`.

    Greedy: each next input splits as many still unsplit pairs of clusters as possible; ties go to
    the one with the shorter arguments, then to the earlier one. Finding the smallest set is the set
    cover problem; the greedy set is at most 1 + ln(pairs) times as large, and mostly equal to it
    on the samples that we looked at.

    Args:
        votes: Of the problem.
        limit: Stop after this many inputs, even if some clusters are not split yet.
    """
    rows_CT = np.unique(votes.answers_PT, axis=0)
    C, T = rows_CT.shape
    groups: Ints = np.zeros(C, dtype=np.int32)
    chosen: list[int] = []
    lengths = [len(test_input.arguments) for test_input in votes.inputs]
    n_answers_T = [len(np.unique(rows_CT[:, at])) for at in range(T)]
    while len(np.unique(groups)) < C and (limit is None or len(chosen) < limit):
        best = min(
            (at for at in range(T) if n_answers_T[at] > 1),
            key=lambda at: (_unsplit_pairs(groups, rows_CT[:, at]), lengths[at], at),
        )
        groups = _refine(groups, rows_CT[:, best])
        chosen.append(best)
    return tuple(sorted(chosen))


def _refine(groups: Ints, column_C: Ints) -> Ints:
    """The partition after one more input, renumbered."""
    joint = groups.astype(np.int64) * (int(column_C.max()) + 2) + column_C + 1
    refined: Ints = np.unique(joint, return_inverse=True)[1].astype(np.int32)
    return refined


def _unsplit_pairs(groups: Ints, column_C: Ints) -> int:
    sizes = np.bincount(_refine(groups, column_C)).astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def predictions_met(votes: Votes) -> Floats:
    """The share of the model's predicted outputs that each program returns, P; 0 if there are none.

    Each input counts once, each prediction for it as often as the model made it. Examples
    of a given statement are not predictions: see `examples_met`.
    """
    met = []
    for at, predictions in _predictions(votes, given=False):
        counts_P: Floats = np.sum([votes.passes(at, p.text) * p.count for p in predictions], axis=0)
        met.append(counts_P / sum(p.count for p in predictions))
    return np.mean(met, axis=0) if met else np.zeros(len(votes.programs))


def n_examples(votes: Votes) -> int:
    """The number of examples of a given statement among the inputs."""
    return len(_predictions(votes, given=True))


def examples_met(votes: Votes) -> Ints:
    """On how many examples of a given statement each program returns the given output, P."""
    met = np.zeros(len(votes.programs), dtype=np.int32)
    for at, predictions in _predictions(votes, given=True):
        met += votes.passes(at, predictions[0].text)
    return met


def _predictions(votes: Votes, *, given: bool) -> list[tuple[int, tuple[Prediction, ...]]]:
    """Places and predictions of the inputs that have some, from a given statement or not."""
    return [
        (at, test_input.predictions)
        for at, test_input in enumerate(votes.inputs)
        if test_input.predictions and (test_input.origin is InputOrigin.GIVEN) is given
    ]


def echoes(votes: Votes) -> Bools:
    """Which programs return one of their arguments, the same one for every input, P.

    No problem asks for its own input, so the agreement of such programs is trivial. With fewer than
    two inputs, or the same answer to all, no program counts as one.
    """
    found = np.zeros(len(votes.programs), dtype=np.bool_)
    texts = [key(test_input.arguments) for test_input in votes.inputs]
    if len(texts) < 2:
        return found
    # Arguments are parsed only where every answer of a program occurs in the argument tuple.
    suspects = [
        at
        for at, row in enumerate(votes.answers_PT.tolist())
        if len(set(row)) > 1
        and all(
            code != BOTTOM and votes.texts[code] in text
            for code, text in zip(row, texts, strict=True)
        )
    ]
    if suspects:
        arguments = [_argument_texts(text) for text in texts]
        for at in suspects:
            answers = [votes.texts[code] for code in votes.answers_PT[at].tolist()]
            found[at] = any(list(column) == answers for column in zip(*arguments, strict=False))
    return found


def _argument_texts(arguments: str) -> list[str]:
    try:
        values = parse(arguments)
    except CanonicalError:
        return []
    return [key(write(value)) for value in values] if isinstance(values, tuple) else []

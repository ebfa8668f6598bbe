"""Which inputs say something about candidates, and the fewest that say it all.

An input that hardly any candidate can run is invalid more likely than every candidate is wrong;
counted in e(r), a few of them would reject whole problems. Where programs refuse an input on
purpose, by an exception that their own text raises, refusing may be the right answer, and such an
input stays.
"""

from __future__ import annotations

import numpy as np

from ucoder.consensus.votes import BOTTOM, Bools, Floats, Ints, Votes
from ucoder.execution.canonical import CanonicalError, key, parse, write
from ucoder.records import InputOrigin


def support(votes: Votes) -> Floats:
    """The share of candidates with an answer to each input, T."""
    if votes.n == 0:
        return np.zeros(len(votes.inputs))
    answered_PT = votes.answers_PT != BOTTOM
    shares: Floats = votes.weights_P @ answered_PT / votes.n
    return shares


def kept_inputs(votes: Votes, min_support: float) -> tuple[int, ...]:
    """The inputs that enough candidates can answer, by their place in `votes.inputs`.

    A departure from the paper, which computes e(r) over all inputs; `min_support=0` restores it.

    Args:
        votes: The problem's.
        min_support: Least share of the candidates that answer, from 0 to 1.
    """
    if votes.n == 0:
        return ()
    return tuple(int(at) for at in np.flatnonzero(support(votes) >= min_support))


def distinguishing_inputs(votes: Votes, limit: int | None = None) -> tuple[int, ...]:
    """A small set of inputs that keeps the partition of the candidates, by place in `inputs`.

    Greedy: each next input splits as many pairs of clusters as possible that none before it has
    split; ties go to the one with the shorter arguments, then to the earlier. Finding the smallest
    set is set cover; the greedy one is at most 1 + ln(pairs) times as large, and on the samples
    that we looked at mostly equal to it.

    Args:
        votes: The problem's.
        limit: Stop after so many, although some clusters are not split yet.
    """
    rows_CT = np.unique(votes.answers_PT, axis=0)
    C, T = rows_CT.shape
    groups: Ints = np.zeros(C, dtype=np.int32)
    chosen: list[int] = []
    lengths = [len(test_input.arguments) for test_input in votes.inputs]
    splits_T = np.array([_n_groups(rows_CT[:, at]) for at in range(T)])
    while len(np.unique(groups)) < C and (limit is None or len(chosen) < limit):
        best = min(
            (at for at in range(T) if splits_T[at] > 1),
            key=lambda at: (_unsplit_pairs(groups, rows_CT[:, at]), lengths[at], at),
        )
        groups = _refine(groups, rows_CT[:, best])
        chosen.append(best)
    return tuple(sorted(chosen))


def _n_groups(column_C: Ints) -> int:
    return len(np.unique(column_C))


def _refine(groups: Ints, column_C: Ints) -> Ints:
    """The partition after one more input, numbered anew."""
    joint = groups.astype(np.int64) * (int(column_C.max()) + 2) + column_C + 1
    refined: Ints = np.unique(joint, return_inverse=True)[1].astype(np.int32)
    return refined


def _unsplit_pairs(groups: Ints, column_C: Ints) -> int:
    sizes = np.bincount(_refine(groups, column_C)).astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def predictions_met(votes: Votes) -> Floats:
    """The share of the model's predicted outputs that each program returns, P; 0 without any.

    Each input counts once, each prediction for it as often as the model made it. Examples
    of a given statement are no predictions: see `examples_met`.
    """
    met: list[Floats] = []
    for at, test_input in enumerate(votes.inputs):
        if test_input.predictions and test_input.origin is not InputOrigin.GIVEN:
            total = sum(prediction.count for prediction in test_input.predictions)
            met.append(
                sum(
                    (votes.passes(at, p.text) * float(p.count) for p in test_input.predictions),
                    np.zeros(len(votes.programs)),
                )
                / total
            )
    return np.mean(met, axis=0) if met else np.zeros(len(votes.programs))


def n_examples(votes: Votes) -> int:
    """How many examples of a given statement are among the inputs."""
    return sum(bool(i.predictions) and i.origin is InputOrigin.GIVEN for i in votes.inputs)


def examples_met(votes: Votes) -> Ints:
    """On how many examples of a given statement each program returns what they say, P."""
    met = np.zeros(len(votes.programs), dtype=np.int32)
    for at, test_input in enumerate(votes.inputs):
        if test_input.predictions and test_input.origin is InputOrigin.GIVEN:
            met += votes.passes(at, test_input.predictions[0].text)
    return met


def echoes(votes: Votes) -> Bools:
    """Which programs give one of their arguments back, the same one for every input, P.

    Nobody poses a problem whose answer is its own question, so such programs agree trivially.
    Fewer than two inputs with a different answer tell nothing.
    """
    found = np.zeros(len(votes.programs), dtype=np.bool_)
    texts = [key(test_input.arguments) for test_input in votes.inputs]
    if len(texts) < 2:
        return found
    # Arguments are parsed only where a program answers with a piece of every argument tuple.
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
            found[at] = any(
                all(
                    len(a) > n and a[n] == answer
                    for a, answer in zip(arguments, answers, strict=True)
                )
                for n in range(max(map(len, arguments)))
            )
    return found


def _argument_texts(arguments: str) -> list[str]:
    try:
        values = parse(arguments)
    except CanonicalError:
        return []
    return [key(write(value)) for value in values] if isinstance(values, tuple) else []

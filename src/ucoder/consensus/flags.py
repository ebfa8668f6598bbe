"""Signs that a problem has no single exact answer, so that equality splits what is right.

Float noise is made one answer while votes are counted. The rest is flagged, never merged in
silence: whether the order of a list matters only the problem's words can say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ucoder.consensus.votes import Votes
from ucoder.execution.canonical import CanonicalError, key, parse, write
from ucoder.records import Flag

_RIVAL_SHARE: Final = 0.5
_MAX_CHARS: Final = 2_000


def flags_of(votes: Votes, order: Sequence[int]) -> tuple[Flag, ...]:
    """The flags of a selection.

    Args:
        votes: On the inputs that count.
        order: Programs that can win, the winner first.
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
    # Another order is another text of the same characters: most pairs end here.
    if len(a) != len(b) or len(a) > _MAX_CHARS or sorted(a) != sorted(b):
        return False
    try:
        one, two = parse(a), parse(b)
    except CanonicalError:
        return False
    if not isinstance(one, list | tuple) or type(one) is not type(two):
        return False
    return sorted(key(write(x)) for x in one) == sorted(key(write(y)) for y in two)

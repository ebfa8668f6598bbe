"""Drawing at random, the same way every time."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from ucoder.consensus.votes import Floats, Votes


def waiting_times(votes: Votes) -> Floats:
    """A random time for each program, P; the shortest wins a lottery.

    An exponential race: a program of w candidates waits -log(u) / w with u uniform in (0, 1), so
    among any of the programs each wins with a chance proportional to its candidates, as if one
    candidate had been drawn. u is a hash of the program's id and of the ids of all: the draw
    repeats, and depends neither on the order of candidates nor on anything that they answered.
    """
    everyone = hashlib.sha256("\n".join(sorted(votes.programs)).encode()).digest()
    times = [
        -math.log(_uniform(everyone + program.encode())) / weight
        for program, weight in zip(votes.programs, votes.weights_P.tolist(), strict=True)
    ]
    return np.array(times, dtype=np.float64)


def _uniform(raw: bytes) -> float:
    """A number above 0 and below 1, from 52 bits of a hash."""
    bits = int.from_bytes(hashlib.sha256(raw).digest()[:8], "big") >> 12
    return (bits + 0.5) / 2.0**52

"""Where randomness comes from: every seed is a pure function of the run's seed and a purpose.

A request's seed never depends on what ran before it, so order, concurrency and restarts do not
change a run.
"""

from __future__ import annotations

from ucoder.records import digest

N_SEEDS = 1 << 31
"""Engines take signed 32-bit seeds at the least; 31 bits suit them all."""


def derive_seed(run_seed: int, *purpose: object) -> int:
    """The seed for one purpose, such as `("solutions", iteration, problem_id, round)`.

    Returns:
        An integer from 0 to 2**31 - 1.
    """
    return int(digest("seed", run_seed, *purpose), 16) % N_SEEDS

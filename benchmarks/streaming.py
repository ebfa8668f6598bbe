"""What a selection costs: milliseconds a problem, and memory over a million candidates.

Problems are made up, from a seed, to look like real ones: a right behaviour, a few wrong ones that
agree with it on part of the inputs, programs that agree with nobody, and calls that raise, some of
them on purpose; answers are ints, floats, strings, lists or booleans. All programs of a problem are
distinct, which is the worst case: equal ones are counted once.

1. The time of one selection (votes, inputs that count, selector, probability, flags and record:
   all of `ucoder.consensus.selection.select`) of 128 candidates on 100 inputs, for every selector.
   Each selector gets problems of its own, so that none finds answers that another has parsed.
   Wall-clock time: on a machine with other work, it says more of that than of this.
2. Resident memory while problems are made, selected and dropped, one after the other: after a tenth
   of them, and after all. A ratio near 1 says that nothing is kept.

The last line holds agreement's median and that ratio.

    python benchmarks/streaming.py [--problems 7813] [--candidates 128] [--inputs 20] [--timed 200]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ucoder.consensus.selection import Ballot, select
from ucoder.consensus.selectors import SELECTORS, Rule
from ucoder.execution.outcomes import Outcome, OutcomeKind, ProgramStatus
from ucoder.records import Candidate, Execution, FinishReason, InputOrigin, Prediction, TestInput
from ucoder.seeds import derive_seed

TIMED_CANDIDATES = 128
TIMED_INPUTS = 100
WARM_UP = 5
"""Selections before time is taken: imports, and the first use of everything in numpy."""

KINDS = ("int", "float", "string", "list", "bool")
N_WRONG = 8
"""Wrong behaviours that several programs of a problem may share."""

SCATTER = 0.25
"""Share of programs that agree with nobody in all."""

RAISING = 0.15
"""Share of programs that raise on some inputs; every other one says so in its own text."""


@dataclass(frozen=True)
class Made:
    """One made-up problem, as `select` takes it."""

    candidates: Sequence[Candidate]
    executions: dict[str, Execution]
    inputs: Sequence[TestInput]


def make_problem(n_candidates: int, n_inputs: int, seed: int) -> Made:
    """A problem with a right behaviour, wrong ones that agree in part, noise and exceptions."""
    draw = random.Random(seed)
    kind = draw.choice(KINDS)
    right = [answer(kind, draw) for _ in range(n_inputs)]
    wrong = [
        [a if draw.random() < share else answer(kind, draw) for a in right]
        for share in (draw.random() for _ in range(N_WRONG))
    ]
    inputs = [
        TestInput(f"({at}, [{at}, {draw.randrange(100)}])", InputOrigin.MUTATION)
        if at >= n_inputs // 4
        else TestInput(f"({at}, [])", InputOrigin.MODEL, (Prediction(right[at], 2),))
        for at in range(n_inputs)
    ]
    behaviours = [right, *wrong]
    # Few behaviours hold most programs, as in samples of a model.
    chances = [1.0 / (1 + rank) for rank in range(len(behaviours))]
    draw.shuffle(chances)
    candidates, executions = [], {}
    for index in range(n_candidates):
        (base,) = draw.choices(behaviours, chances)
        if draw.random() < SCATTER:
            base = [a if draw.random() < 0.7 else answer(kind, draw) for a in base]
        source = f"def f(x, y):\n    a = x + {seed}\n    b = {index}\n"
        source += "    for v in y:\n        a += v * b\n" * draw.randint(1, 6)
        fails = 0.0
        if draw.random() < RAISING:
            fails = draw.random()
            if index % 2:
                source += "    if not y:\n        raise ValueError('empty')\n"
        outcomes = tuple(
            Outcome(OutcomeKind.RAISED, "ValueError: empty")
            if fails and draw.random() < fails
            else Outcome(OutcomeKind.RETURNED, text)
            for text in base
        )
        program = f"{seed}-{index}"
        executions[program] = Execution(
            "made", 0, program, ProgramStatus.LOADED, "", outcomes, 0.0, 0.0
        )
        candidates.append(
            Candidate(
                program, "made", 0, index, "", source + "    return a\n", program, 60,
                -60 * draw.random(), FinishReason.STOP, None,
            )
        )  # fmt: skip
    return Made(candidates, executions, inputs)


def answer(kind: str, draw: random.Random) -> str:
    """The canonical text of a random answer."""
    if kind == "int":
        return str(draw.randrange(-20, 200))
    if kind == "float":
        return repr(draw.randrange(1, 400) / 7)
    if kind == "string":
        return repr("".join(draw.choices("abcdef ", k=draw.randint(0, 12))))
    if kind == "list":
        return repr([draw.randrange(10) for _ in range(draw.randint(0, 6))])
    return str(draw.random() < 0.5)


def chosen_by(selector: str, made: Made) -> Ballot:
    """One selection."""
    return select("made", 0, made.candidates, made.executions, made.inputs, Rule(selector))


def times_ms(selector: str, n: int) -> list[float]:
    """Milliseconds of n selections, each of a new problem; sorted."""
    times = []
    for number in range(-WARM_UP, n):
        seed = derive_seed(0, "timed", selector, number)
        made = make_problem(TIMED_CANDIDATES, TIMED_INPUTS, seed)
        began = time.perf_counter()
        chosen_by(selector, made)
        if number >= 0:
            times.append(1000 * (time.perf_counter() - began))
    return sorted(times)


def resident_mib() -> float:
    """Resident memory of this process, as Linux has it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def stream(n_problems: int, n_candidates: int, n_inputs: int) -> float:
    """Select one problem after the other; the ratio of memory at the end to that at a tenth."""
    early_at = max(1, n_problems // 10)
    early = resident_mib()
    reasons: Counter[str] = Counter()
    began = time.perf_counter()
    for done in range(1, n_problems + 1):
        made = make_problem(n_candidates, n_inputs, derive_seed(0, "streamed", done))
        reason = chosen_by("agreement", made).selection.reason
        reasons[str(reason or "selected")] += 1
        if done == early_at:
            early = resident_mib()
            print(f"{done:>6} problems: {early:.1f} MiB", flush=True)
    late = resident_mib()
    print(f"{n_problems:>6} problems: {late:.1f} MiB, {n_problems * n_candidates:,} candidates in "
          f"{time.perf_counter() - began:.0f} s, the making among it; {dict(reasons)}")  # fmt: skip
    return late / early


def main() -> None:
    """Time every selector, then stream."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", type=int, default=7_813, help="to stream")
    parser.add_argument("--candidates", type=int, default=128, help="of each of these")
    parser.add_argument("--inputs", type=int, default=20, help="of each of these")
    parser.add_argument("--timed", type=int, default=200, help="selections timed a selector")
    asked = parser.parse_args()
    if min(asked.problems, asked.candidates, asked.inputs, asked.timed) < 1:
        parser.error("every number must be at least 1")
    print(f"{TIMED_CANDIDATES} candidates, all distinct, on {TIMED_INPUTS} inputs")
    medians = {}
    for selector in SELECTORS:
        times = times_ms(selector, asked.timed)
        medians[selector] = statistics.median(times)
        p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
        print(f"{selector:<20} select_ms_p50={medians[selector]:.1f} select_ms_p95={p95:.1f}",
              flush=True)  # fmt: skip
    ratio = stream(asked.problems, asked.candidates, asked.inputs)
    print(f"agreement_ms_p50={medians['agreement']:.2f} memory_ratio={ratio:.3f}")


if __name__ == "__main__":
    main()

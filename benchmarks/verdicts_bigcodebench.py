"""Do our verdicts on BigCodeBench agree with its package's, task by task?

Programs are judged by `bigcodebench.eval.untrusted_check` and by our harness in the sandbox:
canonical solutions, changed ones (see `mutants`) and, with --samples, whatever stands in a file.
Every disagreement is named with what both sides say. Changed programs are made only of solutions
that pass on our side, and samples of other tasks are left out: those are "not run" for us, listed
with the reason, and named as well where the package passes them.

Both sides run one after the other, so that neither slows the other into a timeout.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mutants import mutants

from ucoder.evaluation.benchmarks import bigcodebench as ours
from ucoder.evaluation.data import read_rows
from ucoder.evaluation.protocol import Dataset, Task
from ucoder.evaluation.reference_checks import grade_of_reference
from ucoder.execution import Executor, open_executor
from ucoder.execution.payload import modules_of

_GIB_30 = 30 * 1024
"""The package's own limit of address space and data, in MiB."""


@dataclass(slots=True)
class Judged:
    """One program and both verdicts.

    Attributes:
        task_id: Its task.
        kind: `canonical`, `mutant` or `sample`.
        source: The program, as a line "solution" of a samples file holds it.
        change: What was changed in it.
        ours: Our executor's verdict; "" before it was asked.
        ours_detail: Why no pass.
        ours_s: Seconds it took.
        theirs: `pass`, `fail` or `timeout`.
        theirs_detail: Why no pass.
    """

    task_id: str
    kind: str
    source: str
    change: str = ""
    ours: str = ""
    ours_detail: str = ""
    ours_s: float = float("nan")
    theirs: str = ""
    theirs_detail: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both pass it or neither does."""
        return (self.ours == "passed") == (self.theirs == "pass")


def ask_package(source: str, tests: str, entry_point: str, timeout_s: float) -> tuple[str, str]:
    """The package's verdict; runs in a process of its own, unprotected."""
    import bigcodebench.eval as package

    for name in modules_of(
        ours.REQUIREMENTS.preload
    ):  # as our workers do: each check would load them anew
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    multiprocessing.set_start_method("fork", force=True)  # as the package is used; spawning is slow
    package.TIMEOUT_LIMIT = timeout_s  # its environment variable for this cannot be read: a str
    status, details = package.untrusted_check(
        source, tests, entry_point, _GIB_30, _GIB_30, 10, min_time_limit=1, gt_time_limit=1
    )
    said = "; ".join(f"{name}: {trace.strip()[-160:]!r}" for name, trace in details.items())
    return status, said[:600]


async def judge_theirs(
    tasks: dict[str, Task], programs: list[Judged], n_workers: int, timeout_s: float
) -> None:
    """Have every program judged by the package."""
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context("spawn")  # no fork of a process with threads
    with ProcessPoolExecutor(n_workers, context) as pool:

        async def one(judged: Judged) -> None:
            task = tasks[judged.task_id]
            text = f"{task.fields['code_prompt']}\n    pass\n{judged.source}"
            judged.theirs, judged.theirs_detail = await loop.run_in_executor(
                pool, ask_package, text, task.fields["test"], task.entry_point, timeout_s
            )

        await _each(programs, one, "the package")


async def judge_ours(
    executor: Executor, tasks: dict[str, Task], programs: list[Judged], n_workers: int
) -> None:
    """Judge every program by our harness."""
    gate = asyncio.Semaphore(n_workers)

    async def one(judged: Judged) -> None:
        async with gate:
            script = ours.test_script(tasks[judged.task_id], judged.source)
            report = await executor.check(script, timeout_s=ours.TIMEOUT_S, as_script=True)
        judged.ours, judged.ours_detail = str(report.verdict), report.detail
        judged.ours_s = report.wall_s
        if judged.kind == "canonical" and judged.ours != "passed":
            judged.change = str(grade_of_reference(report).reason)

    await _each(programs, one, "ours")


async def _each(programs: list[Judged], work: Any, what: str) -> None:
    pending = [asyncio.ensure_future(work(judged)) for judged in programs]
    for done, future in enumerate(asyncio.as_completed(pending), 1):
        await future
        if done % 50 == 0 or done == len(pending):
            print(f"{what}: {done} of {len(pending)}", file=sys.stderr, flush=True)


def make_mutants(tasks: list[Task], n_each: int) -> list[Judged]:
    """Changed programs, n of every task."""
    made = []
    for task in tasks:
        found = itertools.islice(mutants(ours.reference(task), seed=task.id), n_each)
        made += [Judged(task.id, "mutant", text, change) for change, text in found]
    return made


def read_samples(path: Path, tasks: dict[str, Task]) -> list[Judged]:
    """Programs of a samples file in BigCodeBench's format; of other tasks, none."""
    made = []
    for number, row in enumerate(read_rows(path)[0], 1):
        if row["task_id"] not in tasks:
            continue
        prompt = tasks[row["task_id"]].fields["complete_prompt"]
        source = row["solution"] if "solution" in row else prompt + row["completion"]
        made.append(Judged(row["task_id"], "sample", source, f"line {number} of {path.name}"))
    return made


def show(result: dict[str, Any]) -> None:
    """Print what came out."""
    print(f"{result['source']}: {result['n_tasks']} tasks")
    for kind, counts in result["counts"].items():
        print(f"{kind}: {', '.join(f'{name} {count}' for name, count in counts.items())}")
    print(f"not run on our side: {len(result['not_run'])}")
    for one in result["not_run"]:
        print(f"  {one['task_id']} ({one['change']}): {one['ours_detail']}")
        print(f"    package: {one['theirs'] or 'not asked'} {one['theirs_detail'][:200]}")
    print(f"disagreements: {len(result['differs'])}")
    for one in result["differs"]:
        print(f"  {one['task_id']}, {one['kind']} {one['change']}")
        print(f"    ours: {one['ours']} {one['ours_detail']}")
        print(f"    package: {one['theirs']} {one['theirs_detail']}")
    print(", ".join(f"{name}: {seconds:.0f} s" for name, seconds in result["seconds"].items()))


def summary(dataset: Dataset, programs: list[Judged], seconds: dict[str, float]) -> dict[str, Any]:
    """The result as plain data."""
    not_run = [j for j in programs if j.kind == "canonical" and j.ours != "passed"]
    both = [j for j in programs if j.ours and j.theirs]
    counts = {}
    for kind in dict.fromkeys(j.kind for j in both):
        some = [j for j in both if j.kind == kind]
        verdicts = Counter(f"ours {j.ours}, package {j.theirs}" for j in some)
        n_tasks = len({j.task_id for j in some})
        agree = sum(j.agrees for j in some)
        counts[kind] = {"programs": len(some), "tasks": n_tasks, "agree": agree, **verdicts}
    return {
        "source": dataset.source,
        "sha256": dataset.sha256,
        "n_tasks": len(dataset.tasks),
        "counts": counts,
        "not_run": [asdict(j) for j in not_run],
        "differs": [asdict(j) for j in both if not j.agrees],
        "programs": [asdict(j) for j in programs],
        "seconds": seconds,
    }


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything; the result is plain data."""
    dataset = ours.load("complete", arguments.subset, arguments.data)
    chosen = dataset.tasks[arguments.skip :: arguments.every][: arguments.limit]
    tasks = {task.id: task for task in chosen}
    seconds: dict[str, float] = {}
    started = time.monotonic()
    programs = [Judged(task.id, "canonical", ours.reference(task)) for task in chosen]
    n_workers = arguments.workers
    limits, preload = ours.REQUIREMENTS.limits, ours.REQUIREMENTS.preload
    async with open_executor(arguments.provider, limits, n_workers, preload=preload) as executor:
        await judge_ours(executor, tasks, programs, n_workers)
        runs = {judged.task_id for judged in programs if judged.ours == "passed"}
        more = make_mutants([task for task in chosen if task.id in runs], arguments.mutants)
        for path in arguments.samples:
            more += [judged for judged in read_samples(path, tasks) if judged.task_id in runs]
        await judge_ours(executor, tasks, more, n_workers)
    programs += more
    seconds["ours"] = time.monotonic() - started
    await judge_theirs(tasks, programs, n_workers, arguments.timeout)
    seconds["package"] = time.monotonic() - started - seconds["ours"]
    return summary(dataset, programs, seconds)


EXAMPLE = """\
It needs the benchmark's libraries and its package in the Python that runs this script:

    pip install "ucoder[bigcodebench]" && pip install --no-deps bigcodebench
    python benchmarks/verdicts_bigcodebench.py --subset hard --mutants 2 --json verdicts.json

The package runs programs unprotected, as it always does: use a machine that may be lost.
"""


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--subset", choices=("full", "hard"), default="hard", help="default: hard")
    add("--data", type=Path, help=f"its file; else ${ours.OVERRIDE}, else from the hub")
    add("--samples", type=Path, nargs="*", default=[], help="files of samples to judge as well")
    add("--mutants", type=int, default=1, help="a task; default 1, 0 for none")
    add("--limit", type=int, help="only so many tasks")
    add("--skip", type=int, default=0, help="leave out the first so many tasks")
    add("--every", type=int, default=1, help="only one of so many tasks")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: one a core")
    add("--provider", default="bubblewrap", help="of the sandbox; default bubblewrap")
    add("--timeout", type=float, default=ours.TIMEOUT_S, help="of the package, instead of 240 s")
    add("--json", type=Path, metavar="PATH", help="write it, with all sources")
    arguments = parser.parse_args()
    result = asyncio.run(run(arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    show(result)


if __name__ == "__main__":
    main()

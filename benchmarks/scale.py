"""A run of the paper's size on a Ray cluster on this machine, without an accelerator.

    python benchmarks/scale.py run FOLDER [--problems 16867] [--replicas 4] [--tokens-per-s 20000]
    python benchmarks/scale.py draw FOLDER docs/scale.svg

`run` starts a cluster of one node a replica and carries a run of the simulated components to its
end (`simulation.py` says what is simulated: the engine's answers and their time, and most
executions).
While it runs, it notes once a second what the driver and the replicas take. Then it prints:

- idle shares: of the places in the engines' batches, how many stood empty: over the whole of stage
  5, and from a twentieth of it until five seconds before the first engine ran out of work. With as
  many journeys on their way as here, an engine waits for nothing but the scheduler.
- the driver's CPU milliseconds a problem, in the first and in the last quarter of the problems.
- memory of the driver and of the largest replica, after a quarter and at the end.
- bytes of the store a candidate.
- seconds to resume the finished run, and to count it (`ucoder status`).

`draw` draws the figure of docs/scale.md from what `run` noted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from procfs import cpu_s, parents, rss_kib

from ucoder.config import RunConfig, parse_config
from ucoder.pipeline import run_pipeline
from ucoder.runs import Run


def configuration(arguments: argparse.Namespace, address: str) -> RunConfig:
    """The paper's numbers, with one iteration."""
    return parse_config(
        {
            "model": "scripted",
            "engine": {"provider": "scripted"},
            "problems": {"n": arguments.problems},
            "test_inputs": {"n": 100, "n_completions": 1},
            "solutions": {"n": 128},
            "consolidation": {"provider": "none", "iterations": 1},
            "evaluation": {"benchmarks": []},
            "executor": {"n_workers": 1},
            "scale": {
                "provider": "ray",
                "address": address,
                "n_replicas": arguments.replicas,
            },
            "max_concurrency": arguments.concurrency,
        }
    )


class Notes:
    """What the driver and the replicas take, once a second; also the run's progress."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._stage = ""
        self._done = 0

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """See `Progress.begin`."""
        self._stage, self._done = stage, done

    def advance(self, stage: str, done: int, **facts: object) -> None:
        """See `Progress.advance`."""
        self._done = done

    def end(self, stage: str) -> None:
        """See `Progress.end`."""
        self._stage = ""

    def message(self, text: str) -> None:
        """See `Progress.message`."""
        print(text, flush=True)

    async def keep(self) -> None:
        """Note until cancelled."""
        while True:
            replicas = [rss_kib(pid) for pid in replica_processes()]
            note = {
                "at": time.time(),
                "stage": self._stage,
                "done": self._done,
                "driver_cpu_s": time.process_time(),
                "driver_rss_kib": rss_kib(os.getpid()),
                "replica_rss_kib": max(replicas, default=None),
                "replicas_cpu_s": cpu_s(set(replica_processes())),
            }
            self._file.write(json.dumps(note) + "\n")
            self._file.flush()
            await asyncio.sleep(1.0)


def replica_processes() -> list[int]:
    """The actors below this process."""
    parent_of = parents()
    found = []
    for pid in parent_of:
        above = pid
        while above in parent_of and above != os.getpid():
            above = parent_of[above]
        if above == os.getpid() and _command(pid).startswith("ray::Replica"):
            found.append(pid)
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""


def run(arguments: argparse.Namespace) -> None:
    """Carry the run to its end, and say what it took."""
    folder: Path = arguments.folder
    folder.mkdir(parents=True)
    statistics = folder / "engines"
    statistics.mkdir()
    os.environ["SIMULATED_STATISTICS"] = str(statistics.resolve())
    os.environ["SIMULATED_TOKENS_PER_S"] = str(arguments.tokens_per_s)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    from ray.cluster_utils import Cluster
    from simulation import SimulatedComponents

    node = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(
        initialize_head=True, head_node_args={**node, "num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(arguments.replicas):
        cluster.add_node(**node, num_cpus=1)
    config = configuration(arguments, cluster.address)
    made = Run.create(folder / "run", config)
    notes = Notes(folder / "notes.jsonl")

    async def carry() -> None:
        keeping = asyncio.create_task(notes.keep())
        await run_pipeline(made, SimulatedComponents(config, notes), notes)
        keeping.cancel()

    asyncio.run(carry())
    begin = time.monotonic()
    asyncio.run(carry())  # finished: it reads what is there, and starts the replicas once more
    (folder / "resume.json").write_text(json.dumps(time.monotonic() - begin))
    print(json.dumps(findings(folder), indent=2))


def findings(folder: Path) -> dict[str, Any]:
    """The figures, from what was noted."""
    made = Run.open(folder / "run")
    notes = [json.loads(line) for line in (folder / "notes.jsonl").read_text().splitlines()]
    stage5 = [note for note in notes if note["stage"].startswith("solutions")]
    n = len(made.selections(0).keys())
    quarters = [next(x for x in stage5 if x["done"] >= n * share) for share in (0.05, 0.25, 0.75)]
    first, last = [quarters[0], quarters[1]], [quarters[2], stage5[-1]]
    engines = folder / "engines"
    all_busy_until = min(lines[-1]["at"] for lines in _engine_notes(engines)) - 5
    n_candidates = n * made.config.solutions.n
    tables = made.path / "tables"
    stored = sum(f.stat().st_size for f in tables.rglob("*.parquet"))
    by_candidate = sum(
        f.stat().st_size
        for name in ("candidates", "executions", "selections")
        for f in (tables / name).rglob("*.parquet")
    )
    return {
        "problems": n,
        "candidates": n_candidates,
        "seconds": round(notes[-1]["at"] - notes[0]["at"]),
        "stage_5_seconds": round(stage5[-1]["at"] - stage5[0]["at"]),
        "idle_share_of_stage_5": _idle_share(engines, stage5[0]["at"], stage5[-1]["at"]),
        "idle_share_while_all_have_work": _idle_share(engines, first[0]["at"], all_busy_until),
        "driver_ms_a_problem": [_driver_ms(first), _driver_ms(last)],
        "driver_share_of_a_core": round(
            (stage5[-1]["driver_cpu_s"] - stage5[0]["driver_cpu_s"])
            / (stage5[-1]["at"] - stage5[0]["at"]),
            3,
        ),
        "driver_mib": [_mib(first[1], "driver"), _mib(last[1], "driver")],
        "replica_mib": [_mib(first[1], "replica"), _mib(quarters[2], "replica")],
        "stored_bytes_a_candidate": round(by_candidate / n_candidates),
        "stored_bytes_a_candidate_with_all_stages": round(stored / n_candidates),
        "resume_seconds": round(json.loads((folder / "resume.json").read_text()), 1),
        "status": _timed(["status", str(made.path), "--json"]),
    }


def _idle_share(folder: Path, begin: float, end: float) -> float:
    """Share of the engines' places that stood empty between two moments."""
    sequences = int(os.environ.get("SIMULATED_SEQUENCES", "128"))
    busy = total = 0.0
    for lines in _engine_notes(folder):
        inside = [line for line in lines if begin <= line["at"] <= end]
        a, b = inside[0], inside[-1]
        # What was given out and lies ahead was not sampled yet.
        busy += (b["busy_s"] - b["ahead_s"]) - (a["busy_s"] - a["ahead_s"])
        total += (end - begin) * sequences
    return round(1 - busy / total, 4)


def _engine_notes(folder: Path) -> list[list[dict[str, Any]]]:
    """What every engine noted that worked; those of the resumed run had nothing to do."""
    files = (file.read_text().splitlines() for file in sorted(folder.glob("*.jsonl")))
    return [[json.loads(line) for line in lines] for lines in files if len(lines) > 2]


def _driver_ms(span: list[dict[str, Any]]) -> float:
    a, b = span
    return round((b["driver_cpu_s"] - a["driver_cpu_s"]) / (b["done"] - a["done"]) * 1000, 2)


def _mib(note: dict[str, Any], who: str) -> float:
    return round(note[f"{who}_rss_kib"] / 1024)


def _timed(command: list[str]) -> dict[str, float]:
    """Seconds and peak memory of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "ucoder", *command], check=True, stdout=subprocess.DEVNULL
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "seconds": round(time.monotonic() - begin, 1),
        "peak_mib": round(max(peak, before) / 1024),
    }


def draw(folder: Path, output: Path) -> None:
    """The figure: progress, engines' use, memory, and the driver's work, over the run."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    notes = [json.loads(line) for line in (folder / "notes.jsonl").read_text().splitlines()]
    start = notes[0]["at"]
    figure, panels = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained")
    colours = {"problems": "#8a8a8a", "test_inputs": "#d08a2e", "solutions 0": "#2e6fb0"}
    names = {"problems": "stages 1 to 3", "test_inputs": "stage 4", "solutions 0": "stage 5"}
    progress, busy, memory, work = panels.flat
    for stage, colour in colours.items():
        of_stage = [note for note in notes if note["stage"] == stage]
        minutes = [(note["at"] - start) / 60 for note in of_stage]
        progress.plot(minutes, [n["done"] for n in of_stage], color=colour, label=names[stage])
    progress.set(title="Problems done", xlabel="minutes", ylim=(0, None))
    progress.legend(frameon=False)
    for lines in _engine_notes(folder / "engines"):
        _draw_busy(busy, lines, start)
    busy.set(title="Share of each engine's batch in use", xlabel="minutes", ylim=(0, 1.05))
    minutes = [(note["at"] - start) / 60 for note in notes]
    memory.plot(
        minutes, [n["driver_rss_kib"] / 1024 for n in notes], label="driver", color="#2e6fb0"
    )
    memory.plot(
        minutes,
        [(n["replica_rss_kib"] or float("nan")) / 1024 for n in notes],
        label="largest replica", color="#d08a2e",
    )  # fmt: skip
    memory.set(title="Resident memory, MiB", xlabel="minutes", ylim=(0, None))
    memory.legend(frameon=False)
    stage5 = [note for note in notes if note["stage"] == "solutions 0"]
    step = max(1, len(stage5) // 40)
    points = [
        (b["done"], (b["driver_cpu_s"] - a["driver_cpu_s"]) / (b["done"] - a["done"]) * 1000)
        for a, b in zip(stage5[::step], stage5[step::step], strict=False)
        if b["done"] > a["done"]
    ]
    work.plot(*zip(*points, strict=True), color="#2e6fb0")
    work.set(title="Driver, CPU ms a problem in stage 5", xlabel="problems done", ylim=(0, None))
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, metadata={"Date": None})
    print(output)


def _draw_busy(panel: Any, lines: list[dict[str, Any]], start: float) -> None:
    sequences = int(os.environ.get("SIMULATED_SEQUENCES", "128"))
    step = 5
    points = []
    for a, b in zip(lines[::step], lines[step::step], strict=False):
        done = (b["busy_s"] - b["ahead_s"]) - (a["busy_s"] - a["ahead_s"])
        points.append(((b["at"] - start) / 60, done / (b["at"] - a["at"]) / sequences))
    if points:
        panel.plot(*zip(*points, strict=True), linewidth=0.8)


def main() -> None:
    """Run, or draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("folder", type=Path)
    running.add_argument("--problems", type=int, default=16_867)
    running.add_argument("--replicas", type=int, default=4)
    running.add_argument("--max_concurrency", type=int, default=32)
    running.add_argument("--tokens-per-s", type=float, default=20_000)
    drawing = commands.add_parser("draw")
    drawing.add_argument("folder", type=Path)
    drawing.add_argument("output", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "run":
        run(arguments)
    else:
        draw(arguments.folder, arguments.output)


if __name__ == "__main__":
    main()

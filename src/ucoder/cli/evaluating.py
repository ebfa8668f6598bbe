"""`ucoder eval` and `ucoder compare`: scores outside a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ucoder import __version__
from ucoder.analysis.numbers import plain
from ucoder.analysis.scores import ModelScore, compare, score_of
from ucoder.cli.drawing import Bars
from ucoder.cli.terminal import PlainConsole
from ucoder.components import Components
from ucoder.config import RunConfig
from ucoder.errors import BenchmarkError
from ucoder.evaluation.data import without_downloads
from ucoder.evaluation.kept import KeptTables
from ucoder.evaluation.protocol import Task
from ucoder.evaluation.records import Score
from ucoder.evaluation.registry import NAMES, check_copies, find_benchmark, title_of
from ucoder.evaluation.running import Evaluation, TaskSubset, task_key
from ucoder.evaluation.samples import Samples, read_samples, write_samples
from ucoder.evaluation.statistics import require_samples, usual_ks
from ucoder.files import storing, write_atomically
from ucoder.runs import Run

SCORES_FILE = "scores.jsonl"
RESULTS_FILE = "results.json"
_REVISION = 1
"""Part of every kept score's identity; raise it when the same program is graded otherwise."""
_MAX_LINES = 5
"""Lines of a file that are named; the others are counted."""
_MAX_CONCURRENT_GRADES = 8
"""Tasks that are graded at once; enough to keep every worker busy."""


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """One score of one evaluation."""

    score: ModelScore
    tasks: TaskSubset  # the tasks that were graded
    rows: tuple[Score, ...]  # every sample's verdict

    @property
    def title(self) -> str:
        """Of the benchmark, as people write it."""
        own = self.tasks.benchmark
        return own.title if own.name == self.score.benchmark else title_of(self.score.benchmark)

    @property
    def scope(self) -> str:
        """How many of the benchmark's tasks the score is of."""
        n, n_all = len(self.tasks.tasks), len(self.tasks.dataset.tasks)
        return f"{n_all} tasks" if n == n_all else f"{n} of {n_all} tasks"


async def evaluate_model(
    config: RunConfig, again: bool, output: Path | None, as_json: bool, out: Console
) -> None:
    """Run the configuration's benchmarks on its model."""
    results: list[BenchmarkResult] = []
    _make_folder(output)
    with Bars(PlainConsole(stderr=True) if as_json else out) as bars:
        components = Components(config, bars)
        concurrency = max(1, config.engine.max_sequences // config.evaluation.n)
        every = [replace(one, max_concurrency=concurrency) for one in _asked(components)]
        model = components.model(config.model)
        async with components.engine(model) as engine:
            answers_of = (
                model.sha256 or model.name, config.engine.model_dump_json(), engine.info, _REVISION
            )  # fmt: skip
            grading = _grading(config)
            files = [
                KeptTables(one, answers_of, grading, is_chat=engine.info.is_chat) for one in every
            ]
            for one, kept in zip(every, files, strict=True):
                if again:
                    kept.forget_scores()
                await one.run(0, engine, kept, bars)
        for one, kept in zip(every, files, strict=True):
            results += _results(one, kept, config.evaluation.k)
            if output is not None:
                answers = kept.answers(one.benchmark.prompts)
                rows = [row for task in one.tasks.tasks for row in answers.get(task_key(task.id))]
                write_samples(output / f"samples-{one.benchmark.prompts}.jsonl", rows)
    about = {
        "model": config.model,
        "sha256": model.sha256,
        "engine": asdict(engine.info),
        "decoding": every[0].decoding if every else {},
    }
    _report(results, about, output, as_json, out)


async def score_samples(
    path: Path,
    config: RunConfig,
    ks: Sequence[int] | None,
    again: bool,
    output: Path | None,
    as_json: bool,
    out: Console,
) -> None:
    """Score samples that were made elsewhere; without `ks`, those that they suffice for."""
    results: list[BenchmarkResult] = []
    said: dict[str, list[str]] = {}
    _make_folder(output)
    with Bars(PlainConsole(stderr=True) if as_json else out) as bars:
        ready = []
        for every in _asked(Components(config, bars)):
            samples = read_samples(path, every.tasks.tasks)
            n_samples = {task: len(programs) for task, programs in samples.programs.items()}
            require_samples(n_samples, ks or ())
            tasks = tuple(task for task in every.tasks.tasks if task.id in samples.programs)
            chosen = replace(every.tasks, tasks=tasks)
            one = replace(every, tasks=chosen, max_concurrency=_MAX_CONCURRENT_GRADES)
            ready.append((one, samples, ks or usual_ks(min(n_samples.values()))))
            said[one.benchmark.name] = list(_said(samples, every.tasks, len(tasks)))
            for line in said[one.benchmark.name]:
                bars.message(f"{one.benchmark.title}: {line}")
        for one, samples, of_k in ready:
            programs = {task_key(task): texts for task, texts in samples.programs.items()}
            kept = KeptTables(
                one, (samples.sha256, _REVISION), _grading(config), programs=programs.__getitem__
            )
            if again:
                kept.forget_scores()

            async def programs_of(task: Task, samples: Samples = samples) -> Sequence[str]:
                return samples.programs[task.id]

            await one.grade(0, programs_of, kept, bars)
            results += _results(one, kept, of_k)
    _report(results, {"samples": path.name, "notes": said}, output, as_json, out)


def _asked(components: Components) -> list[Evaluation]:
    """The evaluations; data for others are refused, because nothing would read them."""
    every = components.evaluations()
    check_copies(components.config.evaluation.data, [one.benchmark for one in every])
    return every


def _make_folder(output: Path | None) -> None:
    """Find out before anything is sampled or graded whether the output can be written."""
    if output is not None:
        with storing(output / RESULTS_FILE):
            output.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=output):
                pass


def _grading(config: RunConfig) -> list[object]:
    """What verdicts depend on, as far as it is the configuration's."""
    return [config.executor.provider, config.evaluation.options(), __version__, _REVISION]


def _results(evaluation: Evaluation, kept: KeptTables, ks: Sequence[int]) -> list[BenchmarkResult]:
    rows_of = {name: evaluation.scores(kept, name) for name in evaluation.benchmark.scores}
    return [
        BenchmarkResult(score_of(rows, ks), evaluation.tasks, tuple(rows))
        for rows in rows_of.values()
    ]


def _said(samples: Samples, asked: TaskSubset, n_tasks: int) -> Iterator[str]:
    """What is to be known about a file of samples, in sentences."""
    yield samples.counts()
    if n_tasks < len(asked.tasks):
        yield (
            f"the file has samples for {n_tasks} of {len(asked.tasks)} tasks; the score is of "
            f"these alone"
        )
    yield from samples.notes
    if n := len(samples.left_out):
        more = f"; and {n - _MAX_LINES} more" if n > _MAX_LINES else ""
        yield f"{n} lines are left out: {'; '.join(samples.left_out[:_MAX_LINES])}{more}"
    if samples.unknown:
        yield (
            f"{sum(samples.unknown.values())} samples are for tasks that it does not have, such "
            f"as {next(iter(samples.unknown))}; they are left out"
        )


def _report(
    results: Sequence[BenchmarkResult],
    about: dict[str, Any],
    output: Path | None,
    as_json: bool,
    out: Console,
) -> None:
    """Write the results into the output folder, and print them."""
    text = json.dumps({**about, "scores": [_plain(result) for result in results]}, indent=2)
    if output is not None:
        rows = [json.dumps(asdict(row)) for result in results for row in result.rows]
        write_atomically(output / SCORES_FILE, "".join(f"{row}\n" for row in rows))
        write_atomically(output / RESULTS_FILE, f"{text}\n")
    if as_json:
        print(text)
        return
    out.print(_table(results))
    sources = dict.fromkeys(result.tasks.dataset.source for result in results)
    out.print(f"data: {', '.join(sources)}", style="dim", highlight=False, markup=False)
    for result in results:
        for line in _not_run(result):
            out.print(line, style="yellow", highlight=False, soft_wrap=True)
    if output is not None:
        out.print(f"samples, verdicts and results: {output}", highlight=False, soft_wrap=True)


def _plain(result: BenchmarkResult) -> dict[str, Any]:
    values: dict[str, Any] = plain(result.score)
    for name in ("model_index", "paired", "previous"):
        del values[name]
    dataset = result.tasks.dataset
    tasks: dict[str, list[bool | None]] = {}
    for row in result.rows:
        tasks.setdefault(row.task_id, []).append(row.passed)
    return {
        **values,
        "scope": result.scope,
        "data": dataset.source,
        "data_sha256": dataset.sha256,
        "tasks": tasks,
    }


def _table(results: Sequence[BenchmarkResult]) -> Table:
    table = Table(Column("benchmark", overflow="fold"), title_justify="left")
    table.add_column("tasks", justify="right")
    ks = sorted({at.k for result in results for at in result.score.pass_at})
    for k in ks:
        table.add_column(f"pass@{k}", justify="right")
        table.add_column("95%", justify="right")
    table.add_column("passed", justify="right")
    table.add_column("not run", justify="right")
    table.add_column("most frequent failures")
    for result in results:
        score = result.score
        cells = [result.scope.removesuffix(" tasks")]
        pass_at = {at.k: at for at in score.pass_at}
        for k in ks:
            at = pass_at.get(k)
            cells += ["-", "-"] if at is None or not at.n else [
                f"{100 * at.value:.1f}%", f"{100 * at.low:.1f} to {100 * at.high:.1f}"
            ]  # fmt: skip
        failures = ", ".join(f"{reason} {n}" for reason, n in list(score.failures.items())[:3])
        table.add_row(
            Text(result.title, style="bold"), *cells,
            f"{score.passed}/{score.n_samples}", str(sum(score.not_run.values()) or ""),
            Text(failures),
        )  # fmt: skip
    return table


def _not_run(result: BenchmarkResult) -> list[str]:
    """Lines about samples that were not run: by reason, each with its tasks."""
    lines = []
    for reason, n in result.score.not_run.items():
        rows = [row for row in result.rows if row.reason == reason]
        tasks = list(dict.fromkeys(row.task_id for row in rows))
        some = ", ".join(tasks[:4]) + (", ..." if len(tasks) > 4 else "")
        lines.append(f"{result.title}: {n} not run, {reason}: {some}\n  {rows[0].detail[:160]}")
    lines += [
        f"{result.title}: pass@{at.k} is of {at.n} of {len(result.tasks.tasks)} tasks; the others "
        f"have fewer than {at.k} samples that were run"
        for at in result.score.pass_at
        if at.n < len(result.tasks.tasks)
    ]
    return lines


def print_benchmarks(config: RunConfig, as_json: bool, out: Console) -> None:
    """List every benchmark, and whether its data are on this machine."""
    known = [find_benchmark(name, config.evaluation.options()) for name in NAMES]
    check_copies(config.evaluation.data, known)
    rows: list[dict[str, Any]] = []
    for name, benchmark in zip(NAMES, known, strict=True):
        row: dict[str, Any] = {"name": name, "title": benchmark.title}
        row |= {"n_tasks": None, "data": None, "lacks": None}
        try:
            with without_downloads():
                dataset = benchmark.load(config.evaluation.data.get(name))
            row |= {"n_tasks": len(dataset.tasks), "data": dataset.source}
        except BenchmarkError as error:
            row["lacks"] = str(error)
        rows.append(row)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    columns = [Column(name, overflow="fold") for name in ("name", "benchmark", "tasks", "data")]
    table = Table(*columns, title_justify="left")
    for row in rows:
        cells = (row["name"], row["title"], row["n_tasks"], row["data"] or row["lacks"])
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    out.print(table)


def compare_evaluations(first: Path, second: Path | None, as_json: bool, out: Console) -> None:
    """Compare two evaluations on the tasks that both ran.

    Each is a folder of `ucoder eval -o` or a model of a run, such as `RUN:M1`; `RUN` alone is the
    last model of the run that has scores. Without a second one, M0 of a run is compared with that.

    Raises:
        BenchmarkError: A folder holds no evaluation, or the two have no benchmark in common.
    """
    if second is None:
        if (named := Run.named(str(first))) is None or named[1] is not None:
            raise BenchmarkError(
                f"{first} is compared with what? Give a second folder, or a run alone, whose M0 "
                f"is compared with its last model"
            )
        first, second = Path(f"{first}:M0"), first
    one, other = _read_scores(first), _read_scores(second)
    common = [name for name in one if name in other]
    if not common:
        raise BenchmarkError(
            f"{first} scores {', '.join(one)}, {second} {', '.join(other)}: nothing to compare"
        )
    pairs = {name: compare(one[name], other[name]) for name in common}
    if as_json:
        print(json.dumps({name: plain(pair) for name, pair in pairs.items()}, indent=2))
        return
    table = Table(title=f"{second} against {first}", title_justify="left")
    for at, name in enumerate(("benchmark", "tasks", "first", "second", "difference, 95%",
                               "better, worse", "p")):  # fmt: skip
        table.add_column(name, justify="right" if at else "left", overflow="fold")
    for name, pair in pairs.items():
        values = [score_of(scores[name]).value for scores in (one, other)]
        compared = ("-", "-", "-") if not pair.n else (
            f"{100 * pair.difference:+.1f}\n{100 * pair.low:+.1f} to {100 * pair.high:+.1f}",
            f"{pair.better}, {pair.worse}", f"{pair.p:.3f}",
        )  # fmt: skip
        shares = ("-" if math.isnan(value) else f"{100 * value:.1f}%" for value in values)
        table.add_row(title_of(name), str(pair.n), *shares, *compared)
    out.print(table)
    for name, pair in pairs.items():
        told = "a difference" if pair.told_apart else "no difference can be told"
        told = told if pair.n else "no task was run for both"
        out.print(f"{title_of(name)}: {told}", soft_wrap=True)
    left_out = sum(pair.n_left_out for pair in pairs.values())
    if left_out:
        out.print(f"{left_out} tasks were not run for one of the two and are left out")


def _read_scores(folder: Path) -> dict[str, list[Score]]:
    if named := Run.named(str(folder)):
        return _scores_of(*named)
    path = folder / SCORES_FILE
    if not path.is_file():
        raise BenchmarkError(
            f"{folder} holds no {SCORES_FILE}; give what `ucoder eval -o` wrote, or a model of a "
            f"run, such as RUN:M1"
        )
    found: dict[str, list[Score]] = {}
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        try:
            values = json.loads(line)
            score = Score(**values)
        except (ValueError, TypeError) as error:
            raise BenchmarkError(f"{path}, line {number}: not a score: {error}") from None
        found.setdefault(score.benchmark, []).append(score)
    return found


def _scores_of(run: Run, index: int | None) -> dict[str, list[Score]]:
    """The scores of one model of a run, by benchmark; of the last that has any where None."""
    tables = {one: rows for one in run.scored() if (rows := run.scores(*one).rows())}
    indices = sorted({scored for _, scored in tables})
    chosen = indices[-1] if index is None and indices else index
    found = {name: rows for (name, scored), rows in tables.items() if scored == chosen}
    if not found:
        have = ", ".join(f"M{one}" for one in indices) or "no model"
        raise BenchmarkError(
            f"{run.path} has no scores of {'any model' if index is None else f'M{index}'}; it has "
            f"them of {have}. Score others with `ucoder eval {run.path}:M0 -b NAME -o FOLDER`"
        )
    return found

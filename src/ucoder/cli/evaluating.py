"""`ucoder eval` and `ucoder compare`: scores outside a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
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
from ucoder.evaluation.ledger import Ledger
from ucoder.evaluation.protocol import Benchmark, Task
from ucoder.evaluation.records import Answer, Score
from ucoder.evaluation.registry import NAMES, find_benchmark, title_of
from ucoder.evaluation.running import Evaluation, TaskSubset, task_key
from ucoder.evaluation.samples import Samples, read_samples, write_samples
from ucoder.files import write_atomically
from ucoder.models import Model
from ucoder.progress import Progress
from ucoder.records import digest
from ucoder.runs import Run

SCORES_FILE = "scores.jsonl"
RESULTS_FILE = "results.json"
_REVISION = 1
"""Part of every kept score's identity; raise it when the same program is graded otherwise."""
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


class _Files:
    """An evaluation's answers and scores, in files that are named by all that they depend on."""

    def __init__(self, identity: str, evaluation: Evaluation, config: RunConfig) -> None:
        benchmark, executor = evaluation.benchmark, config.executor.provider
        self._graded = digest(
            identity, benchmark.name, executor, repr(benchmark.needs), __version__, _REVISION
        )
        self._answers = evaluation.cache / "answers" / f"{identity}.jsonl"
        self._scores = evaluation.cache / "scores"
        self._open: dict[Path, Ledger[Any]] = {}

    def answers(self, prompts: str) -> Ledger[Answer]:
        """See `Tables.answers`."""
        return self._ledger(self._answers, Answer)

    def scores(self, benchmark: str) -> Ledger[Score]:
        """See `Tables.scores`."""
        return self._ledger(self._scores / f"{self._graded}-{benchmark}.jsonl", Score)

    def forget_scores(self, benchmark: Benchmark) -> None:
        """Delete the kept scores, so that everything is graded again."""
        for name in benchmark.scores:
            self.scores(name).path.unlink(missing_ok=True)
        self._open.clear()

    def _ledger(self, path: Path, record: type[Any]) -> Ledger[Any]:
        if path not in self._open:
            self._open[path] = Ledger(path, record)
        return self._open[path]


async def evaluate_model(
    config: RunConfig, again: bool, output: Path | None, as_json: bool, out: Console
) -> None:
    """Run the configuration's benchmarks on its model."""
    results: list[BenchmarkResult] = []
    with Bars(PlainConsole(stderr=True) if as_json else out) as bars:
        components = Components(config, bars)
        concurrency = max(1, config.engine.max_sequences // config.evaluation.n)
        every = [replace(one, max_concurrency=concurrency) for one in components.evaluations()]
        model = components.model(config.model)
        files = [_Files(_identity(model, one, config), one, config) for one in every]
        async with components.engine(model) as engine:
            for one, kept in zip(every, files, strict=True):
                if again:
                    kept.forget_scores(one.benchmark)
                await one.run(0, engine, kept, bars)
        for one, kept in zip(every, files, strict=True):
            results += _results(one, kept, config)
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
    path: Path, config: RunConfig, again: bool, output: Path | None, as_json: bool, out: Console
) -> None:
    """Score samples that were made elsewhere."""
    results: list[BenchmarkResult] = []
    with Bars(PlainConsole(stderr=True) if as_json else out) as bars:
        for every in Components(config, bars).evaluations():
            samples = read_samples(path, every.tasks.tasks)
            tasks = tuple(task for task in every.tasks.tasks if task.id in samples.programs)
            _say_what_is_missing(samples, every.tasks, len(tasks), bars)
            chosen = replace(every.tasks, tasks=tasks)
            one = replace(every, tasks=chosen, max_concurrency=_MAX_CONCURRENT_GRADES)
            kept = _Files(digest(samples.sha256, one.tasks.dataset.sha256), one, config)
            if again:
                kept.forget_scores(one.benchmark)

            async def programs_of(task: Task, samples: Samples = samples) -> Sequence[str]:
                return samples.programs[task.id]

            await one.grade(0, programs_of, kept, bars)
            results += _results(one, kept, config)
    _report(results, {"samples": path.name}, output, as_json, out)


def _identity(model: Model, evaluation: Evaluation, config: RunConfig) -> str:
    """All that an answer depends on, in a short name."""
    benchmark = evaluation.benchmark
    return digest(
        model.sha256, model.is_chat, config.engine.model_dump_json(), benchmark.prompts,
        evaluation.tasks.dataset.sha256, evaluation.decoding, benchmark.max_tokens,
        benchmark.chat_stop, benchmark.base_stop, _REVISION,
    )  # fmt: skip


def _results(evaluation: Evaluation, kept: _Files, config: RunConfig) -> list[BenchmarkResult]:
    rows_of = {name: evaluation.scores(kept, name) for name in evaluation.benchmark.scores}
    return [
        BenchmarkResult(score_of(rows, config.evaluation.k), evaluation.tasks, tuple(rows))
        for rows in rows_of.values()
    ]


def _say_what_is_missing(
    samples: Samples, asked: TaskSubset, n_tasks: int, progress: Progress
) -> None:
    title = asked.benchmark.title
    if n_tasks < len(asked.tasks):
        progress.message(
            f"{title}: the file has samples for {n_tasks} of {len(asked.tasks)} tasks; the score "
            f"is of these alone"
        )
    if samples.unknown:
        progress.message(
            f"{title}: {sum(samples.unknown.values())} samples are for tasks that it does not "
            f"have, such as {next(iter(samples.unknown))}; they are left out"
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
    return {**values, "data": dataset.source, "data_sha256": dataset.sha256, "tasks": tasks}


def _table(results: Sequence[BenchmarkResult]) -> Table:
    table = Table(Column("benchmark", overflow="fold"), title_justify="left")
    for k in dict.fromkeys(at.k for result in results for at in result.score.pass_at):
        table.add_column(f"pass@{k}", justify="right")
        table.add_column("95%", justify="right")
    table.add_column("passed", justify="right")
    table.add_column("not run", justify="right")
    table.add_column("most frequent failures")
    for result in results:
        score = result.score
        cells = []
        for at in score.pass_at:
            cells += [f"{100 * at.value:.1f}%", f"{100 * at.low:.1f} to {100 * at.high:.1f}"]
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
    return lines


def print_benchmarks(config: RunConfig, as_json: bool, out: Console) -> None:
    """List every benchmark, and whether its data are on this machine."""
    rows: list[dict[str, Any]] = []
    for name in NAMES:
        benchmark = find_benchmark(name, config.evaluation.options())
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
        table.add_row(
            title_of(name), str(pair.n), *(f"{100 * value:.1f}%" for value in values),
            f"{100 * pair.difference:+.1f}\n{100 * pair.low:+.1f} to {100 * pair.high:+.1f}",
            f"{pair.better}, {pair.worse}", f"{pair.p:.3f}",
        )  # fmt: skip
    out.print(table)
    for name, pair in pairs.items():
        told = "a difference" if pair.told_apart else "no difference can be told"
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
    for number, line in enumerate(path.read_text("ascii").splitlines(), 1):
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

"""`ucoder eval` and `ucoder compare`: scores outside a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ucoder import __version__
from ucoder.analysis.numbers import plain
from ucoder.analysis.scores import ModelScore, compare, score_of
from ucoder.cli.drawing import Bars
from ucoder.components import Components
from ucoder.config import RunConfig
from ucoder.errors import BenchmarkError
from ucoder.evaluation.data import without_downloads
from ucoder.evaluation.ledger import Ledger
from ucoder.evaluation.protocol import Benchmark, Task
from ucoder.evaluation.records import Answer, Score
from ucoder.evaluation.registry import NAMES, find_benchmark, title_of
from ucoder.evaluation.running import Bench, Decoding, TaskSubset, evaluate, grade_all, task_key
from ucoder.evaluation.samples import Samples, read_samples, write_samples
from ucoder.models import Model
from ucoder.models.cache import default_cache_dir
from ucoder.progress import Progress
from ucoder.records import digest

SCORES_FILE = "scores.jsonl"
RESULTS_FILE = "results.json"
_REVISION = 1
"""Part of every kept score's identity; raise it when the same program is graded otherwise."""


@dataclass(frozen=True, slots=True)
class Result:
    """One score of one evaluation.

    Attributes:
        score: The numbers.
        asked: What was asked.
        rows: Every sample's verdict.
    """

    score: ModelScore
    asked: TaskSubset
    rows: tuple[Score, ...]

    @property
    def title(self) -> str:
        """Of the benchmark, as people write it."""
        own = self.asked.benchmark
        return own.title if own.name == self.score.benchmark else title_of(self.score.benchmark)


class _Files:
    """Where one evaluation's answers and scores are kept: files named by all that they rest on."""

    def __init__(self, identity: str, asked: TaskSubset, config: RunConfig) -> None:
        executor, needs = config.executor.provider, repr(asked.benchmark.needs)
        graded = digest(identity, asked.benchmark.name, executor, needs, __version__, _REVISION)
        self._answers = _folder() / "answers" / f"{identity}.jsonl"
        self._graded = _folder() / "scores" / graded
        self._open: dict[str, Ledger[Any]] = {}

    def answers(self, prompts: str) -> Ledger[Answer]:
        """See `Tables`."""
        return self._ledger("answers", self._answers, Answer)

    def scores(self, benchmark: str) -> Ledger[Score]:
        """See `Tables`."""
        path = self._graded.with_name(f"{self._graded.name}-{benchmark}.jsonl")
        return self._ledger(benchmark, path, Score)

    def forget_scores(self, benchmark: Benchmark) -> None:
        """Grade everything again."""
        for name in benchmark.scores:
            self.scores(name).path.unlink(missing_ok=True)
        self._open.clear()

    def _ledger(self, name: str, path: Path, record: type[Any]) -> Ledger[Any]:
        if name not in self._open:
            self._open[name] = Ledger(path, record)
        return self._open[name]


def _folder() -> Path:
    return default_cache_dir() / "evaluation"


async def evaluate_model(
    config: RunConfig, again: bool, output: Path | None, as_json: bool, out: Console
) -> None:
    """Put the configuration's benchmarks to its model."""
    settings = config.evaluation
    results: list[Result] = []
    with Bars(Console(stderr=True) if as_json else out) as bars:
        components = Components(config, bars)
        every, decoding = components.asked(), components.decoding()
        model = components.model(config.model)
        files = [_Files(_identity(model, one, config, decoding), one, config) for one in every]
        if again:
            for one, kept in zip(every, files, strict=True):
                kept.forget_scores(one.benchmark)
        async with components.engine(model) as engine:
            for one, kept in zip(every, files, strict=True):
                await evaluate(one, 0, engine, decoding, kept, _bench(components, bars, config))
        for one, kept in zip(every, files, strict=True):
            results += _results(one, kept, settings.k)
            if output is not None:
                answers = kept.answers(one.benchmark.prompts)
                rows = [row for task in one.tasks for row in answers.get(task_key(task.id))]
                write_samples(output / f"samples-{one.benchmark.prompts}.jsonl", rows)
    about = {
        "model": config.model,
        "sha256": model.sha256,
        "engine": asdict(engine.info),
        "decoding": asdict(decoding),
    }
    _tell(results, about, output, as_json, out)


async def score_samples(
    path: Path, config: RunConfig, again: bool, output: Path | None, as_json: bool, out: Console
) -> None:
    """Score samples that were made elsewhere."""
    results: list[Result] = []
    with Bars(Console(stderr=True) if as_json else out) as bars:
        components = Components(config, bars)
        for one in components.asked():
            samples = read_samples(path, one.tasks)
            tasks = tuple(task for task in one.tasks if task.id in samples.programs)
            _say_what_is_missing(samples, one, len(tasks), bars)
            some = replace(one, tasks=tasks)
            kept = _Files(digest(samples.sha256, one.dataset.sha256), some, config)
            if again:
                kept.forget_scores(one.benchmark)

            async def programs_of(task: Task, samples: Samples = samples) -> list[str]:
                return samples.programs[task.id]

            bench = replace(
                _bench(components, bars, config), max_concurrency=_MAX_CONCURRENT_GRADES
            )
            await grade_all(some, 0, programs_of, kept, bench)
            results += _results(some, kept, config.evaluation.k)
    _tell(results, {"samples": path.name}, output, as_json, out)


_MAX_CONCURRENT_GRADES = 8
"""Tasks whose programs are on their way to the sandbox; enough to keep every worker busy."""


def _bench(components: Components, progress: Progress, config: RunConfig) -> Bench:
    max_concurrency = max(1, config.engine.max_sequences // config.evaluation.n)
    return replace(components.bench(), progress=progress, max_concurrency=max_concurrency)


def _identity(model: Model, asked: TaskSubset, config: RunConfig, decoding: Decoding) -> str:
    """All that an answer depends on, in a short name."""
    benchmark = asked.benchmark
    return digest(
        model.sha256, config.engine.model_dump_json(), benchmark.prompts, asked.dataset.sha256,
        decoding, benchmark.max_tokens, benchmark.chat_stop, benchmark.base_stop, _REVISION,
    )  # fmt: skip


def _results(asked: TaskSubset, kept: _Files, ks: Sequence[int]) -> list[Result]:
    found = []
    for name in asked.benchmark.scores:
        ledger = kept.scores(name)
        rows = [row for task in asked.tasks for row in ledger.get(task_key(task.id))]
        found.append(Result(score_of(rows, ks), asked, tuple(rows)))
    return found


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


def _tell(
    results: Sequence[Result],
    about: dict[str, Any],
    output: Path | None,
    as_json: bool,
    out: Console,
) -> None:
    values = {**about, "scores": [_plain(result) for result in results]}
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        with (output / SCORES_FILE).open("w", encoding="ascii") as file:
            for result in results:
                for row in result.rows:
                    file.write(json.dumps(asdict(row)) + "\n")
        (output / RESULTS_FILE).write_text(json.dumps(values, indent=2) + "\n", "utf-8")
    if as_json:
        print(json.dumps(values, indent=2))
        return
    out.print(_table(results))
    sources = dict.fromkeys(result.asked.dataset.source for result in results)
    out.print(f"data: {', '.join(sources)}", style="dim", highlight=False, markup=False)
    for result in results:
        for line in _not_run(result):
            out.print(line, style="yellow", highlight=False, soft_wrap=True)
    if output is not None:
        out.print(f"samples, verdicts and results: {output}", highlight=False, soft_wrap=True)


def _plain(result: Result) -> dict[str, Any]:
    values: dict[str, Any] = plain(result.score)
    for name in ("model_index", "paired", "previous"):
        del values[name]
    dataset = result.asked.dataset
    tasks: dict[str, list[bool | None]] = {}
    for row in result.rows:
        tasks.setdefault(row.task_id, []).append(row.passed)
    return {**values, "data": dataset.source, "data_sha256": dataset.sha256, "tasks": tasks}


def _table(results: Sequence[Result]) -> Table:
    table = Table(title_justify="left")
    table.add_column("benchmark")
    for k in dict.fromkeys(at.k for result in results for at in result.score.pass_at):
        table.add_column(f"pass@{k}", justify="right")
        table.add_column("95%", justify="right")
    table.add_column("passed", justify="right")
    table.add_column("not run", justify="right")
    table.add_column("failures, the most frequent")
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


def _not_run(result: Result) -> list[str]:
    """What was not run, by reason, each with its tasks."""
    lines = []
    for reason, n in result.score.not_run.items():
        rows = [row for row in result.rows if row.reason == reason]
        tasks = list(dict.fromkeys(row.task_id for row in rows))
        some = ", ".join(tasks[:4]) + (", ..." if len(tasks) > 4 else "")
        lines.append(f"{result.title}: {n} not run, {reason}: {some}\n  {rows[0].detail[:160]}")
    return lines


def print_benchmarks(config: RunConfig, out: Console) -> None:
    """Every benchmark, and whether its data are to be had here."""
    table = Table(title_justify="left")
    for column in ("name", "benchmark", "tasks", "data"):
        table.add_column(column, overflow="fold")
    for name in NAMES:
        benchmark = find_benchmark(name, config.evaluation.options())
        try:
            with without_downloads():
                dataset = benchmark.load(config.evaluation.data.get(name))
            row = [str(len(dataset.tasks)), dataset.source]
        except BenchmarkError as error:
            row = ["", str(error)]
        table.add_row(name, benchmark.title, *map(Text, row))
    out.print(table)


def compare_evaluations(first: Path, second: Path, as_json: bool, out: Console) -> None:
    """Compare two evaluations on the tasks that both ran.

    Raises:
        BenchmarkError: A folder holds no evaluation, or the two have no benchmark in common.
    """
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
    for column in ("benchmark", "tasks", "first", "second", "difference", "95%", "better", "worse"):
        table.add_column(column, justify="left" if column == "benchmark" else "right")
    table.add_column("p")
    for name, pair in pairs.items():
        values = [score_of(scores[name]).value for scores in (one, other)]
        said = "" if pair.told_apart else " (no difference can be told)"
        table.add_row(
            title_of(name), str(pair.n), *(f"{100 * value:.1f}%" for value in values),
            f"{100 * pair.difference:+.1f}", f"{100 * pair.low:+.1f} to {100 * pair.high:+.1f}",
            str(pair.better), str(pair.worse), f"{pair.p:.3f}{said}",
        )  # fmt: skip
    out.print(table)
    left_out = sum(pair.n_left_out for pair in pairs.values())
    if left_out:
        out.print(f"{left_out} tasks were not run for one of the two and are left out")


def _read_scores(folder: Path) -> dict[str, list[Score]]:
    path = folder / SCORES_FILE
    if not path.is_file():
        raise BenchmarkError(f"{folder} holds no {SCORES_FILE}; give what `ucoder eval -o` wrote")
    found: dict[str, list[Score]] = {}
    for number, line in enumerate(path.read_text("ascii").splitlines(), 1):
        try:
            values = json.loads(line)
            score = Score(**values)
        except (ValueError, TypeError) as error:
            raise BenchmarkError(f"{path}, line {number}: no score: {error}") from None
        found.setdefault(score.benchmark, []).append(score)
    return found

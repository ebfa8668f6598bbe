"""Commands that work: `run`, `resume`, `eval`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.console import Console

from ucoder.cli.drawing import Bars
from ucoder.cli.viewing import print_findings
from ucoder.config import load_config, parse_config
from ucoder.errors import MissingDependency
from ucoder.evaluation import humaneval
from ucoder.evaluation.statistics import wilson
from ucoder.pipeline import run_pipeline
from ucoder.records import Score
from ucoder.runs import Run
from ucoder.steps import gather_bounded
from ucoder.workshop import Workshop


async def run_new(name: str, overrides: list[str], output: Path | None, out: Console) -> None:
    """Create a run and carry it to its end."""
    config = load_config(name, overrides)
    if output is None:
        output = Path("runs") / f"{Path(name).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    run = Run.create(output, config)
    out.print(f"run: {output}", highlight=False, soft_wrap=True)
    await _carry_on(run, out)


async def run_on(path: Path, out: Console) -> None:
    """Carry an existing run to its end."""
    await _carry_on(Run.open(path), out)


async def _carry_on(run: Run, out: Console) -> None:
    with run.writing(), Bars(out) as bars:
        await run_pipeline(run, Workshop(run.config, bars), bars)
        try:
            from ucoder.report import write_report

            report: Path | None = write_report(run)
        except MissingDependency as error:
            bars.message(f"no report: {error}")
            report = None
    print_findings(run, report, out)


async def evaluate_model(
    name: str, n_tasks: int | None, engine_name: str, as_json: bool, out: Console
) -> None:
    """Score a model that belongs to no run."""
    config = parse_config(
        {
            "model": name,
            "engine": {"provider": engine_name},
            "evaluation": {"n_tasks": n_tasks},
        }
    )
    tasks = humaneval.load_tasks(n_tasks)
    with Bars(Console(stderr=True) if as_json else out) as bars:
        workshop = Workshop(config, bars)
        model = workshop.model(name)
        scores: list[Score] = []
        bars.begin(humaneval.NAME, len(tasks))
        async with workshop.executor() as executor, workshop.engine(model) as engine:

            async def answer(task: humaneval.Task) -> None:
                scores.append(
                    await humaneval.evaluate_task(
                        task, 0, engine, executor, config.evaluation.max_tokens
                    )
                )
                bars.advance(humaneval.NAME, len(scores))

            await gather_bounded(answer, tasks, config.engine.max_sequences)
        bars.end(humaneval.NAME)
    run_tasks = [score for score in scores if score.passed is not None]
    estimate = wilson(sum(bool(score.passed) for score in run_tasks), len(run_tasks))
    failed = len(scores) - len(run_tasks)
    if as_json:
        print(
            json.dumps(
                {
                    "model": name,
                    "benchmark": humaneval.NAME,
                    "metric": "pass@1 greedy",
                    "passed": estimate.passed,
                    "n": estimate.n,
                    "pass_at_1": estimate.value,
                    "low_95": estimate.low,
                    "high_95": estimate.high,
                    "not_run": failed,
                    "tasks": {score.task_id: score.passed for score in scores},
                }
            )
        )
        return
    subset = "" if n_tasks is None else f" (a fixed subset of {len(tasks)} of {humaneval.N_TASKS})"
    out.print(
        f"HumanEval pass@1, greedy{subset}: [bold]{100 * estimate.value:.1f}%[/] "
        f"[{100 * estimate.low:.1f}, {100 * estimate.high:.1f}], {estimate.passed}/{estimate.n}"
        + (f", {failed} not run (sandbox failed)" if failed else ""),
        highlight=False,
    )

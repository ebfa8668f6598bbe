"""The report: gathered from a run directory, rendered, written as one file.

The page is opened by people who did not run it, and shows text that a model and untrusted programs
wrote. So it holds no script and no address, its policy forbids the browser to load anything, and
the template environment applies `visible` and HTML escaping to every value.
"""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ucoder.analysis.figures import (
    PAPER_COMPLEXITY,
    PAPER_LINES,
    Quality,
    lexical_entropy,
    perplexity_groups,
    qualities,
    rank_correlation,
    shape,
)
from ucoder.analysis.numbers import describe
from ucoder.analysis.pairs import said_of_pairs
from ucoder.analysis.summary import Summary, summarise
from ucoder.consensus.selection import rule_of
from ucoder.evaluation.registry import title_of
from ucoder.files import write_atomically
from ucoder.report import plots, words
from ucoder.report.examples import examples, shown_iteration
from ucoder.report.funnel import candidate_funnel, problem_funnel
from ucoder.report.limits import limits
from ucoder.report.scores import benchmark_views, overlaps
from ucoder.runtime import require
from ucoder.visible import visible

if TYPE_CHECKING:
    from jinja2 import Environment

    from ucoder.runs import Run

_MAX_SHAPES = 2000


def write_report(run: Run) -> Path:
    """Write `RUN/report.html`, whole or not at all; the run may be unfinished.

    Returns:
        Its path.

    Raises:
        MissingDependency: jinja2 or matplotlib is not installed.
        DamagedShard: A table's file cannot be read.
    """
    path = run.path / "report.html"
    write_atomically(path, render(run))
    return path


def require_packages() -> None:
    """Check that what the report needs is installed.

    Raises:
        MissingDependency: It is not; the message has the install command.
    """
    require("the report", "jinja2", "markupsafe", "matplotlib", extra="report")


def render(run: Run) -> str:
    """The page's text."""
    require_packages()
    return _page(_gather(run))


def _page(values: dict[str, Any]) -> str:
    source = (resources.files("ucoder.report") / "template.html").read_text("utf-8")
    page: str = _environment().from_string(source).render(values)
    return page


def _gather(run: Run) -> dict[str, Any]:
    """Everything that the template shows."""
    from markupsafe import Markup

    summary = summarise(run)
    at = shown_iteration(summary)
    if at is None and summary.iterations:
        at = summary.iterations[-1].iteration
    iteration = next((i for i in summary.iterations if i.iteration == at), None)
    points, shapes = ([], []) if at is None else _candidates(run, at)
    problems = [a.problem for a in run.attempts.rows() if a.problem is not None]
    return {
        "summary": summary,
        "benchmarks": benchmark_views(run, summary),
        "comparisons": words.comparisons(summary.scores),
        "several_samples": any(score.n_samples > score.n_run for score in summary.scores),
        "overlaps": overlaps(
            run.matches.rows(),
            {problem.id: problem.title for problem in problems},
            tuple(run.manifest.compared),
            run.config.evaluation.contamination.exclude,
        ),
        "run": run,
        "manifest": run.manifest,
        "config": run.config,
        "abstract": words.abstract(summary),
        "iteration": iteration,
        "problem_funnel": problem_funnel(summary, iteration),
        "candidate_funnel": candidate_funnel(iteration) if iteration else [],
        "pairs": said_of_pairs(iteration.pairs) if iteration else [],
        "examples": examples(run, at) if at is not None else [],
        "thinned": len(points) > plots.MAX_POINTS,
        "quartiles": perplexity_groups(points),
        "rank_correlation": rank_correlation(points),
        "lines": describe(shape.lines for shape in shapes),
        "complexity": describe(shape.complexity for shape in shapes),
        "paper": {"lines": PAPER_LINES, "complexity": PAPER_COMPLEXITY},
        "last_score": _last_score(summary),
        "limits": limits(run, summary, iteration),
        # Our own drawings are the only markup that is not escaped.
        "plots": {
            "success": Markup(plots.success_by_perplexity(points)),
            "entropy": Markup(
                plots.entropy_histogram([lexical_entropy(p.statement) for p in problems])
            ),
            "clusters": Markup(plots.largest_clusters(iteration, summary.targets)),
        },
        "timed_as_one": not any(time.stage == "ratings" for time in summary.times),
        "max_seconds": max((c.seconds for c in summary.costs if c.seconds == c.seconds), default=0),
        "max_tokens": max((c.tokens or 0 for c in summary.costs), default=0),
    }


def _candidates(run: Run, iteration: int) -> tuple[list[Quality], list[Any]]:
    """f(r) and e(r) of every candidate, and the size of the first distinct programs."""
    points: list[Quality] = []
    shapes: list[Any] = []
    table, executions = run.candidates(iteration), run.executions(iteration)
    for key in sorted(table.keys()):
        candidates = table.get(key)
        rule = rule_of(run.config.solutions)
        inputs = [i for suite in run.suites.get(key) for i in suite.inputs]
        points += qualities(candidates, executions.get(key), inputs, rule)
        distinct = {c.program_id: c.program for c in candidates if c.reason is None}
        for program in distinct.values():
            if len(shapes) < _MAX_SHAPES and (measured := shape(program)) is not None:
                shapes.append(measured)
    return points, shapes


def _last_score(summary: Summary) -> Any:
    """The headline: the last model on the first benchmark that has a score."""
    names = [score.benchmark for score in summary.scores]
    same = [score for score in summary.scores if score.benchmark == names[0]] if names else []
    return {"first": same[0], "last": same[-1]} if same else None


def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def seen(value: Any) -> Any:
        if isinstance(value, Markup) or not isinstance(value, str):
            return value
        return visible(value)

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = (
        *("number", "percent", "points", "duration", "reason", "model", "change", "verdict"),
        *("evidence", "short_comparison", "plural", "clip"),
    )
    environment.filters.update({name: getattr(words, name) for name in names})
    environment.filters.update(benchmark=title_of, date=_date)
    return environment


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))

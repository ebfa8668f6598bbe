"""Commands that only read a run: `status`, `show`, and the summary at the end of `run`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ucoder.analysis.ballots import Case, distinguishing_inputs, take_ballot
from ucoder.analysis.scores import ModelScore
from ucoder.analysis.summary import Summary, summarise
from ucoder.consensus.explanation import explain
from ucoder.errors import RunError
from ucoder.evaluation.registry import title_of
from ucoder.execution.outcomes import Outcome
from ucoder.records import LOST, Problem
from ucoder.runs import Run

MAX_CLUSTERS = 4
MAX_INPUTS = 8


def print_status(path: Path, as_json: bool, out: Console) -> None:
    """Show a run's progress."""
    summary = summarise(Run.open(path))
    if as_json:
        print(json.dumps(summary.to_dict(), indent=2))
        return
    out.print(_stages_table(summary))
    if summary.scores:
        out.print(_scores_table(summary))
    for lack in summary.missing:
        out.print(f"to do: {lack}", style="yellow", highlight=False)


def print_findings(run: Run, report: Path | None, out: Console) -> None:
    """Print what a run found, and where its report is."""
    summary = summarise(run)
    out.print(_stages_table(summary))
    for line in findings(summary):
        out.print(line, highlight=False, soft_wrap=True)
    out.print(f"look closer: ucoder show {run.path}", highlight=False, soft_wrap=True)
    if report is not None:
        out.print(f"report: {report}", highlight=False, soft_wrap=True)


def findings(summary: Summary) -> list[str]:
    """A run's results in sentences."""
    space = summary.problem_space
    lines = [f"{space.n_accepted} problems accepted in {space.n_attempts} attempts"]
    for iteration in summary.iterations:
        large = sum(n for size, n in iteration.largest_clusters.items() if size >= 3)
        lines.append(
            f"iteration {iteration.iteration}: {iteration.n_selected} of {iteration.n_decided} "
            f"problems selected; {large} have a cluster of three or more among "
            f"{iteration.n_candidates} candidates"
        )
    if lost := _lost(summary):
        lines.append(f"{sum(lost.values())} completions were lost: {_reasons(lost)}")
    for score in summary.scores:
        title = title_of(score.benchmark)
        lines.append(f"{title} pass@1 of M{score.model_index}: {_score(score)}")
        if score.paired is not None:
            pair = score.paired
            told = "a difference" if pair.told_apart else "no difference can be told"
            lines.append(
                f"  against M0 on the same {pair.n} tasks: {pair.better} gained, {pair.worse} "
                f"lost, p = {pair.p_corrected:.2f}: {told}"
            )
    return lines


def _lost(summary: Summary) -> Counter[str]:
    """The completions of stages 1 to 5 that were lost, by reason."""
    counted: list[Mapping[str, int]] = [
        *summary.problem_space.rejected.values(),
        summary.input_space.refused,
        *(iteration.without_program for iteration in summary.iterations),
    ]
    lost: Counter[str] = Counter()
    for reasons in counted:
        lost.update({reason: n for reason, n in reasons.items() if reason in LOST})
    return lost


def print_problems(path: Path, iteration: int, out: Console) -> None:
    """List the problems of a run, one a line."""
    run = Run.open(path)
    chosen = {s.problem_id: s for s in run.selections(iteration).rows()}
    table = Table(title=f"{path}: problems, iteration {iteration}", title_justify="left")
    for name in ("id", "problem", "function", "clusters", "e(r*)", "f(r*)", "outcome"):
        table.add_column(name, overflow="fold")
    for problem in _problems(run):
        selection = chosen.get(problem.id)
        if selection is None:
            cells = ["", "", "", "not yet"]
        else:
            sizes = " ".join(str(size) for size in selection.cluster_sizes[:6])
            cells = [sizes, _number(selection.success), _number(selection.perplexity, 3),
                     selection.reason or "selected"]  # fmt: skip
        table.add_row(problem.id[:8], Text(problem.title[:50]), problem.interface.name, *cells)
    out.print(table)
    out.print(f"to inspect one: ucoder show {path} ID", highlight=False, soft_wrap=True)


def print_problem(path: Path, prefix: str, iteration: int, out: Console) -> None:
    """Show one problem: statement, inputs, clusters, and why the winner was selected.

    Raises:
        RunError: The ids of no problem, or of several, start with `prefix`.
    """
    run = Run.open(path)
    found = [problem for problem in _problems(run) if problem.id.startswith(prefix)]
    if len(found) != 1:
        raise RunError(
            f"{len(found)} problems of {path} have an id that starts with {prefix!r}; "
            f"`ucoder show {path}` lists them"
        )
    problem = found[0]
    out.print(Panel(Text(problem.statement), title=Text(f"{problem.id}: {problem.topic}")))
    out.print(Syntax(problem.interface.source, "python"))
    case = take_ballot(run, iteration, problem)
    if case is None:
        out.print(f"no candidates in iteration {iteration} yet", style="yellow")
        return
    out.print(_inputs_line(case))
    clusters = case.ballot.clusters[:MAX_CLUSTERS]
    panels = []
    for number, cluster in enumerate(clusters):
        best = cluster.members[0]
        caption = Text(
            f"{len(cluster.members)} candidates\ne(r) {cluster.success:.2f}  "
            f"f(r) {_number(best.perplexity, 3)}"
        )
        won = number == 0 and case.ballot.selection.candidate_id is not None
        panels.append(
            Panel(
                Group(caption, Syntax(best.program.rstrip(), "python", word_wrap=True)),
                title=f"cluster {number + 1}" + (" (selected)" if won else ""),
                border_style="green" if won else "dim",
                width=max(40, min(72, out.width // max(1, min(2, len(clusters))) - 2)),
            )
        )
    out.print(Columns(panels))
    if len(clusters) > 1:
        out.print(_outputs_table(case))
    out.print(Text("\n".join(explain(case.ballot.selection))))


def _problems(run: Run) -> list[Problem]:
    return [attempt.problem for attempt in run.attempts.rows() if attempt.problem is not None]


def _inputs_line(case: Case) -> Text:
    selection = case.ballot.selection
    shown = ", ".join(test_input.arguments for test_input in case.suite.inputs[:4])
    return Text(
        f"{selection.n_inputs} inputs, {selection.n_kept_inputs} kept; the first: {shown[:300]}"
    )


def _outputs_table(case: Case) -> Table:
    clusters = case.ballot.clusters[:MAX_CLUSTERS]
    table = Table(title="inputs on which the clusters differ", title_justify="left")
    table.add_column("arguments", overflow="fold")
    for number in range(len(clusters)):
        table.add_column(f"cluster {number + 1}", overflow="fold")
    for at in distinguishing_inputs(case, clusters, MAX_INPUTS):
        cells = [_output(case.outcomes(cluster)[at]) for cluster in clusters]
        table.add_row(Text(case.suite.inputs[at].arguments[:120]), *cells)
    return table


def _output(outcome: Outcome) -> Text:
    if outcome.executed:
        return Text(outcome.answer[:120])
    return Text(f"{outcome.kind}: {outcome.text}"[:80], style="dim")


def _stages_table(summary: Summary) -> Table:
    table = Table(title=summary.name, title_justify="left")
    for name in ("stage", "kept", "lost, by reason", "seconds", "tokens"):
        table.add_column(name, justify="right" if name in ("seconds", "tokens") else "left")
    space, inputs = summary.problem_space, summary.input_space
    kept = {
        "problems": (f"{space.left_after('problems')} of {space.n_attempts} attempts",
                     space.rejected["problems"]),
        "ratings": (f"{space.left_after('ratings')}", space.rejected["ratings"]),
        "interfaces": (f"{space.n_accepted} accepted", space.rejected["interfaces"]),
        "test_inputs": (f"{inputs.n_usable} suites, {inputs.n_inputs} inputs", inputs.given_up),
    }  # fmt: skip
    for iteration in summary.iterations:
        kept["solutions"] = (
            f"{iteration.n_selected} selected of {iteration.n_decided}",
            iteration.not_selected,
        )
        if iteration.checkpoint is not None:
            kept["consolidation"] = (
                f"M{iteration.iteration + 1} from {iteration.checkpoint.n_examples} examples",
                {},
            )
    for cost in summary.costs:
        said, lost = kept.get(cost.stage, ("", {}))
        tokens = "" if cost.tokens is None else f"{cost.tokens:,}"
        table.add_row(cost.stage, said, _reasons(lost), _number(cost.seconds, 0), tokens)
    return table


def _scores_table(summary: Summary) -> Table:
    title = "pass@1, 95% interval; p is corrected for the number of comparisons"
    table = Table("benchmark", "model", "score", "against M0", title=title, title_justify="left")
    for score in summary.scores:
        pair = score.paired
        against = f"+{pair.better} -{pair.worse}, p = {pair.p_corrected:.2f}" if pair else ""
        table.add_row(title_of(score.benchmark), f"M{score.model_index}", _score(score), against)
    return table


def _score(score: ModelScore) -> str:
    not_run = score.n_tasks - score.n_run
    return (
        f"{100 * score.value:.1f}% [{100 * score.low:.1f}, {100 * score.high:.1f}] "
        f"({score.passed}/{score.n_samples})" + (f", {not_run} not run" if not_run else "")
    )


def _reasons(lost: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in lost.items() if count)


def _number(value: float, digits: int = 2) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"

"""Commands that only read a run: `status`, `show`, and the summary at the end of `run`."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.box import SIMPLE
from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ucoder.analysis.ballots import Case, distinguishing_inputs, take_ballot
from ucoder.analysis.numbers import in_order, plain
from ucoder.analysis.outcomes import (
    NOT_YET,
    ProblemOutcome,
    RefusedAttempt,
    problem_details,
    problem_outcomes,
    with_reasons,
)
from ucoder.analysis.pairs import explain_choice, said_of_pairs
from ucoder.analysis.scores import ModelScore
from ucoder.analysis.summary import Summary, summarise
from ucoder.consensus.explanation import counted, explain
from ucoder.consensus.selection import rule_of
from ucoder.errors import RunError, command
from ucoder.evaluation.registry import title_of
from ucoder.execution.outcomes import Outcome
from ucoder.records import LOST
from ucoder.runs import Run
from ucoder.runs.directory import Phase

MAX_CLUSTERS = 4
MAX_INPUTS = 8
_SIZES_SHOWN = 4
_WIDE = 110
"""Columns from which a list of problems has room for names and numbers beside its outcome."""


def print_status(path: Path, as_json: bool, out: Console) -> None:
    """Show a run's progress."""
    summary = summarise(Run.open(path))
    if as_json:
        print(json.dumps(summary.to_dict(), indent=2))
        return
    for line in state_lines(summary, path):
        out.print(Text(line), soft_wrap=True)
    out.print(_stages_table(summary))
    if summary.problem_space.n_accepted:
        out.print(Text(diversity_line(summary)), soft_wrap=True)
    if summary.scores:
        out.print(_scores_table(summary))
    for iteration in summary.iterations:
        for line in said_of_pairs(iteration.pairs):
            out.print(Text(f"iteration {iteration.iteration}: {line}"), soft_wrap=True)
    for line in training_lines(summary):
        out.print(Text(line), soft_wrap=True)
    for lack in summary.missing:
        out.print(f"to do: {lack}", style="yellow", highlight=False, markup=False)


def state_lines(summary: Summary, path: Path) -> list[str]:
    """Whether the run is being worked on, how the last process ended, and what to do next."""
    state = summary.state
    when = "" if math.isnan(state.last_sign) else f" {_date(state.last_sign)}"
    said = {
        Phase.NOT_STARTED: "not started",
        Phase.RUNNING: f"running; it last wrote{when}",
        Phase.FINISHED: f"finished{when}",
        Phase.FAILED: f"failed{when}: {state.error}",
        Phase.INTERRUPTED: f"interrupted{when}",
        Phase.KILLED: f"killed, as it stopped without a word; it last wrote{when}",
        Phase.UNKNOWN: f"unknown, whether it runs and how it ended; it last wrote{when}",
    }[state.phase]
    lines = [f"state: {said}", *([summary.setting] if summary.setting else [])]
    if state.phase not in (Phase.RUNNING, Phase.UNKNOWN) and summary.missing:
        lines.append(f"continue with: {command('resume', path)}")
    if (log := path / "run.log").exists():
        lines.append(f"log: {log}")
    return lines


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def print_findings(run: Run, report: Path | None, out: Console) -> None:
    """Print what a run found, and where its report is."""
    summary = summarise(run)
    out.print(_stages_table(summary))
    lines = [*findings(summary), f"look closer: {command('show', run.path)}"]
    if report is not None:
        lines.append(f"report: {report}")
    for line in lines:
        out.print(Text(line), soft_wrap=True)


def training_lines(summary: Summary) -> list[str]:
    """How much each training could teach: its first step is computed before anything is learnt."""
    return [
        f"M{made.iteration + 1}: {made.n_steps} optimiser steps; loss of the first step "
        f"{made.first_loss:.2f} at {made.first_accuracy:.0%} token accuracy, "
        f"mean loss {made.loss:.2f}"
        for made in (iteration.checkpoint for iteration in summary.iterations)
        if made is not None and not math.isnan(made.first_loss + made.first_accuracy)
    ]


def findings(summary: Summary) -> list[str]:
    """A run's results in sentences."""
    space = summary.problem_space
    lines = [summary.setting] if summary.setting else []
    lines += [
        f"{space.n_accepted} problems accepted in {space.n_attempts} attempts",
        diversity_line(summary),
        f"{summary.targets.selector} selects {summary.targets.criterion}",
    ]
    for iteration in summary.iterations:
        lost = _reasons(iteration.not_selected)
        lines.append(
            f"iteration {iteration.iteration}: {iteration.n_selected} of {iteration.n_decided} "
            f"problems selected from {iteration.n_candidates} candidates by "
            f"{summary.targets.selector}" + (f"; not selected: {lost}" if lost else "")
        )
        lines += [f"  {line}" for line in said_of_pairs(iteration.pairs)]
    lines += training_lines(summary)
    if lost_by_reason := _lost(summary):
        n_lost = sum(lost_by_reason.values())
        lines.append(f"{n_lost} completions were lost: {_reasons(lost_by_reason)}")
    for score in summary.scores:
        title = title_of(score.benchmark)
        lines.append(f"{title} pass@1 of M{score.model_index}: {_score(score)}")
        if score.paired is not None:
            pair = score.paired
            told = "a difference" if pair.told_apart else "no difference can be told"
            lines.append(
                "  against M0: no task was run for both"
                if not pair.n
                else f"  against M0 on the same {pair.n} tasks: {pair.better} gained, {pair.worse} "
                f"lost, p = {pair.p_corrected:.2f}: {told}"
            )
    return lines


def diversity_line(summary: Summary) -> str:
    """How varied the problems are, in a sentence."""
    space, varied = summary.problem_space, summary.problem_space.diversity
    return (
        f"diversity: {_percent(space.repeated)} of problems were refused as repeating another; "
        f"of the words of those accepted {_percent(varied.distinct_1)} are distinct, of the pairs "
        f"of words {_percent(varied.distinct_2)}; pooled entropy "
        f"{_number(varied.pooled_entropy)} bits"
    )


def _lost(summary: Summary) -> Counter[str]:
    """The completions of stages 1 to 5 that were lost, by reason."""
    of_stages: list[Mapping[str, int]] = [
        *summary.problem_space.rejected.values(),
        summary.input_space.refused,
        *(iteration.without_program for iteration in summary.iterations),
    ]
    lost: Counter[str] = Counter()
    for reasons in of_stages:
        lost.update({reason: n for reason, n in reasons.items() if reason in LOST})
    return lost


def print_problems(
    path: Path, iteration: int, reasons: list[str], as_json: bool, out: Console
) -> None:
    """List the problems of a run, one a line, and attempts refused for one of the reasons.

    Raises:
        RunError: The iteration has not begun, or a reason does not occur.
    """
    named = [reason.strip().replace(" ", "_") for reason in reasons]
    problems, attempts = with_reasons(Run.open(path), iteration, named)
    if as_json:
        rows = [*(p.to_dict() for p in problems), *(plain(attempt) for attempt in attempts)]
        print(json.dumps(rows, indent=2))
        return
    if problems or not attempts:
        out.print(_problems_table(f"{path}: problems, iteration {iteration}", problems, out.width))
    if attempts:
        out.print(_attempts_table(f"{path}: refused attempts", attempts))
    out.print(Text(f"to inspect one: {command('show', path)} ID"), soft_wrap=True)


def _problems_table(title: str, problems: list[ProblemOutcome], width: int) -> Table:
    """One line a problem; 80 columns hold what tells problems apart, wider terminals the rest."""
    is_wide = width >= _WIDE
    table = _list_table(title)
    table.add_column("id", no_wrap=True)
    table.add_column("problem", no_wrap=True, overflow="ellipsis", ratio=1)
    if is_wide:
        table.add_column("function", no_wrap=True, overflow="ellipsis")
    table.add_column("clusters", no_wrap=True)
    for name in ("e(r*)", "f(r*)") if is_wide else ():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for each in problems:
        cells = [each.problem.id[:8], each.problem.title]
        cells += [each.problem.interface.name] if is_wide else []
        if (of := each.selection) is None:
            cells += ["", "", "", ""] if is_wide else ["", ""]
        else:
            more = " ..." if len(of.cluster_sizes) > _SIZES_SHOWN else ""
            cells.append(" ".join(map(str, of.cluster_sizes[:_SIZES_SHOWN])) + more)
            cells += [_number(of.success), _number(of.perplexity, 3)] if is_wide else []
            cells.append(_number(of.probability))
        table.add_row(*map(Text, cells), Text(each.outcome.replace("_", " ")))
    return table


def _attempts_table(title: str, attempts: list[RefusedAttempt]) -> Table:
    table = _list_table(title)
    table.add_column("attempt", justify="right", no_wrap=True)
    table.add_column("topic", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("reason", no_wrap=True)
    table.add_column("detail", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in attempts:
        cells = (str(each.index), each.topic, each.reason.replace("_", " "), each.detail)
        table.add_row(*(Text(" ".join(cell.split())) for cell in cells))
    return table


def _list_table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", box=SIMPLE, pad_edge=False, expand=True)


def print_problem(path: Path, prefix: str, iteration: int, as_json: bool, out: Console) -> None:
    """Show one problem: statement, inputs, clusters, and why the winner was selected.

    Raises:
        RunError: The iteration has not begun, or the ids of no problem, or of several, start with
            `prefix`.
    """
    run = Run.open(path)
    problems = problem_outcomes(run, iteration)
    found = [each for each in problems if each.problem.id.startswith(prefix)]
    if len(found) != 1:
        raise RunError(
            f"{len(found)} problems of {path} have an id that starts with {prefix!r}; "
            f"`{command('show', path)}` lists them"
        )
    (of,) = found
    problem, rule = of.problem, rule_of(run.config.solutions)
    case = take_ballot(run, iteration, problem)
    choices = [c for c in run.pair_choices(iteration).rows() if c.problem_id == problem.id]
    if as_json:
        pair = plain(choices[0]) if choices else None
        print(json.dumps({**problem_details(of, case, rule), "pair": pair}, indent=2))
        return
    out.print(Panel(Text(problem.statement), title=Text(f"{problem.id}: {problem.topic}")))
    out.print(Syntax(problem.interface.source, "python"))
    if case is None:
        if of.selection is not None:
            out.print(Text("its candidates or their executions are missing", style="yellow"))
            out.print(Text("\n".join(explain(of.selection, rule))))
        elif of.outcome == NOT_YET:
            out.print(f"stage 5 of iteration {iteration} has not decided it yet", style="yellow")
        else:
            said = of.outcome.replace("_", " ")
            out.print(f"given up in stage 4: {said}", style="yellow", highlight=False)
        return
    out.print(_inputs_line(case))
    clusters = case.ballot.clusters[:MAX_CLUSTERS]
    panels = []
    for number, cluster in enumerate(clusters):
        best = cluster.members[0]
        caption = Text(
            f"{counted(len(cluster.members), 'candidate')}\ne(r) {cluster.success:.2f}  "
            f"f(r) {_number(best.perplexity, 3)}"
        )
        won = best.id == case.ballot.selection.candidate_id
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
    out.print(Text("\n".join(explain(case.ballot.selection, rule))))
    for choice in choices:
        out.print(Text("\n".join(explain_choice(choice))))


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
    table = Table(title=Text(summary.name), title_justify="left")
    for name in ("stage", "kept", "lost, by reason", "seconds", "tokens"):
        is_number = name in ("seconds", "tokens")
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    space, inputs = summary.problem_space, summary.input_space
    kept = {
        "problems": (f"{space.left_after('problems')} of {space.n_attempts} attempts",
                     space.rejected["problems"]),
        "ratings": (f"{space.left_after('ratings')}", space.rejected["ratings"]),
        "interfaces": (f"{space.n_accepted} accepted", space.rejected["interfaces"]),
        "test_inputs": (f"{inputs.n_usable} suites, {inputs.n_inputs} inputs", inputs.given_up),
    }  # fmt: skip
    decided = [i for i in summary.iterations if i.n_decided]
    if decided:
        said = ", ".join(f"{i.n_selected} of {i.n_decided}" for i in decided)
        refused: Counter[str] = Counter()
        for iteration in decided:
            refused.update(iteration.not_selected)
        kept["solutions"] = (f"{said} selected", in_order(refused))
    trained = [(i.iteration + 1, i.checkpoint) for i in summary.iterations if i.checkpoint]
    if trained:
        said = ", ".join(f"M{index} from {made.n_examples}" for index, made in trained)
        kept["consolidation"] = (f"{said} examples", {})
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
        against = ""
        if pair is not None:
            against = "no task was run for both"
            if pair.n:
                against = f"+{pair.better} -{pair.worse}, p = {pair.p_corrected:.2f}"
        table.add_row(title_of(score.benchmark), f"M{score.model_index}", _score(score), against)
    return table


def _score(score: ModelScore) -> str:
    not_run = score.n_tasks - score.n_run
    if not score.n_run:
        return f"undefined: {not_run} of {score.n_tasks} tasks not run"
    return (
        f"{100 * score.value:.1f}% [{100 * score.low:.1f}, {100 * score.high:.1f}] "
        f"({score.passed}/{score.n_samples})" + (f", {not_run} not run" if not_run else "")
    )


def _reasons(lost: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in lost.items() if n)


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


def _number(value: float, digits: int = 2) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"

"""What each stage kept, and why it lost the rest (figure 2 as a funnel)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ucoder.analysis.problem_space import PROBLEM_STAGES
from ucoder.analysis.solution_space import Iteration
from ucoder.analysis.summary import Summary


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of the funnel."""

    label: str  # what is left after the stage, in words
    stage: str  # its number in the paper; "" where it has none
    kept: int  # number left after it
    width: float  # of the bar, in percent of the first
    losses: Mapping[str, int]  # why the others were lost, most frequent first


_LABELS = {
    "problems": "a problem in the right form",
    "ratings": "rated well enough",
    "interfaces": "given an interface: accepted",
}


def problem_funnel(summary: Summary, iteration: Iteration | None) -> list[Step]:
    """From attempts to training pairs, up to the last stage with records; [] without attempts."""
    space, inputs = summary.problem_space, summary.input_space
    if not space.n_attempts:
        return []
    rows: list[tuple[str, str, int, Mapping[str, int]]] = [("attempts", "", space.n_attempts, {})]
    for number, stage in enumerate(PROBLEM_STAGES, start=1):
        rows.append((_LABELS[stage], str(number), space.left_after(stage), space.rejected[stage]))
    if inputs.n_suites:
        losses = _with_waiting(inputs.given_up, space.n_accepted - inputs.n_suites)
        rows.append(("enough test inputs", "4", inputs.n_usable, losses))
    if iteration is not None and iteration.n_problems:
        losses = _with_waiting(iteration.not_selected, inputs.n_usable - iteration.n_decided)
        rows.append(
            (f"a program selected by {summary.targets.selector}", "5", iteration.n_selected, losses)
        )
        if iteration.pairs.n_selected:
            rows.append(("training pairs", "6", iteration.pairs.n_pairs, iteration.pairs.left_out))
        if iteration.checkpoint is not None:
            trained = iteration.checkpoint
            too_long = {"too_long_to_train_on": trained.n_left_out}
            rows.append(("trained on", "6", trained.n_examples, too_long))
    return _steps(rows)


def candidate_funnel(iteration: Iteration) -> list[Step]:
    """From completions to votes, of one iteration; empty without candidates."""
    if not iteration.n_candidates:
        return []
    n_programs = iteration.n_candidates - sum(iteration.without_program.values())
    n_equal = n_programs - iteration.n_programs
    rows: list[tuple[str, str, int, Mapping[str, int]]] = [
        ("completions sampled", "", iteration.n_candidates, {}),
        ("hold a program", "", n_programs, iteration.without_program),
        ("distinct programs", "", iteration.n_programs, {"same_program": n_equal}),
    ]
    if iteration.n_executed:
        not_loaded = {k: n for k, n in iteration.statuses.items() if k != "loaded"}
        loaded = iteration.statuses.get("loaded", 0)
        losses = _with_waiting(not_loaded, iteration.n_programs - iteration.n_executed)
        rows.append(("ran in the sandbox to the end", "", loaded, losses))
    return _steps(rows)


def _with_waiting(losses: Mapping[str, int], waiting: int) -> Mapping[str, int]:
    return {**losses, "still_to_come": waiting}


def _steps(rows: list[tuple[str, str, int, Mapping[str, int]]]) -> list[Step]:
    first = rows[0][2]
    return [
        Step(label, stage, kept, 100 * kept / first, {why: n for why, n in losses.items() if n > 0})
        for label, stage, kept, losses in rows
    ]

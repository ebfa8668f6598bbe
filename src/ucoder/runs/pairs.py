"""Which candidates become training pairs: the one place that says so, for training and export."""

from __future__ import annotations

from collections.abc import Iterator

from ucoder.consensus.selection import fluency
from ucoder.records import Candidate, FinishReason
from ucoder.runs.directory import Run


def training_candidates(run: Run, iteration: int) -> Iterator[Candidate]:
    """The candidates of an iteration that are learnt, by `consolidation.pairs`.

    Those of contaminated problems are left out, whatever the setting.

    Raises:
        RunError: See `Run.contaminated`.
        DamagedShard: A table's file cannot be read.
    """
    left_out = run.contaminated()
    if run.config.consolidation.pairs == "selected":
        yield from (one for one in run.selected(iteration) if one.problem_id not in left_out)
        return
    for problem_id in sorted(run.selections(iteration).keys() - left_out):
        yield from _learnt(run, iteration, problem_id)


def _learnt(run: Run, iteration: int, problem_id: str) -> list[Candidate]:
    """One problem's candidates that are learnt without a selection."""
    pairs, candidates = run.config.consolidation.pairs, run.candidates(iteration).get(problem_id)
    if pairs == "all":
        return [one for one in candidates if one.finish_reason is FinishReason.STOP]
    with_program = [one for one in candidates if one.reason is None]
    if pairs == "runnable":
        returning = {
            execution.program_id
            for execution in run.executions(iteration).get(problem_id)
            if any(outcome.executed for outcome in execution.outcomes)
        }
        return [one for one in with_program if one.program_id in returning]
    judged = run.judgements(iteration).get(problem_id)
    right = {judgement.program_id for judgement in judged if judgement.is_right}
    return sorted((one for one in with_program if one.program_id in right), key=fluency)[:1]

"""The pairs of an arm that does not learn what was selected (`consolidation.pairs`)."""

from __future__ import annotations

from ucoder.consensus.selection import fluency
from ucoder.records import Candidate, FinishReason
from ucoder.runs import Run


def unselected_candidates(run: Run, iteration: int) -> list[Candidate]:
    """The candidates that such an arm learns, without those of contaminated problems.

    Raises:
        RunError: See `Run.contaminated`.
        DamagedShard: A table's file cannot be read.
    """
    problem_ids = sorted(run.selections(iteration).keys() - run.contaminated())
    return [one for problem_id in problem_ids for one in _learnt(run, iteration, problem_id)]


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

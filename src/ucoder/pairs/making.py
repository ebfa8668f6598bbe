"""One iteration's training and preference pairs, from the records of its stage 5.

Every problem with a selected program is looked at once: which member of the winning cluster stands
for it, whether its examples hold, whether the model's greedy answer is right already, how hard it
is. Then pairs are left out until replay and difficulty have the shares that were asked for. What
became of each problem is a `PairChoice`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ucoder.analysis.ballots import Case, take_ballot
from ucoder.config import RunConfig
from ucoder.pairs.arms import unselected_candidates
from ucoder.pairs.difficulty import difficulty_of, with_reasons
from ucoder.pairs.evidence import settle_examples
from ucoder.pairs.preferences import find_rival
from ucoder.pairs.quality import choose
from ucoder.records import (
    NAN,
    Candidate,
    Evidence,
    Example,
    ExampleKind,
    PairChoice,
    PreferencePair,
    Problem,
    Reason,
)
from ucoder.runs import Run
from ucoder.stages.consolidation import make_examples
from ucoder.stages.prompts.forms import FENCE


@dataclass(frozen=True, slots=True)
class Pairs:
    """What stage 6 makes of an iteration, each ordered by problem id.

    Attributes:
        examples: The training pairs.
        preferences: One for each training pair whose problem has a rival.
        choices: What became of every problem with a selected program.
    """

    examples: list[Example]
    preferences: list[PreferencePair]
    choices: list[PairChoice]


@dataclass(frozen=True, slots=True)
class _Draft:
    choice: PairChoice
    example: Example
    preference: PreferencePair | None


def make_pairs(run: Run, iteration: int, problems: Iterable[Problem]) -> Pairs:
    """The pairs of one iteration; the same again for the same records.

    A problem whose records are incomplete is left out of all of them: stage 5 makes these again.

    Args:
        run: Holds what was selected.
        iteration: Of stage 5.
        problems: Those that may be trained on.

    Raises:
        DamagedShard: A table's file cannot be read.
        RunError: The problems have not been compared with benchmarks.
    """
    if run.config.consolidation.pairs != "selected":
        by_id = {problem.id: problem for problem in problems}
        candidates = unselected_candidates(run, iteration)
        examples = make_examples(by_id, candidates, run.config.solutions, run.config.seed)
        return Pairs(examples, [], [])
    contaminated = run.contaminated()
    drafts: dict[str, _Draft] = {}
    for problem in problems:
        case = take_ballot(run, iteration, problem)
        if case is not None and case.ballot.selection.candidate_id is not None:
            greedy = run.greedy(iteration).get(problem.id)
            excluded = Reason.CONTAMINATED if problem.id in contaminated else None
            draft = _draft(case, greedy[0] if greedy else None, run.config, excluded)
            if draft is not None:
                drafts[problem.id] = draft
    choices = with_reasons(
        (draft.choice for draft in drafts.values()), run.config.consolidation, run.config.seed
    )
    kept = [drafts[choice.problem_id] for choice in choices if choice.reason is None]
    return Pairs(
        [draft.example for draft in kept],
        [draft.preference for draft in kept if draft.preference is not None],
        choices,
    )


def _draft(
    case: Case, greedy: Candidate | None, run_config: RunConfig, excluded: Reason | None
) -> _Draft | None:
    """One problem's pair, if nothing else speaks against it, and what is known about it."""
    config, winning = run_config.consolidation, case.winning_cluster
    if winning is None:
        return None
    chosen = choose(case, winning, config.choose)
    candidate = chosen.candidate
    settled = settle_examples(
        case.problem, candidate, case.executions[candidate.program_id], case.suite, config.examples
    )
    if excluded is None and settled.evidence is Evidence.REJECTED:
        excluded = Reason.CONTRADICTED_EXAMPLE
    is_known = greedy is not None and _behave_alike(case, candidate, greedy)
    kind = ExampleKind.REPLAYED if is_known else ExampleKind.CHANGED
    n_voting = len(case.ballot.successes)
    agreeing = len(winning.members) / n_voting if n_voting else NAN
    weight = 1.0 if is_known else config.changed_weight
    example = _example(settled.problem, settled.candidate, run_config)
    example = replace(example, kind=kind, weight=weight)
    choice = PairChoice(
        problem_id=case.problem.id,
        iteration=candidate.iteration,
        candidate_id=candidate.id,
        reason=excluded,
        evidence=settled.evidence,
        n_examples=settled.n_examples,
        n_contradicted=settled.n_contradicted,
        n_unverified=settled.n_unverified,
        kind=kind,
        agreeing=agreeing,
        difficulty=difficulty_of(agreeing, greedy is not None and not is_known, config.difficulty),
        chosen_by=config.choose,
        measure=chosen.measure,
        cluster_measure=chosen.cluster_measure,
    )
    rival = find_rival(case, candidate)
    preference = None
    if rival is not None:
        # The rival's program holds the docstring as it was sampled; both sides show the edited one.
        before, after = case.problem.interface.source, settled.problem.interface.source
        program = rival.candidate.program.replace(before, after, 1)
        rejected = _example(settled.problem, replace(rival.candidate, program=program), run_config)
        prefill = example.prefill if example.prefill == rejected.prefill else FENCE
        preference = PreferencePair(
            problem_id=example.problem_id,
            iteration=example.iteration,
            prompt=example.prompt,
            prefill=prefill,
            chosen=_after(prefill, example),
            rejected=_after(prefill, rejected),
            chosen_id=candidate.id,
            rejected_id=rival.candidate.id,
            arguments=rival.arguments,
            chosen_outcome=rival.chosen_outcome,
            rejected_outcome=rival.rejected_outcome,
        )
    return _Draft(choice, example, preference)


def _example(problem: Problem, candidate: Candidate, config: RunConfig) -> Example:
    (example,) = make_examples({problem.id: problem}, [candidate], config.solutions, config.seed)
    return example


def _after(prefill: str, example: Example) -> str:
    """What follows a prefill in an example's answer."""
    return (example.prefill + example.completion).removeprefix(prefill)


def _behave_alike(case: Case, chosen: Candidate, greedy: Candidate) -> bool:
    """Whether the greedy answer runs, and answers like the chosen one on all inputs that count."""
    if greedy.reason is not None or greedy.program_id not in case.executions:
        return False
    votes = case.votes_of([chosen, greedy])
    return {chosen.program_id, greedy.program_id} == set(votes.programs) and (
        np.unique(votes.clusters_P).size == 1
    )

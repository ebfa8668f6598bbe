"""Stage 6: selections become training pairs (q, r*), and the model is fine-tuned on them.

q is the prompt of stage 5, word for word, and r* is what the model wrote after its prefill, so that
training sees the tokens of sampling. Where thinking, demonstrations or repetitions were cut from
what it wrote, r* is the program that was left. Fine-tuning itself is in `ucoder.training`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ucoder.config import SolutionsConfig
from ucoder.records import Candidate, Example, Problem
from ucoder.stages.prompts.forms import FENCE, solution_prompt

CLOSING = "\n```"
"""How an answer ends: the stop string of stage 5, which sampling cut off."""


def make_examples(
    problems: Mapping[str, Problem],
    selected: Iterable[Candidate],
    config: SolutionsConfig,
    run_seed: int,
) -> list[Example]:
    """The training set of one iteration, ordered by problem id.

    Args:
        problems: The problems by id.
        selected: The selected candidate r* of each problem that has one, or other candidates
            (`consolidation.pairs`).
        config: What the candidates were sampled with.
        run_seed: The same.
    """
    examples = []
    for candidate in selected:
        prompt = solution_prompt(problems[candidate.problem_id], config, run_seed)
        prefill, completion = answer_of(candidate, prompt.prefill)
        examples.append(
            Example(
                problem_id=candidate.problem_id,
                candidate_id=candidate.id,
                iteration=candidate.iteration,
                prompt=prompt.user,
                completion=completion,
                prefill=prefill,
            )
        )
    return sorted(examples, key=lambda example: example.problem_id)


def answer_of(candidate: Candidate, prefill: str) -> tuple[str, str]:
    """A candidate's answer as it is learnt: its prefill, and what follows that.

    Args:
        candidate: Usually one with a program.
        prefill: What its completion continued when it was sampled.

    Returns:
        The completion as the model wrote it, wherever the program is all of it, or there is none.
        Otherwise the program after the prefill, or after the opening fence where it does not begin
        as the prefill does. Each ends with the closing fence.
    """
    begun = prefill.removeprefix(FENCE)
    program = candidate.program.rstrip()
    if not program or program == (begun + candidate.completion).rstrip():
        return prefill, candidate.completion + CLOSING
    if program.startswith(begun):
        return prefill, program.removeprefix(begun) + CLOSING
    return FENCE, program + CLOSING

"""Stage 6: selections become training pairs (q, r*), and the model is fine-tuned on them.

q is the prompt of stage 5, word for word; r* is the selected program in a code block. Fine-tuning
itself is in `ucoder.training`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ucoder.records import Candidate, Example, Problem
from ucoder.stages.solutions import PREFILL, solution_prompt


def make_examples(problems: Mapping[str, Problem], selected: Iterable[Candidate]) -> list[Example]:
    """The training set of one iteration, ordered by problem id.

    Args:
        problems: The problems by id.
        selected: The selected candidate r* of each problem that has one, or other candidates
            (`consolidation.pairs`). Where one holds no program, its text is learnt as it is.
    """
    examples = (
        Example(
            problem_id=candidate.problem_id,
            candidate_id=candidate.id,
            iteration=candidate.iteration,
            prompt=solution_prompt(problems[candidate.problem_id]).user,
            completion=f"{candidate.program or _whole_line(candidate.completion)}```",
            prefill=PREFILL,
        )
        for candidate in selected
    )
    return sorted(examples, key=lambda example: example.problem_id)


def _whole_line(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"

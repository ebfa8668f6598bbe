"""Stage 6: selections become training pairs (q, r*), and the model is fine-tuned on them.

q is the very prompt of stage 5; r* is the selected program in a code block. The trainer itself is
an edge: see `ucoder.training`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ucoder.records import Candidate, Example, Problem
from ucoder.stages.solutions import solution_prompt


def make_examples(problems: Mapping[str, Problem], selected: Iterable[Candidate]) -> list[Example]:
    """The training set of one iteration, in the order of the problems' ids.

    Args:
        problems: By id.
        selected: Every r* of the iteration.
    """
    examples = (
        Example(
            problem_id=candidate.problem_id,
            candidate_id=candidate.id,
            iteration=candidate.iteration,
            prompt=solution_prompt(problems[candidate.problem_id]).user,
            completion=f"```python\n{candidate.program}```",
        )
        for candidate in selected
    )
    return sorted(examples, key=lambda example: example.problem_id)

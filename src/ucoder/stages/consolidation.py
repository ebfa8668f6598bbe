"""Stage 6: selections become training pairs (q, r*), and the model is fine-tuned on them.

q is the very prompt of stage 5; r* is the selected program in a code block. The trainer itself is
an edge: see `ucoder.training`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ucoder.records import Candidate, Example, Problem, Selection
from ucoder.stages.solutions import solution_prompt


def make_examples(
    problems: Mapping[str, Problem],
    selections: Iterable[Selection],
    candidates: Mapping[str, Candidate],
) -> list[Example]:
    """The training set of one iteration, in the order of the problems' ids.

    Args:
        problems: By id.
        selections: Of the iteration; those without r* give no example.
        candidates: By id; at least the selected ones.
    """
    return [
        Example(
            problem_id=selection.problem_id,
            candidate_id=selection.candidate_id,
            iteration=selection.iteration,
            prompt=solution_prompt(problems[selection.problem_id]).user,
            completion=f"```python\n{candidates[selection.candidate_id].program}```",
        )
        for selection in sorted(selections, key=lambda s: s.problem_id)
        if selection.candidate_id is not None
    ]

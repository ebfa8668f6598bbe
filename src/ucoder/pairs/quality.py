"""Which member of the winning cluster a pair teaches: what execution cannot see.

The members of a cluster behave alike on every input that counts, so any of them may stand for it.
The paper takes the one of lowest perplexity; a user may ask for the shortest, the fastest or the
most maintainable one instead (`consolidation.choose`). The rule's measure of the chosen candidate
and its mean over the cluster are recorded, to see what the choice changed.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from statistics import fmean

from ucoder.analysis.ballots import Case
from ucoder.analysis.figures import shape
from ucoder.config import ChooseRule
from ucoder.consensus.selection import Cluster, fluency
from ucoder.records import NAN, Candidate
from ucoder.texts import parse_module


@dataclass(frozen=True, slots=True)
class Chosen:
    """A member of a cluster, its measure, and the mean of the cluster; NaN where undefined."""

    candidate: Candidate
    measure: float
    cluster_measure: float


def choose(case: Case, cluster: Cluster, rule: ChooseRule) -> Chosen:
    """The member of the winning cluster that the rule prefers.

    Ties, and candidates whose measure is undefined, come in the order of `fluency`. Under
    `perplexity` it is the selected candidate, whatever the selector.

    Args:
        case: The problem, its candidates and their executions.
        cluster: The winner's; its first member is the selected one.
        rule: `consolidation.choose`.
    """
    measures = _measures(case, cluster, rule)
    known = [measure for measure in measures.values() if not math.isnan(measure)]
    mean = fmean(known) if known else NAN
    sign = -1.0 if rule == "maintainable" else 1.0

    def rank(candidate: Candidate) -> tuple[float, tuple[float, str, int]]:
        measure = measures[candidate.id]
        return (math.inf if math.isnan(measure) else sign * measure, fluency(candidate))

    best = cluster.members[0] if rule == "perplexity" else min(cluster.members, key=rank)
    return Chosen(best, measures[best.id], mean)


def _measures(case: Case, cluster: Cluster, rule: ChooseRule) -> dict[str, float]:
    """Each member's measure, by candidate id."""
    members = cluster.members
    if rule == "perplexity":
        return {one.id: one.perplexity for one in members}
    if rule == "fastest":
        return {one.id: case.executions[one.program_id].cpu_s for one in members}
    if rule == "shortest":
        votes = case.votes_of(members)
        lengths = dict(zip(votes.programs, votes.lengths_P.tolist(), strict=True))
        return {one.id: lengths[one.program_id] for one in members}
    name = case.problem.interface.name
    return {one.id: maintainability(one.program, name) for one in members}


def maintainability(program: str, name: str) -> float:
    """How well a program reads, as far as counting can tell, from 0 to 1.

    The mean of three parts: whether the function has a docstring; the share of its parameters and
    its result that are annotated; and 1 / cyclomatic complexity of the whole program (figure 8).

    Args:
        program: The source.
        name: The function that callers see.

    Returns:
        NaN where the program does not parse, is overlong, or does not define the function.
    """
    measured, module = shape(program), parse_module(program)
    functions = [
        node
        for node in (module.body if module else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    if measured is None or not functions:
        return NAN
    function = functions[-1]  # the definition that stands
    arguments = function.args
    named = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    hints = [*(parameter.annotation for parameter in named), function.returns]
    annotated = sum(hint is not None for hint in hints) / len(hints)
    has_docstring = ast.get_docstring(function, clean=False) is not None
    return (has_docstring + annotated + 1 / measured.complexity) / 3

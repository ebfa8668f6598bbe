"""The paper's figures from records: how varied problems are (4), perplexity against success (6),
how large programs are (8).

Figure 4: over 16,867 problems the paper finds a lexical entropy of 3.639 bits on average (standard
deviation 0.687, median 3.617). The entropy is that of one problem's text, so it falls where a text
repeats its own words, and not where a generator repeats whole problems, which
`ucoder.analysis.diversity` measures. The paper does not define its tokens; ours are runs of
letters, digits and underscores in lower case, so comparisons with the paper's numbers are rough.

Figure 6: selection breaks ties by perplexity f(r), which helps only while low perplexity goes with
programs that run (definitions in section 2.3). The paper finds a success e(r) above 80% below a
perplexity of 1.05. Where perplexity no longer orders success, the quality signal is gone.
"""

from __future__ import annotations

import ast
import math
import statistics
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np

from ucoder.consensus.selection import counting
from ucoder.consensus.selectors import Rule
from ucoder.consensus.votes import sandbox_failed, votes_of
from ucoder.records import NAN, Candidate, Execution, TestInput
from ucoder.texts import words

PAPER_MEAN_BITS = 3.639
"""Figure 4: mean over 16,867 problems."""

PAPER_COMPLEXITY = 2.7
PAPER_LINES = 22.4
"""Figure 8: mean cyclomatic complexity and lines of 2,647,388 candidates."""

_MAX_PROGRAM_CHARS = 20_000
_BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension,
    ast.match_case, ast.Assert,
)  # fmt: skip


def tokens(text: str) -> list[str]:
    """A text's word tokens, see `ucoder.texts.words`: `for_each` is one, and so is `数`."""
    return words(text)


def lexical_entropy(text: str) -> float:
    """H = -sum p_i log2 p_i over a text's word tokens, in bits (figure 4).

    At most log2 of the number of tokens, reached where none repeats; NaN for a text without any.
    """
    return entropy_of(Counter(tokens(text)))


def entropy_of(counts: Counter[str]) -> float:
    """The entropy of how often things occur, in bits; NaN where none does."""
    total = counts.total()
    if not total:
        return NAN
    # log2(total / count) rather than -log2(p): a single word gives 0.0, not -0.0.
    return sum(count / total * math.log2(total / count) for count in counts.values())


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of a program (figure 8)."""

    lines: int  # lines that are not blank
    # Cyclomatic complexity of the whole module: one plus its decisions (branches, loops, handlers,
    # comprehension clauses and filters, and/or).
    complexity: int


def shape(program: str) -> Shape | None:
    """Measure a program without running it; None where it does not parse or is overlong."""
    if len(program) > _MAX_PROGRAM_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an invalid escape in a string
            module = ast.parse(program)
            nodes = list(ast.walk(module))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    decisions = 0
    for node in nodes:
        if isinstance(node, _BRANCHES):
            decisions += 1
        if isinstance(node, ast.BoolOp):
            decisions += len(node.values) - 1
        if isinstance(node, ast.comprehension):
            decisions += len(node.ifs)
    return Shape(sum(bool(line.strip()) for line in program.splitlines()), decisions + 1)


@dataclass(frozen=True, slots=True)
class Quality:
    """One candidate that ran: f(r) and e(r), the latter over the kept inputs."""

    problem_id: str
    candidate_id: str
    perplexity: float
    success: float


@dataclass(frozen=True, slots=True)
class PerplexityGroup:
    """Candidates of neighbouring perplexity."""

    low: float  # least perplexity in it
    high: float  # greatest
    n: int  # how many candidates
    perplexity: float  # their mean perplexity
    success: float  # their mean e(r)


def qualities(
    candidates: Sequence[Candidate],
    executions: Iterable[Execution],
    inputs: Sequence[TestInput],
    rule: Rule,
) -> list[Quality]:
    """f(r) and e(r) of the candidates of one problem and iteration.

    Candidates for which one of the two is undefined are left out: those without a program, those
    whose program was not run yet or on which the sandbox failed, those whose log-probabilities are
    unknown, and all of them where no input counts under the rule.
    """
    by_program = {e.program_id: e for e in executions if not sandbox_failed(e)}
    voters = [c for c in candidates if c.reason is None and c.program_id in by_program]
    votes = votes_of(voters, by_program, inputs)
    votes = counting(votes, rule)
    if not votes.inputs:
        return []
    successes = dict(zip(votes.programs, votes.success_P.tolist(), strict=True))
    found = [
        Quality(c.problem_id, c.id, c.perplexity, successes.get(c.program_id, 0.0)) for c in voters
    ]
    return [q for q in found if math.isfinite(q.perplexity)]


def perplexity_groups(points: Iterable[Quality], n: int = 4) -> tuple[PerplexityGroup, ...]:
    """Cut candidates into n groups of equal size by perplexity, fewer for fewer than n candidates.

    Quartiles for n = 4.
    """
    ordered = sorted(points, key=lambda point: (point.perplexity, point.candidate_id))
    cuts = [at * len(ordered) // n for at in range(n + 1)]
    groups = [ordered[begin:end] for begin, end in pairwise(cuts) if end > begin]
    return tuple(
        PerplexityGroup(
            low=group[0].perplexity,
            high=group[-1].perplexity,
            n=len(group),
            perplexity=fmean(point.perplexity for point in group),
            success=fmean(point.success for point in group),
        )
        for group in groups
    )


def rank_correlation(points: Sequence[Quality]) -> float:
    """Spearman's rank correlation of f(r) and e(r); negative if low perplexity goes with success.

    NaN for fewer than three candidates, or if one of the two is constant. Candidates of one problem
    are not independent, so this describes a run and is not a test.
    """
    if len(points) < 3:
        return NAN
    perplexities = _ranks([point.perplexity for point in points])
    successes = _ranks([point.success for point in points])
    try:
        return statistics.correlation(perplexities, successes)
    except statistics.StatisticsError:  # one of them is constant
        return NAN


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: list[float] = (np.cumsum(counts) - (counts - 1) / 2)[place].tolist()
    return ranks

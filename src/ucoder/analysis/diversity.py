"""How varied a problem set is (figure 4), and how large its programs are (figure 8).

The paper measures 16,867 problems: lexical entropy 3.639 bits on average (standard deviation
0.687, median 3.617). A generator that begins to repeat itself shows here first: entropy collapses.
The paper does not say how it cuts a text into tokens; ours are runs of letters, digits and
underscores, in lower case, so figures of different texts compare, and those with the paper roughly.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections import Counter
from dataclasses import dataclass

from ucoder.records import NAN

PAPER_MEAN_BITS = 3.639
PAPER_SD_BITS = 0.687
"""Figure 4, over 16,867 problems."""

PAPER_COMPLEXITY = 2.7
PAPER_LINES = 22.4
"""Figure 8: mean cyclomatic complexity and lines of 2,647,388 candidates."""

_WORD = re.compile(r"\w+")
_MAX_PROGRAM_CHARS = 20_000
_BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension,
    ast.match_case, ast.Assert,
)  # fmt: skip


def tokens(text: str) -> list[str]:
    """A text's word tokens: runs of letters, digits and underscores, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def lexical_entropy(text: str) -> float:
    """H = -sum p_i log2 p_i over a text's word tokens, in bits (figure 4).

    At most log2 of the number of tokens, reached where none repeats; NaN for a text without any.
    """
    counts = Counter(tokens(text))
    total = counts.total()
    if not total:
        return NAN
    # log2(total / count) rather than -log2(p): a single word gives 0.0, not -0.0.
    return sum(count / total * math.log2(total / count) for count in counts.values())


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of a program (figure 8).

    Attributes:
        lines: Lines that are not blank.
        complexity: Cyclomatic complexity of the whole module: one plus its decisions (branches,
            loops, handlers, comprehension clauses and filters, and/or).
    """

    lines: int
    complexity: int


def shape(program: str) -> Shape | None:
    """Measure a program without running it; None where it does not parse or is overlong."""
    if len(program) > _MAX_PROGRAM_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in a model's string is no news
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

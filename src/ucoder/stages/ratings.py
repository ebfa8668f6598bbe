"""Stage 2: the same model rates each problem on clarity, completeness and quality (figure 3).

The paper gives no threshold; ours is `ratings.threshold`. A small model gives nearly every problem
the same score at temperature 0, which orders nothing. With `ratings.n` ratings at a temperature
above 0, their mean estimates the expected score, which differs between problems. The report shows
the distribution.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ucoder.engines.protocol import Prompt
from ucoder.inputs.text import COLONS, Refusal, between
from ucoder.records import Reason
from ucoder.stages.prompts import fill

PREFILL = "<RATING_START>\nProblem Quality Score:"
STOP = ("<RATING_END>",)

_SCORE = re.compile(
    rf"Problem Quality Score[{COLONS}][\s*]{{0,8}}(\d{{1,3}}(?:\.\d{{1,4}})?)(?![\d.]*\d)"
)
_SUMMARY = re.compile(rf"Summary[{COLONS}]\s{{0,8}}(.{{1,400}})")


@dataclass(frozen=True, slots=True)
class Rating:
    """A problem quality score from 0 to 10, with the model's summary; the mean of several."""

    score: float
    summary: str


def rating_prompt(statement: str) -> Prompt:
    """The prompt of stage 2."""
    return Prompt(fill("rating", statement=statement), PREFILL)


def parse_rating(text: str) -> Rating | Refusal:
    """Parse a rating, prefill included. Accepts any text and never raises."""
    body = between(text, "<RATING_START>", "<RATING_END>")
    if body is None:
        return Refusal(Reason.MALFORMED_RATING, "no <RATING_START>")
    score = _SCORE.search(body)
    if score is None:
        return Refusal(Reason.MALFORMED_RATING, f"no score in {body[:80]!r}")
    value = float(score.group(1))
    if value > 10:
        return Refusal(Reason.MALFORMED_RATING, f"{value:g} is not from 0 to 10")
    summary = _SUMMARY.search(body)
    return Rating(value, summary.group(1).strip() if summary else "")


def mean_rating(ratings: Sequence[Rating | Refusal]) -> Rating | Refusal:
    """The mean of the ratings that could be read, with the summary of the first one.

    Returns:
        The first refusal where none could be read.
    """
    read = [rating for rating in ratings if isinstance(rating, Rating)]
    if not read:
        return next(rating for rating in ratings if isinstance(rating, Refusal))
    return Rating(fmean(rating.score for rating in read), read[0].summary)

"""Whether a run's problems differ from each other, as a whole.

Figure 4's entropy is that of one problem's text, so it cannot see that a generator repeats itself.
These figures pool the texts of all problems. Entropy and distinct-n depend on how many words there
are (distinct-n falls as a set grows), so compare sets of one size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from ucoder.analysis.figures import entropy_of, tokens
from ucoder.analysis.numbers import Distribution, describe, share
from ucoder.config import ProblemsConfig
from ucoder.similarity import TextIndex

NEAR_DUPLICATE = ProblemsConfig().max_similarity
"""Similarity of near duplicates in these figures, whatever a run's own limit is."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """How varied a set of texts is; shares and entropy are NaN where there is no word."""

    n_texts: int
    pooled_entropy: float  # bits, of the words of all texts together
    distinct_1: float  # share of distinct words among all words
    distinct_2: float  # share of distinct pairs of neighbouring words among all such pairs
    # Similarity of each text to the nearest one before it (`ucoder.similarity`), 0 to 1; the first
    # text has none.
    nearest: Distribution
    near_duplicates: float  # share of all texts with such a similarity of `NEAR_DUPLICATE` or more


def diversity(texts: Iterable[str]) -> Diversity:
    """Measure a set of texts, in the order in which they were made."""
    words: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    index, similarities, n_texts = TextIndex(), [], 0
    for text in texts:
        found = tokens(text)
        words.update(found)
        pairs.update(pairwise(found))
        if n_texts:
            nearest = index.nearest(text)
            similarities.append(nearest.similarity if nearest else 0.0)
        index.add(text)
        n_texts += 1
    return Diversity(
        n_texts=n_texts,
        pooled_entropy=entropy_of(words),
        distinct_1=share(len(words), words.total()),
        distinct_2=share(len(pairs), pairs.total()),
        nearest=describe(similarities),
        near_duplicates=share(sum(each >= NEAR_DUPLICATE for each in similarities), n_texts),
    )

"""Similar texts: by hand, on the known answers, and with words replaced."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.config import ProblemsConfig
from ucoder.evaluation.benchmarks import known_answers
from ucoder.similarity import Nearest, TextIndex, shingles
from ucoder.texts import words

THRESHOLD = ProblemsConfig().max_similarity


def index_of(*texts: str) -> TextIndex:
    index = TextIndex()
    for text in texts:
        index.add(text)
    return index


def known_texts() -> list[str]:
    return [task.text for task in known_answers.load().tasks]


def test_similarity_by_hand() -> None:
    # Words a, b, c and pairs ab, bc against a, b, d and ab, bd: 3 shared of 7.
    assert shingles("a b c") == {"a", "b", "c", "a b", "b c"}
    assert index_of("A, b: d").nearest("a b c") == Nearest(0, pytest.approx(3 / 7))
    assert index_of("x y").nearest("a b c") is None
    assert TextIndex().nearest("a") is None
    assert index_of("a").nearest("🎲") is None


def test_the_first_of_several_texts_that_are_equally_near_is_found() -> None:
    assert index_of("x", "b a", "a b", "a b").nearest("a b") == Nearest(2, 1.0)


def test_the_known_answers_are_no_near_duplicates_of_each_other() -> None:
    index, highest = TextIndex(), 0.0
    for text in known_texts():
        nearest = index.nearest(text)
        highest = max(highest, nearest.similarity if nearest else 0.0)
        index.add(text)
    assert 0.0 < highest < THRESHOLD - 0.1


def test_a_statement_with_a_fifth_of_its_words_replaced_is_found() -> None:
    texts = known_texts()
    index = index_of(*texts)
    vocabulary = sorted({word for text in texts for word in words(text)})
    draw = random.Random(0)
    found = 0
    for position, text in enumerate(texts):
        original = words(text)
        replaced = set(draw.sample(range(len(original)), round(0.2 * len(original))))
        copy = [draw.choice(vocabulary) if at in replaced else w for at, w in enumerate(original)]
        nearest = index.nearest(" ".join(copy))
        found += bool(nearest and nearest.position == position and nearest.similarity >= THRESHOLD)
    assert found >= 0.99 * len(texts)


@given(st.lists(st.text(max_size=60), max_size=6), st.text(max_size=60))
def test_any_texts_can_be_compared_and_each_is_most_similar_to_itself(
    texts: list[str], text: str
) -> None:
    nearest = index_of(*texts, text).nearest(text)
    assert nearest == (Nearest(nearest.position, 1.0) if shingles(text) and nearest else None)

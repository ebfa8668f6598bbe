import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.analysis.diversity import diversity
from ucoder.analysis.figures import Shape, lexical_entropy, shape, tokens


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("same same same", 0.0),
        ("one two one two", 1.0),
        ("a b c d", 2.0),
        ("a a a b", 0.75 * math.log2(4 / 3) + 0.25 * 2),
        ("Sort, sort; SORT!", 0.0),
    ],
)
def test_lexical_entropy_by_hand(text, bits):
    assert lexical_entropy(text) == pytest.approx(bits)


def test_entropy_without_words_is_undefined():
    assert math.isnan(lexical_entropy(" ... "))


@given(st.text(max_size=300))
def test_entropy_lies_between_zero_and_the_logarithm_of_the_length(text):
    words = tokens(text)
    if words:
        assert 0.0 <= lexical_entropy(text) <= math.log2(len(words)) + 1e-9


def test_diversity_by_hand():
    varied = diversity(["add a b", "add a c", "x y"])
    # 6 distinct of 8 words (add and a twice), 4 distinct of 5 pairs (add a twice).
    assert (varied.n_texts, varied.distinct_1, varied.distinct_2) == (3, 6 / 8, 4 / 5)
    assert varied.pooled_entropy == pytest.approx(2 * (2 / 8) * 2 + 4 * (1 / 8) * 3)
    # add, a and add a are 3 of the 7 words and pairs that either has; the third shares nothing.
    assert (varied.nearest.n, varied.nearest.high, varied.nearest.low) == (2, 3 / 7, 0.0)
    assert varied.near_duplicates == 1 / 3


def test_a_generator_that_repeats_itself_lowers_what_is_pooled_and_not_the_entropy_of_one_text():
    texts = [f"return how often item{n} occurs in a list of {n} numbers" for n in range(20)]
    once, repeated = diversity(texts), diversity(texts[:2] * 10)
    assert repeated.pooled_entropy < once.pooled_entropy
    assert repeated.distinct_2 < once.distinct_2
    assert repeated.near_duplicates == 19 / 20
    assert lexical_entropy(texts[0]) == pytest.approx(lexical_entropy(texts[1]))


def test_diversity_of_nothing_is_undefined():
    varied = diversity([])
    assert varied.n_texts == varied.nearest.n == 0
    assert all(map(math.isnan, (varied.pooled_entropy, varied.distinct_1, varied.near_duplicates)))


def test_a_program_is_measured_by_hand():
    program = (
        "def f(x):\n"
        "    if x and x[0] > 1:\n"  # a branch and an `and`
        "        return 1\n"
        "\n"
        "    return [y for y in x if y]\n"  # a loop and a filter
    )
    assert shape(program) == Shape(lines=4, complexity=5)


@pytest.mark.parametrize("text", ["def f(", "\x00", "(" * 5000, "x = '\ud800'\n" * 5000])
def test_what_does_not_parse_has_no_shape(text):
    assert shape(text) is None


@given(st.text(max_size=200))
def test_no_text_at_all_upsets_the_measurement(text):
    measured = shape(text)
    assert measured is None or measured.complexity >= 1

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

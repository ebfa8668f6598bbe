import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.report.words import clip, middle_clip
from ucoder.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 数", "plain, naïve, 数"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("null\x00 bell\x07 escape\x1b[31m", "null\\x00 bell\\x07 escape\\x1b[31m"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("next\x85line", "next\\x85line"),
    ],
)
def test_unseen_characters_are_written_out(text, shown):
    assert visible(text) == shown


@given(st.text(st.characters(), max_size=100))
def test_visible_text_is_always_utf8_and_stays_as_it_is(text):
    once = visible(text)
    once.encode("utf-8")
    assert visible(once) == once


@given(st.text(max_size=200), st.integers(1, 50), st.integers(1, 10))
def test_clipping_bounds_what_is_shown(text, max_chars, max_lines):
    shown = clip(text, max_chars, max_lines)
    assert shown == text or len(shown) <= max_chars + len(" … (200 more characters)")
    assert shown.count("\n") < max_lines
    assert len(middle_clip(text, max_chars)) <= max_chars


def test_clipping_says_how_much_it_left_out():
    assert clip("abcdef", 4) == "abcd … (2 more characters)"
    assert clip("a\nb\nc", 100, 2) == "a\nb … (2 more characters)"
    assert clip("a\nb", 100, 2) == "a\nb"

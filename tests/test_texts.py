"""Words of any script, and marks in hostile texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.inputs.text import normalised
from ucoder.texts import ends_in_string, ends_in_thinking, spoken, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Return is_prime(n), don't print.", "return is_prime n don t print"),
        ("Верните СУММУ цифр.", "верните сумму цифр"),
        ("अंकों का योग लौटाइए।", "अंकों का योग लौटाइए"),
        ("क्\u200dष की", "क्ष की"),
        ("返回n的和。", "返 回 n 的 和"),
        ("合計を、返す", "合 計 を 返 す"),
        ("ﾊﾝ", "ハ ン"),
        ("숫자의 합", "숫자의 합"),
        ("ผลรวม 3", "ผ ล ร ว ม 3"),
        ("Cafe\u0301 CAFÉ", "café café"),
        ("Ｎ＝１", "n 1"),
        ("✔️ !?", ""),
    ],
)
def test_words_are_those_of_the_texts_own_script(text: str, expected: str) -> None:
    assert words(text) == expected.split()


def test_vowel_signs_tell_words_apart() -> None:
    assert normalised("की") != normalised("का")
    assert normalised("สี") != normalised("ส่")


def test_spaces_and_punctuation_do_not_tell_texts_apart() -> None:
    assert normalised("返回 列表，的和。") == normalised("返回列表的和")
    assert normalised("Верните: сумму!") == normalised("верните  сумму")


def test_texts_without_words_differ_where_they_do() -> None:
    assert normalised("🎲🎲") != normalised("🎯")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = '''", True),
        ('"""a\\"""', True),
        ("x = 'a", True),
        ("x = 'a\n", False),
        ("x = 'a\\\n", True),
        ("x = 'it''s' # '''", False),
        ("# it's", False),
        ("x = \"'''\"", False),
        ("x = '''a''' '''b", True),
        ("x = r'\\", True),
    ],
)
def test_the_end_of_a_piece_of_code_is_in_a_string_or_not(code: str, expected: bool) -> None:
    assert ends_in_string(code) is expected


HOSTILE = {
    "openings": "```\n" * 20_000,
    "strings": "```\n'''\n" * 10_000,
    "string": "'''\n" + "```\n" * 20_000,
    "thinking": "<think>\n" * 20_000,
    "thoughts": "</think>\n" * 20_000,
    "sum": "```\n1" + "+1" * 50_000,
    "signs": "```\n" + "-" * 150_000 + "1\n```",
    "brackets": "```\n" + "(" * 150_000,
    "backslashes": "'''" + "\\" * 99_999,
    "spaces": " " * 200_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_survived(text: str) -> None:
    assert len(spoken(text, "f").text) <= len(text)
    assert ends_in_string(text) in (True, False)
    assert ends_in_thinking(text) in (True, False)


PIECES = st.sampled_from(
    ["```\n", "```python\n", "~~~\n", "'''", '"""', "'", "\\", "#", "\n", "<think>", "</think>",
     "def f(x):\n    return x\n", "x = 1\n", "  ", "So "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
def test_blocks_and_what_is_said_are_parts_of_the_answer(text: str) -> None:
    for entry_point in ("f", ""):
        said = spoken(text, entry_point)
        assert len(said.text) <= len(text)
        assert all(block.source in text or "  " in text for block in said.blocks)

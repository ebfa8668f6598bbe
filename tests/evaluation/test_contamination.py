"""The contamination guard: copies of prompts are found, other problems are left alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.evaluation.contamination import (
    ContaminationRule,
    Guard,
    Match,
    MatchKind,
    normalise,
    prose,
)
from ucoder.evaluation.protocol import Task
from ucoder.records import Interface, Problem
from ucoder.runs.schema import from_table, to_table

MBPP = Path(__file__).parents[3] / "shared" / "data" / "mbpp" / "sanitized-mbpp.json"

TIDES = '''from typing import List

def longest_ebb(levels: List[int]) -> int:
    """ Given hourly water levels of a harbour, return the number of hours of the longest
    stretch during which the level never rises.
    >>> longest_ebb([3, 2, 2, 5])
    3
    """
'''
BEADS = '''"""
Write a function to thread coloured beads so that equal colours never touch.
assert beads("aab") == "aba"
"""
'''
LEDGER = "Write a function that takes a list of integers and returns the balance of a ledger."
HARBOUR = [("harbour", TIDES), ("beads", BEADS), ("ledger", LEDGER)] + [
    (f"other{n}", f"Write a function that takes a list of integers and returns {what}.")
    for n, what in enumerate(
        ["the widest gap", "every second peak", "their zigzag order", "its steepest climb"]
    )
]


def tasks(texts: list[tuple[str, str]]) -> list[Task]:
    return [Task(name, text, "", {}) for name, text in texts]


def guard(rule: ContaminationRule | None = None) -> Guard:
    return Guard([("invented", tasks(HARBOUR))], rule)


def problem(description: str = "", *, name: str = "solve", docstring: str = "") -> Problem:
    source = f'def {name}(levels: list[int]) -> int:\n    """{docstring}"""\n'
    statement = f"Title: T\nDescription: {description}\nExample:\nInput: {name}([1])\nOutput: 1"
    interface = Interface(name, (), "int", source)
    return Problem("p" * 16, "", "", "T", description, statement, "", 9.0, "", interface)


def found(text: str) -> list[str]:
    return [match.task_id for match in guard().matching("p", [text])]


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
    assert prose(prose(text)) == prose(text)


def test_normalised_text_has_no_case_punctuation_or_layout() -> None:
    assert normalise("  Has_Close\n\tELEMENTS — `ﬁt`!") == "has close elements fit"


@pytest.mark.parametrize(
    "line",
    [
        "```python",
        ">>> f(1)",
        "import math",
        "from typing import List",
        "def f(x: int) -> int:",
        "assert f(1) == 2",
        "f(1) == 2",
        "f([1, 2]) ➞ 3",
        "Input: f(1)",
        "Sample Output 1:",
    ],
)
def test_code_and_examples_are_not_prose(line: str) -> None:
    assert prose(f"First words.\n\n    {line}\n\nLast words.").split() == [
        "First",
        "words.",
        "Last",
        "words.",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "Input to this function is a string.",
        "import the goods that are in short supply",
        "assert nothing about the order",
        "from the left to the right",
        "count_tides(levels) returns how many tides there were",
        "define the width (in metres) of a beam",
    ],
)
def test_sentences_that_begin_like_code_are_prose(line: str) -> None:
    assert prose(line) == f"{line}\n"


def test_the_output_of_a_doctest_ends_at_an_empty_line() -> None:
    assert prose(">>> f(1)\n2\n\nThen prose.") == "Then prose.\n"


@given(st.text())
def test_a_problem_equal_to_a_prompt_always_matches(text: str) -> None:
    matches = Guard([("own", tasks([*HARBOUR, ("t", text)]))]).matches(problem(text))
    if normalise(text):
        assert "t" in [m.task_id for m in matches if m.kind is MatchKind.SAME_TEXT]
    else:
        assert matches == []


@pytest.mark.parametrize(("task_id", "text"), HARBOUR)
def test_every_prompt_matches_itself_first(task_id: str, text: str) -> None:
    first = guard().matches(problem(text))[0]
    assert (first.task_id, first.kind, first.overlap) == (task_id, MatchKind.SAME_TEXT, 1.0)


def test_a_copy_in_the_docstring_is_found() -> None:
    copied = "Thread coloured beads so that equal colours never touch."
    match = guard().matches(problem("An exercise.", docstring=copied))[0]
    assert (match.task_id, match.kind) == ("beads", MatchKind.OVERLAP)
    assert match.shared == "thread coloured beads so that equal colours never touch"


@pytest.mark.parametrize(
    "edited",
    [
        TIDES.upper(),
        TIDES.replace("longest_ebb", "quiet_hours").replace("[3, 2, 2, 5]", "[9, 8, 1]"),
        " ".join(TIDES.partition("\n\n")[2].split()),
        "Given hourly water levels of a harbour, compute the count of hours of the longest "
        "period during which the level never rises.",
        "The level never rises during which stretch? Given hourly water levels of a harbour, "
        "return the number of hours of the longest.",
        "You work for a port. Given hourly water levels of a harbour, return the number of hours "
        "of the longest stretch during which the level never rises. Do not print anything.",
    ],
    ids=["case", "name and example", "one line", "some words", "order", "embedded"],
)
def test_a_light_edit_does_not_hide_a_copy(edited: str) -> None:
    assert found(edited) == ["harbour"]


def test_the_name_of_the_function_proves_nothing() -> None:
    namesake = problem("Sum the squares of all primes below a bound.", name="longest_ebb")
    assert guard().matches(namesake) == []
    assert (
        found("longest_ebb")
        == found("longest_ebb()")
        == found("def longest_ebb(levels: List[int]) -> int:")
        == []
    )


def test_the_name_of_the_function_in_the_prose_proves_nothing() -> None:
    prompt = "three_tides_sum_to_zero takes tides. It is true where three of the tides sum to zero."
    named = Guard([("b", tasks([*HARBOUR, ("t", prompt)]))])
    assert named.matches(problem("three_tides_sum_to_zero")) == []
    assert named.matches(problem("What does three_tides_sum_to_zero return?")) == []


def test_phrases_that_many_prompts_share_prove_nothing() -> None:
    text = "Write a function that takes a list of integers and returns how many are cubes."
    assert found(text) == []
    assert "ledger" in found(LEDGER.replace("returns", "computes"))


def test_rare_pairs_scattered_over_a_long_page_prove_nothing() -> None:
    rare = ["thread coloured", "coloured beads", "that equal", "equal colours", "never touch"]
    filler = " ".join(f"w{n}" for n in range(40))
    assert found(" ".join(f"{filler} {pair}" for pair in rare)) == []
    assert found(f"{filler} thread coloured beads so that equal colours never touch {filler}")


def test_a_short_passage_is_not_enough() -> None:
    assert found("coloured beads") == []


def test_texts_without_words_match_nothing_and_are_not_indexed() -> None:
    assert guard().matches(problem()) == []
    assert Guard([]).matches(problem(TIDES)) == []
    assert Guard([("empty", tasks([("e", ""), ("f", "...")]))]).matches(problem("...")) == []


def test_a_prompt_that_is_code_alone_is_compared_as_it_is() -> None:
    code = "def fold(x):\ndef unfold(x):"
    matches = Guard([("code", tasks([("c", code)]))]).matches(problem(code))
    assert [match.kind for match in matches] == [MatchKind.SAME_TEXT]


def test_a_prompt_of_two_benchmarks_is_reported_for_each() -> None:
    both = Guard([("one", tasks(HARBOUR)), ("one+", tasks(HARBOUR))])
    matches = both.matches(problem(BEADS))
    assert [(m.benchmark, m.task_id) for m in matches] == [("one", "beads"), ("one+", "beads")]
    alone = guard().matching("p", [BEADS.replace("so", "and")])
    assert both.matching("p", [BEADS.replace("so", "and")])[0].overlap == alone[0].overlap


@given(st.randoms(use_true_random=False), st.sampled_from([text for _, text in HARBOUR]))
def test_the_order_of_benchmarks_and_tasks_does_not_matter(
    chance: random.Random, text: str
) -> None:
    texts = list(HARBOUR)
    chance.shuffle(texts)
    parts = [("b", tasks(texts[:4])), ("a", tasks(texts[4:]))]
    edited = " ".join(text.split()[2:])
    assert Guard(parts).matching("p", [edited]) == Guard(parts[::-1]).matching("p", [edited])


WORDS = " ".join(text for _, text in HARBOUR).split()


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5)).map(" ".join))
def test_any_text_is_taken_and_matches_are_ordered_and_in_range(text: str) -> None:
    matches = guard(ContaminationRule(min_overlap=0.0, min_shared=0.0)).matches(
        problem(text, docstring=text)
    )
    assert [m.overlap for m in matches] == sorted((m.overlap for m in matches), reverse=True)
    assert all(0.0 <= match.overlap <= 1.0 for match in matches)
    assert len({(m.benchmark, m.task_id) for m in matches}) == len(matches)


def test_lone_surrogates_are_taken() -> None:
    assert guard().matches(problem(f"\ud800 {prose(BEADS)} \udfff"))[0].task_id == "beads"


def test_a_stricter_rule_finds_less() -> None:
    edited = BEADS.replace("coloured", "painted")
    assert guard().matching("p", [edited])
    assert guard(ContaminationRule(min_overlap=0.95)).matching("p", [edited]) == []


def test_matches_are_a_table_of_the_run() -> None:
    matches = guard().matches(problem(TIDES))
    assert from_table(Match, to_table(Match, matches)) == matches


@pytest.mark.skipif(not MBPP.is_file(), reason="MBPP's data are not here")
def test_published_prompts_are_found_in_the_words_of_a_generated_problem() -> None:
    rows = json.loads(MBPP.read_text("utf-8"))
    published = Guard([("mbpp", [Task(str(r["task_id"]), r["prompt"], "", r) for r in rows])])
    missed = []
    for row in rows:
        text = f"{row['prompt']} Return the result and print nothing.\nExample: f(1)"
        if str(row["task_id"]) not in [m.task_id for m in published.matches(problem(text))]:
            missed.append(row["prompt"])
    # The few that are made of common words alone, such as "sort the given list".
    assert len(missed) <= len(rows) // 100, missed


SCRIPTS = {
    "Chinese": (
        "给定一个整数列表，返回其中所有偶数位置上的奇数元素之和，空列表返回零。",
        "给定一个整数列表，求出其中所有偶数位置上的奇数元素之和；空列表返回零。",
        "判断一个字符串在忽略大小写和空格之后是否为回文。",
    ),
    "Hindi": (
        "दी गई सूची में सम स्थानों पर आने वाली सभी विषम संख्याओं का योग लौटाइए।",
        "दी गई सूची में सम स्थानों पर आने वाली सब विषम संख्याओं का योग बताइए।",
        "जाँचिए कि कोई वाक्य उल्टा पढ़ने पर भी वैसा ही रहता है या नहीं।",
    ),
    "Russian": (
        "Верните сумму всех нечётных элементов списка, стоящих на чётных позициях.",
        "Верните сумму нечётных элементов списка, стоящих на чётных позициях!",
        "Проверьте, является ли строка палиндромом без учёта регистра и пробелов.",
    ),
}


@pytest.mark.parametrize(("text", "edited", "other"), SCRIPTS.values(), ids=SCRIPTS)
def test_an_edited_prompt_is_found_in_any_script_and_another_one_is_not(
    text: str, edited: str, other: str
) -> None:
    guarded = Guard([("own", tasks([*HARBOUR, ("t", text)]))])
    assert [match.task_id for match in guarded.matching("p", [edited])] == ["t"]
    assert guarded.matching("p", [other]) == []

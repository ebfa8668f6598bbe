"""Cutting programs out of answers: EvalPlus's rule with its edges, on any text at all."""

from __future__ import annotations

import ast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ucoder.evaluation import cutting
from ucoder.evaluation.cutting import (
    is_within_program,
    longest_program,
    reachable,
    sanitize,
)

RIGHT = "def tide(x):\n    return x + 1"


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        f"Sure, here it is:\n```python\n{RIGHT}\n```\nIt adds one to x.",
        f"{RIGHT}\n```\n",
        f"\n\n{RIGHT}\n\n\nThis works, because one is added.",
        f"1. First think.\n2. Then write.\n{RIGHT}",
        f"{RIGHT}\n\nprint(tide(1))\nassert tide(1) == 2\nif __name__ == '__main__':\n    tide(2)",
    ],
)
def test_chatter_and_what_only_runs_the_program_are_left_out(answer: str) -> None:
    assert sanitize(answer, "tide") == RIGHT


def test_the_longest_run_of_lines_wins_and_the_first_of_equal_ones() -> None:
    short, long = "a = 1", "b = 2\nb = 3"
    assert longest_program(f"{short}\nno code here\n{long}") == long
    assert longest_program(f"{long}\nno code here\n{short}") == long
    assert longest_program("c = 3\nno code here\nd = 4") == "c = 3"


def test_blank_lines_do_not_count_as_length() -> None:
    assert longest_program("a = 1\n\n\n\n\nno code here\nb = 2\nc = 3") == "b = 2\nc = 3"


def test_a_program_that_was_cut_off_loses_only_its_end() -> None:
    cut = f"{RIGHT}\n\ndef other(x):\n    return [x, (x"
    assert sanitize(cut, "tide") == RIGHT


def test_only_what_the_entry_point_reaches_is_kept() -> None:
    code = (
        "import math\nLIMIT = 3\nUNUSED = 4\n"
        "def helper(x):\n    return deeper(x)\n"
        "def deeper(x):\n    return min(x, LIMIT)\n"
        "def stray(x):\n    return x\n"
        "def tide(x):\n    return helper(x)\n"
    )
    kept = sanitize(code, "tide")
    names = {getattr(node, "name", None) for node in ast.parse(kept).body}
    assert {"helper", "deeper", "tide"} <= names and "stray" not in names
    assert "LIMIT = 3" in kept and "UNUSED" not in kept
    assert kept.startswith("import math")


def test_without_an_entry_point_every_definition_is_kept() -> None:
    assert "stray" in sanitize(f"{RIGHT}\ndef stray(x):\n    return x\n", "")


@pytest.mark.parametrize(
    ("dropped", "what"),
    [
        ("@cache\ndef helper(x):\n    return x", "a decorated function"),
        ("@dataclass\nclass helper:\n    x: int", "a decorated class"),
        ("def helper(x):\n    x.sort()", "a function without a return"),
        ("from __future__ import annotations", "an import from __future__"),
    ],
)
def test_what_evalplus_does_not_see_is_dropped(dropped: str, what: str) -> None:
    caller = "def tide(x):\n    return helper(x)"
    assert sanitize(f"{dropped}\n{caller}", "tide") == caller, what


def test_the_first_definition_of_a_name_is_the_one_that_stays() -> None:
    twice = "def tide(x):\n    return 1\ndef tide(x):\n    return 2"
    assert sanitize(twice, "tide") == "def tide(x):\n    return 1"


def test_functions_without_a_return_stay_where_they_are_not_needed_to_have_one() -> None:
    plots = "import os\ndef task_func(name):\n    os.mkdir(name)"
    assert sanitize(plots, "task_func", needs_return=False) == plots
    assert "def task_func" not in reachable(plots, "task_func", needs_return=True)


def test_classes_and_annotated_assignments_are_definitions() -> None:
    code = "SIZE: int = 2\nclass Box:\n    n = SIZE\ndef tide(x):\n    return Box().n"
    assert set(sanitize(code, "tide").split("\n")) == set(code.split("\n"))


def test_where_nothing_is_defined_the_longest_run_of_lines_stays() -> None:
    assert sanitize("print(1)\nprint(2)", "tide") == "print(1)\nprint(2)"


@pytest.mark.parametrize("text", ["", "\n\n \n", "Alas, I cannot.", "```", "\x00", "\ud800 \udfff"])
def test_without_python_there_is_no_program(text: str) -> None:
    assert sanitize(text, "tide") == ""


WRONG = "def tide(x):\n    y = x\n    z = y\n    return z - 1"
USE = "Use it:\n```python\n" + "tide(1)\n" * 9 + "```\n"
PROSE = "Okay, so one (maybe two) is added, isn't it?\nWait\n1. No\nx = 3\n- 'tis so\n\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"{PROSE * 400}{RIGHT}\n\nDone.",
        f"{PROSE * 4000}{RIGHT}\n\nDone.",
        f"<think>\n{PROSE * 400}\n{WRONG}\n</think>\n{RIGHT}",
        f"{PROSE * 400}\n{WRONG}\n</think>\n\n```python\n{RIGHT}\n```\n",
        f"<think>{WRONG}</think>\n```python\n{RIGHT}\n```\n{USE}",
        f"{PROSE}```python\n{WRONG}\n```\nNo, that is wrong:\n```python\n{RIGHT}\n```\n",
    ],
)
def test_what_a_model_settles_for_is_cut_however_long_it_thought(answer: str) -> None:
    assert sanitize(answer, "tide") == RIGHT


def test_a_model_that_only_thinks_answers_nothing() -> None:
    assert sanitize(f"<think>\n```python\n{RIGHT}\n```\nBut", "tide") == ""


def test_a_program_that_holds_fences_and_thinking_in_strings_is_cut_whole() -> None:
    program = "MARK = '''\n```python\n<think>\n```\n</think>\n'''\ndef tide(x):\n    return MARK"
    for answer in (program, f"{program}\n```\nDone.", f"So:\n```python\n{program}\n```\nDone."):
        assert sanitize(answer, "tide") == program


CHAT = "Here it is:\n```python\n"


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ('def tide(x):\n    """Doc:', "\n```\n"),
        ("USAGE = '''", "\nprint("),
        ("USAGE = '''", "\nif __name__"),
        ("def tide(x):\n    return '<s>' + x + '", "</s>"),
        ('def tide(x):\n    return x\nDOC = """Text', '\n"""'),
        ("import os", "\nprint("),
        ("def helper(x):\n    return x\n", "\ndef main("),
        ("def tide(x):\n    return main(x)\n", "\ndef main("),
        ("<think>\nA first try:\n```python\ndef tide(x):\n    return x", "\n```\n"),
    ],
)
def test_a_stop_string_within_a_program_does_not_end_it(text: str, stop: str) -> None:
    assert is_within_program(CHAT, text, stop, "tide")


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("def tide(x):\n    return x", "\n```\n"),
        ("def tide(x):\n    # it's done", "\n```\n"),
        ("def tide(x):\n    return x\n", "\nprint("),
        ("def tide(x):\n    return x\n", "\ndef main("),
        ("tide = str.strip\n", "\nif __name__"),
        ("I don't know", "\n```\n"),
        ("", "\nprint("),
        ("def tide(x):\n    return x", "<|endoftext|>"),
    ],
)
def test_a_stop_string_after_the_program_ends_it(text: str, stop: str) -> None:
    assert not is_within_program(CHAT, text, stop, "tide")


LINES = st.sampled_from(
    ["def tide(x):", "    return x", "return x", "if x:", "    ", "", "x = (", ")", "'''", "\tx",
     "import os", "@wrap", "class A:", "else:", "Sure, here it is.", "```", "x = 1", "\\", "# note"]
)  # fmt: skip


@example("\\\n ")
@given(st.text() | st.lists(LINES | st.text(max_size=5), max_size=30).map("\n".join))
def test_any_text_gives_a_program_that_parses_or_none(text: str) -> None:
    code = longest_program(text)
    ast.parse(code)
    assert not code or f"\n{code}\n" in f"\n{text}\n"
    for needs_return in (True, False):
        ast.parse(sanitize(text, "tide", needs_return))


HOSTILE = {
    "parentheses": "(" * 60_000,
    "signs": "-" * 60_000 + "1",
    "sum": "1" + "+1" * 29_000,
    "attributes": "x" + ".a" * 29_000,
    "calls": "f" + "()" * 29_000,
    "functions": "lambda:" * 8_000 + "1",
    "levels": "\n".join(" " * level + "if 1:" for level in range(300)),
    "formatted": "f'{" * 15_000,
    "long": "x = 1\n" * 100_000,
    "open": "y = (\n" + "1 +\n" * 14_000,
    "continued": "x = \\\n" * 10_000,
    "branches": "if a:\n    b\n" + "elif a:\n    b\n" * 5_000,
    "imports": "import a\n" * 6_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_survived(text: str) -> None:
    assert len(sanitize(text, "tide")) <= cutting.MAX_CHARS


def test_what_the_parser_is_given_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    given = 0

    def counted(code: str) -> ast.Module:
        nonlocal given
        given += len(code)
        return original(code)

    original = cutting.parsed
    monkeypatch.setattr(cutting, "parsed", counted)
    monkeypatch.setattr(cutting, "MAX_PARSED", 9_000)
    cutting.longest_program("f'{(}'\n" * 500)
    assert 0 < given <= 9_000 + cutting.MAX_CHARS


def test_a_program_in_front_of_an_open_bracket_is_found() -> None:
    text = "a = 1\nb = 2\n" + "c = (\n" * 2_500
    assert cutting.longest_program(text) == "a = 1\nb = 2"


def test_styles_that_python_warns_about_cost_nothing() -> None:
    # Warnings are errors here, as they may be for a user.
    assert sanitize("def tide(x):\n    return '\\d' if x is 1 else x", "tide").startswith("def")

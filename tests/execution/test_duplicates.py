"""Which programs count as the same program."""

from __future__ import annotations

import pytest

from ucoder.execution.duplicates import program_key

BASE = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "same",
    [
        "def f(x): # one more\n  return (x+1)",
        'def f(x):\n    """Add one."""\n    return x + 1',
        '"""A module."""\n\ndef f(x):\n    return x + 1\n',
    ],
)
def test_comments_layout_and_docstrings_do_not_count(same: str) -> None:
    assert program_key(same) == program_key(BASE)


@pytest.mark.parametrize(
    "other",
    [
        "def g(x):\n    return x + 1\n",
        "def f(y):\n    return y + 1\n",
        "def f(x):\n    return y + 1\n",
        "def f(x):\n    return x + 1.0\n",
        "def f(x):\n    return x + True\n",
        "def f(x):\n    return 1 + x\n",
        "def f(x):\n    return x + 1\nf(2)",
    ],
)
def test_every_other_difference_counts(other: str) -> None:
    assert program_key(other) != program_key(BASE)


def test_docstrings_count_where_the_program_may_read_them() -> None:
    one, two = (f'def f():\n    "{word}"\n    return f.__doc__' for word in ("a", "b"))
    assert program_key(one) != program_key(two)


def test_lines_count_where_the_program_may_read_them() -> None:
    source = "import sys\ndef f(): return sys._getframe().f_lineno"
    assert program_key(source) != program_key("\n" + source)


JUNK = ["def f(:", "\0", "\ud800", "(" * 10_000, "x" * 200_000, "'\\d'", "x = " + "-" * 5_000 + "1",
        "x = " + "1 + " * 20_000 + "1", "f = " + "lambda x: " * 150 + "x"]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_any_text_has_a_key(junk: str) -> None:
    assert program_key(junk) == program_key(junk) != program_key(junk + "!")


def test_a_docstring_that_is_the_whole_body_leaves_a_body() -> None:
    assert program_key('def f():\n    "x"') == program_key("def f(): pass")

"""The program in an answer: what is cut, what is dropped, what is added, and what never is."""

from __future__ import annotations

import ast

import pytest

from ucoder.inputs.text import Refusal
from ucoder.programs import extract_program
from ucoder.records import Reason
from ucoder.texts import MAX_PROGRAM_CHARS

F = "def f(x):\n    return x\n"


def program_of(answer: str, interface: str = "") -> str:
    program = extract_program(answer, "f", interface)
    assert isinstance(program, str), program
    return program


FENCES_WITHIN = {
    "docstring": 'def f(x):\n    """Doc.\n\n```\n>>> f(1)\n```\n    """\n    return x\n',
    "indented": 'def f(x):\n    """Doc.\n    ```python\n    f(1)\n    ```\n    """\n    return x\n',
    "constant": "TEMPLATE = '''\n```python\n{code}\n```\n'''\n\n" + F,
    "one fence": 'def f(x):\n    """Ends at ```.\n```\n    """\n    return x\n',
    "tildes": 'def f(x):\n    """Doc.\n\n~~~\nf(1)\n~~~\n    """\n    return x\n',
    "continued string": "MARK = 'a\\\n```\\\nb'\n\n" + F,
    "quotes in a comment": "# it's \"\"\"\nMARK = '''\n```\n'''\n\n" + F,
}


@pytest.mark.parametrize("program", FENCES_WITHIN.values(), ids=FENCES_WITHIN)
def test_a_fence_within_a_programs_strings_does_not_end_it(program: str) -> None:
    assert program_of(f"```python\n{program}```\nIt works.\n") == program
    assert program_of(f"```python\n{program}") == program
    assert program_of(f"Sure:\n\n~~~py\n{program}~~~") == program


def test_a_block_within_a_list_is_read_without_its_indentation() -> None:
    indented = "".join(f"   {line}\n" for line in F.splitlines())
    assert program_of(f"1. So:\n   ```python\n{indented}   ```\n") == F


PREPARES = """\
import heapq, random, sys

PRIMES = [2, 3, 5]
HEAP = [3, 1, 2]
MEMO = {}


def product(a, b):
    return a * b


def fill():
    MEMO[1] = 1
    return 1


def append(numbers):
    numbers.append(1)


def f(x):
    return x


def main():
    print(f(3))


"""


@pytest.mark.parametrize(
    "statement",
    [
        "sys.setrecursionlimit(10000)",
        "PRIMES.append(7)",
        "heapq.heapify(HEAP)",
        "random.seed(7)",
        "MEMO.update({1: 1})",
        "fill()",
        "append(PRIMES)",
        "exec('PRIMES.append(7)')",
        "f(PRIMES.pop())",
        "print(fill())",
        "print(PRIMES.pop())",
        "print(random.random())",
        "print(last := PRIMES[-1])",
        "list(map(PRIMES.append, [7]))",
        "print(list(map(append, [PRIMES])))",
        "assert fill() == 1",
        "assert sys.version_info >= (3,)",
        "if __name__ != '__main__':\n    PRIMES.append(7)",
        "if __name__ == '__main__':\n    pass\nelse:\n    PRIMES.append(7)",
    ],
)
def test_a_statement_that_may_change_what_the_function_does_stays(statement: str) -> None:
    assert program_of(f"```python\n{PREPARES}{statement}\n```") == f"{PREPARES}{statement}\n"


@pytest.mark.parametrize(
    "statement",
    [
        "f(2)",
        "print(f(2))",
        "print('f(2) =', f(2), product(4, 6))",
        "print(f'{f(3)!r}')",
        "print(', '.join(map(str, f([1]))))",
        "print(PRIMES)",
        "main()",
        "assert f(1) == 1",
        "assert product(2, 3) == 6, 'wrong'",
        "if __name__ == '__main__':\n    main()",
        "if '__main__' == __name__:\n    PRIMES.append(7)",
    ],
)
def test_a_statement_that_only_shows_the_function_off_is_dropped(statement: str) -> None:
    assert program_of(f"```python\n{PREPARES}{statement}\n```") == PREPARES.strip() + "\n"


def test_a_function_that_calls_a_thousand_others_is_not_followed_to_its_end() -> None:
    chain = "".join(f"def f{n}():\n    return f{n + 1}()\n" for n in range(2_000))
    assert "\nprint(f0())\n" in program_of(f"```python\n{chain}{F}print(f0())\n```")


INTERFACE = "from typing import Dict, List, Optional\n\n\ndef f(x: List[int]) -> int:\n    pass\n"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("def f(x: List[int]): ...\n", "from typing import List\ndef f(x: List[int]): ...\n"),
        ("def f(x: list): ...\n", "def f(x: list): ...\n"),
        (
            "from typing import List\ndef f(x: List[int]): ...\n",
            "from typing import List\ndef f(x: List[int]): ...\n",
        ),
        (
            '"""Doc."""\nfrom __future__ import annotations\ndef f(x: List[int]) -> Dict: ...\n',
            '"""Doc."""\nfrom __future__ import annotations\nfrom typing import Dict, List\n'
            "def f(x: List[int]) -> Dict: ...\n",
        ),
        ("import typing as List\ndef f(x: List.Any): ...\n", None),
        ("class List: ...\ndef f(x: List): ...\n", None),
        (
            "def f(x):\n    memo: Optional[int] = None\n    return memo\n",
            "from typing import Optional\ndef f(x):\n    memo: Optional[int] = None\n"
            "    return memo\n",
        ),
    ],
)
def test_what_the_interface_imports_is_there_where_the_program_uses_it(
    written: str, expected: str | None
) -> None:
    program = program_of(f"```python\n{written}```", INTERFACE)
    assert program == (expected or written)
    ast.parse(program)


DRAFT = "def f(x):\n    return 'draft'\n"
THOUGHT = f"Let me see.\n```python\n{DRAFT}```\nNo, that is wrong.\n" + "Hm. " * 10_000


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\n{THOUGHT}\n</think>\n\n```python\n{F}```\n",
        f"{THOUGHT}\n</think>\n\n```python\n{F}```\n",
        f"{THOUGHT} Done.</think>\n```python\n{F}```\n",
        f"<think>{THOUGHT}</think>{F}",
        f"<thinking>{THOUGHT}</thinking>\n```\n{F}```",
        f"<think>One.</think>\n<think>\n{THOUGHT}\n</think>\n```python\n{F}```",
        f"```python\n<think>\n{THOUGHT}\n</think>\n```python\n{F}```\n",
        f"<think>\n```python\n{DRAFT}\n</think>\n```python\n{F}```\n",
        f"{THOUGHT}```python\n{F}```\nIt works.",
        f"{THOUGHT}```python\n{F}```\nUse it:\n```python\nprint(f(2))\n```\n",
        f"```python\n{F}```\nOr, unfinished:\n```python\n{DRAFT}",
    ],
)
def test_the_last_complete_block_wins_and_thinking_is_no_candidate(answer: str) -> None:
    assert program_of(answer) == F


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\n{THOUGHT}",
        f"<think>\n{THOUGHT}\n</think>\nI cannot.",
        f"{THOUGHT}\n</think>\nI cannot do it.",
    ],
)
def test_an_answer_that_only_thinks_has_no_program(answer: str) -> None:
    assert isinstance(extract_program(answer, "f"), Refusal)


@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    return x.split('</think>')[-1]\n",
        'MARKS = """\n<think>\n</think>\n"""\n\n' + F,
        'def f(x):\n    """Drop the thinking.\n\n    </think>\n    """\n    return x\n',
    ],
)
def test_a_program_about_thinking_keeps_its_strings(program: str) -> None:
    assert program_of(f"Sure:\n```python\n{program}```\nIt looks for `</think>`.") == program


def test_a_long_program_is_read_to_its_end_or_refused_with_a_reason() -> None:
    table = "TABLE = [\n" + "    1234567,\n" * 5_000 + "]\n\n"
    assert program_of(f"```python\n{table}{F}```") == table + F
    refusal = extract_program(f"```python\n{F}{'y = 1; ' * MAX_PROGRAM_CHARS}```", "f")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.DOES_NOT_PARSE


BEGUN = 'from typing import List\n\n\ndef f(x: List[int]) -> int:\n    """Doc."""\n'


def continued(body: str) -> str | Refusal:
    return extract_program(f"```python\n{BEGUN}{body}", "f", BEGUN, begun=BEGUN)


@pytest.mark.parametrize(
    "body",
    [
        "    return 1\n",
        "\n    # Count.\n    return 1\n",
        "    return 1\n\n\ndef helper(x):\n    return x\n",
        '    text = """\n```\n"""\n    return text\n',
        "    def f(x):\n        return x\n    return f(1)\n",
    ],
)
def test_a_body_is_appended_to_what_the_prefill_began(body: str) -> None:
    assert continued(body) == BEGUN + body
    assert continued(f"{body}```\nIt works.") == BEGUN + body


def test_demonstrations_after_a_body_are_cut() -> None:
    assert continued("    return 1\n\nprint(f([1]))\n") == f"{BEGUN}    return 1\n"


@pytest.mark.parametrize(
    "again",
    ['    """Doc."""\n', '    """Doc.\n\n    Returns: one\n    """\n\n    """Doc."""\n'],
)
def test_a_docstring_that_is_written_again_is_cut(again: str) -> None:
    program = continued(f"{again}    return 1\n")
    assert isinstance(program, str)
    assert program.replace("\n\n    return", "\n    return") == f"{BEGUN}    return 1\n"


def test_a_docstring_that_shares_its_line_stays() -> None:
    assert continued("    'Doc.'; return 1\n") == f"{BEGUN}    'Doc.'; return 1\n"


@pytest.mark.parametrize("blank", ["", "\n\n"])
def test_a_function_that_is_begun_anew_replaces_the_one_of_the_prefill(blank: str) -> None:
    program = continued(f"{blank}{F}")
    assert isinstance(program, str)
    assert program.count("def f") == 1 and program.startswith("from typing import List\n")
    assert program.endswith(F)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "no body"),
        ("    pass\n", "no body"),
        ("    ...\n", "no body"),
        ("    # TODO\n", "no body"),
        ('    """Doc."""\n', "no body"),
        ("return 1\n", "no body"),
        ("```\nThat is all.", "no body"),
        ("    def f(x):\n        return x\n", "only defines it again"),
    ],
)
def test_a_body_that_can_only_return_none_is_no_program(body: str, detail: str) -> None:
    refused = continued(body)
    assert isinstance(refused, Refusal) and refused.reason is Reason.NO_CODE
    assert detail in refused.detail


@pytest.mark.parametrize("body", ["        return 1\n", "  return 1\n"])
def test_a_body_with_another_indentation_does_not_parse(body: str) -> None:
    refused = continued(body)
    assert isinstance(refused, Refusal) and refused.reason is Reason.DOES_NOT_PARSE

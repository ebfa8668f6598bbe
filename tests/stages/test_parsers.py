"""Parsing what a model answers, from the right format to garbage: nothing raises."""

from __future__ import annotations

import dataclasses
import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ucoder.attempts import AcceptedProblems, attempt_problem
from ucoder.config import (
    ProblemsConfig,
    RatingsConfig,
    SamplingConfig,
    TestInputsConfig,
    load_config,
)
from ucoder.engines.scripted import Script, ScriptedEngine, load_script
from ucoder.execution.canonical import parse, write
from ucoder.inputs.boundaries import boundary_inputs
from ucoder.inputs.calls import CUT, Call, read_calls
from ucoder.inputs.mutation import mutations
from ucoder.inputs.signatures import read_signature
from ucoder.inputs.text import Refusal
from ucoder.programs import extract_program
from ucoder.records import Attempt, InputOrigin, Interface, Problem, Reason
from ucoder.stages.interfaces import Skeleton, interface_prompt, parse_interface
from ucoder.stages.problems import Draft, parse_problem
from ucoder.stages.ratings import Rating, mean_rating, parse_rating
from ucoder.stages.test_inputs import build_suite, probe_inputs
from ucoder.stages.topics import Topic, load_topics, topic_of

GOOD = """<PROBLEM_START>
Title: Digit Sum
Description: Return the sum of the decimal digits of a non-negative integer n, 0 for zero.
Function Signature: def digit_sum(n: int, base: int = 10) -> int:
Example:
Input: digit_sum(123)
Output: 6
Hint: Convert to a string.
<PROBLEM_END>"""


def draft() -> Draft:
    parsed = parse_problem(GOOD)
    assert isinstance(parsed, Draft)
    return parsed


def test_figure_3_format_is_read() -> None:
    problem = draft()
    assert problem.title == "Digit Sum"
    assert problem.example == "digit_sum(123) == 6"
    assert [p.name for p in problem.interface.parameters] == ["n", "base"]
    assert problem.interface.n_required == 1
    assert problem.statement.endswith("Hint: Convert to a string.")


@pytest.mark.parametrize("tag", ["</PROBLEM_END>", "</PROBLEM_START>"])
def test_a_closing_tag_as_in_html_ends_a_problem(tag: str) -> None:
    assert parse_problem(GOOD.replace("<PROBLEM_END>", f"{tag}\nI hope this helps.")) == draft()


@pytest.mark.parametrize("code", ["\n\nx = 1", "\n```python\ndef digit_sum(n):\n    return n\n```"])
def test_a_solution_that_follows_the_hint_is_no_part_of_the_statement(code: str) -> None:
    assert parse_problem(GOOD.replace("a string.", f"a string.{code}")) == draft()


def test_markdown_around_labels_is_tolerated() -> None:
    text = GOOD.replace("Title:", "**Title:**").replace("Description:", "### Description:")
    assert isinstance(parse_problem(text.replace("def digit", "`def digit")), Draft)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<PROBLEM_START>", "", Reason.MALFORMED_PROBLEM),
        ("Description:", "Story -", Reason.MALFORMED_PROBLEM),
        (
            "Return the sum",
            "In two to five sentences precisely what. Sum",
            Reason.COPIED_PROMPT,
        ),
        ("Digit Sum", "...", Reason.COPIED_PROMPT),
        ("Return the sum of the decimal", "Sum. Decimal", None),
        ("of a non-negative integer n, 0 for zero.", "", Reason.DESCRIPTION_TOO_SHORT),
        ("def digit_sum(n: int, base: int = 10) -> int:", "digit_sum(n)", Reason.BAD_SIGNATURE),
        ("(n: int, base: int = 10)", "(n, base)", Reason.BAD_SIGNATURE),
        ("(n: int, base: int = 10)", "(*n: int)", Reason.BAD_SIGNATURE),
        ("(n: int, base: int = 10)", "(n: str, base: int = len(n))", Reason.BAD_SIGNATURE),
        ("(n: int, base: int = 10)", "(n: TreeNode)", Reason.BAD_SIGNATURE),
        ("(n: int, base: int = 10)", "(n: np.array)", Reason.BAD_SIGNATURE),
        ("(n: int, base: int = 10)", "()", Reason.NO_PARAMETERS),
        (" -> int:", " -> None:", Reason.NO_RETURN_VALUE),
        (" -> int:", ":", Reason.NO_RETURN_VALUE),
        ("Return the sum", "Print the sum", Reason.INPUT_OUTPUT),
        ("Return the sum", "Read a file and return the sum", Reason.INPUT_OUTPUT),
        ("Return the sum", "Return a random sum", Reason.NONDETERMINISTIC),
        ("Return the sum", "From the current date, return the sum", Reason.TIME),
        ("Return the sum", "Download and return the sum", Reason.NETWORK),
    ],
)
def test_non_problems_are_refused_with_their_reason(
    old: str, new: str, reason: Reason | None
) -> None:
    assert old in GOOD
    parsed = parse_problem(GOOD.replace(old, new))
    assert (parsed.reason if isinstance(parsed, Refusal) else None) is reason


DESCRIPTIONS = {
    "Russian": "Верните сумму всех десятичных цифр неотрицательного целого числа n.",
    "Chinese": "返回非负整数的各位数字之和。",
    "Hindi": "गैर-ऋणात्मक पूर्णांक n के सभी दशमलव अंकों का योग लौटाइए।",
    "Japanese": "非負の整数の各桁の合計を返してください。",
    "Thai": "ส่งคืนผลรวมของหลักของจำนวนเต็ม",
    "Korean": "음이 아닌 정수 n의 모든 십진 자릿수의 합을 반환하세요.",
}


@pytest.mark.parametrize("description", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_description_in_any_script_is_long_enough(description: str) -> None:
    english = "Return the sum of the decimal digits of a non-negative integer n, 0 for zero."
    parsed = parse_problem(GOOD.replace(english, description))
    assert isinstance(parsed, Draft), parsed
    assert parsed.description == description
    short = parse_problem(GOOD.replace(english, description[:4]))
    assert isinstance(short, Refusal)
    assert short.reason is Reason.DESCRIPTION_TOO_SHORT


def test_descriptions_in_other_scripts_are_duplicates_only_where_their_words_are_the_same() -> None:
    accepted = AcceptedProblems(ProblemsConfig(n=99, max_attempts=99))

    def judged(name: str, description: str) -> Reason | None:
        base = problem_with(f"def {name}(a: int) -> int:")
        problem = dataclasses.replace(base, title=name, description=description)
        attempt = Attempt(0, 0, "", "", problem, None, "", "", "", "", 0, 0, 0)
        return accepted.judge(attempt).reason

    assert [judged(f"f{i}x", text) for i, text in enumerate(DESCRIPTIONS.values())] == [None] * 6
    assert judged("g", "🎲 🎲") is None
    assert judged("h", "🎯") is None
    again = [f" {text.upper()} !" for text in DESCRIPTIONS.values()]
    assert [judged(f"k{i}x", text) for i, text in enumerate(again)] == [Reason.DUPLICATE] * 6
    assert judged("m", "返回 非负整数的，各位数字之和") is Reason.DUPLICATE


@pytest.mark.parametrize("colon", ["\uff1a", "\ufe55", " \uff1a", "**\uff1a**", "\u3000:"])
def test_a_colon_of_another_keyboard_may_follow_a_fields_name(colon: str) -> None:
    text = GOOD
    for name in ("Title", "Description", "Function Signature", "Input", "Output", "Hint"):
        text = text.replace(f"{name}:", f"{name}{colon}")
    assert parse_problem(text) == draft()


def test_a_rating_and_a_topic_may_have_a_full_width_colon(tmp_path: Path) -> None:
    text = "<RATING_START>\nProblem Quality Score：7.5\nSummary：清楚。"
    assert parse_rating(text) == Rating(7.5, "清楚。")
    topics = tmp_path / "topics.txt"
    topics.write_text("数学：质数\nstrings: 回文：长的\n只有题目\n", encoding="utf-8")
    assert [(topic.area, topic.text) for topic in load_topics(topics)] == [
        ("数学", "质数"), ("strings", "回文：长的"), ("user", "只有题目"),
    ]  # fmt: skip


def test_a_long_description_is_neither_cut_nor_lost() -> None:
    long = "Return the sum of the digits of n, and mind the zeros. " * 1_000
    parsed = parse_problem("Let me think. " * 2_000 + GOOD.replace("Return the sum", long))
    assert isinstance(parsed, Draft)
    assert parsed.description.startswith(long)
    assert parsed.example == draft().example


def test_rating_is_read_and_bounded() -> None:
    assert parse_rating("<RATING_START>\nProblem Quality Score: 7.5\nSummary: Good.") == Rating(
        7.5, "Good."
    )
    for bad in ("", "<RATING_START> high", "<RATING_START>\nProblem Quality Score: 11"):
        refusal = parse_rating(bad)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.MALFORMED_RATING


def test_several_ratings_count_with_their_mean_and_unreadable_ones_do_not_count() -> None:
    lost = Refusal(Reason.MALFORMED_RATING, "no score")
    assert mean_rating([lost, Rating(6.0, "So-so."), Rating(9.0, "Good.")]) == Rating(7.5, "So-so.")
    assert mean_rating([lost, lost]) is lost


def test_several_greedy_ratings_are_refused_as_a_setting() -> None:
    assert RatingsConfig(n=3, sampling=SamplingConfig(temperature=1.0)).n == 3
    with pytest.raises(ValueError, match="n=3 ratings at temperature 0 are all the same"):
        RatingsConfig(n=3)


async def test_a_problems_rating_is_the_mean_of_the_scores_that_are_kept_with_the_attempt() -> None:
    script = load_script(None)
    answers = tuple(f" {score}\nSummary: Good." for score in (4, 8, 9, "none"))
    rule = type(script.rules[0])(when=("Rate the quality",), answers=answers)
    config = load_config("scripted", ["ratings.n=16", "ratings.sampling.temperature=1.0"])
    async with ScriptedEngine(Script(rules=(rule, *script.rules))) as engine:
        made = [await attempt_problem(i, Topic("", ""), engine, config) for i in range(8)]
    rated = [attempt for attempt in made if attempt.problem]
    assert rated
    for attempt in rated:
        assert attempt.problem is not None and 1 < len(attempt.scores) < 16
        assert attempt.problem.rating == pytest.approx(sum(attempt.scores) / len(attempt.scores))
    assert len({attempt.problem.rating for attempt in rated if attempt.problem}) > 1


def test_a_near_duplicate_names_the_problem_that_it_resembles() -> None:
    text = "Given the prices of crates in a harbour, return the lowest price, or -1 for none."
    other = "Given the prices of boxes in a harbour, return the lowest price, or 0 for none."
    base = problem_with("def first(a: list) -> int:")
    first = dataclasses.replace(base, title="Crates", description=text)
    base = problem_with("def second(b: list, c: int) -> int:")
    second = dataclasses.replace(base, title="Boxes", description=other)
    attempts = [Attempt(i, 0, "", "", p, None, "", "", "", "", 0, 0, 0) for i, p in
                enumerate((first, second))]  # fmt: skip
    accepted = AcceptedProblems(ProblemsConfig(), attempts[:1])
    refused = accepted.judge(attempts[1])
    assert refused.reason is Reason.NEAR_DUPLICATE and "'Crates'" in refused.detail
    assert accepted.problems == [first]
    lenient = AcceptedProblems(ProblemsConfig(max_similarity=1.0), attempts)
    assert lenient.problems == [first, second]


def test_interface_is_normalised_and_its_function_body_is_removed() -> None:
    text = (
        "<SKELETON_START>\ndef digit_sum(n: int, base: int = 10) -> Optional[int]:\n"
        '    """Sum the digits.\n\n    Args:\n        n: a number\n    """\n    return 7\n'
    )
    skeleton = parse_interface(text, draft())
    assert isinstance(skeleton, Skeleton)
    interface = skeleton.interface
    assert interface.source.startswith("from typing import Optional\n")
    assert "return 7" not in interface.source
    compile(interface.source, "skeleton", "exec")


def test_interface_without_closing_quotes_is_completed() -> None:
    prompt = interface_prompt(draft())
    skeleton = parse_interface(prompt.prefill + "Sum the digits.", draft())
    assert isinstance(skeleton, Skeleton)
    assert '"""Sum the digits.\n    """' in skeleton.interface.source


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def other(n: int, base: int) -> int:\n    '''Doc.'''", Reason.INTERFACE_MISMATCH),
        ("def digit_sum(m: int) -> int:\n    '''Doc.'''", Reason.INTERFACE_MISMATCH),
        ("def digit_sum(n: int, base: int) -> int:\n    pass", Reason.MALFORMED_INTERFACE),
        ("def digit_sum(n: int", Reason.MALFORMED_INTERFACE),
    ],
)
def test_interfaces_that_do_not_fit_are_refused(body: str, reason: Reason) -> None:
    refusal = parse_interface(f"<SKELETON_START>\n{body}\n<SKELETON_END>", draft())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


def interface_of(signature: str) -> Interface:
    read = read_signature(signature, "    Doc.")
    assert isinstance(read, Interface)
    return read


@pytest.mark.parametrize(
    ("line", "arguments", "predicted"),
    [
        ("assert f(1, [2]) == 3", "(1, [2])", "3"),
        ("assert f(1, b=[2]) == 3  # comment", "(1, [2])", "3"),
        ("assert f(-1, []) is None", "(-1, [])", "None"),
        ("assert f(1, [2]) is True", "(1, [2])", "True"),
        ("assert 3 == f(1, [2])", "(1, [2])", "3"),
        ("assert (f(1, [2]) == 3)", "(1, [2])", "3"),
        ("assert f(1, [2]) == 3 and g(4) == 5", "(1, [2])", "3"),
        ("assert f(1, [0] * 3) == 'a', 'message'", "(1, [0, 0, 0])", "'a'"),
        ("assert f(1, [2]) == 'a', f'got {f(1, [2])}'", "(1, [2])", "'a'"),
        ("assert f(1, [2]) == 'a', 'got %s' % f(1, [2])", "(1, [2])", "'a'"),
        ("assert f(1, [2]) == (3, 4), 'message'", "(1, [2])", "(3, 4)"),
        ("assert candidate(1, [2]) == 3", "(1, [2])", "3"),
        ("assertEqual(f(1, [2]), 3)", "(1, [2])", "3"),
        ("self.assertEqual(f(1, [2]), 3)", "(1, [2])", "3"),
        ("    self.assertEqual(3, f(1, [2]), 'message')", "(1, [2])", "3"),
        ("self.assertIsNone(f(1, [2]))", "(1, [2])", "None"),
        ("self.assertTrue(f(1, [2]) == 3)", "(1, [2])", "3"),
        ("assert f(1,\n  [2]) == 3\nan unfinished (line", "(1, [2])", "3"),
        # Arguments that stand for long literals.
        ("assert f(+2, [-1, 2**10 - 1]) == 3", "(2, [-1, 1023])", "3"),
        (
            "assert f(10**18, ['ab' * 2, 'a' + 'b']) == 3",
            "(10" + "0" * 17 + ", ['abab', 'ab'])",
            "3",
        ),
        ("assert f(1, [0] * 2 + [1]) == 3", "(1, [0, 0, 1])", "3"),
        ("assert f(1, list(range(3))) == 3", "(1, [0, 1, 2])", "3"),
        ("assert f(1, list('ab')) == 3", "(1, ['a', 'b'])", "3"),
        ("assert f(1, [float('inf'), -float('inf')]) == 3", "(1, [inf, -inf])", "3"),
        ("assert f(1, [set(), {1}, tuple([1])]) == 3", "(1, [set(), {1}, (1,)])", "3"),
        ("assert f(1, [7 / 2, 7 // 2, 7 % 2]) == [0] * 2", "(1, [3.5, 3, 1])", "[0, 0]"),
    ],
)
def test_calls_are_read_and_bound(line: str, arguments: str, predicted: str | None) -> None:
    calls = read_calls(line, interface_of("def f(a: int, b: list) -> int:"))
    assert calls == [Call(arguments, predicted)]


@pytest.mark.parametrize(
    "line",
    [
        "assert f(1, [2]) != 3",
        "assert f(1, [2]) == g(3)",
        "assert f(1, [2]) is not None",
        "assert f(1, [2]) == f(1, [2]) == 3",
        "assert f(1, [2]) == 3 or g()",
        "assert f(1, [2]) == pytest.approx(3)",
        "assert f(1, [2])",
        "assert not f(1, [2])",
        "assert not f(1, [2]) == 3",
        "self.assertTrue(f(1, [2]))",
        "self.assertAlmostEqual(f(1, [2]), 3)",
        "assert sorted(f(1, [2])) == [3]",
        "assert abs(f(1, [2]) - 2) < 1e-6",
        "assert isinstance(f(1, [2]), list)",
        "assert len(f(1, [2])) == 3",
        "assert round(f(1, [2]), 2) == 3.14",
        "assert f(1, [2])[0] == 3",
        "assert f(1, [2]).lower() == 'a'",
        "assert ____ == f(1, [2])",
        "assert ____ f(1, [2])",
        "assert ____.f(1, [2]) == 3",
        "assert all(f(1, [2]) == x for x in y)",
        "assert ____, 'the result of f(1, [2]) is wrong'",
        "assert ____ # f(1, [2]) should be 3",
        "assert f(1, [2]) == 3, 4",
        "assert f(1, [2]) == [3, 4",
        "assert f(1, [2]) == 'cut",
        "assert f(1, [2]) == 3from __future__ import annotations",
        f"assert f(1, [2]) == 12{CUT}",
        "assert (f(1, [2])",
        "print(f(1, [2]))",
        "result = f(1, [2])\nassert result == 3",
        "for x in y:\n    print(f(1, [2]))",
        ">>> f(1, [2])",
        ">>> f(1, [2]) == 3\nFalse",
        "f(1, [2])",
        "`f(1, [2])`",
        "f(1, [2]) -> 3",
    ],
)
def test_a_line_that_states_no_exact_output_gives_an_input_without_prediction(line: str) -> None:
    (call, *others) = read_calls(line, interface_of("def f(a: int, b: list) -> int:"))
    assert call == Call("(1, [2])", None)
    assert all(isinstance(other, Refusal) for other in others)


def test_a_range_written_as_a_list_gives_no_prediction() -> None:
    interface = interface_of("def f(a: list) -> int:")
    assert read_calls("assert f(range(1, 4)) == 3", interface) == [Call("([1, 2, 3],)", None)]
    assert read_calls("assert f([1]) == range(3)", interface) == [Call("([1],)", None)]


@pytest.mark.parametrize(
    ("line", "predicted"),
    [
        ("assert f(1)", "True"),
        ("assert not f(1)", "False"),
        ("self.assertTrue(f(1))", "True"),
        ("self.assertFalse(f(1))", "False"),
        ("assert f(1), 'message'", "True"),
        ("assert f(1) and g(2)", "True"),
        ("f(1)", None),
        (">>> f(1)", None),
        ("assert f(1) or g(2)", None),
        ("assert not (f(1) or g(2))", None),
    ],
)
def test_asserting_a_call_predicts_its_value_only_where_the_function_returns_bool(
    line: str, predicted: str | None
) -> None:
    calls = read_calls(line, interface_of("def f(a: int) -> bool:"))
    assert calls == [Call("(1,)", predicted)]


def test_every_call_of_a_line_is_read_once() -> None:
    interface = interface_of("def f(a: int) -> int:")
    assert read_calls("assert f(1) == 2 and f(2) == 3, f'{f(1)} {f(4)}'", interface) == [
        Call("(1,)", "2"), Call("(2,)", "3"), Call("(4,)", None),
    ]  # fmt: skip
    assert read_calls("assert f(f(f(3))) == 4", interface) == [Call("(3,)", None)]
    assert read_calls("x = f(1)\nassert x == f(2)\nprint(f(3)); f(4) == 5", interface) == [
        Call("(1,)", None), Call("(2,)", None), Call("(4,)", "5"), Call("(3,)", None),
    ]  # fmt: skip


def test_method_calls_and_definitions_are_not_read_as_calls() -> None:
    interface = interface_of("def count(text: str, default: str = 'a') -> int:")
    for text in (
        "assert 'aba'.count('a') == 2",
        "assert [1].count('a') == 0",
        "assert discount('a') == 1",
        "def count(text='b', default='a'):\n    pass",
    ):
        (refusal,) = read_calls(text, interface)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.NOT_A_CALL


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("assert f(1) == 2", Reason.DOES_NOT_BIND),
        ("assert f(1, [2], 3) == 2", Reason.DOES_NOT_BIND),
        ("assert f(1, c=2) == 2", Reason.DOES_NOT_BIND),
        ("assert f(1, open('x')) == 2", Reason.NOT_LITERAL),
        ("assert f(1, [0] * 10**9) == 2", Reason.NOT_LITERAL),
        ("assert f(1, [[[0] * 999] * 999] * 999) == 2", Reason.NOT_LITERAL),
        ("assert f(1, ['a' * 10**9]) == 2", Reason.NOT_LITERAL),
        ("assert f(1, list(range(10**9))) == 2", Reason.NOT_LITERAL),
        ("assert f(9**9**9, []) == 2", Reason.NOT_LITERAL),
        ("assert f(1 / 0, []) == 2", Reason.NOT_LITERAL),
        ("assert f(1, {[]: 2}) == 2", Reason.NOT_LITERAL),
        ("assert f(1, {**x}) == 2", Reason.NOT_LITERAL),
        ("assert f(1, [x for x in y]) == 2", Reason.NOT_LITERAL),
        ("assert f(1, list({2, 1})) == 2", Reason.NOT_LITERAL),
        ("assert f(1, [not 2]) == 2", Reason.NOT_LITERAL),
        ("assert f(1, ...) == 2", Reason.NOT_LITERAL),
        ("assert g(1, [2]) == 2", Reason.NOT_A_CALL),
        ("assert f(1, [2", Reason.NOT_A_CALL),
        ("", Reason.NOT_A_CALL),
    ],
)
def test_calls_that_do_not_fit_are_refused(line: str, reason: Reason) -> None:
    (refusal,) = read_calls(line, interface_of("def f(a: int, b: list) -> int:"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


def problem_with(signature: str) -> Problem:
    return Problem(
        "p", "area", "topic", "Title", "", "", "f(1, [5]) == 6", 8.0, "", interface_of(signature)
    )


def test_a_suite_starts_with_the_models_inputs_has_no_duplicates_and_is_filled_up_to_n() -> None:
    text = "assert f(1, [5]) == 6\nassert f(2, []) == 2\nassert f(2, []) == 2\nassert f(3) == 1"
    config = TestInputsConfig(n=100, min_from_model=2)
    suite = build_suite(problem_with("def f(a: int, b: list) -> int:"), [text], config, 0, 0)
    texts = [test_input.arguments for test_input in suite.inputs]
    assert texts[:2] == ["(1, [5])", "(2, [])"]
    assert len(texts) == len(set(texts)) == 100
    origins = [test_input.origin for test_input in suite.inputs]
    assert origins == [
        InputOrigin.EXAMPLE,
        InputOrigin.MODEL,
        *[InputOrigin.BOUNDARY] * config.n_boundary,
        *[InputOrigin.MUTATION] * (98 - config.n_boundary),
    ]
    assert {count.reason: count.count for count in suite.refused} == {
        Reason.DUPLICATE_INPUT: 2,
        Reason.DOES_NOT_BIND: 1,
    }


@pytest.mark.parametrize(("n", "n_boundary"), [(1, 16), (2, 16), (3, 16), (10, 0), (10, 4), (9, 9)])
def test_boundary_inputs_fill_the_places_that_the_model_leaves_free(
    n: int, n_boundary: int
) -> None:
    config = TestInputsConfig(n=n, n_boundary=n_boundary, min_from_model=1)
    text = "assert f(2, []) == 2"
    suite = build_suite(problem_with("def f(a: int, b: list) -> int:"), [text], config, 0, 0)
    origins = [test_input.origin for test_input in suite.inputs]
    assert len(origins) == n
    assert origins.count(InputOrigin.BOUNDARY) == max(0, min(n_boundary, n - 2))


def test_boundary_inputs_are_not_mutated() -> None:
    # Every boundary of `a` is out of reach of the model's own: True has one mutant, False.
    config = TestInputsConfig(n=100, n_boundary=8, min_from_model=1)
    problem = Problem(
        "p", "area", "topic", "", "", "", "", 8.0, "", interface_of("def f(a: object) -> int:")
    )
    suite = build_suite(problem, ["assert f(True) == 2"], config, 0, 0)
    mutants = [i.arguments for i in suite.inputs if i.origin is InputOrigin.MUTATION]
    assert mutants == ["(False,)"]


def test_boundary_inputs_do_not_repeat_inputs_of_the_model() -> None:
    config = TestInputsConfig(n=100, n_boundary=8, min_from_model=1)
    given = boundary_inputs(["int", "list"], 8, seed=0)
    text = "\n".join(f"assert f{arguments} == 1" for arguments in given)
    suite = build_suite(problem_with("def f(a: int, b: list) -> int:"), [text], config, 0, 0)
    texts = [test_input.arguments for test_input in suite.inputs]
    assert len(texts) == len(set(texts)) == 100
    origins = [test_input.origin for test_input in suite.inputs]
    assert origins.count(InputOrigin.BOUNDARY) == 8


@pytest.mark.parametrize(("n_words", "last"), [(7, None), (8, "125")])
async def test_the_last_line_of_an_answer_cut_at_max_tokens_gives_no_prediction(
    n_words: int, last: str | None
) -> None:
    problem = problem_with("def f(a: int, b: list) -> int:")
    answer = "2, []) == 12\nassert f(3, []) == 125"
    script = Script.model_validate({"rules": [{"when": [], "answers": [answer]}]})
    config = TestInputsConfig(n_completions=1, sampling=SamplingConfig(max_tokens=n_words))
    async with ScriptedEngine(script) as engine:
        suite = await probe_inputs(problem, engine, config, 0)
    assert {i.arguments: i.predicted for i in suite.inputs[1:3]} == {
        "(2, [])": "12",
        "(3, [])": last,
    }


def test_a_suite_with_too_few_inputs_from_the_model_gives_the_reason() -> None:
    suite = build_suite(
        problem_with("def f(a: int, b: list) -> int:"), [""], TestInputsConfig(), 0, 0
    )
    assert suite.reason is Reason.TOO_FEW_INPUTS
    assert len(suite.inputs) == 1


def test_mutants_keep_the_types_of_their_parents() -> None:
    parents = ["(3, 'abc', [1, 2], {'k': 1.5}, True)"]
    found = list(mutations(parents, 200, seed=1))
    assert len(found) == 200
    for text in found:
        a, b, c, d, e = parse(text)
        assert (type(a), type(b), type(c), type(d), type(e)) == (int, str, list, dict, bool)
    assert found == list(mutations(parents, 200, seed=1))


def test_mutation_ends_where_the_types_have_no_further_values() -> None:
    assert list(mutations(["(True,)"], 10, seed=0)) == ["(False,)"]
    assert list(mutations(["()"], 10, seed=0)) == []
    assert list(mutations(["(None,)"], 10, seed=0)) == []


def test_the_program_of_an_answer_is_its_definitions_without_demo_code() -> None:
    answer = (
        "Sure:\n```python\nimport math\nLIMIT = 3\n\ndef f(x):\n    # why\n    return x\n\n"
        "# Example usage:\nprint(f(2))\nassert f(1) == 1\n"
        "if __name__ == '__main__':\n    f(3)\n```\nDone."
    )
    program = extract_program(answer, "f")
    assert program == "import math\nLIMIT = 3\n\ndef f(x):\n    # why\n    return x\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", Reason.NO_CODE),
        ("```python\n```", Reason.NO_CODE),
        ("```python\ndef f(:\n```", Reason.DOES_NOT_PARSE),
        ("```python\ndef g(x): return x\n```", Reason.MISSING_ENTRY_POINT),
        ("```python\nclass A:\n    def f(self): pass\n```", Reason.MISSING_ENTRY_POINT),
    ],
)
def test_an_answer_without_a_program_gives_the_reason(answer: str, reason: Reason) -> None:
    refusal = extract_program(answer, "f")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


def test_every_pass_over_the_topics_is_a_new_shuffle() -> None:
    topics = load_topics(None)
    assert len(topics) >= 50
    assert {topic.area for topic in topics} == {
        "basic algorithms", "natural instructions", "multi-domain algorithmic tasks",
        "tool usage", "competitive programming",
    }  # fmt: skip
    first = [topic_of(i, topics, 0) for i in range(len(topics))]
    second = [topic_of(len(topics) + i, topics, 0) for i in range(len(topics))]
    assert set(first) == set(second) == set(topics)
    assert first != second


PIECES = st.sampled_from(
    ["<PROBLEM_START>", "<PROBLEM_END>", "<RATING_START>", "<SKELETON_START>", "<SKELETON_END>",
     "Title:", "Description:", "Function Signature:", "def digit_sum(n: int) -> int:", "Input:",
     "Output:", "Problem Quality Score:", "```python\n", "```", "\n", '"""', "assert ", "f(", ")",
     "==", "[", "{", "\\", "\x00", "\ud800", "9" * 400, "(" * 300, "assert f(1, [2]) == 3\n"]
)  # fmt: skip
GARBAGE = st.one_of(
    st.text(max_size=300),
    st.text(string.printable, max_size=300),
    st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=40).map("".join),
)


@settings(deadline=None)
@given(GARBAGE)
@example("")
@example("a" * 100_000)
@example("(" * 100_000)
@example("*" * 100_000)
@example(" " * 100_000)
@example("<PROBLEM_START>" + "Title:" * 20_000)
@example("<PROBLEM_START>\nTitle: a\nDescription: " + "b " * 50_000)
@example("<RATING_START>\nProblem Quality Score:" + " *" * 50_000)
@example("<RATING_START>\nProblem Quality Score:" + "9" * 100_000)
@example("```python\n```python\n```\n```\ndef f(")
@example("<SKELETON_START>\n```python\n```python\ndef digit_sum(n: int")
@example("assert f(" + "[" * 5_000 + "]" * 5_000 + ", []) == 1")
@example("assert f(" + "-" * 5_000 + "1, []) == 1")
@example("assert f(1" + "+1" * 9_000 + ", []) == 1")
@example("assert f(1, [" + "[" * 60 + "0" + "] * 999" * 60 + "]) == 1")
@example("f(" * 9_000)
@example("assert " + "f(1, [" * 3_000)
@example("assert " + "not " * 4_000 + "f(1, [2])")
@example("assert " + "f(1, [2]) == 3 and " * 900 + "f(1, [2])")
@example("assert " + "f(1, [2]), " * 1_500)
@example("assert f('" + "\\" * 9_000)
@example("\ud800\udfff\x00")
@example("```python\n" + "x=" * 9_000 + "1\n```")
def test_no_parser_ever_raises(text: str) -> None:
    interface = interface_of("def f(a: int, b: list) -> int:")
    for parsed in (parse_problem(text), parse_problem(f"<PROBLEM_START>{text}")):
        assert isinstance(parsed, Draft | Refusal)
    assert isinstance(parse_rating(text), Rating | Refusal)
    assert isinstance(parse_interface(text, draft()), Skeleton | Refusal)
    assert isinstance(extract_program(text, "f"), str | Refusal)
    assert isinstance(read_signature(text), Interface | Refusal)
    assert all(isinstance(call, Call | Refusal) for call in read_calls(text, interface))


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.text(max_size=6),
    st.floats(allow_nan=False),
)  # fmt: skip
LITERALS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@example(float("inf"), 0)
@example(float("nan"), 0)
@given(LITERALS, st.integers(0, 2**31 - 1))
def test_any_literal_can_be_mutated(value: object, seed: int) -> None:
    parent = write((value,))
    for text in mutations([parent], 5, seed):
        assert text != parent
        assert write(parse(text)) == text

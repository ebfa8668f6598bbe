"""HumanEval(+) and MBPP(+) on invented tasks: EvalPlus's rule, outside the program's reach."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.errors import BenchmarkError
from ucoder.evaluation.benchmarks import evalplus
from ucoder.evaluation.benchmarks import evalplus_rule as rule
from ucoder.evaluation.benchmarks.humaneval import HUMANEVAL, HUMANEVAL_PLUS
from ucoder.evaluation.benchmarks.mbpp import MBPP, MBPP_PLUS, deserialise
from ucoder.evaluation.protocol import Benchmark, Grade, GradingContext
from ucoder.evaluation.records import GradeReason
from ucoder.execution import open_executor
from ucoder.progress import Silent

Row = dict[str, Any]


def row(
    number: int, name: str, solution: str, base: Any, plus: Any, *, family: str = "HumanEval",
    atol: float = 0, parameters: str = "x",
) -> Row:  # fmt: skip
    """A task in the published format, made up here."""
    return {
        "task_id": f"{family}/{number}",
        "prompt": f'def {name}({parameters}):\n    """Do what the tests want."""\n',
        "entry_point": name,
        "canonical_solution": f"    {solution}\n",
        "base_input": base,
        "plus_input": plus,
        "atol": atol,
    }


HUMANEVAL_ROWS = [
    row(0, "double", "return 2 * x", [[1], [2]], [[-3], [10]]),
    row(1, "halves", "return x / 3", [[1]], [[2]]),
    # floats from the second input on
    row(2, "later", "return 1 if x == 0 else (0.5 if x == 1 else 7)", [[0], [1], [2]], [[0]]),
    row(32, "find_zero", "return -x[0] / x[1]", [[[1.0, 2.0]]], [[[3.0, 4.0]]], atol=0.0001),
]
MBPP_ROWS = [
    row(
        2, "similar_elements", "return (4, 5)", [[[4], [5]]], [[[4], [5]]], family="Mbpp",
        parameters="x, y",
    ),
    row(7, "find_char_long", "return ['b', 'a']", [["a"]], [["b"]], family="Mbpp"),
    row(
        434, "text_match_three", "import re; return re.search('ab', x)", [["ab"], ["c"]], [["ab"]],
        family="Mbpp",
    ),
    row(8, "square_nums", "return [x, 1]", [[1]], [[2]], family="Mbpp"),
]  # fmt: skip


class Told(Silent):
    """Progress that is remembered."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        self.stages.append(stage)


def data(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


async def grades(
    tmp_path: Path, benchmark: Benchmark, rows: list[Row], programs: Mapping[str, str],
    told: Told | None = None,
) -> dict[str, Mapping[str, Grade]]:  # fmt: skip
    """Grade programs by the names of the functions that they stand for."""
    dataset = benchmark.load(data(tmp_path / "data.jsonl", rows))
    needs = benchmark.needs
    async with open_executor(limits=needs.limits, n_workers=1, preload="standard") as executor:
        context = GradingContext(dataset, executor, told or Silent(), tmp_path / "cache")
        grade = await benchmark.grader(context)
        tasks = {task.entry_point: task for task in dataset.tasks}
        return {
            label: await grade(tasks[label.split(":")[0]], program)
            for label, program in programs.items()
        }


def reasons(found: Mapping[str, Grade]) -> tuple[str, ...]:
    return tuple(str(grade.reason) for grade in found.values())


EQUAL = "class E(int):\n    def __eq__(s, o): return True\n    __hash__ = int.__hash__\n"
PROGRAMS = {
    "double": ("def double(x): return x + x", ("passed", "passed")),
    "double:plus": ("def double(x): return abs(x) * 2", ("passed", "wrong_output")),
    "double:base": ("def double(x): return x", ("wrong_output", "wrong_output")),
    "double:none": ("", ("no_program", "no_program")),
    "double:name": ("def other(x): return 2 * x", ("no_program", "no_program")),
    "double:syntax": ("def double(x: return", ("does_not_compile", "does_not_compile")),
    "double:raises": ("def double(x): return x / 0", ("raised", "raised")),
    "double:prints": ("def double(x):\n    print('4')\n    return 2 * x", ("passed", "passed")),
    "double:exits": ("def double(x):\n    import os; os._exit(0)", ("raised", "raised")),
    "double:leaves": ("def double(x):\n    raise SystemExit(0)", ("raised", "raised")),
    "double:loops": ("def double(x):\n    while True: pass", ("timed_out", "timed_out")),
    "double:equal": (
        f"{EQUAL}def double(x): return E(1)", ("not_representable", "not_representable"),
    ),
    "halves": ("def halves(x): return x / 3", ("passed", "passed")),
    "halves:near": ("def halves(x): return x / 3 + 1e-8", ("passed", "passed")),
    "halves:far": ("def halves(x): return x / 3 + 1e-3", ("wrong_output", "wrong_output")),
    "halves:nan": ("def halves(x): return float('nan')", ("wrong_output", "wrong_output")),
    # the tolerance holds from the first float on, for whole numbers as well
    "later:after": (
        "def later(x): return 1 if x == 0 else (0.5 if x == 1 else 7.0 + 1e-9)",
        ("wrong_output", "wrong_output"),  # another type than the expected one
    ),
    "later:before": (
        "def later(x): return 1 + 1e-9 if x == 0 else (0.5 if x == 1 else 7)",
        ("wrong_output", "wrong_output"),
    ),
    "find_zero": ("def find_zero(x): return -x[0] / x[1] + 1e-6", ("passed", "passed")),
    "find_zero:far": ("def find_zero(x): return 1.0", ("wrong_output", "wrong_output")),
}  # fmt: skip


async def test_humaneval_programs_get_the_grades_that_they_deserve(tmp_path: Path) -> None:
    programs = {label: program for label, (program, _) in PROGRAMS.items()}
    found = await grades(tmp_path, HUMANEVAL_PLUS, HUMANEVAL_ROWS, programs)
    wanted = {label: reasons for label, (_, reasons) in PROGRAMS.items()}
    assert {label: reasons(grade) for label, grade in found.items()} == wanted
    assert set(found["double"]) == {"humaneval", "humaneval+"}
    assert "plus input 0" in found["double:plus"]["humaneval+"].detail


async def test_the_tolerance_is_carried_over_to_later_inputs(tmp_path: Path) -> None:
    rows = [row(0, "carried", "return [0.5] if x == 0 else [1, 0.5]", [[0], [1]], [[0]])]
    near = "def carried(x): return [0.5] if x == 0 else [1, 0.5 + 1e-9]"
    found = await grades(tmp_path / "a", HUMANEVAL_PLUS, rows, {"carried": near})
    assert reasons(found["carried"]) == ("passed", "passed")
    # The same inputs the other way round: no float was expected before the mixed list.
    rows[0]["base_input"] = [[1], [0]]
    found = await grades(tmp_path / "b", HUMANEVAL_PLUS, rows, {"carried": near})
    assert reasons(found["carried"]) == ("wrong_output", "wrong_output")


async def test_mbpps_special_tasks_are_compared_as_evalplus_does(tmp_path: Path) -> None:
    programs = {
        "similar_elements": "def similar_elements(x, y): return [5, 4, 4]",
        "similar_elements:less": "def similar_elements(x, y): return (4,)",
        "find_char_long": "def find_char_long(x): return {'a', 'b'}",
        "text_match_three": "def text_match_three(x): return 'ab' in x",
        "text_match_three:match": "import re\ndef text_match_three(x): return re.match('ab', x)",
        "text_match_three:wrong": "def text_match_three(x): return None",
        "square_nums": "def square_nums(x): return [x, 1]",
        "square_nums:turned": "def square_nums(x): return [1, x]",
        "square_nums:tuple": "def square_nums(x): return (x, 1)",
    }
    found = await grades(tmp_path, MBPP_PLUS, MBPP_ROWS, programs)
    passed = {label: tuple(one.passed for one in grade.values()) for label, grade in found.items()}
    assert passed == {
        "similar_elements": (True, True),
        "similar_elements:less": (False, False),
        "find_char_long": (True, True),
        "text_match_three": (True, True),
        "text_match_three:match": (True, True),
        "text_match_three:wrong": (False, False),
        "square_nums": (True, True),
        "square_nums:turned": (True, False),
        "square_nums:tuple": (False, False),
    }


@pytest.mark.parametrize(
    ("benchmark", "task", "program"),
    [
        (HUMANEVAL, HUMANEVAL_ROWS[0], "def double(x): return abs(x) * 2"),
        (MBPP, MBPP_ROWS[3], "def square_nums(x): return [1, x]"),
    ],
)
async def test_the_base_benchmark_runs_the_base_inputs_alone(
    tmp_path: Path, benchmark: Benchmark, task: Row, program: str
) -> None:
    found = await grades(tmp_path, benchmark, [task], {task["entry_point"]: program})
    assert found[task["entry_point"]] == {benchmark.name: Grade(GradeReason.PASSED)}


async def test_references_are_made_once_and_kept(tmp_path: Path) -> None:
    first, second, changed = Told(), Told(), Told()
    await grades(tmp_path, HUMANEVAL_PLUS, HUMANEVAL_ROWS[:1], {}, first)
    await grades(tmp_path, HUMANEVAL_PLUS, HUMANEVAL_ROWS[:1], {}, second)
    await grades(tmp_path, HUMANEVAL_PLUS, HUMANEVAL_ROWS[1:2], {}, changed)
    assert (len(first.stages), second.stages, len(changed.stages)) == (1, [], 1)


async def test_a_canonical_solution_that_fails_is_named(tmp_path: Path) -> None:
    rows = [row(5, "broken", "return x / 0", [[1]], [[2]])]
    with pytest.raises(BenchmarkError, match=r"HumanEval/5 .*ZeroDivisionError"):
        await grades(tmp_path, HUMANEVAL_PLUS, rows, {})


@pytest.mark.parametrize(
    ("benchmark", "variable", "rows"),
    [(HUMANEVAL_PLUS, "HUMANEVAL_OVERRIDE_PATH", HUMANEVAL_ROWS),
     (HUMANEVAL, "HUMANEVAL_OVERRIDE_PATH", HUMANEVAL_ROWS),
     (MBPP, "MBPP_OVERRIDE_PATH", MBPP_ROWS), (MBPP_PLUS, "MBPP_OVERRIDE_PATH", MBPP_ROWS)],
)  # fmt: skip
def test_evalplus_override_variables_name_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: Benchmark, variable: str,
    rows: list[Row],
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, str(data(tmp_path / "own.jsonl", rows)))
    dataset = benchmark.load(None)
    assert [task.id for task in dataset.tasks] == [one["task_id"] for one in rows]
    assert "unknown version" in dataset.source


@pytest.mark.parametrize("missing", ["prompt", "atol", "base_input", "plus_input", "entry_point"])
def test_a_row_without_a_part_is_refused(tmp_path: Path, missing: str) -> None:
    rows = [{key: value for key, value in MBPP_ROWS[0].items() if key != missing}]
    with pytest.raises(BenchmarkError, match=rf"data\.jsonl, task 1: .*{missing}"):
        MBPP_PLUS.load(data(tmp_path / "data.jsonl", rows))


@pytest.mark.parametrize(
    ("number", "given", "wanted"),
    [
        (8, [[1, [2]]], [(1, [2])]),
        (2, [[[3, 4], [5]]], [((3, 4), (5,))]),
        (63, [[[[1, 2], [3, 4]]]], [([(1, 2), (3, 4)],)]),
        (75, [[[[6, 24]], 6]], [([(6, 24)], 6)]),
        (106, [[[5], [9, 10]]], [([5], (9, 10))]),
        (115, [[[[1, 2], []]]], [([{1, 2}, {}],)]),
        (124, [["1", "2j"]], [(1.0, 2j)]),
        (250, [[[1, 2], 1]], [((1, 2), 1)]),
        (252, [["1+2j"]], [(1 + 2j,)]),
        (259, [[[[1, 3]], [[6, 7]]]], [(((1, 3),), ((6, 7),))]),
        (278, [[[4, [1, 2]]]], [((4, (1, 2)),)]),
        (307, [[["a", []], 1, 50]], [(("a", []), 1, 50)]),
        (722, [[{"a": [6.2, 70]}, 6.0, 70]], [({"a": (6.2, 70)}, 6.0, 70)]),
        (580, [[[4, [7, [8]]]]], [((4, (7, (8,))),)]),
        (793, {}, []),
    ],
)
def test_mbpp_inputs_become_types_that_json_lacks(number: int, given: Any, wanted: Any) -> None:
    found = deserialise(f"Mbpp/{number}", given)
    assert found == wanted
    assert repr(found) == repr(wanted)


def test_prompts_are_put_as_evalplus_puts_them(tmp_path: Path) -> None:
    task = HUMANEVAL_PLUS.load(data(tmp_path / "data.jsonl", HUMANEVAL_ROWS)).tasks[0]
    prompt = HUMANEVAL_PLUS.prompt(task)
    text = task.text.strip()
    assert prompt.user.endswith(f"```\n{text}\n```\n") and prompt.prefill.endswith("```python\n")
    assert prompt.plain == f"{text}\n"


def test_a_base_models_continuation_is_put_behind_the_prompt(tmp_path: Path) -> None:
    task = HUMANEVAL_PLUS.load(data(tmp_path / "data.jsonl", HUMANEVAL_ROWS)).tasks[0]
    assert HUMANEVAL_PLUS.program(task, "    return 2 * x", False).endswith("return 2 * x")
    assert HUMANEVAL_PLUS.program(task, "def double(x):\n\treturn 2 * x\n", True) == (
        "def double(x):\n    return 2 * x"
    )


@pytest.mark.parametrize(
    ("name", "arguments", "out", "expected", "is_right"),
    [
        ("are_equivalent", (1, 2), "anything", True, True),
        ("sum_div", (8,), 0, 7, True),
        ("sum_div", (8,), 1, 7, False),
        # base 3, height 4: slant sqrt(1.5**2 + 16) = 4.272, so 9 + 2 * 3 * 4.272 = 34.63
        ("surface_Area", (3, 4), 35, 33, True),
        ("surface_Area", (3, 4), 34, 33, False),
        # |1 - 2| + |2 - 5| = 4
        ("digit_distance_nums", (12, 25), 4, 0, True),
        ("digit_distance_nums", (12, 25), 5, 0, False),
    ],
)
def test_special_tasks_against_values_computed_by_hand(
    name: str, arguments: Any, out: Any, expected: Any, is_right: bool
) -> None:
    assert rule.is_right(rule.MBPP, name, arguments, out, expected, 0) is is_right


def test_a_comparison_that_fails_is_a_wrong_output() -> None:
    assert not rule.is_right(rule.MBPP, "Diff", (), 3, [1], 0)
    assert not rule.is_right(rule.HUMANEVAL, "find_zero", ([1.0],), "x", 1.0, 1e-4)
    assert not rule.is_right(rule.HUMANEVAL, "f", (), [1.0], [1.0, 2.0], 0)


@pytest.mark.parametrize(
    ("value", "is_floats"),
    [(1.5, True), ([1.5, math.inf], True), ((0.0,), True), ([1.5, 1], False), ([], False),
     (1, False), ("1.5", False), ({1.5}, False)],
)  # fmt: skip
def test_floats_are_floats_or_lists_of_them(value: Any, is_floats: bool) -> None:
    assert rule.is_floats(value) is is_floats


@given(st.lists(st.floats(0, 5), max_size=120))
def test_pieces_hold_every_input_once_and_in_order(seconds: list[float]) -> None:
    pieces = evalplus._pieces(seconds)
    assert [at for piece in pieces for at in range(len(seconds))[piece]] == list(
        range(len(seconds))
    )
    assert len(pieces) <= evalplus._MAX_PIECES + 1


async def test_a_slow_task_is_graded_alike_in_pieces(tmp_path: Path) -> None:
    solution = "return x + 0 * sum(range(2_000_000))"
    rows = [row(0, "slow", solution, [[0]], [[at] for at in range(40)])]
    wrong_on = "def slow(x): return -1 if x == {} else x"
    programs = {"slow": "def slow(x): return x"} | {
        f"slow:{at}": wrong_on.format(at) for at in (1, 8, 30, 39)
    }
    found = await grades(tmp_path, HUMANEVAL_PLUS, rows, programs)
    assert reasons(found.pop("slow")) == ("passed", "passed")
    for label, grade in found.items():
        assert reasons(grade) == ("passed", "wrong_output")
        assert f"plus input {label.split(':')[1]}:" in grade["humaneval+"].detail

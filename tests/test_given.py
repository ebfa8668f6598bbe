"""Problems that a user has without answers, and the known answers as problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ucoder import Run, load_config, run_pipeline, summarise
from ucoder.changes import with_settings
from ucoder.cli.app import app
from ucoder.config import ProblemsConfig
from ucoder.errors import ConfigError
from ucoder.evaluation.benchmarks import known_answers
from ucoder.given import GivenProblem, load_given
from ucoder.records import InputOrigin, Interface, Problem
from ucoder.report.page import render
from ucoder.stages.interfaces import parse_whole_interface
from ucoder.stages.solutions import solution_prompt
from ucoder.stages.test_inputs import build_suite

ADD = {
    "id": "TICKET-7",
    "statement": "Return the sum of the two integers that are given as arguments to it.",
    "signature": "def add_two(a: int, b: int) -> int",
    "examples": ["add_two(2, 3) == 5"],
}
SETTINGS = [
    "evaluation.benchmarks=[]", "solutions.n=8", "test_inputs.n=10", "consolidation.iterations=1",
]  # fmt: skip


def written(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in rows))
    return path


def given_in(path: Path) -> list[GivenProblem]:
    found = load_given(ProblemsConfig(source=path))
    assert found is not None
    return list(found.problems)


def problem_of(given: GivenProblem) -> Problem:
    assert given.interface is not None
    return given.problem(given.interface)


async def finished(path: Path, source: object, *overrides: str) -> Run:
    config = load_config("scripted", [*SETTINGS, f"problems.source={source}", *overrides])
    run = Run.create(path, config)
    await run_pipeline(run)
    return Run.open(path)


def test_a_statement_with_a_signature_is_a_problem(tmp_path: Path) -> None:
    (given,) = given_in(written(tmp_path / "own.jsonl", ADD))
    problem = problem_of(given)
    assert (problem.topic, problem.interface.name, problem.is_given) == (
        "TICKET-7",
        "add_two",
        True,
    )
    assert problem.statement.endswith("Examples:\nadd_two(2, 3) == 5")
    assert problem.interface.source == (
        "def add_two(a: int, b: int) -> int:\n"
        '    """Return the sum of the two integers that are given as arguments to it.\n    """\n'
    )


def test_a_docstring_is_the_statement_where_there_is_none(tmp_path: Path) -> None:
    row = {"signature": "def twice(x):", "docstring": "Return x twice.\n\n>>> twice(2)\n4"}
    (given,) = given_in(written(tmp_path / "own.jsonl", row))
    problem = problem_of(given)
    assert problem.statement == row["docstring"] and problem.topic == "line 1"
    assert problem.interface.parameters[0].annotation == "" and problem.interface.returns == ""


def test_a_prompt_that_is_a_function_to_complete_is_an_interface(tmp_path: Path) -> None:
    prompt = 'import math\n\ndef area(r: float) -> float:\n    """The area of a circle."""\n'
    (given,) = given_in(written(tmp_path / "own.jsonl", {"prompt": prompt}))
    problem = problem_of(given)
    assert problem.statement == "The area of a circle."
    assert problem.interface.source.startswith("import math\n\n\ndef area(r: float) -> float:\n")


def test_null_counts_as_missing(tmp_path: Path) -> None:
    row = {"statement": "Count the vowels.", "signature": None, "id": None, "examples": None}
    (given,) = given_in(written(tmp_path / "own.jsonl", row))
    assert (given.name, given.interface, given.refusal) == ("line 1", None, None)


def test_a_statement_alone_leaves_the_interface_to_stage_3(tmp_path: Path) -> None:
    (given,) = given_in(written(tmp_path / "own.jsonl", {"statement": "Count the vowels."}))
    assert given.interface is None and given.refusal is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"interface": "async def f(x: int) -> int: ...", "statement": "S"}, "async function"),
        ({"interface": "class A: ...", "statement": "S"}, "0 functions at top level"),
        ({"signature": "def f(x: int) -> None", "statement": "S"}, "returns nothing to compare"),
        ({"signature": "def f() -> int", "statement": "S"}, "takes no arguments"),
        ({"signature": "def f(*x) -> int", "statement": "S"}, "plain positional parameters"),
        ({"signature": "def f(x) -> Iterator[int]", "statement": "S"}, "'Iterator' is not a plain"),
        ({"signature": "f(x: int)", "statement": "S"}, "0 functions|not Python"),
        ({**ADD, "examples": ["add_two(2, 3) is odd"]}, "not a call of add_two"),
    ],
)
def test_what_cannot_be_used_is_kept_with_the_reason(
    tmp_path: Path, row: dict[str, Any], said: str
) -> None:
    path = written(tmp_path / "own.jsonl", ADD, row if "id" not in row else {**row, "id": "other"})
    _, given = given_in(path)
    assert given.interface is None and given.refusal is not None
    assert any(part in given.refusal.detail for part in said.split("|"))


def test_all_faults_of_a_file_are_listed_with_their_lines_before_a_run_is_made(
    tmp_path: Path,
) -> None:
    path = written(
        tmp_path / "own.jsonl",
        ADD, "{not json", {"signature": "def f(x: int) -> int"}, {"statement": 3},
        {"statement": "S", "prompt": "P"}, {"statment": "S"}, {"statement": "S", "examples": "x"},
        ADD, '["a list"]',
    )  # fmt: skip
    run = tmp_path / "run"
    arguments = ["run", "scripted", f"problems.source={path}", "-o", str(run)]
    said = str(CliRunner().invoke(app, arguments).exception)
    assert "8 faults" in said and not run.exists()
    for number, fault in {
        2: "invalid JSON", 3: "says what to compute", 4: "statement is a int, not a text",
        5: "both statement and prompt", 6: "unknown key 'statment'", 7: "not a list of texts",
        8: "is that of line 1 as well", 9: "not a JSON object",
    }.items():  # fmt: skip
        assert any(f"line {number}: " in line and fault in line for line in said.splitlines())


@pytest.mark.parametrize("name", ["absent.jsonl", "empty.jsonl", "empty", "unusable.jsonl"])
def test_a_source_without_any_usable_problem_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "empty").mkdir()
    written(tmp_path / "unusable.jsonl", {"statement": "S", "signature": "def f() -> int"})
    with pytest.raises(ConfigError, match=r"problems\.source="):
        load_given(ProblemsConfig(source=tmp_path / name))


def test_functions_without_bodies_are_the_problems_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "text.py").write_text(
        "from __future__ import annotations\nimport math\nfrom . import own\nPI = 3\n\n"
        'def done(x: int) -> int:\n    """Not a problem."""\n    return x\n\n'
        'def ellipsis(x: int) -> int:\n    """One."""\n    ...\n\n'
        'def passes(x):\n    """Two.\n\n    >>> passes(1)\n    2\n    """\n    pass\n\n'
        'def raises(x: int) -> int:\n    """Three."""\n    raise NotImplementedError("later")\n\n'
        'def alone(x: int) -> int:\n    """Four."""\n\n'
        "def silent(x: int) -> int: ...\n\n"
        'async def waits(x: int) -> int:\n    """Five."""\n\n'
        'class A:\n    def method(self, x: int) -> int:\n        """Six."""\n'
    )
    found = {given.name.split(": ")[1]: given for given in given_in(tmp_path)}
    assert list(found) == ["ellipsis", "passes", "raises", "alone", "silent", "waits", "method"]
    usable = [name for name, given in found.items() if given.refusal is None]
    assert usable == ["ellipsis", "passes", "raises", "alone"]
    details = {n: given.refusal.detail for n, given in found.items() if given.refusal}
    assert details == {
        "silent": "nothing says what silent should compute",
        "waits": "waits is an async function",
        "method": "method is a method of A",
    }
    assert found["passes"].name == "package/text.py, line 14: passes"
    assert problem_of(found["passes"]).interface.source == (
        "from __future__ import annotations\nimport math\n\n\n"
        'def passes(x):\n    """Two.\n\n    >>> passes(1)\n    2\n    """\n'
    )


def test_examples_of_a_given_problem_are_inputs_whose_outputs_are_taken_as_true(
    tmp_path: Path,
) -> None:
    (given,) = given_in(written(tmp_path / "own.jsonl", ADD))
    problem = problem_of(given)
    texts = ["assert add_two(2, 3) == 6\nassert add_two(2, 3) == 6\nassert add_two(1, 1) == 3\n"]
    config = load_config("scripted", ["test_inputs.min_from_model=1"]).test_inputs
    suite = build_suite(problem, texts, config, 0, 0)
    first, second = suite.inputs[:2]
    assert first.origin is InputOrigin.GIVEN and first.predicted == "5"
    assert len(first.predictions) == 1, "the model's own prediction does not count"
    assert second.origin is InputOrigin.MODEL and second.predicted == "3"


def test_the_models_whole_interface_is_read_or_refused() -> None:
    good = '<SKELETON_START>\ndef f(x: int) -> int:\n    """Return x.\n    """\n<SKELETON_END>'
    read = parse_whole_interface(good, "")
    assert isinstance(read, Interface) and read.name == "f"
    for bad in ("", "<SKELETON_START>\n", "<SKELETON_START>\nx = 1", good.replace("-> int", "")):
        assert not isinstance(parse_whole_interface(bad, ""), Interface)


async def test_a_run_on_own_prompts_skips_invention_and_keeps_what_is_unusable_on_record(
    tmp_path: Path,
) -> None:
    path = written(
        tmp_path / "own.jsonl", ADD, {"statement": "S", "signature": "def f() -> int"},
        {"id": "again", **{k: v for k, v in ADD.items() if k != "id"}},
    )  # fmt: skip
    run = await finished(tmp_path / "run", path)
    assert [a.reason for a in run.attempts.rows()] == [None, "no_parameters", "duplicate"]
    assert not any(a.problem_text or a.rating_text for a in run.attempts.rows())
    (example,) = run.examples(0).rows()
    assert ADD["statement"] in example.prompt
    summary = summarise(run)
    assert summary.missing == () and "your own prompts" in summary.setting
    assert "apart" not in summary.setting and "your own prompts" in render(run)


async def test_a_statement_alone_becomes_a_problem_with_the_models_interface(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.yaml"
    shipped = Path(load_given.__code__.co_filename).parent / "engines" / "scripted.yaml"
    interface = 'def add_two(a: int, b: int) -> int:\n    """Add.\n    """\n<SKELETON_END>'
    rule = {"when": ["Write the interface", "<SKELETON_START>"], "answers": [interface]}
    script.write_text(
        shipped.read_text().replace("rules:\n", f"rules:\n  - {json.dumps(rule)}\n", 1)
    )
    path = written(tmp_path / "own.jsonl", {"statement": ADD["statement"]})
    run = await finished(tmp_path / "run", path, f"engine.script={script}")
    (attempt,) = run.attempts.rows()
    assert attempt.problem and attempt.problem.interface.name == "add_two"
    assert attempt.interface_tokens > 0 and run.examples(0).rows()


async def test_only_the_first_n_usable_problems_are_taken_and_more_can_follow(
    tmp_path: Path,
) -> None:
    other = {"signature": "def largest(numbers: list[int]) -> int", "statement": "The largest."}
    path = written(tmp_path / "own.jsonl", ADD, other)
    data_alone = ["consolidation.provider=none", "problems.n=1"]
    run = await finished(tmp_path / "run", path, *data_alone)
    assert len(run.attempts.keys()) == 1 and summarise(run).missing == ()
    await run_pipeline(with_settings(run, ["problems.n=2"]))
    assert len(run.attempts.keys()) == 2


async def test_a_source_that_changed_is_refused_and_one_that_moved_is_not(tmp_path: Path) -> None:
    other = {"signature": "def largest(numbers: list[int]) -> int", "statement": "The largest."}
    path = written(tmp_path / "own.jsonl", ADD, other)
    run = await finished(tmp_path / "run", path, "consolidation.provider=none", "problems.n=1")
    moved = written(tmp_path / "moved.jsonl", ADD, other)
    assert with_settings(run, [f"problems.source={moved}"]).config.problems.source == moved
    written(path, other, ADD)
    for changed in (["problems.source=null"], ["problems.source=known-answers"]):
        with pytest.raises(ConfigError, match="made at other problems"):
            with_settings(run, [*changed, "evaluation.contamination.exclude=true"])
    with pytest.raises(ConfigError, match="has changed since the run began"):
        await run_pipeline(with_settings(run, ["problems.n=2"]))


def test_every_known_answer_is_a_problem_and_shows_no_reference() -> None:
    found = load_given(ProblemsConfig(source="known-answers"))
    tasks = known_answers.load().tasks
    assert found is not None and len(found.problems) == len(tasks)
    for given, task in zip(found.problems, tasks, strict=True):
        problem = problem_of(given)
        shown = f"{problem}{solution_prompt(problem, load_config('scripted').solutions, 0).user}"
        body = task.fields["reference"].strip().split(":\n", 1)[1]
        assert (given.name, problem.interface.name) == (task.id, task.entry_point)
        assert body not in shown


def test_training_on_known_answers_must_be_asked_for() -> None:
    source = "problems.source=known-answers"
    with pytest.raises(ConfigError, match=r"there to measure on.*exclude=false"):
        load_config("scripted", [source])
    load_config("scripted", [source, "consolidation={provider: none, iterations: 1}"])
    load_config("scripted", [source, "evaluation.contamination.exclude=false"])

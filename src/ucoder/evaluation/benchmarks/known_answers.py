"""Known answers: problems of our own whose answers are certain, and on which nothing is trained.

Selectors, probabilities and prompts are measured and fitted on this set, so that HumanEval and MBPP
can judge them without having made them. Every problem is a TOML file below `known/`, in the
folder of its area (those of the paper's figure 2):

- `title` and `statement`: the problem in words, complete and unambiguous.
- `difficulty`: "easy", "medium" or "hard", as its author judged it.
- `interface`: imports, signature and docstring, with two or more examples as doctest lines.
- `reference`: a program that is right.
- `second`: a second program that works in another way, to hold the first one; or
- `properties`: a function `holds(answer, *arguments)` that is true of the right answer alone.
- `inputs`: argument tuples as canonical texts, edge cases among them; they decide what is right.
- `rel_tol`: for floats, the tolerance of the comparison relative to the larger one; 1e-6 if absent.

A program is right if it returns on every input what the reference returns.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from ucoder.engines.protocol import Prompt
from ucoder.errors import BenchmarkError
from ucoder.evaluation.benchmarks import evalplus
from ucoder.evaluation.cutting import sanitize
from ucoder.evaluation.grading import NO_PROGRAM, PASSED, failure, refusal, wrong
from ucoder.evaluation.protocol import Benchmark, Dataset, Grade, Grader, GradingContext, Task
from ucoder.evaluation.references import references_of, returned
from ucoder.execution.canonical import CanonicalError, parse, same
from ucoder.execution.outcomes import Verdict
from ucoder.execution.protocol import Budget, Executor

NAME: Final = "known-answers"
AREAS: Final = (
    "basic-algorithms",
    "natural-instructions",
    "multi-domain",
    "tool-usage",
    "competitive-programming",
)
DIFFICULTIES: Final = ("easy", "medium", "hard")
MIN_INPUTS: Final = 12

BUDGET: Final = Budget(call_timeout_s=5.0, program_timeout_s=60.0, max_timeouts=1)
JUDGE_S: Final = 5.0
"""Longest time for one program on all inputs of a problem, in seconds."""
ABS_TOL: Final = 1e-9
REL_TOL: Final = 1e-6

_REQUIRED: Final = ("title", "difficulty", "statement", "interface", "reference", "inputs")
_OPTIONAL: Final = ("second", "properties", "rel_tol")


def load(path: Path | None = None) -> Dataset:
    """The problems that come with ucoder, or those of a folder in the same form.

    Raises:
        BenchmarkError: A file is not a problem; the message names the file and what is wrong.
    """
    folder = resources.files(__package__) / "known" if path is None else path
    if not folder.is_dir():
        raise BenchmarkError(f"{folder} is not a folder of known answers")
    checksum = hashlib.sha256()
    tasks = []
    for file in _files(folder):
        content = file.read_bytes()
        checksum.update(content)
        try:
            tasks.append(_task(file, tomllib.loads(content.decode("utf-8"))))
        except (ValueError, CanonicalError) as error:  # of TOML, of UTF-8, or of the problem
            raise BenchmarkError(f"{file}: {error}") from error
    if not tasks:
        raise BenchmarkError(f"{folder} holds no problem: AREA/NAME.toml is looked for")
    return Dataset(tuple(tasks), "ucoder's known answers", checksum.hexdigest())


def _files(folder: Traversable) -> Iterator[Traversable]:
    for area in sorted(folder.iterdir(), key=lambda one: one.name):
        if area.is_dir():
            files = [one for one in area.iterdir() if one.name.endswith(".toml")]
            yield from sorted(files, key=lambda one: one.name)


def _task(file: Traversable, keys: Mapping[str, Any]) -> Task:
    if missing := [key for key in _REQUIRED if not keys.get(key)]:
        raise ValueError(f"lacks {', '.join(missing)}")
    if unknown := keys.keys() - {*_REQUIRED, *_OPTIONAL}:
        raise ValueError(f"unknown key {', '.join(sorted(unknown))}")
    if not ("second" in keys or "properties" in keys):
        raise ValueError("needs a second program or properties, to hold the reference")
    if keys["difficulty"] not in DIFFICULTIES:
        raise ValueError(f"difficulty={keys['difficulty']!r}; allowed: {', '.join(DIFFICULTIES)}")
    inputs = [parse(text, records=False) for text in keys["inputs"]]
    if len(inputs) < MIN_INPUTS or not all(type(one) is tuple for one in inputs):
        raise ValueError(f"needs at least {MIN_INPUTS} inputs, each a tuple of arguments")
    interface = keys["interface"].strip()
    area = Path(str(file)).parent.name
    fields = {
        **keys,
        "area": area,
        "prompt": f"{keys['statement'].strip()}\n\n{interface}",
        "interface": interface,
        "inputs": inputs,
        "input_texts": tuple(keys["inputs"]),
    }
    return Task(
        f"{area}/{file.name.removesuffix('.toml')}",
        f"{keys['title']}\n{keys['statement'].strip()}",
        _entry_point(interface),
        fields,
    )


def _entry_point(interface: str) -> str:
    try:
        body = ast.parse(interface).body
    except SyntaxError as error:
        raise ValueError(f"the interface is not Python: {error}") from error
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    if len(functions) != 1:
        raise ValueError("the interface must hold exactly one function")
    return functions[0]


def prompt(task: Task) -> Prompt:
    """The statement and the interface for a chat model; the interface alone for a base model."""
    user = f"{evalplus.INSTRUCTION}\n```\n{task.fields['prompt']}\n```\n"
    statement = "\n".join(f"# {line}".rstrip() for line in task.text.splitlines())
    return Prompt(user, evalplus.PREFILL, plain=f"{statement}\n\n{task.fields['interface']}\n")


def program(task: Task, completion: str, is_chat: bool) -> str:
    """The program in an answer, cut out as for HumanEval."""
    start = "" if is_chat else f"{task.fields['interface']}\n"
    return sanitize(start + completion.replace("\t", "    "), task.entry_point)


def script(task: Task) -> str:
    """A test script that passes for the programs that `grader` accepts, for tools that want one."""
    return _SCRIPT.format(
        reference=str(task.fields["reference"]),
        name=task.entry_point,
        inputs=f"[{', '.join(task.fields['input_texts'])}]",
        rel_tol=float(task.fields.get("rel_tol", REL_TOL)),
        abs_tol=ABS_TOL,
    )


async def judge(
    task: Task, programs: Mapping[str, str], executor: Executor
) -> dict[str, bool | None]:
    """Which programs are right, by their names; None where the sandbox failed.

    Raises:
        SandboxClosed: The executor is not open.
    """
    test = script(task)

    async def one(program: str) -> bool | None:
        report = await executor.check(program, test, JUDGE_S, entry_point=task.entry_point)
        is_known = report.verdict not in (Verdict.SANDBOX_FAILED, Verdict.NOT_JUDGED)
        return report.verdict is Verdict.PASSED if is_known else None

    verdicts = await asyncio.gather(*map(one, programs.values()))
    return dict(zip(programs, verdicts, strict=True))


_SCRIPT: Final = """\
import copy, math
expected = {{}}
exec({reference!r}, expected)
def same(a, b):
    if type(a) is float or type(b) is float:
        return type(a) in (int, float) and type(b) in (int, float) and (
            a == b or math.isclose(a, b, rel_tol={rel_tol}, abs_tol={abs_tol}))
    if type(a) is not type(b):
        return False
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is dict:
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b
for arguments in {inputs}:
    assert same({name}(*copy.deepcopy(arguments)), expected[{name!r}](*copy.deepcopy(arguments)))
"""


async def grader(context: GradingContext) -> Grader:
    """Grades by comparing what a program returns with what the reference returns."""
    references = await references_of(
        context,
        NAME,
        source=lambda task: str(task.fields["reference"]),
        inputs=lambda task: {NAME: task.fields["inputs"]},
        text=lambda task, outcome: returned(outcome),
        is_tolerant=lambda task, text: False,
    )

    async def grade(task: Task, source: str) -> Mapping[str, Grade]:
        if not source:
            return {NAME: NO_PROGRAM}
        expected = references.of(task.id)[NAME].texts
        inputs = task.fields["input_texts"]
        report = await context.executor.call(source, task.entry_point, inputs, BUDGET)
        refused = refusal(report)
        if refused is not None:
            return {NAME: refused}
        rel_tol = float(task.fields.get("rel_tol", REL_TOL))
        for at, outcome in enumerate(report.outcomes):
            if not outcome.executed:
                return {NAME: failure(outcome, f"input {at + 1}")}
            if not same(outcome.text, expected[at], rel_tol=rel_tol, abs_tol=ABS_TOL):
                return {NAME: wrong(outcome.text, expected[at], f"input {at + 1}")}
        return {NAME: PASSED}

    return grade


KNOWN_ANSWERS: Final = Benchmark(
    name=NAME,
    title="Known answers",
    load=load,
    prompt=prompt,
    program=program,
    grader=grader,
    chat_stop=evalplus.CHAT_STOP,
    base_stop=evalplus.HUMANEVAL_STOP,
)

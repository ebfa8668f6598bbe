"""How a problem is asked in stage 5, and what the answer begins with; stage 6 trains on the same.

The forms are those in which users and benchmarks ask (`SolutionsConfig.forms`):

- `statement`: the statement as the model wrote it, and the interface.
- `docstring`: a function to complete. Its docstring holds the description, the contract's sections
  on arguments and results, and the example as a doctest.
- `request`: one paragraph that names the function, with the example in words.

With `SolutionsConfig.prefill` of "signature" the answer begins with the interface: imports,
signature and docstring. It ends with the line end after the docstring's quotes, where the
tokenizers of code models have a border anyway. A prefill without that line end, or with the first
indentation, would cut a token that a model writes as one, and the first token after it would be one
that it has hardly ever seen there.
"""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Final

from ucoder.config import PromptForm, SolutionsConfig
from ucoder.engines.protocol import Prompt
from ucoder.inputs.text import unparse
from ucoder.records import Interface, Problem
from ucoder.seeds import derive_seed
from ucoder.stages.prompts import fill
from ucoder.texts import parse_module

FENCE: Final = "```python\n"
"""What every answer of stage 5 begins with."""

_WIDTH: Final = 88
_SECTION: Final = re.compile(r"^(?:args|arguments|parameters|returns?|raises):[ \t]*$|^>>>", re.I)


def solution_prompt(problem: Problem, config: SolutionsConfig, run_seed: int) -> Prompt:
    """The prompt of stages 5 and 6 for a problem: its form, and its prefill."""
    form = form_of(problem, config, run_seed)
    begun = begun_program(problem.interface) if config.prefill == "signature" else ""
    if form == "docstring":
        user = fill("solution_docstring", code=f"{FENCE}{_with_description(problem)}```")
    elif form == "request":
        interface = problem.interface
        user = fill("solution_request", signature=_signature(interface), request=_request(problem))
    else:
        skeleton = f"{FENCE}{problem.interface.source}```"
        user = fill("solution", statement=problem.statement, skeleton=skeleton)
    return Prompt(user, FENCE + begun)


def form_of(problem: Problem, config: SolutionsConfig, run_seed: int) -> PromptForm:
    """The form in which a run asks a problem: the same in every iteration and in training."""
    return config.forms[derive_seed(run_seed, "form", problem.id) % len(config.forms)]


def begun_program(interface: Interface) -> str:
    """The program up to its body: imports, signature and docstring, with the line end."""
    source, function = _function(interface)
    if function is None or ast.get_docstring(function) is None:
        return _head(interface)
    return _lines(source, function.body[0].end_lineno or 0)


def _head(interface: Interface) -> str:
    """The source up to the end of the signature's line."""
    source, function = _function(interface)
    return source if function is None else _lines(source, function.body[0].lineno - 1)


def _function(interface: Interface) -> tuple[str, ast.FunctionDef | None]:
    """The source, and its function; None where it is not one below the line of its signature."""
    source = interface.source.rstrip() + "\n"
    module = parse_module(source) or parse_module(f"{source}    pass\n")
    body = module.body if module else []
    found = next((node for node in reversed(body) if isinstance(node, ast.FunctionDef)), None)
    return source, found if found and found.body[0].lineno > found.lineno else None


def _lines(source: str, end: int) -> str:
    return "\n".join(source.split("\n")[:end]) + "\n"


def _with_description(problem: Problem) -> str:
    """The function of the form `docstring`, without a body."""
    lines = _wrapped(_description(problem))
    if sections := _sections(problem.interface):
        lines += ["", *sections]
    if problem.example and not any(line.startswith(">>>") for line in sections):
        lines += ["", *_doctest(problem.example)]
    text = "\n".join(f"    {line}".rstrip() for line in lines)
    text = text.replace("\\", "\\\\").replace('"""', "'''").strip()
    return f'{_head(problem.interface)}    """{text}\n    """\n'


def _sections(interface: Interface) -> list[str]:
    """The lines of the contract from its first section or doctest on."""
    _, function = _function(interface)
    lines = (ast.get_docstring(function) or "").split("\n") if function else []
    starts = (at for at, line in enumerate(lines) if _SECTION.match(line))
    return lines[next(starts, len(lines)) :]


def _request(problem: Problem) -> str:
    """What to compute, in one paragraph, with the example."""
    text = " ".join(_description(problem).split())
    if not text.endswith((".", "!", "?", ":", "。")):
        text += "."
    pairs = _calls(problem.example)
    for at, (call, value) in enumerate(pairs):
        text += f" {'And' if at else 'For example,'} `{call}` should return `{value}`."
    if problem.example and not pairs:
        text += f" An example: {' '.join(problem.example.split())}"
    return text


def _description(problem: Problem) -> str:
    return problem.description or problem.statement


def _wrapped(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.strip().split("\n"):
        lines += textwrap.wrap(
            line, _WIDTH, break_long_words=False, break_on_hyphens=False
        ) or [""]  # fmt: skip
    return lines


def _doctest(example: str) -> list[str]:
    """The example as a doctest; below a heading where it is not a comparison."""
    lines = [line for call, value in _calls(example) for line in (f">>> {call}", value)]
    return lines or ["Example:", *(f"    {line}" for line in example.split("\n"))]


def _calls(example: str) -> list[tuple[str, str]]:
    """Calls and their values, in Python's own spelling; nothing where the example holds others."""
    module = parse_module(example)
    found = []
    for node in module.body if module else []:
        if not (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Compare)
            and isinstance(node.value.left, ast.Call)
            and [type(one) for one in node.value.ops] == [ast.Eq]
        ):
            return []
        call, value = unparse(node.value.left), unparse(node.value.comparators[0])
        if call is None or value is None:
            return []
        found.append((call, value))
    return found


def _signature(interface: Interface) -> str:
    """The signature as a person would write it in a sentence."""
    _, function = _function(interface)
    parameters = unparse(function.args) if function else None
    if parameters is None:
        parameters = ", ".join(one.name for one in interface.parameters)
    returns = f" -> {interface.returns}" if interface.returns else ""
    return f"{interface.name}({parameters}){returns}"

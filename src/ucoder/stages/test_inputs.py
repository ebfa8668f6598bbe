"""Stage 4: about 100 test inputs a problem: boundary conditions, edge cases, input validation.

The model is asked for `assert f(args) == value` lines, which fit its habit: each gives an input
and, beside it, the output that the model predicts. Arguments are read as literals, never
evaluated, and bound to the signature by name and arity. Type-aware mutation of the valid ones
tops the suite up (`mutation`). An expected output is evidence kept for the paper-literal
signature; selection by outputs needs none.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ucoder.config import TestInputsConfig
from ucoder.engines.protocol import Engine, Prompt, Request
from ucoder.execution.canonical import CanonicalError, parse, write
from ucoder.records import (
    Count,
    InputOrigin,
    Interface,
    Prediction,
    Problem,
    Reason,
    TestInput,
    TestSuite,
)
from ucoder.seeds import derive_seed
from ucoder.stages._text import MAX_CHARS, Refusal, parse_module, unparse
from ucoder.stages.mutation import mutations
from ucoder.stages.prompts import fill, sampling_of

STOP = ("\n```", "\ndef ", "\nif __name__")
N_ASKED = 20
"""Asserts asked for in one completion; a small model repeats itself beyond."""

MAX_INPUT_CHARS = 4_000
"""Longer argument tuples are refused: they would dominate the suite's cost."""

_ASSERT = re.compile(r"^[ \t]*(?:assert\b|(?:#[ \t]*)?>>>)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the model wrote: canonical arguments, and a predicted output or None."""

    arguments: str
    predicted: str | None


async def probe_inputs(
    problem: Problem, engine: Engine, config: TestInputsConfig, run_seed: int
) -> TestSuite:
    """Ask the model for inputs and build the problem's suite."""
    sampling = sampling_of(config.sampling, STOP)
    seed = derive_seed(run_seed, "test_inputs", problem.id)
    prompt = input_prompt(problem)
    completions = await engine.sample(Request(prompt, config.n_completions, sampling, seed))
    texts = [prompt.begun + completion.text for completion in completions]
    n_tokens = sum(completion.n_tokens for completion in completions)
    return build_suite(problem, texts, config, seed, n_tokens)


def input_prompt(problem: Problem) -> Prompt:
    """What stage 4 asks."""
    user = fill(
        "test_inputs",
        n=N_ASKED,
        statement=problem.statement,
        skeleton=f"```python\n{problem.interface.source}```",
    )
    return Prompt(user, f"```python\nassert {problem.interface.name}(")


def build_suite(
    problem: Problem, texts: Iterable[str], config: TestInputsConfig, seed: int, n_tokens: int
) -> TestSuite:
    """The suite that follows from the model's texts: pure, so a test can hold it."""
    refused: Counter[Reason] = Counter()
    origins: dict[str, InputOrigin] = {}
    predictions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    sources = [(problem.example, InputOrigin.EXAMPLE)] if problem.example else []
    sources += [(text, InputOrigin.MODEL) for text in texts]
    for text, origin in sources:
        for call in read_calls(text, problem.interface):
            if isinstance(call, Refusal):
                refused[call.reason] += 1
                continue
            if call.arguments in origins:
                refused[Reason.DUPLICATE_INPUT] += 1
            elif len(origins) < config.n:
                origins[call.arguments] = origin
            if call.predicted is not None:
                predictions[call.arguments][call.predicted] += 1
    enough = len(origins) >= config.min_from_model
    if enough:
        for arguments in mutations(list(origins), config.n - len(origins), seed):
            origins[arguments] = InputOrigin.MUTATION
    inputs = [
        TestInput(arguments, origin, ranked(predictions[arguments]))
        for arguments, origin in origins.items()
    ]
    return TestSuite(
        problem_id=problem.id,
        inputs=tuple(inputs),
        refused=tuple(Count(reason, count) for reason, count in sorted(refused.items())),
        reason=None if enough else Reason.TOO_FEW_INPUTS,
        n_tokens=n_tokens,
    )


def ranked(counts: Counter[str]) -> tuple[Prediction, ...]:
    """Predicted outputs, most frequent first; the earlier one where two are equally frequent."""
    return tuple(Prediction(text, count) for text, count in counts.most_common())


def read_calls(text: str, interface: Interface) -> list[Call | Refusal]:
    """Every call in a text of assert lines; any text at all may come."""
    text = text[:MAX_CHARS]
    starts = [match.start() for match in _ASSERT.finditer(text)]
    if not starts:
        return [_read_call(text.strip().strip("`").strip(), interface)]
    pieces = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    return [_read_call(_ASSERT.sub("", piece, count=1).strip(), interface) for piece in pieces]


def _read_call(piece: str, interface: Interface) -> Call | Refusal:
    """Read `f(args) == value` in one of the forms that models use."""
    expression = _parse_expression(piece)
    if expression is None:
        return Refusal(Reason.NOT_A_CALL, f"{piece[:80]!r}")
    if isinstance(expression, ast.Tuple) and expression.elts:  # assert f(x) == y, "message"
        expression = expression.elts[0]
    predicted: ast.expr | None = None
    if isinstance(expression, ast.Compare) and len(expression.ops) == 1:
        if isinstance(expression.ops[0], ast.Eq | ast.Is):
            predicted = expression.comparators[0]
        expression = expression.left
    elif isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.Not):
        expression, predicted = expression.operand, ast.Constant(False)
    elif interface.returns == "bool" and isinstance(expression, ast.Call):
        predicted = ast.Constant(True)
    if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
        return Refusal(Reason.NOT_A_CALL, f"{piece[:80]!r}")
    if expression.func.id != interface.name:
        return Refusal(Reason.NOT_A_CALL, f"calls {expression.func.id!r}")
    arguments = _bind(expression, interface)
    if isinstance(arguments, Refusal):
        return arguments
    return Call(arguments, _canonical(predicted) if predicted is not None else None)


def _parse_expression(piece: str) -> ast.expr | None:
    """The first expression of a piece: all of it, or its first line."""
    for source in (piece, piece.split("\n", 1)[0]):
        module = parse_module(source)
        if module and module.body and isinstance(module.body[0], ast.Expr):
            return module.body[0].value
    return None


def _bind(call: ast.Call, interface: Interface) -> str | Refusal:
    """Canonical text of the arguments in the signature's order."""
    names = [parameter.name for parameter in interface.parameters]
    given: dict[str, ast.expr] = {}
    if len(call.args) > len(names):
        return Refusal(Reason.DOES_NOT_BIND, f"{len(call.args)} arguments for {len(names)}")
    for name, value in zip(names, call.args, strict=False):
        given[name] = value
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg not in names or keyword.arg in given:
            return Refusal(Reason.DOES_NOT_BIND, f"argument {keyword.arg!r}")
        given[keyword.arg] = keyword.value
    values = [given.get(name) for name in names]
    while values and values[-1] is None:
        values.pop()
    if len(values) < interface.n_required or None in values:
        return Refusal(Reason.DOES_NOT_BIND, f"{len(values)} of {interface.n_required} arguments")
    texts = [_canonical(value) for value in values if value is not None]
    if None in texts:
        return Refusal(Reason.NOT_LITERAL, "an argument is no literal")
    joined = ", ".join(text for text in texts if text is not None)
    if len(joined) > MAX_INPUT_CHARS:
        return Refusal(Reason.NOT_LITERAL, f"{len(joined)} characters of arguments")
    return f"({joined},)" if len(texts) == 1 else f"({joined})"


def _canonical(node: ast.expr) -> str | None:
    """The canonical text of a literal, None for anything that would have to be evaluated."""
    source = unparse(_folded(node))
    if source is None:
        return None
    try:
        return write(parse(source, records=False))
    except CanonicalError:
        return None


def _folded(node: ast.expr) -> ast.expr:
    """`"ab" * 50` and `[0] * 10` written out, within bounds: a habit of models for long inputs."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = node.left, node.right
        if isinstance(right, ast.Constant) and type(right.value) is int:
            times = right.value
            if isinstance(left, ast.Constant) and isinstance(left.value, str):
                if 0 <= times * len(left.value) <= MAX_INPUT_CHARS:
                    return ast.Constant(left.value * times)
            elif isinstance(left, ast.List) and 0 <= times * len(left.elts) <= 1000:
                return ast.List(left.elts * times, ast.Load())
    return node

"""Stage 4: about 100 test inputs a problem: boundary conditions, edge cases, input validation.

The model is asked for `assert f(args) == value` lines, which fit its habit: each gives an input
and, beside it, the output that the model predicts (`calls`). Boundary values of the annotated
types follow (`boundaries`), and type-aware mutation of the model's inputs tops the suite up
(`mutation`). An expected output is evidence kept for the paper-literal signature and for selectors
that weigh it; selection by outputs needs none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ucoder.config import TestInputsConfig
from ucoder.engines.protocol import Completion, Engine, Prompt, Request
from ucoder.inputs.boundaries import boundary_inputs
from ucoder.inputs.calls import CUT, Call, read_calls
from ucoder.inputs.mutation import mutations
from ucoder.inputs.text import Refusal
from ucoder.records import (
    Count,
    FinishReason,
    InputOrigin,
    Prediction,
    Problem,
    Reason,
    TestInput,
    TestSuite,
)
from ucoder.seeds import derive_seed
from ucoder.stages.prompts import fill, sampling_of

__all__ = ["Call", "build_suite", "input_prompt", "probe_inputs", "ranked", "read_calls"]

STOP = ("\n```", "\ndef ", "\nif __name__")
N_ASKED = 20
"""Asserts asked for in one completion; a small model repeats itself beyond."""


async def probe_inputs(
    problem: Problem, engine: Engine, config: TestInputsConfig, run_seed: int
) -> TestSuite:
    """Ask the model for inputs and build the problem's suite."""
    sampling = sampling_of(config.sampling, STOP)
    seed = derive_seed(run_seed, "test_inputs", problem.id)
    prompt = input_prompt(problem)
    completions = await engine.sample(Request(prompt, config.n_completions, sampling, seed))
    texts = [prompt.prefill + _whole_or_cut(completion) for completion in completions]
    n_tokens = sum(completion.n_tokens for completion in completions)
    return build_suite(problem, texts, config, seed, n_tokens)


def _whole_or_cut(completion: Completion) -> str:
    """The text, marked where its last line may have lost its end."""
    is_cut = completion.finish_reason is FinishReason.LENGTH
    return completion.text + CUT if is_cut else completion.text


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
    """The suite that follows from the model's texts: pure, so a test can hold it.

    In order: the example's and the model's inputs, boundary inputs, mutations; `config.n` at most.
    Only the example's and the model's are mutated. They are likelier to be valid, while a boundary
    input may be one that the problem rules out, and its mutants would be invalid as well: a suite
    full of inputs on which right programs raise tells nothing apart.
    """
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
        parents = list(origins)
        annotations = [parameter.annotation for parameter in problem.interface.parameters]
        n_boundary = min(config.n_boundary, config.n - len(parents))
        # As many more as could be the model's own already.
        drawn = boundary_inputs(annotations, n_boundary + len(parents), seed)
        new = [arguments for arguments in drawn if arguments not in origins][:n_boundary]
        origins.update(dict.fromkeys(new, InputOrigin.BOUNDARY))
        for arguments in mutations(parents, config.n - len(origins), seed, known=origins):
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

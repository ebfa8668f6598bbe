"""Stage 4: about 100 test inputs a problem: boundary conditions, edge cases, input validation.

The model writes `assert f(args) == value` lines, a form that is common in code: each gives an input
and the output that the model predicts for it (`ucoder.inputs.calls`). Boundary values of the
annotated types follow (`boundaries`), then type-aware mutants of the model's inputs until the suite
is full (`mutation`). Predicted outputs are kept for the paper's literal pass/fail signature
and for selectors that weigh them; selection by outputs does not need any.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from ucoder.config import TestInputsConfig
from ucoder.engines.protocol import Completion, Engine, Prompt, Request
from ucoder.inputs.boundaries import boundary_inputs
from ucoder.inputs.calls import CUT, Call, read_calls
from ucoder.inputs.examples import read_examples
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

STOP = ("\n```", "\ndef ", "\nif __name__")
N_ASKED = 20
"""Asserts requested in one completion; a small model repeats itself beyond that."""


async def probe_inputs(
    problem: Problem, engine: Engine, config: TestInputsConfig, run_seed: int
) -> TestSuite:
    """Sample inputs from the model and build the problem's suite.

    Raises:
        EngineError: The engine failed.
    """
    sampling = sampling_of(config.sampling, STOP)
    seed = derive_seed(run_seed, "test_inputs", problem.id)
    prompt = input_prompt(problem)
    completions = await engine.sample(Request(prompt, config.n_completions, sampling, seed))
    usable = [completion for completion in completions if not completion.finish_reason.lost]
    texts = [prompt.prefill + _marked(completion) for completion in usable]
    n_tokens = sum(completion.n_tokens for completion in completions)
    lost = [c.finish_reason.lost for c in completions if c.finish_reason.lost]
    return build_suite(problem, texts, config, seed, n_tokens, lost)


def _marked(completion: Completion) -> str:
    """The text, with a mark at its end where the token limit may have cut its last line."""
    is_cut = completion.finish_reason is FinishReason.LENGTH
    return completion.text + CUT if is_cut else completion.text


def input_prompt(problem: Problem) -> Prompt:
    """The prompt of stage 4."""
    user = fill(
        "test_inputs",
        n=N_ASKED,
        statement=problem.statement,
        skeleton=f"```python\n{problem.interface.source}```",
    )
    return Prompt(user, f"```python\nassert {problem.interface.name}(")


def build_suite(
    problem: Problem,
    texts: Sequence[str],
    config: TestInputsConfig,
    seed: int,
    n_tokens: int,
    lost: Sequence[Reason] = (),
) -> TestSuite:
    """The suite that follows from the model's texts; a pure function.

    In order: the inputs of the problem's examples and of the model, boundary inputs, mutants; at
    most `config.n`. Only the example's and the model's inputs are mutated, because they are more
    likely to be valid. A boundary input may be one that the problem rules out, and so would its
    mutants be; a suite full of inputs on which correct programs raise distinguishes nothing.

    Completions that were lost, one reason each, are counted among what was refused. Where no text
    is left, the first of them is why the problem cannot go on.
    """
    refused: Counter[Reason] = Counter(lost)
    origins: dict[str, InputOrigin] = {}
    predictions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    written = [call for text in texts for call in read_calls(text, problem.interface)]
    sources = [_own_examples(problem), (written, InputOrigin.MODEL)]
    for calls, origin in sources:
        for call in calls:
            if isinstance(call, Refusal):
                refused[call.reason] += 1
                continue
            if call.arguments in origins:
                refused[Reason.DUPLICATE_INPUT] += 1
            elif len(origins) < config.n:
                origins[call.arguments] = origin
            # What a given example says is true, whatever the model predicts for it.
            is_given = origins.get(call.arguments) is InputOrigin.GIVEN
            if call.predicted is not None and (origin is InputOrigin.GIVEN or not is_given):
                predictions[call.arguments][call.predicted] += 1
    enough = len(origins) >= config.min_from_model
    if enough:
        parents = list(origins)
        annotations = [parameter.annotation for parameter in problem.interface.parameters]
        n_boundary = min(config.n_boundary, config.n - len(parents))
        # Some of these may be among the model's inputs already, so as many more are drawn.
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
        reason=None if enough else lost[0] if lost and not texts else Reason.TOO_FEW_INPUTS,
        n_tokens=n_tokens,
    )


def _own_examples(problem: Problem) -> tuple[Sequence[Call | Refusal], InputOrigin]:
    """The calls in a problem's own examples, and what these are worth."""
    if problem.is_given:
        said = (problem.statement, problem.interface.source)
        found = [call for text in said for call in read_examples(text, problem.interface)]
        return list(dict.fromkeys(found)), InputOrigin.GIVEN
    if problem.example:
        return read_calls(problem.example, problem.interface), InputOrigin.EXAMPLE
    return [], InputOrigin.EXAMPLE


def ranked(counts: Counter[str]) -> tuple[Prediction, ...]:
    """Predicted outputs, most frequent first; ties keep the order of first occurrence."""
    return tuple(Prediction(text, count) for text, count in counts.most_common())

"""The test inputs of one task: calls that the model wrote, their mutations, and trial by type.

Inputs come from the generated test texts first: they are what the model thinks worth testing. Where
the signature says what each argument is made of, boundary values of these types follow, as in stage
4. Where the texts hold hardly a call (a third of a weak model's texts are empty), the types of the
arguments are found by trial: every program runs on boundary values of each shape of arguments, and
the shape on which most candidates do something is taken. The truth script is never looked at.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ucoder.execution.outcomes import Outcome
from ucoder.execution.protocol import Executor
from ucoder.inputs.boundaries import boundary_inputs, shapes
from ucoder.inputs.calls import Call, read_calls
from ucoder.inputs.examples import read_examples
from ucoder.inputs.mutation import mutations
from ucoder.inputs.text import Refusal
from ucoder.records import Candidate, InputOrigin, Interface, TestInput
from ucoder.runtime import gather_bounded
from ucoder.seeds import derive_seed
from ucoder.stages.test_inputs import ranked
from ucoder.studies.samples import TaskSamples, interface_of

Shape = tuple[str, ...]
"""One annotation a parameter."""

_BARE = re.compile(
    r"(typing\.)?(list|dict|tuple|set|frozenset|iterable|sequence|mapping|collection)",
    re.IGNORECASE,
)
"""Annotations that leave open what a container holds: trial finds out more."""


_GENERAL = {"bool": "int", "tuple[int, int]": "list[int]"}
_NEARLY = 0.95
_GOOD_PART = 0.5
_FEW = 10
"""Fewer inputs than this are run on the programs before they are trusted."""


@dataclass(frozen=True, slots=True)
class InputSettings:
    """How a task's inputs are made."""

    n: int = 100  # most inputs out of the test texts, and out of boundary values with them
    n_boundary: int = 16  # boundary inputs of the annotated types, as many as stage 4 makes
    n_mutations: int = 100  # most mutations of these
    min_parsed: int = 3  # with fewer valid calls read, types are found by trial
    n_trial: int = 10  # boundary inputs of each shape in that trial
    seed: int = 0  # of boundary values and mutations


async def make_inputs(
    samples: TaskSamples,
    candidates: Sequence[Candidate],
    executor: Executor,
    settings: InputSettings,
) -> tuple[TestInput, ...]:
    """The task's inputs: GIVEN, MODEL, BOUNDARY, MUTATION; none where no signature is known.

    Raises:
        SandboxClosed: The executor is not open.
    """
    interface = interface_of(samples)
    if interface is None:
        return ()
    trial = _Trial(interface, candidates, executor)
    inputs = with_examples(
        read_examples(samples.prompt, interface),
        written_inputs(samples.test_texts, interface, settings.n),
    )[: settings.n]
    if await trial.n_valid([i.arguments for i in inputs]) < settings.min_parsed:
        known = {test_input.arguments for test_input in inputs}
        tried = await trial.boundary_inputs(samples.task_id, settings)
        new = [arguments for arguments in dict.fromkeys(tried) if arguments not in known]
        inputs += [TestInput(arguments, InputOrigin.BOUNDARY) for arguments in new]
        inputs = inputs[: settings.n]
    if not inputs:
        return ()
    seed = derive_seed(settings.seed, "mutations", samples.task_id)
    parents = [test_input.arguments for test_input in inputs]
    if all(test_input.origin is not InputOrigin.BOUNDARY for test_input in inputs):
        inputs += annotated_inputs(interface, parents, samples.task_id, settings)
    known = {test_input.arguments for test_input in inputs}
    found = mutations(parents, settings.n_mutations, seed, known=known)
    return (*inputs, *(TestInput(arguments, InputOrigin.MUTATION) for arguments in found))


def annotated_inputs(
    interface: Interface, known: Sequence[str], task_id: str, settings: InputSettings
) -> list[TestInput]:
    """Boundary inputs of the annotated types that are not known yet; none where types are open."""
    annotations = [parameter.annotation for parameter in interface.parameters]
    if not annotations or not all(map(_is_specific, annotations)):
        return []
    seed = derive_seed(settings.seed, "boundaries", task_id)
    drawn = boundary_inputs(annotations, settings.n_boundary + len(known), seed)
    new = [arguments for arguments in drawn if arguments not in known][: settings.n_boundary]
    return [TestInput(arguments, InputOrigin.BOUNDARY) for arguments in new]


def written_inputs(texts: Sequence[str], interface: Interface, n: int) -> list[TestInput]:
    """The n inputs that the texts call the function on most often, with predicted outputs.

    Those written equally often keep the order in which they were written first.
    """
    counts: Counter[str] = Counter()
    predictions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for call in read_calls(text, interface):
            if isinstance(call, Refusal):
                continue
            counts[call.arguments] += 1
            if call.predicted is not None:
                predictions[call.arguments][call.predicted] += 1
    return [
        TestInput(arguments, InputOrigin.MODEL, ranked(predictions[arguments]))
        for arguments, _ in counts.most_common(n)
    ]


class _Trial:
    """The programs of a task, run to find out which inputs they were written for."""

    def __init__(
        self, interface: Interface, candidates: Sequence[Candidate], executor: Executor
    ) -> None:
        voting = [candidate for candidate in candidates if candidate.reason is None]
        self.interface, self.executor = interface, executor
        self.programs = {candidate.program_id: candidate.program for candidate in voting}
        self.weights = Counter(candidate.program_id for candidate in voting)

    async def run(self, texts: Sequence[str]) -> dict[str, dict[str, Outcome]]:
        """What each program made of each input."""
        outcomes: dict[str, dict[str, Outcome]] = {}

        async def call(program_id: str) -> None:
            program = self.programs[program_id]
            report = await self.executor.call(program, self.interface.name, texts)
            outcomes[program_id] = dict(zip(texts, report.outcomes, strict=True))

        await gather_bounded(call, self.programs, len(self.programs) or 1)
        return outcomes

    async def n_valid(self, texts: Sequence[str]) -> int:
        """How many inputs half of the candidates return on; looked at where they are few."""
        if not 0 < len(texts) < _FEW:
            return len(texts)
        outcomes = await self.run(texts)
        returned = (
            sum(self.weights[program] * found[text].executed for program, found in outcomes.items())
            for text in texts
        )
        return sum(2 * n >= self.weights.total() for n in returned)

    async def boundary_inputs(self, task_id: str, settings: InputSettings) -> list[str]:
        """Boundary inputs of the shape that the programs accept; none where they accept none."""
        seed = derive_seed(settings.seed, "boundaries", task_id)
        trial_inputs = {
            shape: list(boundary_inputs(shape, settings.n_trial, seed))
            for shape in candidate_shapes(self.interface)
        }
        # All shapes in one batch, by turns: a program that hangs on one type may run out of its
        # time, and has then seen as much of each shape.
        turns = itertools.chain.from_iterable(itertools.zip_longest(*trial_inputs.values()))
        outcomes = await self.run([text for text in dict.fromkeys(turns) if text is not None])
        outcomes_of = {
            shape: {name: [found[text] for text in texts] for name, found in outcomes.items()}
            for shape, texts in trial_inputs.items()
        }
        chosen = choose_shape(outcomes_of, self.weights)
        return list(boundary_inputs(chosen, settings.n, seed)) if chosen else []


def with_examples(examples: Sequence[Call], written: Sequence[TestInput]) -> list[TestInput]:
    """The statement's examples, then the other inputs; an example's own result counts alone."""
    results: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for call in examples:
        if call.predicted is not None:
            results[call.arguments][call.predicted] += 1
    first = [
        TestInput(arguments, InputOrigin.GIVEN, ranked(counts))
        for arguments, counts in results.items()
    ]
    return [*first, *(i for i in written if i.arguments not in results)]


def candidate_shapes(interface: Interface) -> list[Shape]:
    """The shapes to try, the simplest first; arguments that may be left out are.

    An annotation that says what values are made of is believed. A vague one, and one that stands
    for a class of the program's own, is tried like a missing one.
    """
    given = [parameter.annotation for parameter in interface.parameters][: interface.n_required]
    known = [_is_specific(annotation) for annotation in given]
    found = (
        tuple(a if sure else trial for a, sure, trial in zip(given, known, shape, strict=True))
        for shape in (shapes(len(given)) if given else ())
    )
    return list(dict.fromkeys(found))


def _is_specific(annotation: str) -> bool:
    if _BARE.fullmatch(annotation.strip()):
        return False
    # Boundary values treat every annotation that they do not know like this one.
    anything, some = (boundary_inputs((text,), 10, 0) for text in ("Any", annotation))
    return some != anything


def choose_shape(
    outcomes_of: Mapping[Shape, Mapping[str, Sequence[Outcome]]], weights: Mapping[str, int]
) -> Shape | None:
    """The shape of arguments that the candidates were most likely written for.

    A right type shows in two ways at once: calls return, and what they return depends on the
    input. Returning alone is not enough, because a function that compares its argument with a
    constant returns False for every type; varying alone is not either, because a function may
    work on the empty value of a wrong type and raise on all others. So a program supports a shape
    by the share of inputs that it returns on, if it gives at least two different answers there.
    Each program counts as often as it was sampled.

    What works on one type often works on others, and a right program may raise on a boundary value
    of its own type. So of shapes with nearly the most support the first is taken, the simplest as
    `shapes` orders them; and a special type, whose values are harmless (a bool is an index that no
    list is too short for), gives way to the general one that stands beside it with a good part of
    the support.

    `outcomes_of` holds, for each shape, what each program (by id) made of its trial inputs;
    `weights` how many candidates it stands for. None where no program supports any shape.
    """
    support = {
        shape: math.fsum(  # exact: the order in which programs came back does not count
            weights[program_id] * _support(outcomes) for program_id, outcomes in found.items()
        )
        for shape, found in outcomes_of.items()
    }
    most = max(support.values(), default=0.0)
    if most == 0.0:
        return None
    chosen = next(shape for shape in support if support[shape] >= _NEARLY * most)
    general = tuple(_GENERAL.get(annotation, annotation) for annotation in chosen)
    return general if support.get(general, 0.0) >= _GOOD_PART * most else chosen


def _support(outcomes: Sequence[Outcome]) -> float:
    """The share of calls that returned, 0 where all returned the same."""
    answers = [outcome.answer for outcome in outcomes if outcome.executed]
    return len(answers) / len(outcomes) if len(set(answers)) > 1 else 0.0

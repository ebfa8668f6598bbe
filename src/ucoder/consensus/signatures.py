"""Execution signatures (definition 2.1) and execution success (definition 2.3).

The paper's definition 2.1 is a pass/fail bit, which needs expected outputs. Our default signature
is the vector of canonical *outputs*, bottom where a call did not return: it needs none, and tells
apart two candidates that fail a test differently. The paper's letter stays available.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ucoder.execution.canonical import key
from ucoder.execution.outcomes import OutcomeKind, ProgramStatus
from ucoder.records import NAN, Execution

Signature = tuple[str | None, ...]
"""One entry a kept input: the output's text (or "pass", "fail"), None for bottom."""


def is_runnable(execution: Execution) -> bool:
    """Whether the program defined its entry point, so that its calls say something."""
    return execution.status in (ProgramStatus.LOADED, ProgramStatus.KILLED)


def sandbox_failed(execution: Execution) -> bool:
    """Whether the sandbox, not the program, failed: then the program has no vote."""
    return execution.status is ProgramStatus.SANDBOX_FAILED or any(
        outcome.kind is OutcomeKind.SANDBOX_FAILED for outcome in execution.outcomes
    )


def kept_inputs(
    executions: Mapping[str, Execution], weights: Mapping[str, int], min_support: float
) -> tuple[int, ...]:
    """The inputs that say something about candidates, by position.

    An input that hardly any candidate can run is invalid more likely than every candidate is
    wrong; counted in e(r), a few of them would reject whole problems. A departure from the
    paper, which computes e(r) over all inputs; `min_support=0` restores it.

    Args:
        executions: By program id.
        weights: Candidates that share each program.
        min_support: Least share of the runnable candidates that return a value on the input.

    Returns:
        Positions in ascending order; empty where no program was runnable.
    """
    runnable = [(e, weights[p]) for p, e in executions.items() if is_runnable(e) and weights[p] > 0]
    total = sum(weight for _, weight in runnable)
    if total == 0:
        return ()
    n_inputs = len(runnable[0][0].outcomes)
    support = [
        sum(weight for execution, weight in runnable if execution.outcomes[at].executed)
        for at in range(n_inputs)
    ]
    return tuple(at for at in range(n_inputs) if support[at] >= min_support * total)


def success(execution: Execution, kept: Sequence[int]) -> float:
    """e(r): the share of the kept inputs on which the program returned; NaN without inputs."""
    if not kept:
        return NAN
    return sum(execution.outcomes[at].executed for at in kept) / len(kept)


def output_signature(execution: Execution, kept: Sequence[int]) -> Signature:
    """Our reading of definition 2.1: the outputs themselves.

    Where a function returns None and changes its arguments, they are its output.
    """
    return tuple(
        execution.outcomes[at].answer if execution.outcomes[at].executed else None for at in kept
    )


def pass_fail_signature(
    execution: Execution, kept: Sequence[int], predicted: Sequence[str | None]
) -> Signature:
    """Definition 2.1 to the letter: Exec(r, t) against the outputs that the model predicted.

    Args:
        execution: The program's.
        kept: Positions that count; those without a prediction are left out.
        predicted: One an input of the suite, None where the model predicted nothing.
    """
    return tuple(
        "pass" if execution.outcomes[at].executed and key(execution.outcomes[at].text) == key(text)
        else "fail"
        for at in kept
        if (text := predicted[at]) is not None
    )  # fmt: skip

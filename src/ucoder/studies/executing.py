"""One task's samples executed: every distinct program on the task's inputs, and with its truth.

The programs that differ run once each, on inputs that the task's own texts give (see `inputs`).
What the truth script says of a program is kept beside what it returned, for scoring only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ucoder.execution.outcomes import Verdict
from ucoder.execution.protocol import Executor, Limits
from ucoder.records import Candidate, Execution, TestInput
from ucoder.runtime import gather_bounded
from ucoder.studies.inputs import InputSettings, make_inputs
from ucoder.studies.samples import Samples, make_candidates

LIMITS = Limits(call_timeout_s=0.4, program_timeout_s=4.0, memory_limit_mib=512)
"""Tighter than a run's: a benchmark's functions are small, and a study waits for all of them."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What the executions of a task depend on besides its samples.

    Attributes:
        inputs: How inputs are made.
        limits: What a program may use. The executor's own must be the same.
        check_timeout_s: Seconds for a program with its truth script.
    """

    inputs: InputSettings = field(default_factory=InputSettings)
    limits: Limits = LIMITS
    check_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Pool:
    """One task, executed.

    Attributes:
        task_id: The task's or problem's id.
        entry_point: The function that was called.
        inputs: In order; every execution has one outcome for each.
        candidates: All that were sampled, in their order.
        executions: One a distinct program, in the order in which the programs were first sampled.
        correct: (program_id, what the truth script says); None where the sandbox failed. Empty
            where the truth is unknown. For scoring only.
    """

    task_id: str
    entry_point: str
    inputs: tuple[TestInput, ...]
    candidates: tuple[Candidate, ...]
    executions: tuple[Execution, ...]
    correct: tuple[tuple[str, bool | None], ...]

    def truth(self) -> dict[str, bool | None]:
        """Verdicts by `program_id`, None where the sandbox failed; no entry where unknown.

        Candidates that take no part have the `program_id` "", and are wrong.
        """
        return {"": False, **dict(self.correct)}

    def n_correct(self) -> int:
        """How many of the candidates are known to be right."""
        truth = self.truth()
        return sum(truth.get(candidate.program_id) is True for candidate in self.candidates)


async def execute(
    samples: Samples, executor: Executor, settings: PoolSettings | None = None
) -> Pool:
    """Make a task's inputs, run every distinct program on them, and look up who is right.

    Args:
        samples: The task.
        executor: Where programs run, entered, with the settings' limits.
        settings: The defaults where None.

    Raises:
        SandboxClosed: The executor is not open.
    """
    settings = settings or PoolSettings()
    candidates = make_candidates(samples)
    inputs = await make_inputs(samples, candidates, executor, settings.inputs)
    arguments = [test_input.arguments for test_input in inputs]
    programs = {c.program_id: c.program for c in candidates if c.reason is None}
    executions: dict[str, Execution] = {}
    correct: dict[str, bool | None] = {}

    async def call(program_id: str) -> None:
        report = await executor.call(programs[program_id], samples.entry_point, arguments)
        executions[program_id] = Execution(
            problem_id=samples.task_id,
            iteration=0,
            program_id=program_id,
            status=report.status,
            detail=report.detail,
            outcomes=report.outcomes,
            cpu_s=report.cpu_s,
            wall_s=report.wall_s,
        )

    async def check(program_id: str) -> None:
        report = await executor.check(
            programs[program_id], samples.test, settings.check_timeout_s,
            entry_point=samples.entry_point,
        )  # fmt: skip
        failed = report.verdict is Verdict.SANDBOX_FAILED
        correct[program_id] = None if failed else report.verdict is Verdict.PASSED

    async def both(program_id: str) -> None:
        await gather_bounded(lambda work: work(program_id), (call, check), 2)

    await gather_bounded(both, programs, max(len(programs), 1))
    return Pool(
        task_id=samples.task_id,
        entry_point=samples.entry_point,
        inputs=inputs,
        candidates=candidates,
        executions=tuple(executions[program_id] for program_id in programs),
        correct=tuple((program_id, correct[program_id]) for program_id in programs),
    )

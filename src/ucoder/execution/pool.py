"""A pool of warm workers: what the three providers share.

Programs queue for a free worker. A worker that dies, hangs or sends a malformed answer is replaced,
and its program runs once more on a new one; if that one is lost as well, the program is reported
as SANDBOX_FAILED. Workers are also replaced after a number of programs, and when one reports that
it could not clean up.

A program that timed out by the wall clock but used little CPU time was delayed by the machine's
load. It is retried once with more wall-clock time and the same CPU time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

from ucoder.errors import SandboxClosed, SandboxUnavailable
from ucoder.execution.inputs import InputBatch, batch_of
from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)
from ucoder.execution.payload import SandboxSettings, modules_of
from ucoder.execution.process import (
    Allowed,
    Launch,
    ProgramRequest,
    SandboxProcess,
    Trial,
    WorkerLost,
)
from ucoder.execution.protocol import STANDARD_BUDGET, Budget, Limits, validate_limits
from ucoder.execution.replies import (
    MalformedReply,
    Reply,
    call_report,
    check_report,
    decode,
    longest_reply,
)

PROGRAMS_PER_WORKER: Final = 20_000
"""A worker is replaced after this many programs, in case something builds up in it."""

ANSWER_MARGIN_S: Final = 5.0
"""How much longer than its program a worker may take before it counts as stuck."""

RETRY_FACTOR: Final = 3.0
"""How much more wall-clock time the retry gets."""

CPU_SHARE: Final = 0.8
"""A call that used at least this share of its time limit on a CPU was slow by itself; one that used
less was delayed by other load."""

EXIT_TIMEOUT_S: Final = 15.0
"""How long leaving an executor waits for its workers to end: they are killed before."""

_ATTEMPTS: Final = 2
_NO_BATCH: Final = InputBatch(0, (), b"")

_Report = TypeVar("_Report", CallReport, CheckReport)


class _Slot:
    """A place in the pool: its worker, or None until the next program needs one."""

    worker: SandboxProcess | None = None


class PooledExecutor(ABC):
    """An executor over local worker processes; each provider defines how one is started."""

    name: str

    def __init__(
        self,
        limits: Limits | None = None,
        n_workers: int | None = None,
        preload: str = "standard",
        hash_seed: int = 0,
    ) -> None:
        """Prepare an executor; nothing starts before it is entered.

        Args:
            limits: What one program may use; the defaults of `Limits` where None.
            n_workers: Programs that run at once. None means one more than this process has cores,
                so that no core waits while the parent reads an answer.
            preload: Modules that workers have ready: a name out of `PRELOADS`.
            hash_seed: PYTHONHASHSEED of every program.

        Raises:
            ConfigError: A limit, the number of workers or the preload set is out of range.
        """
        self.limits = limits or Limits()
        self.settings = SandboxSettings(self.limits, preload, hash_seed)
        self.n_workers = _n_cores() + 1 if n_workers is None else n_workers
        validate_limits(self.limits, self.n_workers)
        modules_of(preload)
        self._is_open = False
        # None in the queue wakes callers that wait for a worker after the executor was closed.
        self._free: asyncio.Queue[_Slot | None] = asyncio.Queue()
        self._busy: set[_Slot] = set()
        self._quiet = asyncio.Event()
        self._ending: set[asyncio.Future[object]] = set()

    @abstractmethod
    async def _prepare(self) -> None:
        """Find out how to start workers on this machine.

        Raises:
            SandboxUnavailable: They cannot start on this machine.
        """

    @abstractmethod
    def _launch(self) -> Launch:
        """Return how to start one worker."""

    async def __aenter__(self) -> Self:
        """Start the workers.

        Raises:
            SandboxUnavailable: They cannot start on this machine.
        """
        assert not self._is_open, "the executor is open already"
        await self._prepare()
        slots = [_Slot() for _ in range(self.n_workers)]
        try:
            starts = await asyncio.gather(*map(self._fill, slots), return_exceptions=True)
        except asyncio.CancelledError:
            for slot in slots:
                self._discard(slot)
            await self._wait_for_ends()
            raise
        self._free = asyncio.Queue()
        for slot in slots:
            self._free.put_nowait(slot)
        self._quiet.set()
        self._is_open = True
        failures = [failure for failure in starts if isinstance(failure, BaseException)]
        if failures:
            await self.__aexit__()
            if isinstance(failures[0], WorkerLost):
                raise SandboxUnavailable(f"{self.name}: no worker could start: {failures[0]}")
            raise failures[0]
        return self

    async def __aexit__(self, *exc: object) -> None:
        """End every worker. Running programs are killed, and their callers get SandboxClosed."""
        if not self._is_open:
            return
        self._is_open = False
        idle = [self._free.get_nowait() for _ in range(self._free.qsize())]
        self._free.put_nowait(None)
        for slot in self._busy:
            if slot.worker is not None:
                slot.worker.kill()
        for free in idle:
            if free is not None and free.worker is not None:
                self._end_in_background(free.worker.stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_TIMEOUT_S):
                await self._quiet.wait()
        await self._wait_for_ends()

    async def _wait_for_ends(self) -> None:
        """Wait for workers that were killed, but not without end: the kernel may hold one back."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=EXIT_TIMEOUT_S)

    async def call(
        self,
        source: str,
        entry_point: str,
        inputs: Sequence[str] | InputBatch,
        budget: Budget = STANDARD_BUDGET,
    ) -> CallReport:
        """Run `source`, then call its `entry_point` once per input; see `Executor.call`."""
        batch = inputs if isinstance(inputs, InputBatch) else batch_of(tuple(inputs))
        report = await self._call(source, entry_point, batch, budget, 1.0)
        if not timed_out_under_load(report, budget.within(self.limits)):
            return report
        timed_out = OutcomeKind.TIMED_OUT
        waited = [at for at, outcome in enumerate(report.outcomes) if outcome.kind is timed_out]
        # All timeouts are retried: calls after the first one may never have been tried.
        again = await self._call(source, entry_point, batch.part(waited), budget, RETRY_FACTOR)
        return _merged(report, again, waited)

    async def check(
        self,
        source: str,
        tests: str | None = None,
        timeout_s: float | None = None,
        *,
        entry_point: str | None = None,
        as_script: bool = False,
    ) -> CheckReport:
        """Run a program against a test script; see `Executor.check`."""
        timeout_s = self.limits.program_timeout_s if timeout_s is None else timeout_s
        tests = None if tests is None else _without_mark(tests)
        trial = Trial(tests, entry_point, as_script)
        report = await self._check(source, trial, timeout_s, 1.0)
        if report.verdict is Verdict.TIMED_OUT and report.cpu_s < CPU_SHARE * timeout_s:
            again = await self._check(source, trial, timeout_s, RETRY_FACTOR)
            return replace(again, retried=True)
        return report

    async def _call(
        self,
        source: str,
        entry_point: str,
        batch: InputBatch,
        budget: Budget,
        wall_time_factor: float,
    ) -> CallReport:
        limits = budget.within(self.limits)
        n_inputs, limit = len(batch.arguments), limits.output_limit_bytes
        allowed = Allowed(limits.call_timeout_s, limit, budget.max_timeouts)
        request = ProgramRequest(
            _without_mark(source),
            entry_point,
            batch,
            limits.program_timeout_s,
            wall_time_factor,
            allowed,
        )
        try:
            return await self._submit(
                request, longest_reply(n_inputs, limit), lambda r: call_report(r, n_inputs, limit)
            )
        except WorkerLost as lost:
            outcome = Outcome(OutcomeKind.SANDBOX_FAILED, str(lost))
            status = ProgramStatus.SANDBOX_FAILED
            return CallReport(status, (outcome,) * n_inputs, detail=str(lost))

    async def _check(
        self, source: str, trial: Trial, timeout_s: float, wall_time_factor: float
    ) -> CheckReport:
        limits = self.limits
        allowed = Allowed(limits.call_timeout_s, limits.output_limit_bytes, 1)
        request = ProgramRequest(
            _without_mark(source), None, _NO_BATCH, timeout_s, wall_time_factor, allowed, trial
        )
        try:
            return await self._submit(request, longest_reply(1, 0), check_report)
        except WorkerLost as lost:
            return CheckReport(Verdict.SANDBOX_FAILED, detail=str(lost))

    async def _submit(
        self, request: ProgramRequest, max_reply: int, read: Callable[[Reply], _Report]
    ) -> _Report:
        """Run one program on a free worker, and once more if that worker is lost.

        Raises:
            WorkerLost: Both workers were lost.
            SandboxClosed: The executor is not open, or was closed meanwhile.
        """
        self._refuse_if_closed()
        slot = await self._free.get()
        if slot is None:
            self._free.put_nowait(None)
            raise SandboxClosed(f"the {self.name} executor was closed")
        self._busy.add(slot)
        self._quiet.clear()
        lost: Exception | None = None
        timeout_s = request.timeout_s * request.wall_time_factor + ANSWER_MARGIN_S
        try:
            for _ in range(_ATTEMPTS):
                self._refuse_if_closed()
                try:
                    worker = slot.worker or await self._fill(slot)
                    self._refuse_if_closed()
                    frames = request.frames(worker.batches)
                    reply = decode(await worker.exchange(frames, timeout_s, max_reply))
                    report = read(reply)
                except (WorkerLost, MalformedReply) as error:
                    lost = error
                    self._discard(slot)
                    continue
                if reply.retire or worker.n_programs >= PROGRAMS_PER_WORKER:
                    self._discard(slot)
                return report
            self._refuse_if_closed()
            raise WorkerLost(f"{_ATTEMPTS} workers were lost on it; the last: {lost}")
        except (asyncio.CancelledError, SandboxClosed):
            self._discard(slot)  # it may still be working on this program
            raise
        finally:
            self._busy.discard(slot)
            self._free.put_nowait(slot)
            if not self._busy:
                self._quiet.set()

    def _refuse_if_closed(self) -> None:
        if not self._is_open:
            raise SandboxClosed(f"the {self.name} executor is not open; use it in `async with`")

    async def _fill(self, slot: _Slot) -> SandboxProcess:
        """Start a slot's worker."""
        slot.worker = await SandboxProcess.start(self._launch())
        return slot.worker

    def _discard(self, slot: _Slot) -> None:
        """Kill a slot's worker and wait for its end in the background."""
        worker, slot.worker = slot.worker, None
        if worker is not None:
            worker.kill()
            self._end_in_background(worker.end())

    def _end_in_background(self, end: Coroutine[Any, Any, object]) -> None:
        ending = asyncio.ensure_future(end)
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


def _without_mark(source: str) -> str:
    """A program without the byte order mark that Python accepts at the start of a file."""
    return source.removeprefix("\ufeff")


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # fewer than the machine has, in many containers
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def timed_out_under_load(report: CallReport, limits: Limits) -> bool:
    """Whether a timeout fired by the wall clock while the program had used little CPU time."""
    if not any(outcome.kind is OutcomeKind.TIMED_OUT for outcome in report.outcomes):
        return False
    whole_s, call_s = limits.program_timeout_s, limits.call_timeout_s
    times = zip(report.outcomes, report.call_wall_s, report.call_cpu_s, strict=True)
    measured = [
        (wall_s, cpu_s)
        for outcome, wall_s, cpu_s in times
        if outcome.kind is OutcomeKind.TIMED_OUT and not math.isnan(wall_s)
    ]
    # If no timed-out call was measured, the program's time ended while it loaded or between calls.
    if report.status is ProgramStatus.FAILED_TO_LOAD or not measured:
        return report.cpu_s < CPU_SHARE * whole_s
    return any(cpu_s < CPU_SHARE * min(call_s, wall_s) for wall_s, cpu_s in measured)


def _merged(first: CallReport, again: CallReport, at: Sequence[int]) -> CallReport:
    """The first report, with the second's outcomes in the places `at`."""
    if again.status is ProgramStatus.SANDBOX_FAILED or len(at) == len(first.outcomes):
        return replace(again if len(at) == len(first.outcomes) else first, retried=True)
    outcomes, walls = list(first.outcomes), list(first.call_wall_s)
    cpus = list(first.call_cpu_s)
    for place, index in enumerate(at):
        outcomes[index] = again.outcomes[place]
        walls[index], cpus[index] = again.call_wall_s[place], again.call_cpu_s[place]
    return replace(
        first,
        status=first.status if again.status is ProgramStatus.LOADED else again.status,
        detail=first.detail or again.detail,
        outcomes=tuple(outcomes),
        call_wall_s=tuple(walls),
        call_cpu_s=tuple(cpus),
        cpu_s=first.cpu_s + again.cpu_s,
        wall_s=first.wall_s + again.wall_s,
        retried=True,
    )

"""Runs programs on a SandboxFusion server that somebody else keeps.

The server (github.com/bytedance/SandboxFusion) takes a Python script over HTTP and answers with
what became of it. A program travels with its inputs and with the code that forks for it and calls
it (`child.remote`), so that calls, outcomes and limits are what they are with a local provider.
The server needs Linux, and Python 3.10 or newer for its `python` language.

What cannot be promised from here:

- **Isolation is the server's affair.** Its default configuration, `isolation: none`, isolates
  nothing: a program runs as the server's user, reads and writes that user's files, other
  programs' too, and uses the network. `isolation: lite` needs a privileged container. Nothing in
  an answer tells the two apart.
- **Limits are held by code that the program can reach.** Without isolation a program can kill the
  process that follows it, and write into the file that the answers go to. It forges or loses its
  own answers with that, no others; expected answers never travel with the inputs.
- **Verdicts of tests can be forged** by a program that is written for it. Where the server runs
  Python 3.11 or newer, the tests have a process of their own, but of the program's user, so it
  may get at that process. An older one (SandboxFusion's own image has 3.10) runs program and
  tests in one process, as published harnesses do; `separates_tests` tells which.
- **Time.** A server that is busy is slow for every program on it. Calls that ran out of
  wall-clock time without the CPU time to show for it are tried once more, with more of it.

Each program costs the server two interpreter starts: some 10 programs/s on two cores, however few
calls they are. This provider is for those who have a server.
"""

from __future__ import annotations

import asyncio
import marshal
import re
import secrets
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

from ucoder.errors import SandboxClosed, SandboxUnavailable
from ucoder.execution.child import records, remote
from ucoder.execution.child.records import pack
from ucoder.execution.child.runner import MARSHAL_VERSION
from ucoder.execution.fusion_script import (
    BOOTSTRAP,
    archive,
    ending,
    one_script,
    taken_apart,
    without_token,
)
from ucoder.execution.fusion_server import FusionServer, ServerFailed, ServerRun
from ucoder.execution.inputs import Batch, batch_of
from ucoder.execution.outcomes import (
    CallReport,
    CheckReport,
    Outcome,
    OutcomeKind,
    ProgramStatus,
    Verdict,
)
from ucoder.execution.patience import RETRY_FACTOR, timed_out_under_load
from ucoder.execution.pool import validate_limits
from ucoder.execution.protocol import STANDARD_BUDGET, Budget, Limits
from ucoder.execution.replies import (
    MalformedReply,
    Reply,
    call_report,
    check_report,
    longest_reply,
)

PROGRAMS_IN_FLIGHT: Final = 8
"""Programs that run at a time unless told otherwise; the server's cores are not known here."""

MAX_REQUESTS: Final = 4
"""Requests that one program may cost: the first, and one after each that lost its answers' end."""

_START_S: Final = 5.0
"""How much longer than its program a script may take: two interpreters start."""

_INTERPRETER_MIB: Final = 512
"""The server's limit counts the interpreter's own address space too; ours does not."""

_PROBE: Final = "import sys\n\ndef f():\n    return sys.version_info[:2]\n"
_SEPARATES_FROM: Final = (3, 11)
"""What reads canonical text, and so the process of the tests, needs this Python or a newer one."""

_T = TypeVar("_T")


class SandboxFusionExecutor:
    """Runs programs on a SandboxFusion server; it isolates as well as that server does."""

    name = "sandbox-fusion"

    separates_tests = False
    """Whether tests run in a process of their own on this server; known once it is entered."""

    def __init__(
        self, url: str, limits: Limits | None = None, n_workers: int | None = None
    ) -> None:
        """Prepare an executor; nothing is sent before it is entered.

        Args:
            url: The server's base, such as `http://localhost:8080`.
            limits: What one program may use; the defaults of `Limits` where None.
            n_workers: Programs in flight at a time; `PROGRAMS_IN_FLIGHT` where None.

        Raises:
            ConfigError: The URL, a limit or the number of programs is out of range.
        """
        self.limits = limits or Limits()
        self.n_workers = PROGRAMS_IN_FLIGHT if n_workers is None else n_workers
        validate_limits(self.limits, self.n_workers)
        self._server = FusionServer(url, self.n_workers)
        self._is_open = False
        self._turns = asyncio.Semaphore(self.n_workers)
        self._running: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """Try the server with a small program.

        Raises:
            MissingDependency: httpx is not installed.
            SandboxUnavailable: The server does not answer, or answers something else.
        """
        assert not self._is_open, "the executor is open already"
        self._server.open()
        self._turns = asyncio.Semaphore(self.n_workers)
        self._is_open = True
        try:
            report = await self.call(_PROBE, "f", ["()"])
        except BaseException:
            await self.__aexit__()
            raise
        version = re.fullmatch(r"\((\d+), (\d+)\)", report.outcomes[0].text)
        if version is None:
            await self.__aexit__()
            got = report.detail or report.outcomes[0].text or report.outcomes[0].kind.value
            raise SandboxUnavailable(
                f"sandbox-fusion: the server at {self._server.shown} did not run a small program: "
                f"{got}. Start SandboxFusion there, with Linux and Python 3.10 or newer for its "
                "`python` language, correct the URL, or choose another provider."
            )
        self.separates_tests = (int(version[1]), int(version[2])) >= _SEPARATES_FROM
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the connections. Programs under way are left; their callers get SandboxClosed.

        The server ends their scripts when their time is over: it has no call to do so earlier.
        """
        self._is_open = False
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._server.close()

    async def call(
        self,
        source: str,
        entry_point: str,
        inputs: Sequence[str] | Batch,
        budget: Budget = STANDARD_BUDGET,
    ) -> CallReport:
        """Run `source`, then call its `entry_point` once an input; see `Executor.call`."""
        batch = inputs if isinstance(inputs, Batch) else batch_of(tuple(inputs))
        try:
            return await self._in_turn(self._call_patiently(source, entry_point, batch, budget))
        except (ServerFailed, MalformedReply) as error:
            detail = str(error)[: records.MAX_DETAIL]
            outcome = Outcome(OutcomeKind.SANDBOX_FAILED, detail)
            n_inputs = len(batch.arguments)
            return CallReport(ProgramStatus.SANDBOX_FAILED, (outcome,) * n_inputs, detail)

    async def check(
        self,
        source: str,
        tests: str | None = None,
        timeout_s: float | None = None,
        *,
        entry_point: str | None = None,
    ) -> CheckReport:
        """Run a program against a test script; see `Executor.check`.

        A program written for it can forge its verdict here, with `tests` and without; more
        easily where `separates_tests` is false. See this module's docstring.
        """
        if tests is not None and not self.separates_tests:
            source, tests = one_script(source, tests), None
        timeout_s = self.limits.program_timeout_s if timeout_s is None else timeout_s
        try:
            return await self._in_turn(self._check_patiently(source, tests, timeout_s))
        except (ServerFailed, MalformedReply) as error:
            return CheckReport(Verdict.SANDBOX_FAILED, str(error)[: records.MAX_DETAIL])

    async def _in_turn(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Wait for a free place, and do the work in a task that closing can cancel.

        Raises:
            SandboxClosed: The executor is not open, or was closed meanwhile.
        """
        if not self._is_open:
            work.close()
            raise SandboxClosed(f"the {self.name} executor is not open; use it in `async with`")

        async def waiting() -> _T:
            try:
                async with self._turns:
                    return await work
            finally:
                work.close()  # where it never began

        task = asyncio.ensure_future(waiting())
        self._running.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            ours = asyncio.current_task()
            if self._is_open or (ours is not None and ours.cancelling()):
                raise
            raise SandboxClosed(f"the {self.name} executor was closed") from None
        finally:
            self._running.discard(task)

    async def _call_patiently(
        self, source: str, entry_point: str, batch: Batch, budget: Budget
    ) -> CallReport:
        report = await self._call(source, entry_point, batch, budget, patience=1.0)
        if timed_out_under_load(report, budget.within(self.limits)):
            again = await self._call(source, entry_point, batch, budget, patience=RETRY_FACTOR)
            return replace(again, retried=True)
        return report

    async def _call(
        self, source: str, entry_point: str, batch: Batch, budget: Budget, patience: float
    ) -> CallReport:
        """Call the program, in further requests where one lost the end of its answers.

        That is where the program killed or stopped the process that follows it. The call that it
        happened in is answered here, and the inputs after it go to the server again.
        """
        limits = budget.within(self.limits)
        n_inputs, limit = len(batch.arguments), limits.output_limit_bytes
        body, n_answers, killed, cpu_s, wall_s = b"", 0, "", 0.0, 0.0
        status, detail, leftovers = records.LOADED, "", ""
        for _ in range(MAX_REQUESTS):
            part = batch.part(range(n_answers, n_inputs))
            job = {
                "source": source,
                "entry_point": entry_point,
                "arguments": part.arguments,
                "flags": part.flags,
                "timeout_s": limits.program_timeout_s,
                "patience": patience,
                "max_timeouts": budget.max_timeouts,
            }
            run, data = await self._request(job, None, len(part.arguments), limits)
            answers, n_new, end = taken_apart(data, len(part.arguments), limit)
            body, n_answers = body + answers, n_answers + n_new
            if end is not None:
                status, detail, leftovers = end.status, end.detail, end.leftovers
                cpu_s, wall_s = cpu_s + end.cpu_s, wall_s + end.wall_s
                rest = pack(records.TIMED_OUT)
                break
            if run.timed_out:
                rest = pack(records.TIMED_OUT)
                break
            killed = f"{ending(run)} in call {n_answers}"
            rest = pack(records.RAISED, f"killed: {ending(run)}")
            if n_answers < n_inputs:
                body, n_answers = body + rest, n_answers + 1
            if n_answers == n_inputs:
                break
        body += rest * (n_inputs - n_answers)
        if killed and status == records.LOADED:
            status, detail = records.KILLED, killed
        reply = Reply(status, False, cpu_s, wall_s, detail, leftovers, n_inputs, body)
        return call_report(reply, n_inputs, limit)

    async def _check_patiently(
        self, source: str, tests: str | None, timeout_s: float
    ) -> CheckReport:
        report = await self._check(source, tests, timeout_s, patience=1.0)
        if report.verdict is Verdict.TIMED_OUT and report.cpu_s < timeout_s / 2:
            again = await self._check(source, tests, timeout_s, patience=RETRY_FACTOR)
            return replace(again, retried=True)
        return report

    async def _check(
        self, source: str, tests: str | None, timeout_s: float, patience: float
    ) -> CheckReport:
        job = {
            "source": source,
            "entry_point": None,
            "arguments": (),
            "flags": b"",
            "timeout_s": timeout_s,
            "patience": patience,
            "max_timeouts": 1,
        }
        run, data = await self._request(job, tests, 0, self.limits)
        _, _, end = taken_apart(data, 0, self.limits.output_limit_bytes)
        if end is not None:
            return check_report(end)
        if run.timed_out:
            return CheckReport(Verdict.TIMED_OUT, "the time limit was reached")
        return CheckReport(Verdict.FAILED, f"killed: {ending(run)}")

    async def _request(
        self, job: dict[str, Any], tests: str | None, n_inputs: int, limits: Limits
    ) -> tuple[ServerRun, bytes]:
        """Send one job, and once more if the server failed on it.

        Returns:
            How the script ended, and the answers' file without its token.

        Raises:
            ServerFailed: It failed both times.
        """
        timeout_s = job["timeout_s"] * job["patience"] + _START_S
        max_bytes = longest_reply(n_inputs, limits.output_limit_bytes)
        script = None if tests is None else tests.encode("utf-8", "surrogatepass")
        for attempt in (1, 2):
            token = secrets.token_hex(16)
            answers = f"ucoder-{secrets.token_hex(8)}.answers"
            whole = {
                **job,
                "call_timeout_s": limits.call_timeout_s,
                "output_limit": limits.output_limit_bytes,
                "memory_limit_mib": limits.memory_limit_mib,
                "n_processes": limits.n_processes,
                "file_size_mib": limits.file_size_mib,
                "n_test_bytes": None if script is None else len(script),
                "answers": answers,
                "token": token,
            }
            files = {
                remote.ARCHIVE: archive(),
                remote.JOB_FILE: marshal.dumps(whole, MARSHAL_VERSION),
            }
            if script is not None:
                files[remote.TESTS_FILE] = script
            try:
                run = await self._server.run(
                    BOOTSTRAP,
                    files,
                    answers,
                    timeout_s,
                    limits.memory_limit_mib + _INTERPRETER_MIB,
                    max_bytes,
                )
                return run, without_token(run, token)
            except ServerFailed as error:
                if attempt == 2:
                    raise ServerFailed(f"the server failed twice; the last: {error}") from None
        raise AssertionError("unreachable")

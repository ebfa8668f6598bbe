"""One worker as a subprocess: start it, send it programs, end it.

Every failure of a worker becomes `WorkerLost` with the reason; the pool decides what to do. The
pipes use an asyncio protocol instead of asyncio's streams, which need several turns of the event
loop for each frame: CPU time of the parent is lost to the programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import marshal
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar, cast

from ucoder.execution.inputs import BATCHES_KEPT, InputBatch

T = TypeVar("T")

START_TIMEOUT_S: Final = 60.0
"""How long a worker may take to report ready: a fraction of a second, more with preloads."""

_STOP_TIMEOUT_S: Final = 0.5
_GUARD_TIMEOUT_S: Final = 5.0
_END_TIMEOUT_S: Final = 10.0
"""How long a killed worker may take to be gone: the kernel may hold it back, and without isolation
a program may have left a process behind that holds its pipes."""

_REMOVAL_TIMEOUT_S: Final = 10.0
"""How long removing what programs left in a directory may take."""

_log = logging.getLogger(__name__)

_STDERR_TAIL: Final = 4096
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class WorkerLost(Exception):
    """A worker died, hung or sent a malformed answer; the message says which."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a worker.

    Attributes:
        command: The program and its arguments.
        environment: The whole environment; nothing is inherited.
        directory: A private working directory, removed when the worker has ended; None where
            the worker sees a file system of its own.
        guarded: Whether the process that is started is a guard above the worker, which is ended by
            SIGTERM because SIGKILL would leave it no time to end the worker (see `child.guard`).
    """

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path | None = None
    guarded: bool = False


class Trial(NamedTuple):
    """A test script, or None; the function that it tests, where the caller named it; and whether
    the end of the program's own text is the verdict (see `Executor.check`)."""

    tests: str | None
    entry_point: str | None
    as_script: bool = False


class Allowed(NamedTuple):
    """What one program may use besides its total time; see `Limits` and `Budget`."""

    call_timeout_s: float
    output_limit_bytes: int
    max_timeouts: int


class ProgramRequest(NamedTuple):
    """One program for a worker; `child.worker.SandboxWorker.answer` takes the frame's parts."""

    source: str
    entry_point: str | None
    batch: InputBatch
    timeout_s: float
    wall_time_factor: float
    allowed: Allowed
    trial: Trial = Trial(None, None)

    def frames(self, held: list[int]) -> bytes:
        """The bytes for one worker: inputs that it holds already are not sent again.

        Args:
            held: Numbers of the batches that the worker holds, the latest last; updated in place.
        """
        batch = self.batch
        forget: tuple[int, ...] = ()
        content = None
        if batch.number not in held:
            content = (batch.arguments, batch.flags)
            if batch.number:
                held.append(batch.number)
                if len(held) > BATCHES_KEPT:
                    forget = (held.pop(0),)
        script, *trial = self.trial
        tests = None if script is None else script.encode("utf-8", "surrogatepass")
        n_tests = None if tests is None else len(tests)
        frame = marshal.dumps(
            (self.source, self.entry_point, self.timeout_s, self.wall_time_factor,
             tuple(self.allowed), forget, batch.number, content, n_tests, *trial)
        )  # fmt: skip
        # The tests follow after the frame: the worker leaves them in the pipe for the judge.
        return len(frame).to_bytes(4, "big") + frame + (tests or b"")


class _Pipes(asyncio.SubprocessProtocol):
    """Assembles what arrives from a worker into frames."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        # The first frame, `ready`, may arrive before anything waits for it.
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.max_bytes = _STDERR_TAIL
        self.printed = b""
        self._buffer = bytearray()
        self._n_open = 3

    def expect(self, max_bytes: int) -> asyncio.Future[bytes]:
        """A future for the next frame; it fails with WorkerLost."""
        self.answer = asyncio.get_running_loop().create_future()
        self.max_bytes = max_bytes
        if self._n_open < 3:
            self._fail("the worker ended")
        return self.answer

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDERR:
            self.printed = (self.printed + data)[-_STDERR_TAIL:]
            return
        buffer = self._buffer
        buffer += data
        if len(buffer) < 4:
            return
        length = int.from_bytes(buffer[:4], "big")
        if self.answer.done() or length > self.max_bytes:
            self._fail(f"an unexpected frame of {length} bytes")
            buffer.clear()
        elif len(buffer) >= 4 + length:
            frame = bytes(buffer[4 : 4 + length])
            if len(buffer) > 4 + length:
                self._fail("more than one frame in answer to one request")
            else:
                self.answer.set_result(frame)
            buffer.clear()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._n_open -= 1
        if fd != _STDERR:
            # Output that it printed at the end may not have arrived yet.
            asyncio.get_running_loop().call_later(0.05, self._fail, "the worker ended")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the worker ended")
        if not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.answer.done():
            said = self.printed.decode("utf-8", "replace").strip()[-500:]
            self.answer.set_exception(WorkerLost(f"{why}: {said}" if said else why))
            self.answer.exception()  # known to be seen: nobody may be waiting for it any more


async def finish_start(
    starting: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[object]]
) -> T:
    """Start a process; where this is cancelled, the start is finished first and then undone.

    asyncio must not be cancelled there half-way: it may then wait without end for a process whose
    pipes are not connected yet. Starting one takes milliseconds.

    Args:
        starting: The start.
        undo: Ends what was started.
    """
    task = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):  # again: only milliseconds more
                await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            await undo(task.result())
        raise


class SandboxProcess:
    """A running worker.

    Attributes:
        n_programs: Number of programs sent to it.
        modules: Modules that it loaded before the first program.
        batches: Numbers of the input batches that it holds, the latest last.
    """

    def __init__(
        self, transport: asyncio.SubprocessTransport, pipes: _Pipes, launch: Launch
    ) -> None:
        self._transport = transport
        self._pipes = pipes
        self._launch = launch
        self._stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(_STDIN))
        self.n_programs = 0
        self.modules: tuple[str, ...] = ()
        self.batches: list[int] = []

    @classmethod
    async def start(cls, launch: Launch) -> Self:
        """Start a worker and wait until it is warm; where this is cancelled, no process is left.

        Raises:
            WorkerLost: It did not start; the message holds what it printed.
        """
        pipe = asyncio.subprocess.PIPE
        options: dict[str, Any] = {"stdin": pipe, "stdout": pipe, "stderr": pipe}
        opening = asyncio.get_running_loop().subprocess_exec(
            _Pipes, *launch.command, env=launch.environment, cwd=launch.directory,
            start_new_session=True,  # Ctrl-C reaches the parent only
            **options,
        )  # fmt: skip
        try:
            transport, pipes = await finish_start(
                opening, lambda opened: cls(*opened, launch).end()
            )
        except OSError as error:
            await _remove(launch.directory)
            raise WorkerLost(f"cannot start {launch.command[0]}: {error}") from error
        except asyncio.CancelledError:
            await _remove(launch.directory)  # the process is gone, or never was
            raise
        worker = cls(transport, pipes, launch)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                ready = (await pipes.answer).split(b" ")
            if ready[0] != b"ready":
                raise WorkerLost("its first frame is not `ready`")
            worker.modules = tuple(name.decode("ascii", "replace") for name in ready[1:])
        except TimeoutError:
            await worker.end()
            raise WorkerLost(f"not ready within {START_TIMEOUT_S:g} s") from None
        except WorkerLost as error:
            printed = await worker.end()
            raise WorkerLost(printed or str(error)) from None
        except asyncio.CancelledError:
            await worker.end()
            raise
        return worker

    @property
    def pid(self) -> int:
        """The process that was started: the worker, or the sandbox around it."""
        return self._transport.get_pid()

    async def exchange(self, request: bytes, timeout_s: float, max_reply: int) -> bytes:
        """Send a request and wait for the answer.

        Args:
            request: Whole frames, with their lengths.
            timeout_s: Seconds after which the worker counts as lost.
            max_reply: The longest honest answer, in bytes.

        Raises:
            WorkerLost: The worker died, sent a malformed answer, or did not answer in time.
        """
        self.n_programs += 1
        answer = self._pipes.expect(max_reply)
        self._stdin.write(request)
        loop = asyncio.get_running_loop()
        late = loop.call_later(timeout_s, self._pipes._fail, f"no answer within {timeout_s:g} s")
        try:
            return await answer
        finally:
            late.cancel()

    def kill(self) -> None:
        """Kill the worker at once; `end` still has to be awaited."""
        with contextlib.suppress(ProcessLookupError):
            if self._launch.guarded:
                self._transport.terminate()
            elif self._transport.get_returncode() is None:
                # Its whole group: a sandbox that is still starting has a child that waits for it,
                # and would wait for ever.
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End an idle worker: close its pipe, and kill it if it does not end then."""
        self._stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await asyncio.shield(self._pipes.ended)
        await self.end()

    async def end(self) -> str:
        """Kill the worker if it still runs, wait until it is gone, and free its resources.

        Returns:
            What it printed to stderr.
        """
        self.kill()
        self._stdin.close()
        if self._launch.guarded:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GUARD_TIMEOUT_S):
                    await asyncio.shield(self._pipes.ended)
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()  # the guard did not end
        # The transport ends when every holder of its pipes is gone, so only after the inner
        # processes of a sandbox.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT_S):
                await asyncio.shield(self._pipes.ended)
        self._transport.close()
        await _remove(self._launch.directory)
        return self._pipes.printed.decode("utf-8", "replace").strip()


async def _remove(directory: Path | None) -> None:
    """Remove a worker's directory, beside the event loop and not without end.

    A program can make more folders in a second than the disk removes in a minute. What is left
    after `_REMOVAL_TIMEOUT_S` stays, and a warning says where.
    """
    if directory is not None:
        deadline = time.monotonic() + _REMOVAL_TIMEOUT_S
        if not await asyncio.to_thread(remove_tree, directory, deadline):
            _log.warning("%s could not be removed in time; remove it by hand", directory)


def remove_tree(directory: Path, deadline: float = math.inf) -> bool:
    """Remove a directory and all that programs left in it, whatever they did to it.

    A tree may be deeper than Python recurses, its paths longer than the kernel accepts, and its
    folders may forbid everything. So nothing is walked down: the contents of each folder are moved
    up to the top, again and again, until no folder is left.

    Args:
        directory: What to remove.
        deadline: When to stop, on the monotonic clock.

    Returns:
        Whether it is gone.
    """
    numbers = itertools.count()
    progress = True
    while progress:
        progress = False
        for entry in _entries(directory):
            for inner in _entries(Path(entry)) if entry.is_dir(follow_symlinks=False) else ():
                if time.monotonic() > deadline:
                    return False
                with contextlib.suppress(OSError):
                    if inner.is_dir(follow_symlinks=False):
                        os.chmod(inner, 0o700)  # moving a folder writes to it  # noqa: PTH101
                        os.rename(inner, directory / f"moved-{next(numbers)}")  # noqa: PTH104
                    else:
                        os.unlink(inner)  # noqa: PTH108
                    progress = True
            with contextlib.suppress(OSError):
                remove = os.rmdir if entry.is_dir(follow_symlinks=False) else os.unlink
                remove(entry)
                progress = True
            if time.monotonic() > deadline:
                return False
    with contextlib.suppress(OSError):
        directory.rmdir()
    return not directory.exists()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The contents of a folder, whatever its mode was."""
    with contextlib.suppress(OSError):
        folder.chmod(0o700)
        with os.scandir(folder) as entries:
            return list(entries)
    return []

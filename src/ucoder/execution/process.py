"""One worker as a subprocess: start it, exchange frames with it, end it.

Every failure of a worker becomes `WorkerLost` with the reason; the pool decides what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from ucoder.execution.replies import MalformedReply, decode

START_TIMEOUT_S: Final = 30.0
"""How long a worker may take to report ready; it takes a fraction of a second."""

_STOP_TIMEOUT_S: Final = 0.5
_STDERR_TAIL: Final = 4096


class WorkerLost(Exception):
    """A worker died, hung or sent nonsense; the message says which."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a worker.

    Attributes:
        command: The program and its arguments.
        environment: The whole environment; nothing is inherited.
        directory: A private working directory, removed when the worker has ended; None where
            the worker sees a file system of its own.
    """

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path | None = None


class WorkerProcess:
    """A running worker."""

    def __init__(self, process: asyncio.subprocess.Process, launch: Launch) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._launch = launch
        self._errors = asyncio.ensure_future(self._keep_errors())
        self.n_programs = 0

    @classmethod
    async def start(cls, launch: Launch) -> Self:
        """Start a worker and wait until it is warm.

        Raises:
            WorkerLost: It did not come up; the message holds what it printed.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=launch.environment,
                cwd=launch.directory,
                start_new_session=True,  # Ctrl-C is the parent's business
                limit=1 << 20,
            )
        except OSError as error:
            _remove(launch.directory)
            raise WorkerLost(f"cannot start {launch.command[0]}: {error}") from error
        worker = cls(process, launch)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                reply = await worker._receive(_STDERR_TAIL)
            if reply.get("ready") is not True:
                raise WorkerLost("its first frame does not say that it is ready")
        except TimeoutError:
            await worker.end()
            raise WorkerLost(f"no sign of life within {START_TIMEOUT_S:g} s") from None
        except WorkerLost as error:
            printed = await worker.end()
            raise WorkerLost(printed or str(error)) from None
        except BaseException:
            worker.kill()
            raise
        return worker

    async def exchange(self, request: bytes, timeout_s: float, max_reply: int) -> dict[str, Any]:
        """Send a frame and wait for the answer.

        Raises:
            WorkerLost: The worker died, sent nonsense, or did not answer in time.
        """
        self.n_programs += 1
        try:
            async with asyncio.timeout(timeout_s):
                self._stdin.write(len(request).to_bytes(4))
                self._stdin.write(request)
                await self._stdin.drain()
                return await self._receive(max_reply)
        except TimeoutError:
            raise WorkerLost(f"no answer within {timeout_s:g} s") from None
        except OSError as error:
            raise WorkerLost(f"the pipe to the worker broke: {error}") from None

    async def _receive(self, max_bytes: int) -> dict[str, Any]:
        try:
            length = int.from_bytes(await self._stdout.readexactly(4))
            if length > max_bytes:
                raise WorkerLost(f"a frame of {length} bytes, more than the {max_bytes} possible")
            return decode(await self._stdout.readexactly(length))
        except asyncio.IncompleteReadError:
            raise WorkerLost(await self._last_words()) from None
        except MalformedReply as error:
            raise WorkerLost(str(error)) from None

    async def _last_words(self) -> str:
        """Say that the worker ended, with what it printed at the end where it had the time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                printed = (await asyncio.shield(self._errors)).decode("utf-8", "replace").strip()
                return f"the worker ended: {printed[-500:]}" if printed else "the worker ended"
        return "the worker ended"

    async def _keep_errors(self) -> bytes:
        """Read stderr to its end, so that its pipe never fills, and keep the last of it."""
        tail = b""
        while data := await self._stderr.read(_STDERR_TAIL):
            tail = (tail + data)[-_STDERR_TAIL:]
        return tail

    def kill(self) -> None:
        """Kill the worker at once; `end` still has to be awaited."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """End an idle worker: close its pipe, and kill it if it does not take the hint."""
        self._stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._process.wait()
        await self.end()

    async def end(self) -> str:
        """Kill the worker if it still runs, wait until it is gone, and give its resources back.

        Returns:
            What it printed to stderr.
        """
        self.kill()
        self._stdin.close()
        # Reading to the end waits for every holder of the pipe, so for the inner processes of
        # a sandbox as well; it also is what lets the transport close its descriptor.
        while await self._stdout.read(1 << 16):
            pass
        errors = await self._errors
        await self._process.wait()
        _remove(self._launch.directory)
        return errors.decode("utf-8", "replace").strip()


def _remove(directory: Path | None) -> None:
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)

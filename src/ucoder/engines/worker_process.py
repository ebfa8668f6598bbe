"""An engine's worker: a process of its own that answers requests, one JSON object a line each way.

Both sides of the pipe share this module. A worker is started with `python -m MODULE SETTINGS`. It
says `{"ready": true}` once its model is loaded, then reads `{"number": 3, "request": {...}}` and
answers `{"number": 3, "completions": [...]}` or `{"number": 3, "error": "..."}`, in any order;
`{"cancel": 3}` drops a request and `{"end": true}` asks it to end. What the worker and its children
write to standard error is kept, to explain why it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from ucoder.engines.protocol import Completion, Prompt, Request, SamplingParams
from ucoder.errors import RequestRefused
from ucoder.records import FinishReason
from ucoder.runtime import DEATH_S, start_process

T = TypeVar("T")

_MAX_LINE_BYTES = 256 * 2**20
"""Longest answer of a worker: thousands of long completions."""

_KEPT_LINES = 1000
"""Lines of standard error that are kept, to find the reason in them."""

_EXCEPTION = re.compile(r"\b\w+(?:Error|Exception): \S")
_POINTER = re.compile(r"(?i)see (?:the )?(?:root cause|stack trace)")


class WorkerEnded(Exception):
    """The worker ended, and its open requests with it; the message says how."""


class EngineProcess:
    """Starts a worker, hands requests to it, and ends it with all its children.

    Args:
        module: What `python -m` runs.
        settings: Its only argument, sent as JSON.
        out_of_memory_hint: What to lower if the system killed it for its memory.
        log: A file that standard error is also written to.
    """

    def __init__(
        self,
        module: str,
        settings: Mapping[str, Any],
        out_of_memory_hint: str,
        log: Path | None = None,
    ) -> None:
        self._command = (sys.executable, "-m", module, json.dumps(settings))
        self._hint = out_of_memory_hint
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._noise: asyncio.Task[None] | None = None
        self._answers: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[list[Completion]]] = {}
        self._numbers = count()
        self._exit_reason: str | None = None
        self.said: deque[str] = deque(maxlen=_KEPT_LINES)
        """The last lines of its standard error, oldest first."""

    async def start(self) -> None:
        """Start it and wait until its model is loaded.

        Raises:
            WorkerEnded: It ended before.
        """
        # A session of its own: Ctrl-C in a terminal is this process's to handle, and a signal
        # to the group reaches the worker's children too.
        self._process = await start_process(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            start_new_session=True,
        )
        self._noise = asyncio.create_task(self._keep_noise())
        try:
            ready = await _started(self._process.stdout).readline()
        except asyncio.CancelledError:
            await self.stop()
            raise
        self._answers = asyncio.create_task(self._read())
        if not ready:
            await self._answers
            raise WorkerEnded(self._exit_reason)

    @property
    def ended(self) -> str | None:
        """How it ended; None: it has not."""
        return self._exit_reason

    async def ask(self, request: Request) -> list[Completion]:
        """The worker's answer; cancelling drops the request in the worker too.

        Raises:
            RequestRefused: It refused the request.
            WorkerEnded: It has ended, or ended before it answered.
        """
        if self._exit_reason is not None:
            raise WorkerEnded(self._exit_reason)
        number = next(self._numbers)
        future: asyncio.Future[list[Completion]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send({"number": number, "request": asdict(request)})
        try:
            return await future
        except asyncio.CancelledError:
            self._send({"cancel": number})
            raise
        finally:
            del self._waiting[number]

    def kill(self) -> None:
        """Kill it and its children; `stop` also waits until they have ended."""
        if self._process is not None and self._noise is not None and not self._noise.done():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self, patience_s: float = 0.0) -> None:
        """End it, and return when all its processes have ended and their memory is free.

        Processes that do not end though they were killed are waited for only so long.

        Args:
            patience_s: How long it may take to end by itself, after it was asked to.
        """
        if self._process is None:
            return
        try:
            if patience_s and self._process.returncode is None:
                self._send({"end": True})
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), patience_s)
        finally:
            self.kill()
        await self._gone()
        if self._answers is not None:
            await asyncio.wait([self._answers], timeout=DEATH_S)

    def _send(self, message: Mapping[str, Any]) -> None:
        stdin = _started(_started(self._process).stdin)
        if not stdin.is_closing():
            stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        """Hand out the worker's answers until it ends."""
        stdout = _started(_started(self._process).stdout)
        try:
            while line := await stdout.readline():
                self._hand_out(json.loads(line))
        except ValueError as error:  # cut off in the middle, or longer than can be read
            self.said.append(f"ValueError: its answer cannot be read: {error}")
        self.kill()  # its children, if it left any
        await self._gone()
        self._exit_reason = self._describe_exit()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(WorkerEnded(self._exit_reason))

    def _hand_out(self, answer: dict[str, Any]) -> None:
        future = self._waiting.get(answer["number"])
        if future is None or future.done():
            return  # cancelled meanwhile
        if "error" in answer:
            future.set_exception(RequestRefused(answer["error"]))
        else:
            future.set_result([_read_completion(values) for values in answer["completions"]])

    async def _gone(self) -> None:
        """Wait until no process holds the other end of standard error, which children inherit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DEATH_S):
                await _started(self._process).wait()
                await asyncio.shield(_started(self._noise))

    async def _keep_noise(self) -> None:
        stderr = _started(_started(self._process).stderr)
        rest = b""
        while chunk := await stderr.read(1 << 16):
            if self._log is not None:
                with self._log.open("ab") as file:
                    file.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            self.said.extend(line.decode("utf-8", "replace") for line in lines)
        self.said.append(rest.decode("utf-8", "replace"))

    def _describe_exit(self) -> str:
        """The likeliest reason in its output, and its exit status."""
        said = [line.strip() for line in self.said if line.strip()]
        # An exception that only points at another one explains nothing.
        reasons = [s for s in said if _EXCEPTION.search(s) and not _POINTER.search(s)]
        words = (reasons or said or ["no message"])[-1]
        status = _started(self._process).returncode
        killed = f"; the system may be out of memory, {self._hint}" * (status == -signal.SIGKILL)
        return f"{words} (status {status}{killed})"


def _started(part: T | None) -> T:
    """A part that exists once the worker was started."""
    assert part is not None
    return part


def read_request(values: dict[str, Any]) -> Request:
    """In the worker: the request of a message."""
    sampling = values["sampling"] | {"stop": tuple(values["sampling"]["stop"])}
    return Request(**values | {"prompt": Prompt(**values["prompt"]),
                               "sampling": SamplingParams(**sampling)})  # fmt: skip


def completions_line(number: int, completions: list[Completion]) -> str:
    """In the worker: the line that answers a request."""
    return json.dumps({"number": number, "completions": [asdict(one) for one in completions]})


def error_line(number: int, error: str) -> str:
    """In the worker: the line that refuses a request."""
    return json.dumps({"number": number, "error": error})


def _read_completion(values: dict[str, Any]) -> Completion:
    return Completion(**values | {"finish_reason": FinishReason(values["finish_reason"])})

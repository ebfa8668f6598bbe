"""Frames between a benchmark and its helper processes: a length, then marshalled plain data.

Marshal, not JSON or pickle: it carries tuples, sets, complex numbers and infinities, other
versions of Python read it, and a helper that imports nothing else stays a bare interpreter.
"""

from __future__ import annotations

import asyncio
import marshal
import sys
from pathlib import Path
from typing import Any, BinaryIO

_VERSION = 4  # the newest that every supported Python reads


def send(stream: BinaryIO, value: Any) -> None:
    """Write one frame."""
    data = marshal.dumps(value, _VERSION)
    stream.write(len(data).to_bytes(8) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one frame; None at the stream's end."""
    header = stream.read(8)
    return marshal.loads(stream.read(int.from_bytes(header))) if len(header) == 8 else None


class Missing(Exception):
    """A helper cannot run here; the message says what to install."""


class Helper:
    """A helper process: one of the scripts of this folder, asked frame by frame."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout

    @classmethod
    async def start(
        cls, command: list[str], first: Any, environment: dict[str, str] | None = None
    ) -> Helper:
        """Start a helper, give it its first frame, and wait until it is warm.

        Raises:
            Missing: It cannot run here.
        """
        return (await cls.open(command, first, environment))[0]

    @classmethod
    async def open(
        cls, command: list[str], first: Any, environment: dict[str, str] | None = None
    ) -> tuple[Helper, Any]:
        """Likewise, with what the helper answers.

        Raises:
            Missing: It cannot run here.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=1 << 30,
        )
        helper = cls(process)
        reply = await helper.ask(first)
        if "missing" in reply:
            await helper.stop()
            raise Missing(reply["missing"])
        return helper, reply

    async def ask(self, value: Any) -> Any:
        """Send a frame and wait for the answer."""
        data = marshal.dumps(value, _VERSION)
        self._stdin.write(len(data).to_bytes(8) + data)
        await self._stdin.drain()
        return await self.next()

    async def next(self) -> Any:
        """Wait for a further frame."""
        header = await self._stdout.readexactly(8)
        return marshal.loads(await self._stdout.readexactly(int.from_bytes(header)))

    async def stop(self) -> None:
        """End the helper."""
        self._stdin.close()
        await self._process.wait()


def script(name: str) -> str:
    """The path of a script of this folder."""
    return str(Path(__file__).with_name(name))


def own_stdout() -> BinaryIO:
    """Take stdout for frames, and send what anyone prints to stderr instead."""
    import os  # here: the floor's interpreter loads this module's neighbours, not this one

    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return frames

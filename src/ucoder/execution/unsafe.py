"""The provider without isolation, for machines where no sandbox can start.

It bounds time, memory, file size and open files of a program, and nothing else. A program can
read and change everything that the calling user can: files, other processes, the network. It can
leave processes behind (a new session escapes the group that is killed), fork without bound, and
write outside its directory. It runs only if `unsafe-process` is named explicitly.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ucoder.errors import SandboxUnavailable
from ucoder.execution.payload import copy_files, worker_command
from ucoder.execution.pool import PooledExecutor
from ucoder.execution.process import Launch


class UnsafeProcessExecutor(PooledExecutor):
    """Runs programs in warm interpreters under resource limits only: not a sandbox."""

    name = "unsafe-process"

    async def _prepare(self) -> None:
        if not hasattr(os, "pidfd_open"):
            raise SandboxUnavailable("unsafe-process needs Linux 5.3 or newer (pidfd_open)")

    def _launch(self) -> Launch:
        directory = Path(tempfile.mkdtemp(prefix="ucoder-unsafe-"))
        root = directory / "payload"
        copy_files(root)
        work = str(directory)
        command = worker_command(str(root), self.settings, contained=False)
        return Launch(command, self.settings.environment(work), directory)

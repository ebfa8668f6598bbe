"""Runs small scripts beside the modules that a worker is made of, as a worker imports them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ucoder.execution.payload import FILES

SECCOMP = (
    "import ctypes, os, sys\n"
    "from ucoder.execution.child import seccomp\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "def errno_of(number, *arguments):\n"
    "    ctypes.set_errno(0)\n"
    "    return ctypes.get_errno() if libc.syscall(number, *arguments) == -1 else 0\n"
    "numbers = seccomp._numbers(os.uname().machine)\n"
    "seccomp.install(seccomp.program(os.uname().machine, {policy!r}))\n"
)
"""The start of a script that runs under a policy; `errno_of` makes a call and tells its error."""


def payload(folder: Path) -> Path:
    """Lay out the worker's modules below a folder, as a provider does."""
    for name, source in FILES.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return folder


def run(script: str, root: Path, *, environment: dict[str, str] | None = None) -> str:
    """Run a script in a process of its own and return what it printed.

    Its end is part of the claim: a script that fails, or prints to stderr, fails the test.
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(root), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.strip()

"""The files that go into a sandbox, and the command that starts a worker from them.

Inside, the worker imports its modules under the names that they have here, from a tree in which
nothing else of this project exists.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent

FILES: Final = {
    f"ucoder/execution/{name}": _HERE / name
    for name in (
        "canonical.py",
        "outcomes.py",
        "child/__init__.py",
        "child/runner.py",
        "child/watch.py",
        "child/worker.py",
    )
}
"""Where each file stands below the root of the payload, and where it comes from."""

ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
}
"""The environment of a worker, and so of every program; HOME and TMPDIR come on top."""

# -I would shut out the user's site-packages and environment in one word, but it makes Python
# ignore PYTHONHASHSEED as well, and sets would then print in another order each time.
_FLAGS: Final = ("-s", "-S", "-P", "-B", "-X", "utf8")


def interpreter() -> str:
    """The interpreter below any virtual environment: it needs the standard library only."""
    return str(Path(getattr(sys, "_base_executable", None) or sys.executable).resolve())


def worker_command(root: str, mode: str) -> tuple[str, ...]:
    """Build the command that starts a worker.

    Args:
        root: Where the payload's files stand, as the worker sees it.
        mode: `contained` in a PID namespace of its own, `bare` otherwise.
    """
    code = (
        f"import sys; sys.path.insert(0, {root!r}); "
        "from ucoder.execution.child.worker import main; "
        f"del sys.path[0]; main({mode!r})"
    )
    return (interpreter(), *_FLAGS, "-c", code)

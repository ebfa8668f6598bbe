"""The warm interpreter: takes one program after another from a pipe and forks for each.

Starting Python takes about 12 ms and importing what programs import takes more; a fork of an
interpreter that has done both takes one. So a worker lives for thousands of programs, and each
of them sees a copy of it that is thrown away afterwards.

Frames on both pipes are a length of four bytes, big-endian, and that much JSON. The worker
believes its parent and is believed by nobody: programs share its user id, so the parent treats
every answer as possibly forged.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import marshal
import math
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

from ucoder.execution.canonical import CanonicalError, parse
from ucoder.execution.child.runner import Job, die_with_parent, on_alarm, protect_memory
from ucoder.execution.child.watch import Watch, count_tasks

PRELOADED: Final = (
    "abc array ast bisect cmath collections collections.abc contextlib copy dataclasses datetime "
    "decimal enum fractions functools hashlib heapq io itertools json keyword math numbers "
    "operator os queue random re statistics string struct sys textwrap threading time types "
    "typing unicodedata"
)
"""What programs commonly import. A module outside this list works too, and is loaded in the fork.
A longer list is no gain: every page of memory makes every fork slower."""

_MIB: Final = 1 << 20
_MAX_LEFTOVERS: Final = 1000
"""More entries than this in /tmp, and a new worker is cheaper than cleaning up."""


class Worker:
    """One worker's state between programs."""

    def __init__(self, contained: bool) -> None:
        """Take over the pipes that the process was started with.

        Args:
            contained: Whether it runs in a PID namespace of its own, where it may kill every
                process but itself. Checked here, because a mistake would kill the user's session.
        """
        # Inside bubblewrap, process 1 is bubblewrap's own and this is its only child.
        self.contained = contained and os.getppid() == 1 and os.getpid() < 10
        if contained and not self.contained:
            raise SystemExit("the worker was told to be contained, and is not")
        self.requests, self.replies, self.errors = _take_over_pipes()
        self.directory = Path.cwd()
        self.kept = set(self.directory.iterdir())
        self.batches: OrderedDict[tuple[str, ...], tuple[bytes | str, ...]] = OrderedDict()

    def serve(self) -> None:
        """Answer programs until the parent closes the pipe."""
        self.send({"ready": True, "python": sys.version.split()[0]})
        while (request := self.receive()) is not None:
            self.send(self.answer(request))

    def receive(self) -> dict[str, Any] | None:
        """Wait for the next program; None when the parent is done."""
        header = _read_exactly(self.requests, 4)
        if header is None:
            return None
        data = _read_exactly(self.requests, int.from_bytes(header))
        return None if data is None else json.loads(data)

    def send(self, reply: dict[str, Any]) -> None:
        """Answer the parent."""
        data = json.dumps(reply).encode()
        data = len(data).to_bytes(4) + data
        while data:
            data = data[os.write(self.replies, data) :]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one program and clean up behind it."""
        started = time.monotonic()
        job = self.job(request, started)
        limit = request["n_processes"] + 2  # process 1 and this one

        def too_many() -> bool:
            return self.contained and count_tasks() > limit

        watch = Watch(job, (self.requests, self.replies, self.errors), too_many)
        reply: dict[str, Any]
        if job.entry_point is None:
            verdict, detail = watch.run_script()
            reply = {"verdict": verdict, "detail": detail}
        else:
            watch.run_calls()
            reply = {
                "status": watch.status,
                "detail": watch.detail,
                "outcomes": [(outcome.kind, outcome.text) for outcome in watch.outcomes],
            }
        reply |= {"cpu_s": watch.cpu_s, "wall_s": time.monotonic() - started}
        return reply | {"retire": not self.clean()}

    def job(self, request: dict[str, Any], started: float) -> Job:
        """Make a request ready to be forked for."""
        timeout_s = request["timeout_s"]
        cpu_s = math.ceil(timeout_s) + 1
        memory, file_size = request["memory_limit_mib"] * _MIB, request["file_size_mib"] * _MIB
        rlimits = [
            (resource.RLIMIT_AS, memory),
            (resource.RLIMIT_CPU, cpu_s),  # per process; stops what outlives its watcher
            (resource.RLIMIT_FSIZE, file_size),
            (resource.RLIMIT_NOFILE, 256),
            (resource.RLIMIT_CORE, 0),
        ]
        if self.contained:
            # Outside a namespace this would count every process of the user. The kernel does not
            # apply it to root, even to root in a user namespace: `too_many` is there for that.
            rlimits.append((resource.RLIMIT_NPROC, request["n_processes"] + 2))
        return Job(
            source=request["source"],
            entry_point=request["entry_point"],
            arguments=self.arguments(tuple(request["inputs"])),
            token=os.urandom(16).hex(),
            call_timeout_s=request["call_timeout_s"],
            deadline=started + timeout_s,
            output_limit=request["output_limit_bytes"],
            rlimits=tuple((name, _within_hard_limit(name, value)) for name, value in rlimits),
        )

    def arguments(self, inputs: tuple[str, ...]) -> tuple[bytes | str, ...]:
        """Parse a batch of inputs once, however many candidates are called on it."""
        known = self.batches.get(inputs)
        if known is None:
            known = tuple(_marshalled(text) for text in inputs)
            self.batches[inputs] = known
            if len(self.batches) > 4:
                self.batches.popitem(last=False)
        self.batches.move_to_end(inputs)
        return known

    def clean(self) -> bool:
        """Remove what the program left: processes, then files.

        Returns:
            False where something could not be removed; the parent then replaces this worker,
            and what is left goes with it.
        """
        if self.contained and not _kill_everyone():
            return False
        try:
            left = [path for path in self.directory.iterdir() if path not in self.kept]
            if len(left) > _MAX_LEFTOVERS:
                return False
            for path in left:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except (OSError, RecursionError):  # unreadable, too deep, or changing under our hands
            return False
        return True


def _within_hard_limit(name: int, value: int) -> int:
    hard = resource.getrlimit(name)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _marshalled(text: str) -> bytes | str:
    try:
        value = parse(text)
        if type(value) is not tuple:
            return f"an input must be a tuple of arguments, got {type(value).__name__}"
        return marshal.dumps(value)
    except (CanonicalError, ValueError) as error:
        return f"unreadable input: {ascii(str(error))[1:300]}"


def _kill_everyone() -> bool:
    """Kill every process of this PID namespace but the worker; True when none is left."""
    for attempt in range(200):
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return True
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.0005 if attempt < 20 else 0.005)
    return False


def _read_exactly(descriptor: int, n_bytes: int) -> bytes | None:
    """Read so many bytes; None where the other side closed the pipe."""
    parts = []
    while n_bytes:
        part = os.read(descriptor, min(n_bytes, _MIB))
        if not part:
            return None
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def _take_over_pipes() -> tuple[int, int, int]:
    """Move the pipes away from stdin, stdout and stderr, and put /dev/null in their places.

    A fork inherits 0, 1 and 2: a program that reads gets nothing, one that prints is not heard.
    """
    moved = os.dup(0), os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return moved


def main(mode: str) -> None:
    """Warm up, forget this project's own modules, and serve.

    Args:
        mode: `contained` inside a PID namespace of its own, anything else outside.
    """
    worker = Worker(mode == "contained")
    die_with_parent()
    protect_memory()
    for name in PRELOADED.split():
        with contextlib.suppress(ImportError):  # an interpreter may be built without some
            importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] == "ucoder"]:
        del sys.modules[name]
    signal.signal(signal.SIGALRM, on_alarm)
    # Objects that the collector never touches again stay on pages that forks share.
    gc.collect()
    gc.freeze()
    try:
        worker.serve()
    except Exception:
        os.write(worker.errors, traceback.format_exc().encode())  # the parent reports it
        raise

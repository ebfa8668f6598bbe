"""The warm interpreter: takes one program after another from a pipe and forks for each.

Starting Python takes about 12 ms and importing what programs import takes more; a fork of an
interpreter that has done both takes one. So a worker lives for thousands of programs, and each
of them sees a copy of it that is thrown away afterwards. What the worker itself imports is in
that copy as well, and every page makes every fork slower: it imports little.

Frames on both pipes are a length of four bytes, big-endian, and that many bytes. The worker
trusts its parent, and the parent does not trust the worker: every answer may be forged.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import os
import resource
import signal
import sys
import time
from marshal import loads
from typing import Any, Final

from ucoder.execution.child import isolation, runner
from ucoder.execution.child.judge import run_trial
from ucoder.execution.child.records import REPLY
from ucoder.execution.child.runner import Job, on_alarm
from ucoder.execution.child.watch import Watch

_MIB: Final = 1 << 20
_MAX_LEFTOVERS: Final = 1000
"""More entries than this in /tmp, and a new worker is cheaper than cleaning up."""

_PR_SET_DUMPABLE: Final = 4
_GC_THRESHOLD: Final = 10_000
"""Programs are short: at the default of 700 the collector would run often and find no cycles."""


class SandboxWorker:
    """A worker's state between programs."""

    def __init__(self, settings: dict[str, Any], isolated: isolation.Isolation) -> None:
        """Take over the pipes that the process was started with.

        Args:
            settings: What `payload.worker_command` wrote.
            isolated: What this worker does to isolate its programs.
        """
        self.limits = settings["limits"]
        self.root = settings["root"]
        self.reader: Any = None
        self.isolation = isolated
        self.requests, self.replies, self.errors = _take_over_pipes()
        self.directory = os.getcwd()
        self.kept: set[str] = set()
        self.batches: dict[int, tuple[tuple[bytes | str, ...], bytes]] = {}
        self.rlimits: tuple[tuple[int, int], ...] = ()

    def serve(self, greeting: bytes) -> None:
        """Answer programs until the parent closes the pipe."""
        self.kept = set(os.listdir(self.directory))  # with what preloading left
        self.rlimits = self._rlimits()
        self.send(greeting)
        while (request := self.receive()) is not None:
            self.send(self.answer(*loads(request)))

    def receive(self) -> bytes | None:
        """Wait for the next program; None when the parent is done."""
        header = _read_exactly(self.requests, 4)
        return header and _read_exactly(self.requests, int.from_bytes(header, "big"))

    def send(self, data: bytes) -> None:
        """Answer the parent."""
        data = len(data).to_bytes(4, "big") + data
        while data:
            data = data[os.write(self.replies, data) :]

    def answer(
        self,
        source: str,
        entry_point: str | None,
        timeout_s: float,
        wall_time_factor: float,
        allowed: tuple[float, int, int],
        forget: tuple[int, ...],
        number: int,
        batch: tuple[tuple[bytes | str, ...], bytes] | None,
        n_test_bytes: int | None,
        tested: str | None,
        as_script: bool,
    ) -> bytes:
        """Run one program and clean up behind it.

        Args:
            source: The program's text.
            entry_point: The function to call on each input; None runs the program as a script.
            timeout_s: Seconds for the whole program.
            wall_time_factor: How much more wall-clock than CPU time it may take.
            allowed: Seconds a call, bytes a result, and timeouts in a row.
            forget: Numbers of batches that will not be asked for again.
            number: The batch's number; 0 for one that is not to be kept.
            batch: The inputs and their flags; None where the worker holds them already.
            n_test_bytes: The length of a test script that follows in the pipe, if one does.
            tested: The function that it tests, where the caller named it.
            as_script: Whether the end of a script without separate tests is its verdict.
        """
        self.isolation.prepare()
        started = time.monotonic()
        for old in forget:
            del self.batches[old]
        if batch is None:
            batch = self.batches[number]
        elif number:
            self.batches[number] = batch
        job = Job(
            source=source,
            entry_point=entry_point,
            arguments=batch[0],
            flags=batch[1],
            call_timeout_s=allowed[0],
            cpu_limit_s=timeout_s,
            deadline=started + timeout_s * wall_time_factor,
            wall_time_factor=wall_time_factor,
            output_limit=allowed[1],
            max_timeouts=allowed[2],
            rlimits=self.rlimits,
            candidates=None if tested is None else (tested,),
            as_script=as_script,
        )
        own = (self.requests, self.replies, self.errors)
        watch = Watch(job, own, self.isolation)
        usable = True
        if entry_point is not None:
            watch.run_calls()
        elif n_test_bytes is None:
            watch.run_script()
        else:
            self.reader = self.reader or _load_reader(self.root)
            usable = run_trial(watch, self.requests, n_test_bytes, self.reader, tested)
        leftovers, clean = self.clean(watch)
        detail, left = watch.detail.encode("ascii", "backslashreplace"), leftovers.encode()
        retire = not (usable and clean)
        wall_s = time.monotonic() - started
        header = REPLY.pack(
            watch.status, retire, watch.cpu_s, wall_s, len(detail), len(left), watch.n_answers
        )
        return b"".join((header, detail, left, watch.answers))

    def _rlimits(self) -> tuple[tuple[int, int], ...]:
        with open("/proc/self/statm") as file:  # the interpreter itself is not the program's
            taken = int(file.read().split()[0]) * resource.getpagesize()
        wanted = [
            (resource.RLIMIT_AS, taken + self.limits["memory_limit_mib"] * _MIB),
            (resource.RLIMIT_FSIZE, self.limits["file_size_mib"] * _MIB),
            (resource.RLIMIT_NOFILE, 256),
            (resource.RLIMIT_CORE, 0),
            # Signals and timers that wait count for the user, outside as well.
            (resource.RLIMIT_SIGPENDING, 128),
        ]
        # No RLIMIT_CPU: with it, the kernel counts a process's time in ticks of milliseconds.
        wanted += self.isolation.rlimits()
        return tuple((name, _within_hard_limit(name, value)) for name, value in wanted)

    def clean(self, watch: Watch) -> tuple[str, bool]:
        """Remove what the program left: processes, whose time is the program's, then files.

        Returns:
            What it was, in words, and False where something could not be removed; the parent
            then replaces this worker, and what is left goes with it.
        """
        found = []
        n_processes, gone, cpu_s = self.isolation.kill_programs()
        watch.cpu_s += cpu_s
        if n_processes:
            found.append(_count(n_processes, "process", "processes"))
        if not gone:
            return ", ".join(found), False
        try:
            left = self._leftovers()
            if left:
                found.append(f"{_count(len(left), 'file', 'files')} in its directory")
            if not self.isolation.renews_directory() and left:
                if len(left) > _MAX_LEFTOVERS:
                    return ", ".join(found), False
                self._remove(left)
        except (OSError, RecursionError):  # unreadable, too deep, or changed meanwhile
            return ", ".join(found), False
        return ", ".join(found), True

    def _leftovers(self) -> list[str]:
        """The names in the directory that a program made."""
        return [name for name in os.listdir(self.directory) if name not in self.kept]

    def _remove(self, names: list[str]) -> None:
        for name in names:
            path = os.path.join(self.directory, name)
            if os.path.isdir(path) and not os.path.islink(path):
                from shutil import rmtree  # rarely needed, and large

                rmtree(path)
            else:
                os.unlink(path)


def _load_reader(root: str) -> Any:
    """Import the parser of canonical text, once the first judge needs it."""
    sys.path.insert(0, root)
    reader = importlib.import_module("ucoder.execution.canonical.reader")
    sys.path.remove(root)
    _forget_ourselves()
    return reader


def _forget_ourselves() -> None:
    """Take this project's own modules from where programs look for modules."""
    for name in [name for name in sys.modules if name.split(".")[0] == "ucoder"]:
        del sys.modules[name]


class _SeedRandom:
    """Gives `random` a fixed seed where a program imports it.

    Importing it in the worker would make each fork slower, and few programs want it.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name != "random":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_seed(module: Any) -> None:
                execute(module)
                module.seed(self.seed)

            spec.loader.exec_module = execute_and_seed  # type: ignore[method-assign]
        return spec


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _within_hard_limit(name: int, value: int) -> int:
    hard = resource.getrlimit(name)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _read_exactly(descriptor: int, n_bytes: int) -> bytes | None:
    """Read exactly `n_bytes`; None where the other side closed the pipe."""
    data = os.read(descriptor, n_bytes)
    if len(data) == n_bytes:
        return data
    parts = []
    while data:
        parts.append(data)
        n_bytes -= len(data)
        if not n_bytes:
            return b"".join(parts)
        data = os.read(descriptor, min(n_bytes, _MIB))
    return None


def _take_over_pipes() -> tuple[int, int, int]:
    """Move the pipes away from stdin, stdout and stderr, and put /dev/null in their places.

    A fork inherits 0, 1 and 2: a program that reads gets nothing, and what it prints is lost.
    """
    moved = os.dup(0), os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return moved


def main(settings: dict[str, Any]) -> None:
    """Warm up, forget this project's own modules, and serve.

    Args:
        settings: What `payload.worker_command` wrote.
    """
    sys.path.extend(settings["path"])
    isolated = isolation.enter(settings)
    worker = SandboxWorker(settings, isolated)
    # Keeps programs, which have this user id, from this process's memory in /proc.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    loaded = []
    for name in settings["preload"]:
        with contextlib.suppress(ImportError):  # absent, or an interpreter built without it
            importlib.import_module(name)
            loaded.append(name)
    seed = settings["random_seed"]
    if "numpy" in loaded:
        sys.modules["numpy"].random.seed(seed)  # imports `random` as well
    if "random" not in sys.modules:
        sys.meta_path.insert(0, _SeedRandom(seed))
    else:  # after the hook by which `random` itself draws a new seed in each fork
        os.register_at_fork(after_in_child=lambda: sys.modules["random"].seed(seed))
    signal.signal(signal.SIGALRM, on_alarm)
    # Without a handler, the kernel keeps it from the first process of a namespace; see `confine`.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    runner.warm_up()
    _forget_ourselves()
    # Objects that the collector never touches again stay on pages that forks share, and memory
    # that is given back need not be copied.
    gc.collect()
    with contextlib.suppress(AttributeError):  # not every libc has it
        ctypes.CDLL(None).malloc_trim(0)
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    isolated.restrict_worker()
    try:
        worker.serve(" ".join(["ready", *loaded]).encode())
    except Exception as error:
        os.write(
            worker.errors, f"{type(error).__name__}: {error}".encode()
        )  # the parent reports it
        raise

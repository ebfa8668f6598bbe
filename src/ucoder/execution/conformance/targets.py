"""Targets outside the sandbox that belong to the suite: attacks aim at these and at nothing else.

Each is made in the caller's process just before an attack, watched from there, and removed after.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

_SETTLE_S: Final = 1.5
"""How long a process that has been killed may take to disappear."""

_VICTIM: Final = """
import signal, sys
signal.signal(signal.SIGURG, lambda *a: open(sys.argv[1], 'w').close())
print('ready', flush=True)
while True:
    signal.pause()
"""


@dataclass(frozen=True, slots=True)
class Target:
    """Something outside the sandbox that belongs to the suite, for an attack to aim at.

    Attributes:
        names: Global variables that the programs are given, such as a port or a path.
        changed: Returns what happened to the target, or None where nothing did.
    """

    names: Mapping[str, object] = field(default_factory=dict)
    changed: Callable[[], str | None] = lambda: None


OpenTarget: TypeAlias = Callable[[], AbstractContextManager[Target]]
"""Makes a target in the caller's process, and removes it afterwards."""


@contextmanager
def listener(family: socket.AddressFamily = socket.AF_INET) -> Iterator[Target]:
    """A TCP listener on loopback, as PORT; a connection to it is detected."""
    host = "::1" if family is socket.AF_INET6 else "127.0.0.1"
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind((host, 0))
        server.listen()
        server.setblocking(False)
        yield Target({"PORT": server.getsockname()[1]}, lambda: _accepted(server))


@contextmanager
def resolver() -> Iterator[Target]:
    """A UDP socket on loopback in the place of a resolver, as PORT; a query is detected."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)

        def changed() -> str | None:
            with suppress(BlockingIOError):
                return f"{len(server.recv(512))} bytes arrived at the resolver"
            return None

        yield Target({"PORT": server.getsockname()[1]}, changed)


@contextmanager
def unix_listener(abstract: bool) -> Iterator[Target]:
    """A Unix socket that listens, as ADDRESS: an abstract name, or a path outside."""
    with ExitStack() as stack:
        if abstract:
            address = f"\0ucoder-conformance-{secrets.token_hex(4)}"
        else:
            address = stack.enter_context(tempfile.TemporaryDirectory()) + "/socket"
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(address)
        server.listen()
        server.setblocking(False)
        yield Target({"ADDRESS": address}, lambda: _accepted(server))


@contextmanager
def secret_file() -> Iterator[Target]:
    """A folder outside, as FOLDER, and in it a file with a secret, as SECRET.

    Anything created, changed or removed in the folder is detected, including its metadata.
    """
    with tempfile.TemporaryDirectory(prefix="ucoder-conformance-") as name:
        folder, path = Path(name), Path(name) / "secret"
        path.write_text("secret")
        path.chmod(0o644)
        folder.chmod(0o755)
        before = _snapshot(folder)

        def changed() -> str | None:
            after = _snapshot(folder)
            return None if after == before else f"outside, {before} became {after}"

        yield Target({"SECRET": str(path), "FOLDER": name, "HOME": str(Path.home())}, changed)


@contextmanager
def victim() -> Iterator[Target]:
    """A process of the suite, as VICTIM, with a secret in its environment, as KEY.

    Its end is detected, and so are changes of its run state, niceness, cores and scheduler. It also
    records the harmless signal SIGURG, so that attacks on all processes need no other signal.
    """
    with tempfile.TemporaryDirectory(prefix="ucoder-conformance-") as name:
        heard = Path(name) / "heard"
        environment = {**os.environ, "UCODER_CONFORMANCE": secrets.token_hex(8)}
        with subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(heard)], stdout=subprocess.PIPE, env=environment
        ) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                before = _settings(process.pid)

                def changed() -> str | None:
                    if process.poll() is not None:
                        return f"a process outside ended with {process.returncode}"
                    if heard.exists():
                        return "a process outside got a signal"
                    after = _settings(process.pid)
                    return None if after == before else f"outside, {before} became {after}"

                yield Target(
                    {"VICTIM": process.pid, "KEY": environment["UCODER_CONFORMANCE"]}, changed
                )
            finally:
                process.kill()


@contextmanager
def marked_processes() -> Iterator[Target]:
    """A name for processes to carry, as MARK; a process that has it afterwards is detected."""
    mark = f"uc-{secrets.token_hex(5)}"

    def changed() -> str | None:
        deadline = time.monotonic() + _SETTLE_S
        while found := _named(mark):
            if time.monotonic() > deadline:
                return f"{len(found)} processes of the program still run"
            time.sleep(0.02)
        return None

    try:
        yield Target({"MARK": mark}, changed)
    finally:
        for pid in _named(mark):
            with suppress(OSError):
                os.kill(pid, 9)


@contextmanager
def fresh_key() -> Iterator[Target]:
    """An unused number and an unused name for shared objects, as NUMBER and NAME."""
    number = secrets.randbelow(1 << 30) + 1
    yield Target({"NUMBER": number, "NAME": f"uc-{number:x}"})
    with suppress(OSError):
        Path(f"/dev/shm/uc-{number:x}").unlink()


@contextmanager
def host_name() -> Iterator[Target]:
    """The name of this machine, as HOST."""
    yield Target({"HOST": socket.gethostname()})


def _accepted(server: socket.socket) -> str | None:
    with suppress(BlockingIOError):
        server.accept()[0].close()
        return "a connection arrived outside"
    return None


def _snapshot(folder: Path) -> list[tuple[str, int, int, int, str]]:
    return [
        (path.name, path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_nlink,
         path.read_text() if path.is_file() else "")
        for path in (folder, *sorted(folder.iterdir()))
    ]  # fmt: skip


def _settings(pid: int) -> tuple[str, int, frozenset[int], int]:
    """Return what others could change about a process: run state, niceness, cores, scheduler."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    is_stopped = "stopped" if state in "Tt" else "runs"
    nice = os.getpriority(os.PRIO_PROCESS, pid)
    return is_stopped, nice, frozenset(os.sched_getaffinity(pid)), os.sched_getscheduler(pid)


def _named(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "comm").read_text().strip() == mark:
                    found.append(int(entry.name))
    return found


TARGETS: Final[dict[str, OpenTarget]] = {
    "listener": listener,
    "listener_v6": partial(listener, socket.AF_INET6),
    "resolver": resolver,
    "abstract_listener": partial(unix_listener, abstract=True),
    "path_listener": partial(unix_listener, abstract=False),
    "secret_file": secret_file,
    "victim": victim,
    "marked_processes": marked_processes,
    "fresh_key": fresh_key,
    "host_name": host_name,
}
"""By the names that attack files use."""

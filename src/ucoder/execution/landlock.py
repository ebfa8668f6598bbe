"""The provider that needs no namespaces: workers under Landlock and a system-call filter.

It is for machines where bubblewrap cannot start, as in many containers. What it guarantees:
programs read the interpreter and the system's libraries, write to a folder of their own, open no
socket, signal no process outside, use no dangerous system call, have no capability even if root
started them, and leave no process behind. What it guarantees less well than namespaces do:

- Programs see the host's file names: Landlock does not restrict `stat`, `readlink` and `chdir`, so
  the existence, size and dates of any file whose path can be guessed are visible, and so are the
  process numbers in use.
- The writable folder lies on the host's disk. The size of one file is bounded, their number is not.
- Calls that change modes, owners, times or attributes of files are refused altogether, in the
  program's own folder too, because a filter cannot tell folders apart: `shutil.copy`, which copies
  the mode, fails, and `shutil.copyfile` works. POSIX semaphores fail as well (there is no
  /dev/shm), and with them `multiprocessing.Queue` and `Pool`.
- The number of processes is counted, not enforced by the kernel: a fork bomb gets a few ticks.
- On kernels before 6.12 a program cannot signal its own children either, and before 5.19 it cannot
  move files between folders.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from ucoder.errors import SandboxUnavailable
from ucoder.execution.child import landlock as kernel
from ucoder.execution.child import seccomp
from ucoder.execution.payload import copy_files, interpreter_folders, worker_command
from ucoder.execution.pool import PooledExecutor
from ucoder.execution.process import Launch

_SYSTEM: Final = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache")
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_LIST_OF_MODULES: Final = Path("/sys/kernel/security/lsm")


class LandlockExecutor(PooledExecutor):
    """Runs programs in warm interpreters, restricted by Landlock and seccomp."""

    name = "landlock"

    async def _prepare(self) -> None:
        if reason := why_unavailable():
            raise SandboxUnavailable(reason)

    def _launch(self) -> Launch:
        # Private by its mode, 0700: other users' programs neither read nor write in it.
        directory = Path(tempfile.mkdtemp(prefix="ucoder-landlock-")).resolve()
        root, work = directory / "payload", directory / "tmp"
        work.mkdir()
        copy_files(root)
        readable = (*_SYSTEM, *map(str, interpreter_folders()), *self.settings.libraries, str(root))
        landlock = {"read": readable, "write": (str(work),), "devices": _DEVICES}
        command = worker_command(str(root), self.settings, contained=False, landlock=landlock)
        return Launch(command, self.settings.environment(str(work)), directory, guarded=True)


def why_unavailable() -> str:
    """Return why this provider cannot start here, and what can be done; "" if it can."""
    if not sys.platform.startswith("linux"):
        return f"landlock needs Linux, and this is {sys.platform}"
    if not seccomp.is_known():
        return (
            "landlock: no table of system calls for this architecture; the provider runs on x86_64 "
            "and aarch64, under a 64-bit Python"
        )
    if kernel.abi():
        return ""
    try:
        modules = _LIST_OF_MODULES.read_text().strip()
    except OSError:  # not mounted, as in most containers
        modules = ""
    found = f"; its security modules are: {modules}" if modules else ""
    return (
        f"This kernel offers no Landlock{found}.\n"
        "What can be done:\n"
        "- use Linux 5.13 or newer (6.12 for all that this provider can guarantee), built with "
        "CONFIG_SECURITY_LANDLOCK\n"
        "- name it among the security modules at boot: `lsm=landlock,...` on the kernel's "
        "command line\n"
        "- in a container, let the calls landlock_create_ruleset, landlock_add_rule and "
        "landlock_restrict_self through the runtime's system-call filter; those of Docker 23 and "
        "Podman 4 do"
    )

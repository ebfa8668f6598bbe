"""What a worker has to do by itself to isolate its programs, one class per provider.

In a PID namespace the worker is process 1: the kernel counts and ends its programs. Under Landlock
it keeps its descendants together as a subreaper and puts each fork into a restricted domain.
Without either, it bounds resources and isolates nothing.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from typing import Any

from ucoder.execution.child import descendants, seccomp
from ucoder.execution.child.mounts import FreshDirectory

_PR_SET_PDEATHSIG = 1
_N_OWN = 2
"""Processes that a watch forks for a program, at most: the program's, and a judge."""
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
"""The devices that `bwrap --dev` makes of the host's own."""


def enter(settings: dict[str, Any]) -> Isolation:
    """Set up the isolation that the settings name; called first of all in a worker.

    Args:
        settings: What `payload.worker_command` wrote.

    Raises:
        OSError: The kernel refused.
        SystemExit: The worker is not where the settings say.
    """
    if settings["contained"]:
        return NamespaceIsolation(settings)
    return LandlockIsolation(settings) if settings["landlock"] else Isolation(settings)


class Isolation:
    """A plain process under resource limits: no isolation."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.n_processes: int = settings["limits"]["n_processes"]
        die_with_parent()

    def restrict_worker(self) -> None:
        """Restrict the worker itself; called last before the first program, with all loaded."""

    def restrict_fork(self) -> None:
        """Restrict a fork; called first in every fork."""
        die_with_parent()  # a fork does not inherit it

    def rlimits(self) -> list[tuple[int, int]]:
        """Limits beyond those of every provider."""
        return []

    def usage(self) -> tuple[bool, float]:
        """What a program's processes take together.

        Returns:
            Whether they are more than they may be, threads included; and their CPU seconds, 0
            where the program is one process, which counts its time itself.
        """
        return False, 0.0

    def kill_programs(self) -> tuple[int, bool, float]:
        """End the processes that a program left.

        Returns:
            How many there were, whether all are gone, and the CPU seconds that they took.
        """
        return 0, True, 0.0

    def prepare(self) -> None:
        """Do what has to be done before a program is forked for."""

    def renews_directory(self) -> bool:
        """Whether the directory has been replaced by a new one, with nothing in it.

        Raises:
            OSError: It could not be replaced; the worker must be.
        """
        return False


class NamespaceIsolation(Isolation):
    """Process 1 of a PID namespace, inside bubblewrap, which isolates everything else."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        if os.getpid() != 1:  # `kill_programs` would end every process of the user
            raise SystemExit("the worker was told to be process 1 of its namespace, and is not")
        self.fresh = FreshDirectory(os.getcwd(), settings["limits"]["file_size_mib"])
        # Others than root do not own the host's devices, so their programs cannot change them.
        if self.fresh.may_mount or settings["is_root"]:
            for path in (*(f"/dev/{name}" for name in _DEVICES), "/dev/pts"):
                self.fresh.protect(path)

    def restrict_worker(self) -> None:
        """Refuse the system calls that no program needs, to this process and its forks."""
        self.fresh.begin()
        seccomp.install(seccomp.program(os.uname().machine, "namespaced"))

    def restrict_fork(self) -> None:
        """Give up the right to mount. When process 1 ends, all processes of its namespace end."""
        self.fresh.give_up_rights()

    def prepare(self) -> None:
        """Wait for the directory's clock."""
        self.fresh.settle()

    def renews_directory(self) -> bool:
        """Replace the directory where it was changed."""
        self.fresh.renew()
        return True

    def rlimits(self) -> list[tuple[int, int]]:
        """Bound the processes of the namespace."""
        # Outside a namespace this would count every process of the user. The kernel does not
        # apply it to root, even to root in a user namespace: `too_many` is there for that.
        return [(resource.RLIMIT_NPROC, self.n_processes + 1)]

    def usage(self) -> tuple[bool, float]:
        """Look at every process of the namespace."""
        pids = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        n_tasks = descendants.count_tasks(pids)
        cpu_s = descendants.cpu_seconds(pids) if len(pids) > _N_OWN else 0.0
        return n_tasks > self.n_processes, cpu_s

    def kill_programs(self) -> tuple[int, bool, float]:
        """Kill and reap all but this process."""
        n_found, cpu_s = 0, 0.0
        for attempt in range(200):
            try:
                # Whatever outlives its parent becomes process 1's child: no child, no process.
                while (ended := os.wait4(-1, os.WNOHANG))[0]:
                    n_found += 1
                    cpu_s += ended[2].ru_utime + ended[2].ru_stime
                os.kill(-1, signal.SIGKILL)
            except (ChildProcessError, ProcessLookupError):
                return n_found, True, cpu_s
            time.sleep(0.0005 if attempt < 20 else 0.005)
        return n_found, False, cpu_s


class LandlockIsolation(Isolation):
    """A process among the user's others, with Landlock and a filter around its programs."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from ucoder.execution.child import guard
        from ucoder.execution.child.confinement import Confinement

        guard.guard_worker()
        super().__init__(settings)
        self.make = Confinement
        self.landlock = settings["landlock"]
        os.chdir(self.landlock["write"][0])

    def restrict_worker(self) -> None:
        """Restrict this process, and prepare the domain that its forks enter."""
        self.confinement = self.make(**{name: list(v) for name, v in self.landlock.items()})

    def restrict_fork(self) -> None:
        """Enter a domain below the worker's."""
        self.confinement.enter()

    def usage(self) -> tuple[bool, float]:
        """Look at every descendant of this process."""
        pids = descendants.find()
        cpu_s = descendants.cpu_seconds(pids) if len(pids) > _N_OWN else 0.0
        return descendants.count_tasks(pids) > self.n_processes, cpu_s

    def kill_programs(self) -> tuple[int, bool, float]:
        """Kill and reap every descendant."""
        return descendants.kill_all()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

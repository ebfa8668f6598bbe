"""Where a worker lives, and what that leaves for it to do by itself, one class a provider.

In a namespace of its own the worker is process 1: the kernel counts and ends its programs. Under
Landlock it keeps its descendants together as a subreaper and sends each fork into a restricted
domain. Bare, it does what a process can do, which is little.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from typing import Any

from ucoder.execution.child import seccomp

_PR_SET_PDEATHSIG = 1


def enter(setting: dict[str, Any]) -> Surroundings:
    """Take the surroundings that the setting names; called first of all in a worker.

    Raises:
        OSError: The kernel refused.
        SystemExit: They are not what the setting says.
    """
    if setting["contained"]:
        return Namespace(setting)
    return Shared(setting) if setting["landlock"] else Surroundings(setting)


class Surroundings:
    """A plain process: nothing is held back but by limits."""

    def __init__(self, setting: dict[str, Any]) -> None:
        self.n_processes: int = setting["limits"]["n_processes"]
        die_with_parent()

    def settle(self) -> None:
        """Called last before the first program, with everything loaded."""

    def confine(self) -> None:
        """Called first in every fork."""
        die_with_parent()  # a fork does not inherit it

    def rlimits(self) -> list[tuple[int, int]]:
        """Limits beyond those of every provider."""
        return []

    def too_many(self) -> bool:
        """Whether a program has more processes and threads than it may have."""
        return False

    def kill_everyone(self) -> tuple[int, bool]:
        """End what a program left: how many that were, and whether none remains."""
        return 0, True


class Namespace(Surroundings):
    """Process 1 of a PID namespace; the sandbox around it did the rest."""

    def __init__(self, setting: dict[str, Any]) -> None:
        super().__init__(setting)
        if os.getpid() != 1:  # `kill_everyone` would end every process of the user
            raise SystemExit("the worker was told to be process 1 of its namespace, and is not")

    def settle(self) -> None:
        """Refuse the system calls that no program needs, to this process and its forks."""
        seccomp.install(seccomp.program(os.uname().machine, "namespaced"))

    def confine(self) -> None:
        """Nothing is left to do: when process 1 ends, the kernel ends its namespace."""

    def rlimits(self) -> list[tuple[int, int]]:
        """Bound the processes of the namespace."""
        # Outside a namespace this would count every process of the user. The kernel does not
        # apply it to root, even to root in a user namespace: `too_many` is there for that.
        return [(resource.RLIMIT_NPROC, self.n_processes + 1)]

    def too_many(self) -> bool:
        """Count the processes and threads of the namespace."""
        n_tasks = 0
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:  # a directory's links are its subdirectories and two: one for each thread
                    n_tasks += os.stat(f"/proc/{name}/task").st_nlink - 2
                except OSError:  # it ended meanwhile
                    continue
        return n_tasks > self.n_processes + 1

    def kill_everyone(self) -> tuple[int, bool]:
        """Kill and reap all but this process."""
        n_found = 0
        for attempt in range(200):
            try:
                # Whatever outlives its parent becomes process 1's child: no child, no process.
                while os.waitpid(-1, os.WNOHANG)[0]:
                    n_found += 1
                os.kill(-1, signal.SIGKILL)
            except (ChildProcessError, ProcessLookupError):
                return n_found, True
            time.sleep(0.0005 if attempt < 20 else 0.005)
        return n_found, False


class Shared(Surroundings):
    """A process among the user's others, with Landlock and a filter around its programs."""

    def __init__(self, setting: dict[str, Any]) -> None:
        from ucoder.execution.child import descendants, guard
        from ucoder.execution.child.confinement import Confinement

        guard.guard_worker()
        super().__init__(setting)
        self.descendants = descendants
        self.make = Confinement
        self.landlock = setting["landlock"]
        os.chdir(self.landlock["write"][0])

    def settle(self) -> None:
        """Restrict this process, and get ready what its forks enter."""
        self.confinement = self.make(**{name: list(v) for name, v in self.landlock.items()})

    def confine(self) -> None:
        """Enter a domain below the worker's."""
        self.confinement.enter()

    def too_many(self) -> bool:
        """Count the descendants of this process."""
        return self.descendants.count_tasks() > self.n_processes

    def kill_everyone(self) -> tuple[int, bool]:
        """Kill and reap every descendant."""
        return self.descendants.kill_all()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

"""How a worker restricts itself and its programs where no namespace does it.

Once, the worker drops its capabilities and the system calls of `seccomp`'s policy `shared`. Every
fork restricts files, connections and signals by Landlock, in a domain below the worker's, so that
the worker can end its programs and they cannot end it.
"""

from __future__ import annotations

import ctypes
import os
import signal

from ucoder.execution.child import capabilities, descendants, seccomp
from ucoder.execution.child.landlock import Ruleset

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2


class Confinement:
    """The restrictions of one worker, ready to be entered by its forks."""

    def __init__(self, read: list[str], write: list[str], devices: list[str]) -> None:
        """Restrict the worker itself, for good, and prepare what its forks will enter.

        Call it last before the first program: afterwards this process can neither change the mode
        of a file nor open a socket.

        Args:
            read: Files and folders that programs may read and execute.
            write: Folders in which programs may do everything.
            devices: Device files that programs may read and write.

        Raises:
            OSError: The kernel has no Landlock or no filters, or refused.
            ValueError: The architecture is not supported.
        """
        self._machine = os.uname().machine
        # Used once here, because the first use of ctypes in a fork costs more than all the rest.
        self._prctl = ctypes.CDLL(None).prctl
        self._prctl(_PR_GET_PDEATHSIG, ctypes.byref(ctypes.c_int()), 0, 0, 0)
        self._ruleset = Ruleset(tuple(read), tuple(write), tuple(devices))
        descendants.adopt_orphans()
        capabilities.drop_all()
        seccomp.install(seccomp.program(self._machine, "shared"))

    def enter(self) -> None:
        """Restrict this fork, before it runs a program.

        Raises:
            OSError: The kernel refused; the fork must end then.
        """
        self._prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)  # a fork does not inherit it
        self._ruleset.confine()
        if not self._ruleset.keeps_signals:
            seccomp.install(seccomp.own_signals(self._machine, os.getpid()))

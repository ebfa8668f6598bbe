"""A small process above the worker that ends everything below it, where no namespace does.

Inside a PID namespace the kernel kills everyone when the first process ends. Without one, a
worker that is killed leaves behind what its program started. So the worker of such a provider
runs below a guard: when the worker ends for whatever reason, or when the guard is told to end
(SIGTERM, which the kernel also sends when the parent dies), the guard kills every descendant.

The guard itself must be ended by SIGTERM; SIGKILL leaves it no time to do its work.
"""

from __future__ import annotations

import ctypes
import os
import signal

from ucoder.execution.child import descendants

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def guard_worker() -> None:
    """Fork; the child returns and becomes the worker, and this process guards it and never does.

    To be called first of all: what is imported later, the guard need not carry. The worker must
    take over the pipes itself; the guard lets go of them, so that their ends mean the worker's.

    Raises:
        OSError: No process could be made, or the kernel refused to let it adopt orphans.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    descendants.adopt_orphans()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        # Without a parent's death to wait for: it died while this was being set up.
        code = _wait(worker) if os.getppid() == parent else 1
    finally:
        descendants.kill_all()
        os._exit(code)


def _wait(worker: int) -> int:
    """Wait for the worker's end or the order to end it, and return the exit status."""
    while True:
        if signal.sigwait(_SIGNALS) != signal.SIGCHLD:
            return 1
        # Others may have become children of this process if the worker died under them.
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == worker:
                return os.waitstatus_to_exitcode(ended[1]) & 0xFF

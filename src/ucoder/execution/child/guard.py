"""A small process above the worker that ends everything below it, where no namespace does.

When the first process of a PID namespace ends, the kernel kills all others. Without a namespace, a
worker that is killed leaves behind what its program started. So such a worker runs below a guard:
when the worker ends for any reason, or when the guard gets SIGTERM (which the kernel also sends
when the parent dies), the guard kills every descendant.

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
    """Fork; the child returns and becomes the worker, this process becomes its guard.

    Call it before anything else, so that the guard does not carry later imports. The worker has to
    take over the pipes itself; the guard closes its copies, so that they end when the worker does.

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
        # If the parent died during this setup, no signal about its death will come.
        code = _wait(worker) if os.getppid() == parent else 1
    finally:
        descendants.kill_all()
        os._exit(code)


def _wait(worker: int) -> int:
    """Wait until the worker ends or has to be ended, and return the exit status."""
    while True:
        if signal.sigwait(_SIGNALS) != signal.SIGCHLD:
            return 1
        # Others may have become children of this process if the worker died under them.
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == worker:
                return os.waitstatus_to_exitcode(ended[1]) & 0xFF

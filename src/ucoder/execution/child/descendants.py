"""Counting and killing every descendant of this process, where no PID namespace does it.

A process that loses its parent becomes the child of the nearest ancestor that asked to be a
"subreaper". So a daemon cannot escape a subreaper by forking twice or by opening a session: once
this process has no child, it has no descendant, and that is what `kill_all` waits for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterable

_PR_SET_CHILD_SUBREAPER = 36
_SWEEPS = 400
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot become a subreaper: {os.strerror(number)}")


def count_tasks(pids: Iterable[int | str]) -> int:
    """Count the threads of some processes; a process without threads of its own has one.

    A directory's link count is its number of subdirectories plus two, so one `stat` gives the
    number of threads of a process.
    """
    n_tasks = 0
    for pid in pids:
        try:
            n_tasks += os.stat(f"/proc/{pid}/task").st_nlink - 2
        except OSError:  # it ended meanwhile
            continue
    return n_tasks


def cpu_seconds(pids: Iterable[int | str]) -> float:
    """The CPU time of some processes so far, and that of their children which have ended."""
    n_ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The name stands in brackets and may hold brackets and blanks itself.
                n_ticks += sum(map(int, file.read().rpartition(b")")[2].split()[11:15]))
        except (OSError, ValueError):  # it ended meanwhile
            continue
    return n_ticks / _TICKS_PER_S


def kill_all() -> tuple[int, bool, float]:
    """Kill and reap every process below this one, however fast they fork.

    Sweeps over the tree go on until none is left: a process that was sent SIGKILL forks no more,
    and finding one takes less time than forking one.

    Returns:
        How many were reaped, whether none is left, and the CPU seconds that they took.
    """
    n_reaped, cpu_s = 0, 0.0
    for sweep in range(_SWEEPS):
        try:
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                n_reaped += 1
                cpu_s += ended[2].ru_utime + ended[2].ru_stime
        except ChildProcessError:
            return n_reaped, True, cpu_s
        tree = find()
        for pid in tree:
            _kill(pid, tree, os.getpid())
        if sweep >= 20:
            time.sleep(0.005)
        elif sweep:
            time.sleep(0.0005)
    return n_reaped, False, cpu_s


def find(root: int | None = None) -> dict[int, int]:
    """Find the processes below a process, this one where None.

    Returns:
        Each with its parent; parents come before children.
    """
    found: dict[int, int] = {}
    parents = [os.getpid() if root is None else root]
    children = _children if _kernel_lists_children() else _scan().get
    while parents:
        parent = parents.pop()
        for pid in children(parent) or ():
            if pid not in found:
                found[pid] = parent
                parents.append(pid)
    return found


def kill_below(root: int) -> None:
    """Kill every process below an ancestor of this one, but this one, until only zombies are left.

    The ancestor must have called `adopt_orphans`, and must not start processes meanwhile.
    """
    for _ in range(_SWEEPS):
        tree = find(root)
        left = [pid for pid in tree if pid != os.getpid() and not _is_zombie(pid)]
        if not left:
            return
        for pid in left:
            _kill(pid, tree, root)
        time.sleep(0.005)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended; its parent has not asked for its status."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (OSError, IndexError):
        return True


def _kill(pid: int, tree: dict[int, int], root: int) -> None:
    """Kill a process of the tree below `root`, unless another one has got its number meanwhile."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:  # it is gone
        return
    try:
        # The handle now stands for one process; it is ours if it lies below one of ours.
        parent = _parent(pid)
        if parent in tree or parent == root:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:  # it is gone
        pass
    finally:
        os.close(handle)


def _kernel_lists_children() -> bool:
    """Whether the kernel was built with the lists of children (CONFIG_PROC_CHILDREN)."""
    return os.path.exists("/proc/thread-self/children")


def _children(parent: int) -> list[int]:
    """The children of each thread of a process."""
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{thread}/children", "rb") as file:
                children += map(int, file.read().split())
    except OSError:  # it ended meanwhile
        pass
    return children


def _scan() -> dict[int, list[int]]:
    """The children of every process of the machine; slower the more of them there are."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_parent(int(name)), []).append(int(name))
    return children


def _parent(pid: int) -> int:
    """The parent of a process; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name stands in brackets and may hold brackets and blanks itself.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0

"""Giving up the kernel's capabilities, for good and for all that a process starts."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

_CAPSET = {"x86_64": 126, "aarch64": 91}
_VERSION = 0x20080522
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4


def drop_all() -> None:
    """Give up every capability of this thread, and the right to gain any by running a program.

    Namespaces do this by themselves. Without them, a worker that was started by root would hand its
    programs the right to change owners, devices, clocks and other users' files.

    Raises:
        OSError: The kernel refused, or the architecture is not supported.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Without this, root would get the capabilities of the bounding set back from the next program
    # that it runs. Shrinking the set needs capabilities, and matters only to a user who has them.
    capability = 0
    while libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        capability += 1
    prepare_drop()()


def prepare_drop() -> Callable[[], None]:
    """Prepare giving up every capability that a thread holds, where none can be gained.

    Returns:
        Does so. It is cheap in a fork: what it needs has been made, and ctypes been used.

    Raises:
        OSError: The architecture is not supported; and where the result is called, the kernel
            refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    machine = os.uname().machine
    if machine not in _CAPSET:
        raise OSError(38, f"capabilities cannot be dropped on {machine!r}")
    number_of_capset = _CAPSET[machine]
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)  # this thread
    none_at_all = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, in two halves
    prctl, syscall = libc.prctl, libc.syscall

    def drop() -> None:
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        if syscall(number_of_capset, header, none_at_all):
            number = ctypes.get_errno()
            raise OSError(number, f"the kernel refused to drop capabilities: {os.strerror(number)}")

    return drop

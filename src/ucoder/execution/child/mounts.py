"""The one folder that programs may write to, as a new file system for each program.

Removing what a program left would take a list of all that it can leave: files, but also the mode,
owner, times and extended attributes of the folder itself, and memory that the kernel holds for it.
A new file system has none of them. The worker keeps the one capability that mounting needs, in
namespaces of its own; every fork gives it up before it runs a program.

Where a policy of the machine (AppArmor's, say) leaves no capability to a sandbox, a worker whose
folder was changed is replaced, and its file system ends with it.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Final

from ucoder.execution.child import capabilities

CLONE_NEWNS: Final = 0x20000
MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
MNT_DETACH: Final = 2

MOUNT_FLAGS: Final = MS_NOSUID | MS_NODEV
"""The only flags with which the filter lets the worker mount."""

_KEPT_FLAGS: Final = {
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: MS_NOEXEC,
    os.ST_NOATIME: 1024,
    os.ST_NODIRATIME: 2048,
    os.ST_RELATIME: 1 << 21,
}
"""What a mount must keep when it is made read-only, as statvfs reports it and as mount wants it."""

_INODES_PER_MIB: Final = 1024
_MIN_INODES: Final = 4096
"""Files that fit, whatever the size; the kernel counts extended attributes among them as well."""

_CLOCK_TICK_S: Final = 0.011
"""The kernel's file times are this coarse, at most: a tick of 1/100 s."""


class FreshDirectory:
    """A folder on a file system of its own, which is replaced where a program has changed it.

    Attributes:
        may_mount: Whether this process may mount.
    """

    def __init__(self, path: str, size_mib: int) -> None:
        """Enter a mount namespace of this process alone, and mount the first file system there.

        Args:
            path: The folder, the working directory of every program.
            size_mib: How much fits.

        Raises:
            OSError: The process may mount, and the kernel refused all the same.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._drop_capabilities = capabilities.prepare_drop()
        self._path = path
        n_inodes = max(size_mib * _INODES_PER_MIB, _MIN_INODES)
        self._options = f"size={size_mib}m,nr_inodes={n_inodes},mode=1777".encode()
        self._changed_ns = 0
        self._settled_at = 0.0
        self.may_mount = not self._libc.unshare(CLONE_NEWNS)
        if self.may_mount:
            self._mount()
        else:
            self._note()

    def protect(self, path: str) -> None:
        """Make a mount read-only: a device can still be read and written, but not be changed.

        Raises:
            OSError: The kernel refused.
        """
        flags = sum(kept for bit, kept in _KEPT_FLAGS.items() if os.statvfs(path).f_flag & bit)
        flags |= _MS_REMOUNT | _MS_BIND | MS_RDONLY
        self._check(self._libc.mount(None, path.encode(), None, flags, None), f"remount {path}")

    def give_up_rights(self) -> None:
        """Give up the right to mount, for good; the first thing a fork does.

        Raises:
            OSError: The kernel refused; the fork must end then.
        """
        if self.may_mount:
            self._drop_capabilities()

    def begin(self) -> None:
        """Make the folder what each program finds: empty, without what preloading left there.

        Where this process may not mount, each program finds what preloading left.
        """
        if self.may_mount:
            self.renew()
        else:
            self._note()

    def renew(self) -> None:
        """Replace the file system, unless nothing in it has changed since it was mounted.

        Every change to the folder, or of what is directly in it, sets the folder's time of change,
        which no program can set back.

        Raises:
            OSError: The kernel refused, or this process may not mount; the worker must be replaced.
        """
        if os.stat(self._path).st_ctime_ns == self._changed_ns:
            return
        if not self.may_mount:
            raise OSError(f"{self._path} has changed, and cannot be replaced")
        self._check(self._libc.umount2(self._path.encode(), MNT_DETACH), "umount")
        self._mount()

    def settle(self) -> None:
        """Wait until a change would be seen: not within the clock tick in which it was mounted."""
        if (wait_s := self._settled_at - time.monotonic()) > 0:
            time.sleep(wait_s)

    def _mount(self) -> None:
        path = self._path.encode()
        done = self._libc.mount(b"tmpfs", path, b"tmpfs", MOUNT_FLAGS, self._options)
        self._check(done, f"mount {self._path}")
        os.chdir(self._path)  # not in the one below it
        self._note()

    def _note(self) -> None:
        """Note the state of the folder, which no program has seen yet."""
        self._changed_ns = os.stat(self._path).st_ctime_ns
        self._settled_at = time.monotonic() + _CLOCK_TICK_S

    def _check(self, result: int, what: str) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, f"the kernel refused {what}: {os.strerror(number)}")

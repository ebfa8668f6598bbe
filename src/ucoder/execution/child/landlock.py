"""Landlock: a process restricts its own files, connections and signals, without privileges.

What can be restricted depends on the kernel's version of the interface:

| version | Linux | adds |
|---|---|---|
| 1 | 5.13 | files and folders: open, create, remove, execute |
| 2 | 5.19 | moving and linking between folders (refused altogether before) |
| 3 | 6.2 | truncation |
| 4 | 6.7 | binding and connecting TCP sockets |
| 5 | 6.10 | ioctl on devices |
| 6 | 6.12 | abstract unix sockets of, and signals to, processes outside |
| 7 | 6.15 | silence in the audit log |

No version restricts `stat`, `readlink` and `chdir` (by guessing paths, a program learns what
exists, its size and where links point), nor changes of mode, owner, times and attributes, unix
sockets with a path, or UDP. `seccomp` refuses those of them that a filter can refuse.

A worker builds one ruleset and keeps its descriptor; every fork restricts itself by it. The fork's
domain then lies below the worker's, which is what keeps its signals from the worker.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO = (1 << bit for bit in (7, 8, 9, 10))
MAKE_SYM, REFER, TRUNCATE = (1 << bit for bit in (12, 13, 14))

_READ = EXECUTE | READ_FILE | READ_DIR
_WRITE = (
    _READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO
) | (MAKE_SYM | REFER | TRUNCATE)
_DEVICE = READ_FILE | WRITE_FILE | TRUNCATE  # and no ioctl
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
"""What a rule about a single file may name."""

# Everything on files that a version knows; each bit that is handled is refused without a rule.
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NEWEST = 7
"""The newest version that this file knows; a later kernel is used as if it were this one."""
_NETWORK, _SCOPES = 0b11, 0b11  # bind and connect TCP; abstract unix sockets and signals

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)
_prctl, _syscall = _libc.prctl, _libc.syscall


def _system_call(number: int, *arguments: int | bytes | None) -> int:
    # Without a type, ctypes passes a number as an int and bytes or None as a pointer.
    return int(_syscall(number, *arguments))


def abi() -> int:
    """The kernel's version of Landlock; 0 if it has none or has switched it off."""
    return max(0, _system_call(_CREATE_RULESET, None, 0, 1))


class Ruleset:
    """Which files may be used, as the kernel holds it.

    A program must not get the descriptor: rules that it added would apply to the next program as
    well. `confine` closes it.

    Attributes:
        descriptor: What `restrict_self` takes; closed on exec, and inherited by forks.
        abi: The version that it was built for.
        keeps_signals: Whether signals stay inside; if not, `seccomp.own_signals` is needed.
    """

    def __init__(
        self,
        read: tuple[str, ...],
        write: tuple[str, ...],
        devices: tuple[str, ...],
        version: int | None = None,
    ) -> None:
        """Build a ruleset that allows these paths and what lies below, and nothing else.

        A path that does not exist is left out. No TCP connection, no abstract unix socket and no
        signal beyond the domain is allowed, as far as the kernel knows how.

        Args:
            read: Files and folders to read and to execute.
            write: Folders in which everything is allowed but to make device files.
            devices: Device files to read and write, without ioctl.
            version: The version to build for, at most the kernel's; the kernel's where None.

        Raises:
            OSError: The kernel has no Landlock, or refused a rule.
        """
        self.abi = min(_NEWEST, abi()) if version is None else version
        if not self.abi:
            raise OSError(95, "this kernel has no Landlock, or it is switched off")  # EOPNOTSUPP
        self.keeps_signals = self.abi >= 6
        self._handled = _HANDLED[max(known for known in _HANDLED if known <= self.abi)]
        attributes = struct.pack("=Q", self._handled)
        if self.abi >= 4:
            attributes += struct.pack("=Q", _NETWORK)
        if self.abi >= 6:
            attributes += struct.pack("=Q", _SCOPES)
        self.descriptor = int(
            _checked(_system_call(_CREATE_RULESET, attributes, len(attributes), 0))
        )
        try:
            for paths, rights in ((read, _READ), (write, _WRITE), (devices, _DEVICE)):
                for path in paths:
                    self._allow(path, rights)
        except BaseException:
            os.close(self.descriptor)
            raise

    def confine(self) -> None:
        """Put this process under the ruleset for good, and close the ruleset.

        Raises:
            OSError: As `restrict_self`.
        """
        restrict_self(self.descriptor, self.abi)
        os.close(self.descriptor)

    def _allow(self, path: str, rights: int) -> None:
        try:
            target = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if not stat.S_ISDIR(os.fstat(target).st_mode):
                rights &= _OF_FILES
            rule = struct.pack("=Qi", rights & self._handled, target)
            _checked(_system_call(_ADD_RULE, self.descriptor, 1, rule, 0), path)
        finally:
            os.close(target)


def restrict_self(descriptor: int, version: int = 1) -> None:
    """Put this thread, and all that it starts, under a ruleset for good.

    Args:
        descriptor: Of a `Ruleset`.
        version: Of a `Ruleset`; from 7 on, refusals stay out of the system's audit log.

    Raises:
        OSError: The kernel refused; it allows 16 restrictions on top of one another.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _checked(_system_call(_RESTRICT_SELF, descriptor, 1 if version >= 7 else 0))


def _checked(result: int, about: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        what = f"Landlock refused {about or 'the ruleset'}: {os.strerror(number)}"
        raise OSError(number, what)
    return result

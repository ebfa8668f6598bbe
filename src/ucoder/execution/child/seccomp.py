"""A filter on system calls, as the bytes that the kernel takes, built without any library.

The filter refuses what no honest program needs and where bugs of the kernel are most often found:
tracing, mounting, namespaces, keys, BPF, io_uring and the like. It does not list what is allowed,
because Python and the libraries that programs import use more calls every year; but a call that
is newer than this file fails with ENOSYS, and one of another architecture kills the process.

There are two policies. `namespaced` is for a worker in namespaces of its own, which already hide
files, processes and the network. `shared` is for one without: it also refuses every socket except
a connected pair, and calls that change files in ways that Landlock does not cover (mode, owner,
times, attributes). On kernels whose Landlock cannot restrict signals, each fork adds
`own_signals`.

A filter is inherited, survives exec and cannot be removed. Since Linux 5.11 the kernel works out
once, at installation, which calls are allowed whatever their arguments, and then does not run the
filter for them at all; so their order does not matter, and a binary search keeps the rest short.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

from ucoder.execution.child.mounts import MNT_DETACH, MOUNT_FLAGS

_NUMBERS = """
accept 43 202, accept4 288 242, acct 163 89, add_key 248 217, adjtimex 159 171, bind 49 200,
bpf 321 280, chmod 90 -, chown 92 -, chroot 161 51, clock_adjtime 305 266, clock_settime 227 112,
clone 56 220, clone3 435 435, connect 42 203, create_module 174 -, delete_module 176 106,
fanotify_init 300 262, fanotify_mark 301 263, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452,
fchown 93 55, fchownat 260 54, fcntl 72 25, file_setattr 469 469, finit_module 313 273,
fremovexattr 199 16, fsconfig 431 431, fsetxattr 190 7, fsmount 432 432, fsopen 430 430,
fspick 433 433, futimesat 261 -, init_module 175 105, inotify_add_watch 254 27, inotify_init 253 -,
inotify_init1 294 26, io_uring_enter 426 426, io_uring_register 427 427, io_uring_setup 425 425,
ioctl 16 29, ioperm 173 -, iopl 172 -, ioprio_set 251 30, kcmp 312 272, kexec_file_load 320 294,
kexec_load 246 104, keyctl 250 219, kill 62 129, lchown 94 -, listen 50 201, listmount 458 458,
lookup_dcookie 212 18, lremovexattr 198 15, lsetxattr 189 6, lsm_set_self_attr 460 460,
memfd_secret 447 447, migrate_pages 256 238, modify_ldt 154 -, mount 165 40,
mount_setattr 442 442, move_mount 429 429, move_pages 279 239, mq_open 240 180, mq_unlink 241 181,
msgctl 71 187, msgget 68 186, msgrcv 70 188, msgsnd 69 189, name_to_handle_at 303 264,
nfsservctl 180 42, open 2 -, open_by_handle_at 304 265, open_tree 428 428, open_tree_attr 467 467,
openat 257 56, openat2 437 437, perf_event_open 298 241, personality 135 92, pidfd_getfd 438 438,
pidfd_send_signal 424 424, pivot_root 155 41, prlimit64 302 261, process_madvise 440 440,
process_mrelease 448 448, process_vm_readv 310 270, process_vm_writev 311 271, ptrace 101 117,
quotactl 179 60, quotactl_fd 443 443, reboot 169 142, removexattr 197 14, removexattrat 466 466,
request_key 249 218, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, sched_setaffinity 203 122,
sched_setattr 314 274, sched_setparam 142 118, sched_setscheduler 144 119, seccomp 317 277,
semctl 66 191, semget 64 190, semop 65 193, semtimedop 220 192, setdomainname 171 162,
sethostname 170 161, setns 308 268, setpriority 141 140, settimeofday 164 170, setxattr 188 5,
setxattrat 463 463, shmat 30 196, shmctl 31 195, shmdt 67 197, shmget 29 194, socket 41 198,
socketpair 53 199, statmount 457 457, swapoff 168 225, swapon 167 224, syslog 103 116,
tgkill 234 131, tkill 200 130, truncate 76 45, umount2 166 39, unshare 272 97, uselib 134 -,
userfaultfd 323 282, utime 132 -, utimensat 280 88, utimes 235 -, vhangup 153 58
"""
"""Name, number on x86_64, number on aarch64; `-` where that architecture has no such call."""

_LAST_KNOWN = 469
"""The highest number that the table covers, on both architectures (Linux 6.18)."""

_tables: dict[str, dict[str, int]] = {}
"""The numbers by machine and name, parsed on demand."""

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""The kernel's number for each architecture, and its column in `_NUMBERS`."""

# What the kernel does with a call, as the filter returns it.
ALLOW = 0x7FFF0000
KILL = 0x80000000
_ERRNO = 0x00050000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97

# The instructions of classic BPF that are needed, on an accumulator of 32 bits.
_LOAD, _AND, _JUMP, _IF_EQUAL, _IF_AT_LEAST, _IF_BITS, _RETURN = 0x20, 0x54, 5, 0x15, 0x35, 0x45, 6
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

_CLONE_NEW_ANY = 0x7E020000
# A child made with CLONE_PARENT would be the worker's, and CLONE_PTRACE hands it to a tracer.
_CLONE_REFUSED = _CLONE_NEW_ANY | 0x8000 | 0x2000
_AF_UNIX, _AF_INET, _AF_INET6, _SOCK_STREAM = 1, 2, 10, 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, FICLONE: what the standard library uses.
# Others change a file's flags through a descriptor that was opened only for reading.
_PLAIN_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x40049409)
# F_SETOWN, F_SETSIG, F_SETOWN_EX send signals; F_SETLEASE and F_NOTIFY reach other processes.
_FCNTLS_REFUSED = (8, 10, 15, 1024, 1026)
_O_TRUNC = 0x200

_REFUSED = """
acct add_key adjtimex bpf chroot clock_adjtime clock_settime create_module delete_module
fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick init_module
inotify_add_watch inotify_init inotify_init1 ioperm iopl
kcmp kexec_file_load kexec_load keyctl listmount lookup_dcookie lsm_set_self_attr memfd_secret
migrate_pages modify_ldt mount mount_setattr move_mount move_pages mq_open mq_unlink msgctl msgget
msgrcv msgsnd name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr
perf_event_open pidfd_getfd pivot_root process_madvise process_mrelease process_vm_readv
process_vm_writev ptrace quotactl quotactl_fd reboot request_key semctl semget semop semtimedop
setdomainname sethostname setns settimeofday shmat shmctl shmdt shmget statmount swapoff swapon
syslog umount2 unshare uselib userfaultfd vhangup
"""
# The C library takes ENOSYS as "an old kernel" and falls back to what can be checked: the flags of
# clone3 lie in memory, where a filter cannot read them.
_ABSENT = "clone3 io_uring_enter io_uring_register io_uring_setup"

_REFUSED_WHEN_SHARED = """
accept accept4 bind chmod chown connect fchmod fchmodat fchmodat2 fchown fchownat file_setattr
fremovexattr fsetxattr futimesat lchown listen lremovexattr lsetxattr removexattr
removexattrat setxattr setxattrat socket truncate utime utimensat utimes
"""
_ABSENT_WHEN_SHARED = "openat2"  # its flags lie in memory as well; the C library uses openat

_SIGNALS = "kill tgkill rt_sigqueueinfo rt_tgsigqueueinfo"


def is_known(machine: str = "") -> bool:
    """Whether filters can be built for a machine; this one if the name is empty."""
    return (machine or os.uname().machine) in _ARCHITECTURES and sys.maxsize > 1 << 32


def program(machine: str, policy: str) -> bytes:
    """Build the filter of a worker and everything that it starts.

    Args:
        machine: The architecture as in `os.uname().machine`: `x86_64` or `aarch64`.
        policy: `namespaced` or `shared`; see the top of this module.

    Raises:
        ValueError: The architecture is not supported, or the policy is unknown.
    """
    if policy not in ("namespaced", "shared"):
        raise ValueError(f"policy {policy!r} is unknown; allowed: namespaced, shared")
    self_only = _one_of(0, (0,))  # process 0 is the caller itself
    rules = dict.fromkeys(_REFUSED.split(), _fail(_EPERM))
    rules.update(dict.fromkeys(_ABSENT.split(), _fail(_ENOSYS)))
    rules["clone"] = _no_bits(0, _CLONE_REFUSED)
    rules["personality"] = _one_of(0, (0xFFFFFFFF,))  # asking is allowed, setting is not
    for name in ("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam"):
        rules[name] = self_only
    rules["sched_setscheduler"] = self_only
    rules["setpriority"] = self_only + _one_of(1, (0,))  # PRIO_PROCESS, and of itself
    rules["ioprio_set"] = _one_of(0, (1,)) + _one_of(1, (0,))  # IOPRIO_WHO_PROCESS
    rules["socketpair"] = _one_of(0, (_AF_UNIX,), _EAFNOSUPPORT)
    if policy == "namespaced":
        # The worker mounts a new folder for each program, which its forks have no right to.
        rules["mount"] = _one_of(3, (MOUNT_FLAGS,))
        rules["umount2"] = _one_of(1, (MNT_DETACH,))
        rules["socket"] = _one_of(0, (_AF_INET, _AF_INET6), _EAFNOSUPPORT)
        rules["ioctl"] = _none_of(1, (_TIOCSTI, _TIOCLINUX))
        return _assemble(machine, rules)
    rules.update(dict.fromkeys(_REFUSED_WHEN_SHARED.split(), _fail(_EPERM)))
    rules.update(dict.fromkeys(_ABSENT_WHEN_SHARED.split(), _fail(_ENOSYS)))
    # A datagram socket sends to any name although it is one of a pair; a stream stays connected.
    rules["socketpair"] += _one_of(1, (_SOCK_STREAM,), mask=0xF)
    rules["ioctl"] = _one_of(1, _PLAIN_IOCTLS)
    rules["fcntl"] = _none_of(1, _FCNTLS_REFUSED)
    # Landlock before its third version lets a file be emptied that was opened for reading only.
    rules["open"] = _no_bare_truncation(1)
    rules["openat"] = _no_bare_truncation(2)
    return _assemble(machine, rules)


def own_signals(machine: str, pid: int) -> bytes:
    """Build the filter that lets a program and its children signal the program only.

    It is for kernels whose Landlock has no signal scope (before 6.12), where a program outside a
    PID namespace could otherwise kill every process of its user. A fork installs it on itself.
    The price: the program cannot signal its own children, so `Popen.kill` fails there.

    Args:
        machine: As for `program`.
        pid: The program's process. Its own group (0) may be signalled as well, so it must lead
            one: call `os.setsid` before. A process of a session cannot enter another's groups.

    Raises:
        ValueError: The architecture is not supported.
    """
    rules = dict.fromkeys(_SIGNALS.split(), _one_of(0, (pid,)))
    rules["kill"] = _one_of(0, (0, pid))
    rules["tkill"] = rules["pidfd_send_signal"] = _fail(_EPERM)
    return _assemble(machine, rules)


def install(filter: bytes) -> None:
    """Put this process, and all that it starts, under a filter, for good.

    Privileges can then no longer be gained by running a set-user-ID program. Filters add up: the
    strictest answer counts.

    Raises:
        OSError: The kernel has no such filters, or refused this one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel refused PR_SET_NO_NEW_PRIVS: {os.strerror(number)}")
    instructions = ctypes.create_string_buffer(filter, len(filter))
    # struct sock_fprog: the number of instructions, padding, and where they are.
    header = struct.pack("@HP", len(filter) // 8, ctypes.addressof(instructions))
    call = libc.syscall
    call.argtypes = (ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_char_p)
    number_of_seccomp = _numbers(os.uname().machine)["seccomp"]
    # SECCOMP_FILTER_FLAG_SPEC_ALLOW: without it, kernels before 5.16 switch off speculation in
    # the whole process, against attacks within one address space, which nothing here relies on.
    if call(number_of_seccomp, 1, 4, header):
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel refused the system-call filter: {os.strerror(number)}")


def _numbers(machine: str) -> dict[str, int]:
    """The numbers of the calls that this machine has.

    Raises:
        ValueError: The architecture is not supported.
    """
    if not is_known(machine):
        known = ", ".join(_ARCHITECTURES)
        raise ValueError(
            f"no system-call table for {machine!r} with {struct.calcsize('P') * 8}-bit Python; "
            f"there are tables for {known} with 64 bits"
        )
    if machine not in _tables:
        column = 1 + _ARCHITECTURES[machine][1]
        rows = [row.split() for row in _NUMBERS.split(",")]
        _tables[machine] = {row[0]: int(row[column]) for row in rows if row[column] != "-"}
    return _tables[machine]


def _instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def _return(action: int) -> bytes:
    return _instruction(_RETURN, action)


def _fail(errno: int) -> bytes:
    return _return(_ERRNO | errno)


def _load_argument(index: int) -> bytes:
    """Load the low half of an argument; both architectures are little-endian.

    The calls that are checked take ints there, so the kernel ignores the high half as well.
    """
    return _instruction(_LOAD, _ARGUMENTS_AT + 8 * index)


# A check fails the call or falls through to what follows it. Checks are joined by adding them;
# `_assemble` allows what is left.


def _one_of(index: int, values: tuple[int, ...], errno: int = _EPERM, mask: int = 0) -> bytes:
    """Check that an argument, or the bits of it under a mask, is one of some values."""
    check = _load_argument(index)
    if mask:
        check += _instruction(_AND, mask)
    for place, value in enumerate(values):
        check += _instruction(_IF_EQUAL, value, then=len(values) - place)
    return check + _fail(errno)


def _none_of(index: int, values: tuple[int, ...]) -> bytes:
    """Check that an argument is not one of some values."""
    check = _load_argument(index)
    for place, value in enumerate(values):
        is_last = place == len(values) - 1
        check += _instruction(_IF_EQUAL, value, len(values) - place - 1, 1 if is_last else 0)
    return check + _fail(_EPERM)


def _no_bits(index: int, mask: int) -> bytes:
    """Check that none of the bits is set in an argument."""
    return _load_argument(index) + _instruction(_IF_BITS, mask, 0, 1) + _fail(_EPERM)


def _no_bare_truncation(index: int) -> bytes:
    """Check that the flags of `open` ask for truncation only together with writing."""
    writing = _one_of(index, (1, 2), mask=3)  # O_WRONLY, O_RDWR
    skip = len(writing) // 8
    return _load_argument(index) + _instruction(_IF_BITS, _O_TRUNC, 0, skip) + writing


def _assemble(machine: str, rules: dict[str, bytes]) -> bytes:
    """Put the rules behind a check of the architecture and a search for the call's number."""
    numbers = _numbers(machine)
    allow = _return(ALLOW)
    leaves = [(0, allow)]
    for name in sorted((name for name in rules if name in numbers), key=numbers.__getitem__):
        number, rule = numbers[name], rules[name]
        if leaves[-1][0] == number:
            leaves.pop()
        if not leaves or leaves[-1][1] != rule:
            leaves.append((number, rule))
        leaves.append((number + 1, allow))
    if leaves[-1][0] > _LAST_KNOWN:
        leaves.pop()
    # Above all known numbers lie the calls of later kernels, and those of the x32 interface.
    leaves.append((_LAST_KNOWN + 1, _fail(_ENOSYS)))
    return (
        _instruction(_LOAD, _ARCHITECTURE_AT)
        + _instruction(_IF_EQUAL, _ARCHITECTURES[machine][0], then=1)
        + _return(KILL)
        + _instruction(_LOAD, _NUMBER_AT)
        + _search(leaves, allow)
    )


def _search(leaves: list[tuple[int, bytes]], allow: bytes) -> bytes:
    """Search for a number among leaves, each of which holds from its number to the next one's."""
    if len(leaves) == 1:
        rule = leaves[0][1]
        return rule if len(rule) == 8 else rule + allow
    middle = len(leaves) // 2
    left, right = _search(leaves[:middle], allow), _search(leaves[middle:], allow)
    distance = len(left) // 8
    if distance < 256:  # what a conditional jump can reach
        return _instruction(_IF_AT_LEAST, leaves[middle][0], then=distance) + left + right
    test = _instruction(_IF_AT_LEAST, leaves[middle][0], 0, 1)
    return test + _instruction(_JUMP, distance) + left + right

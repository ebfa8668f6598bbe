"""Programs that try the rare system calls, where the kernel's bugs are most often found.

Each call is made with arguments that do no harm where it is allowed. What counts is how it is
refused: EPERM, EACCES and ENOSYS come from a lock, any other error from the arguments.
"""

from __future__ import annotations

import os
from typing import Final

from ucoder.execution.conformance.judges import returned
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, attack

_CALL: Final = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
zeros = ctypes.create_string_buffer(4096)
LOCKED = (errno.EPERM, errno.EACCES, errno.ENOSYS)
def f():
    open_calls = []
    for name, arguments in CALLS:
        pid = os.fork()  # a call that works changes a child only
        if pid == 0:
            arguments = [zeros if x is None else ctypes.c_long(x) if type(x) is int else x
                         for x in arguments]
            got = libc.syscall(*arguments)
            os._exit(1 if got >= 0 or ctypes.get_errno() not in LOCKED else 0)
        status = os.waitpid(pid, 0)[1]
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            open_calls.append(name)
    return open_calls
"""
_COLUMN: Final = {"x86_64": 0, "aarch64": 1}.get(os.uname().machine)
_NUMBERS: Final = {
    "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97),
    "setns": (308, 268), "pivot_root": (155, 41), "chroot": (161, 51),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "io_uring_setup": (425, 425), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    "process_vm_readv": (310, 270), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "swapon": (167, 224), "reboot": (169, 142), "acct": (163, 89), "settimeofday": (164, 170),
    "sethostname": (170, 161), "syslog": (103, 116), "quotactl": (179, 60),
    "fsopen": (430, 430), "open_tree": (428, 428), "move_mount": (429, 429),
    "fanotify_init": (300, 262), "memfd_secret": (447, 447), "personality": (135, 92),
    "move_pages": (279, 239), "process_madvise": (440, 440), "clone3": (435, 435),
}  # fmt: skip
_NEW_USER: Final = 0x10000000


def _refused(
    name: str, tries: str, *asked: tuple[object, ...], quick: bool = False
) -> list[Attack]:
    """System calls that must be locked; nothing on architectures whose numbers are not known."""
    if _COLUMN is None:
        return []
    numbered = [(str(call), (_NUMBERS[str(call)][_COLUMN], *rest)) for call, *rest in asked]
    return [
        attack(
            name,
            Property.KERNEL_SURFACE,
            tries,
            f"CALLS = {numbered!r}\n{_CALL}",
            returned("[]"),
            quick=quick,
        )
    ]


ATTACKS: Final = (
    *_refused("ptrace", "asks to be traced", ("ptrace", 0, 0, 0, 0), quick=True),
    *_refused("mount", "mounts and unmounts a file system in its /tmp",
              ("mount", b"none", b"/tmp/none", b"tmpfs", 0, 0), ("umount2", b"/tmp/none", 0)),
    *_refused("new-mount-calls", "mounts by the newer calls",
              ("fsopen", b"tmpfs", 0), ("open_tree", -100, b"/tmp", 1),
              ("move_mount", -100, b"/tmp/none", -100, b"/tmp/none", 0)),
    *_refused("unshare", "makes a user namespace, and others in it",
              ("unshare", _NEW_USER), ("unshare", _NEW_USER | 0x20000)),
    *_refused("clone-into-a-namespace", "makes a child in a user namespace of its own",
              ("clone3", None, 0)),
    *_refused("setns", "enters another namespace", ("setns", -1, 0)),
    *_refused("change-the-root", "makes another folder its root",
              ("chroot", b"/tmp"), ("pivot_root", b"/tmp", b"/tmp")),
    *_refused("keyctl", "uses the kernel's key rings",
              ("keyctl", 0, -3, 0), ("add_key", b"user", b"ucoder", b"x", 1, -2),
              ("request_key", b"user", b"ucoder", 0, 0)),
    *_refused("bpf", "loads programs into the kernel", ("bpf", 0, None, 64)),
    *_refused("io-uring", "sets up io_uring", ("io_uring_setup", 1, None), quick=True),
    *_refused("userfaultfd", "handles its own page faults", ("userfaultfd", 1)),
    *_refused("perf-events", "measures with the processor's counters",
              ("perf_event_open", None, 0, -1, -1, 0)),
    *_refused("other-memory", "reads, moves and advises other processes' memory",
              ("process_vm_readv", 1, None, 1, None, 1, 0), ("process_madvise", -1, None, 1, 4, 0),
              ("move_pages", 1, 0, 0, 0, 0, 0)),
    *_refused("file-handles", "opens files by handles, past every path",
              ("name_to_handle_at", -100, b"/", None, None, 0),
              ("open_by_handle_at", -100, None, 0)),
    *_refused("compare-and-take-files", "compares and takes other processes' open files",
              ("kcmp", 1, 1, 0, 0, 0), ("pidfd_getfd", -1, 0, 0)),
    *_refused("kernel-modules", "loads modules and kernels",
              ("init_module", None, 0, b""), ("finit_module", -1, b"", 0),
              ("kexec_load", 0, 0, 0, 0xFFFF)),
    *_refused("administration", "does what administrators do",
              ("swapon", b"/tmp/none", 0), ("reboot", 0, 0, 0, 0), ("acct", b"/tmp/none"),
              ("settimeofday", 1, 0), ("sethostname", b"x", -1), ("syslog", 10, 0, 0),
              ("quotactl", 0, 0, 0, 0)),
    *_refused("rare-files", "watches the whole file system, and hides memory",
              ("fanotify_init", 0, 0), ("memfd_secret", 0)),
    *_refused("personality", "switches off its own protections", ("personality", 0x0040000)),
    attack(
        "capabilities",
        Property.KERNEL_SURFACE,
        "looks for capabilities that it has or could gain",
        """
        import ctypes
        def f():
            libc = ctypes.CDLL(None)
            header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
            asked = libc.capget(header, sets)
            return asked, list(sets), libc.prctl(39, 0, 0, 0, 0)
        """,
        returned("(0, [0, 0, 0, 0, 0, 0], 1)"),
        harmless=True,
    ),
    attack(
        "set-user-id-program",
        Property.KERNEL_SURFACE,
        "makes a program of its own that would run as another user",
        """
        import os
        TMP = os.environ.get("TMPDIR", "/tmp")
        def f():
            try:
                os.setuid(0 if os.getuid() else 1)
                return "became another user"
            except OSError:
                return "refused"
        """,
        returned("'refused'"),
    ),
    attack(
        "raise-every-limit",
        Property.KERNEL_SURFACE,
        "raises its own resource limits",
        """
        import resource
        def f():
            raised = []
            for name in ("AS", "CPU", "FSIZE", "NOFILE", "CORE"):
                number = getattr(resource, "RLIMIT_" + name)
                hard = resource.getrlimit(number)[1]
                if hard == resource.RLIM_INFINITY: continue
                try:
                    resource.setrlimit(number, (hard + 1, hard + 1))
                    raised.append(name)
                except (ValueError, OSError): pass
            return raised
        """,
        returned("[]"),
        harmless=True,
    ),
)  # fmt: skip

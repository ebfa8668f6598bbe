"""The filter of system calls: its answers on paper, for both architectures, and in the kernel."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from ucoder.execution.child import seccomp

from .confined import SECCOMP, payload, run

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
POLICIES = ("namespaced", "shared")
ALLOWED, KILLED = seccomp.ALLOW, seccomp.KILL


def failed(number: int) -> int:
    """What a filter returns to make a call fail."""
    return 0x00050000 | number


def answer(program: bytes, machine: str, number: int, *arguments: int, arch: int = 0) -> int:
    """Run a filter on a call, as the kernel would: an interpreter of classic BPF."""
    words = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=IIQ6Q", number, arch or MACHINES[machine], 0, *words)
    at, accumulator = 0, 0
    while True:
        code, then, otherwise, value = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += then if accumulator == value else otherwise
            case 0x35:
                at += then if accumulator >= value else otherwise
            case 0x45:
                at += then if accumulator & value else otherwise
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"instruction {code:#x} is none that a filter uses")


def judge(machine: str, policy: str, name: str, *arguments: int) -> int:
    program = seccomp.program(machine, policy)
    return answer(program, machine, seccomp._numbers(machine)[name], *arguments)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return payload(tmp_path_factory.mktemp("payload"))


class TestOnPaper:
    def test_every_system_call_gets_the_answer_of_its_rule_and_others_are_allowed(
        self, machine: str, policy: str
    ) -> None:
        program = seccomp.program(machine, policy)
        refused = set((seccomp._REFUSED + seccomp._REFUSED_WHEN_SHARED).split())
        if policy == "namespaced":
            refused -= set(seccomp._REFUSED_WHEN_SHARED.split())
        absent = set(seccomp._ABSENT.split())
        if policy == "shared":
            absent.add("openat2")
        names = {number: name for name, number in seccomp._numbers(machine).items()}
        checked = {
            *("clone", "personality", "prlimit64", "sched_setaffinity", "sched_setattr"),
            *("sched_setparam", "sched_setscheduler", "setpriority", "ioprio_set", "socketpair"),
            *("socket", "ioctl", "fcntl", "open", "openat"),
        }
        for number in range(470):
            name = names.get(number, "")
            expected = ALLOWED
            if name in refused:
                expected = failed(errno.EPERM)
            elif name in absent:
                expected = failed(errno.ENOSYS)
            elif name in checked:
                continue
            assert answer(program, machine, number) == expected, (number, name)

    def test_no_two_system_calls_share_a_number(self, machine: str) -> None:
        numbers = seccomp._numbers(machine)
        assert len(set(numbers.values())) == len(numbers)

    def test_another_architecture_is_killed(self, machine: str, policy: str) -> None:
        program = seccomp.program(machine, policy)
        for arch in (0x40000003, 0x40000028, *(set(MACHINES.values()) - {MACHINES[machine]})):
            assert answer(program, machine, 0, arch=arch) == KILLED

    def test_the_x32_interface_and_later_calls_do_not_exist(
        self, machine: str, policy: str
    ) -> None:
        program = seccomp.program(machine, policy)
        for number in (470, 512, 0x40000000, 0x40000000 | 101, 0xFFFFFFFF):
            assert answer(program, machine, number) == failed(errno.ENOSYS)

    def test_threads_and_processes_are_made_but_no_namespaces(
        self, machine: str, policy: str
    ) -> None:
        thread, process, spawn = 0x3D0F00, 0x1200011, 0x4111
        for flags in (thread, process, spawn):
            assert judge(machine, policy, "clone", flags) == ALLOWED
        for flag in (0x20000, *(1 << bit for bit in range(25, 31)), 0x8000, 0x2000):
            assert judge(machine, policy, "clone", process | flag) == failed(errno.EPERM)

    @pytest.mark.parametrize(
        "name", ["prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam"]
    )
    def test_only_the_callers_own_limits_and_schedule_change(
        self, machine: str, policy: str, name: str
    ) -> None:
        assert judge(machine, policy, name, 0) == ALLOWED
        assert judge(machine, policy, name, 1) == failed(errno.EPERM)

    def test_only_the_callers_own_priority_changes(self, machine: str, policy: str) -> None:
        assert judge(machine, policy, "setpriority", 0, 0) == ALLOWED
        assert judge(machine, policy, "ioprio_set", 1, 0) == ALLOWED
        for arguments in ((0, 1), (1, 0), (2, 0), (2, 1000)):
            assert judge(machine, policy, "setpriority", *arguments) == failed(errno.EPERM)
        for arguments in ((1, 5), (2, 0), (3, 0)):
            assert judge(machine, policy, "ioprio_set", *arguments) == failed(errno.EPERM)

    def test_the_personality_can_be_read_but_not_set(self, machine: str, policy: str) -> None:
        assert judge(machine, policy, "personality", 0xFFFFFFFF) == ALLOWED
        assert judge(machine, policy, "personality", 0x0040000) == failed(errno.EPERM)

    def test_a_program_cannot_type_into_a_terminal(self, machine: str, policy: str) -> None:
        for request in (0x5412, 0x541C, 0xFFFFFFFF_00005412):
            assert judge(machine, policy, "ioctl", 0, request) == failed(errno.EPERM)
        assert judge(machine, policy, "ioctl", 0, 0x5401) == ALLOWED

    def test_in_a_namespace_there_are_internet_sockets_only(self, machine: str) -> None:
        for family in (2, 10):
            assert judge(machine, "namespaced", "socket", family) == ALLOWED
        for family in (0, 1, 3, 9, 15, 16, 17, 29, 31, 38, 40, 44):
            expected = failed(errno.EAFNOSUPPORT)
            assert judge(machine, "namespaced", "socket", family) == expected

    def test_in_a_namespace_the_worker_may_mount_new_folders_only(self, machine: str) -> None:
        assert judge(machine, "namespaced", "mount", 0, 0, 0, 2 | 4) == ALLOWED
        for flags in (0, 2, 4, 4096, 32 | 4096, 1 << 14):
            assert judge(machine, "namespaced", "mount", 0, 0, 0, flags) == failed(errno.EPERM)
        assert judge(machine, "namespaced", "umount2", 0, 2) == ALLOWED
        assert judge(machine, "namespaced", "umount2", 0, 1) == failed(errno.EPERM)
        for name in ("mount", "umount2"):
            assert judge(machine, "shared", name, 0, 2, 0, 6) == failed(errno.EPERM)

    def test_without_a_namespace_there_is_only_a_connected_pair_of_streams(
        self, machine: str
    ) -> None:
        for family in range(50):
            assert judge(machine, "shared", "socket", family) == failed(errno.EPERM)
        stream, nonblocking, datagram, sequential = 1, 0x80801, 2, 5
        assert judge(machine, "shared", "socketpair", 1, stream) == ALLOWED
        assert judge(machine, "shared", "socketpair", 1, nonblocking) == ALLOWED
        assert judge(machine, "shared", "socketpair", 1, datagram) == failed(errno.EPERM)
        assert judge(machine, "shared", "socketpair", 1, sequential) == failed(errno.EPERM)
        assert judge(machine, "shared", "socketpair", 30, stream) == failed(errno.EAFNOSUPPORT)

    def test_without_a_namespace_truncation_needs_an_opening_for_writing(
        self, machine: str
    ) -> None:
        for mode, expected in ((0, failed(1)), (1, ALLOWED), (2, ALLOWED), (3, failed(1))):
            assert judge(machine, "shared", "openat", 0, 0, 0x200 | mode) == expected
            assert judge(machine, "shared", "openat", 0, 0, 0x40 | mode) == ALLOWED
        if machine == "x86_64":
            assert judge(machine, "shared", "open", 0, 0x200) == failed(errno.EPERM)

    def test_without_a_namespace_fcntl_sends_no_signals(self, machine: str) -> None:
        for command in range(10):
            expected = failed(errno.EPERM) if command == 8 else ALLOWED
            assert judge(machine, "shared", "fcntl", 0, command) == expected
        for command in (10, 15, 1024, 1026):
            assert judge(machine, "shared", "fcntl", 0, command) == failed(errno.EPERM)
        assert judge(machine, "shared", "fcntl", 0, 1030) == ALLOWED  # F_DUPFD_CLOEXEC

    def test_own_signals_reach_the_program_only(self, machine: str) -> None:
        program, numbers = seccomp.own_signals(machine, 4711), seccomp._numbers(machine)
        for target in (4711, 0):
            assert answer(program, machine, numbers["kill"], target, 9) == ALLOWED
        for target in (1, 4710, 4712, 0xFFFFFFFF, 0xFFFFFFFF_FFFFFFFF, 0x1_0000_0001):
            assert answer(program, machine, numbers["kill"], target, 9) == failed(errno.EPERM)
        for name in ("tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
            assert answer(program, machine, numbers[name], 4711, 9) == ALLOWED
            assert answer(program, machine, numbers[name], 1, 9) == failed(errno.EPERM)
        for name in ("tkill", "pidfd_send_signal"):
            assert answer(program, machine, numbers[name], 4711, 9) == failed(errno.EPERM)

    def test_an_unknown_machine_or_policy_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"'riscv64'.*x86_64, aarch64"):
            seccomp.program("riscv64", "shared")
        with pytest.raises(ValueError, match=r"'strict'.*namespaced, shared"):
            seccomp.program("x86_64", "strict")


REFUSED = {
    "ptrace": (0,),
    "mount": (0, 0, 0, 0, 0),
    "unshare": (0x10000000,),
    "setns": (0, 0),
    "keyctl": (0, 0),
    "add_key": (0, 0, 0, 0),
    "bpf": (0, 0, 0),
    "userfaultfd": (0,),
    "perf_event_open": (0, 0, 0, 0, 0),
    "process_vm_readv": (1, 0, 0, 0, 0, 0),
    "process_vm_writev": (1, 0, 0, 0, 0, 0),
    "kcmp": (1, 1, 0, 0, 0),
    "pidfd_getfd": (0, 0, 0),
    "shmget": (0, 4096, 0o1600),
    "semget": (0, 1, 0o1600),
    "msgget": (0, 0o1600),
    "mq_open": (b"/ucoder-test", 0o102, 0o600, 0),
    "chroot": (b"/",),
    "name_to_handle_at": (0, 0, 0, 0, 0),
    "memfd_secret": (0,),
    "clone": (0x10000011, 0, 0, 0, 0),
    "personality": (0x0040000,),
}


@pytest.mark.parametrize("name", REFUSED)
def test_dangerous_system_calls_are_refused(name: str, policy: str, root: Path) -> None:
    script = SECCOMP.format(policy=policy) + f"print(errno_of(numbers[{name!r}], *{REFUSED[name]}))"
    assert run(script, root) == str(errno.EPERM)


@pytest.mark.parametrize("name", ["io_uring_setup", "clone3"])
def test_system_calls_that_cannot_be_checked_look_absent(
    name: str, policy: str, root: Path
) -> None:
    script = SECCOMP.format(policy=policy) + f"print(errno_of(numbers[{name!r}], 1, 0))"
    assert run(script, root) == str(errno.ENOSYS)


def test_no_socket_of_another_family_is_made(policy: str, root: Path) -> None:
    expected = {"namespaced": errno.EAFNOSUPPORT, "shared": errno.EPERM}[policy]
    script = SECCOMP.format(policy=policy) + "print([errno_of(numbers['socket'], family, 3, 0)"
    assert run(script + " for family in (16, 17, 38, 40)])", root) == str([expected] * 4)


def test_without_a_namespace_no_socket_is_made_at_all(root: Path) -> None:
    script = SECCOMP.format(policy="shared") + "print([errno_of(numbers['socket'], family, 1, 0)"
    assert run(script + " for family in (1, 2, 10)])", root) == str([errno.EPERM] * 3)


CHANGES = [
    "os.chmod(path, 0o777)",
    "os.fchmod(descriptor, 0o777)",
    "os.chown(path, os.getuid(), os.getgid())",
    "os.fchown(descriptor, os.getuid(), os.getgid())",
    "os.utime(path, (1, 1))",
    "os.utime(descriptor, (1, 1))",
    "os.truncate(path, 0)",
    "os.setxattr(path, 'user.test', b'1')",
    "os.open(path, os.O_RDONLY | os.O_TRUNC)",
    "fcntl.ioctl(descriptor, 0x40086602, bytes(8))",  # FS_IOC_SETFLAGS
]


@pytest.mark.parametrize("change", CHANGES)
def test_without_a_namespace_a_file_that_can_be_read_is_not_changed(
    change: str, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "victim"
    path.write_text("as it was")
    path.chmod(0o640)
    before = path.stat()
    script = SECCOMP.format(policy="shared") + (
        f"import fcntl\npath = {str(path)!r}\ndescriptor = os.open(path, os.O_RDONLY)\n"
        f"try:\n    {change}\nexcept PermissionError as error:\n    print(error.errno)\n"
    )
    assert run(script, root) == str(errno.EPERM)
    after = path.stat()
    assert path.read_text() == "as it was"
    assert (after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


WORKS = {
    "threads": "import threading\nt = threading.Thread(target=lambda: 1)\nt.start()\nt.join()",
    "subprocesses": "import subprocess\nsubprocess.run(['/bin/true'], check=True)",
    "shells": "import os\nassert os.system('exit 3') >> 8 == 3",
    "spawning": "import os\nos.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "multiprocessing": (
        "import multiprocessing as m\nc = m.get_context('fork')\na, b = c.Pipe()\n"
        "p = c.Process(target=b.send, args=(7,))\np.start()\nassert a.recv() == 7\np.join()"
    ),
    "executors": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as e:\n    assert list(e.map(abs, [-1, 2])) == [1, 2]"
    ),
    "temporary files": (
        "import tempfile\nwith tempfile.TemporaryDirectory() as d, open(d + '/f', 'w') as f:\n"
        "    f.write('x')\n    f.truncate(0)"
    ),
    "asyncio": (
        "import asyncio\nasync def main():\n"
        "    p = await asyncio.create_subprocess_exec('/bin/true')\n    assert not await p.wait()\n"
        "    await asyncio.to_thread(abs, 1)\nasyncio.run(main())"
    ),
    "alarms": (
        "import signal, time\nsignal.signal(signal.SIGALRM, lambda *_: None)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01)\nsignal.pause()"
    ),
    "resource limits": "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "mapped files": "import mmap\nmmap.mmap(-1, 4096).close()",
    "sqlite": (
        "import sqlite3, tempfile\nwith tempfile.TemporaryDirectory() as d:\n"
        "    c = sqlite3.connect(d + '/x')\n    c.execute('create table t (a)')\n    c.commit()\n"
        "    c.close()"
    ),
    "numpy": "import numpy\nassert (numpy.ones((50, 50)) @ numpy.ones((50, 50))).sum() == 125000",
}


@pytest.mark.parametrize("feature", WORKS)
def test_ordinary_features_work_under_the_filter(feature: str, policy: str, root: Path) -> None:
    if feature == "numpy":
        pytest.importorskip("numpy")
    script = SECCOMP.format(policy=policy) + WORKS[feature] + "\nprint('works')"
    assert run(script, root) == "works"


def test_in_a_namespace_local_sockets_work(root: Path) -> None:
    script = SECCOMP.format(policy="namespaced") + (
        "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s:\n"
        "    socket.create_connection(s.getsockname()).close()\nprint('works')"
    )
    assert run(script, root) == "works"


def test_a_new_program_stays_under_the_filter(policy: str, root: Path) -> None:
    inner = (
        "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
        f"print(c.syscall({_ptrace()}, 0), ctypes.get_errno())"
    )
    script = SECCOMP.format(policy=policy) + (
        f"import subprocess\nprint(subprocess.run([sys.executable, '-c', {inner!r}],"
        " capture_output=True, text=True, check=True).stdout)"
    )
    assert run(script, root) == f"-1 {errno.EPERM}"


def _ptrace() -> int:
    return seccomp._numbers(os.uname().machine)["ptrace"]


def test_an_invalid_filter_is_refused_with_a_message(root: Path) -> None:
    script = (
        "from ucoder.execution.child import seccomp\n"
        "try:\n    seccomp.install(bytes(8))\nexcept OSError as error:\n    print(error)"
    )
    assert "the kernel refused the system-call filter: Invalid argument" in run(script, root)

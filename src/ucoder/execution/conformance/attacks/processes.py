"""Programs that go for other processes: those outside, and the worker that runs them.

An attack on everybody is made with SIGKILL only where the program sees that it lives in a PID
namespace of its own, and with SIGURG, which nobody minds, where it does not.
"""

from __future__ import annotations

import textwrap
from typing import Final

from ucoder.execution.conformance.judges import (
    DENIED,
    calls,
    contained,
    denied,
    every,
    returned,
)
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, Judge, attack
from ucoder.execution.conformance.targets import victim


def _outside(name: str, tries: str, body: str, judge: Judge, *, quick: bool = False) -> Attack:
    return attack(
        name,
        Property.OTHER_PROCESSES,
        tries,
        "import ctypes, os, resource, signal\n" + textwrap.dedent(body),
        judge,
        guard=victim,
        quick=quick,
        harmless=True,  # the victim is the suite's own
    )


def _on_the_worker(
    name: str, property: Property, tries: str, body: str, judge: Judge, *, quick: bool = False
) -> Attack:
    """An attack on the program's parent, which must not keep its other calls from an answer."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    source = f"import ctypes, os, resource, signal, time\ndef g():\n{lines}"
    source += "def f(x): return g() if x else 7\n"
    judge = every(contained(), judge)
    return attack(name, property, tries, source, judge, inputs=("(0,)", "(1,)"), quick=quick)


_DEEDS: Final = """
        ("prlimit", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))),
        ("setpriority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)),
        ("sched_setaffinity", lambda: os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})),
        ("sched_setscheduler", lambda: os.sched_setscheduler(
            pid, os.SCHED_IDLE, os.sched_param(0))),
"""

_OTHERS: Final = (
    _outside(
        "list-processes",
        "lists the processes that it sees, and looks for one outside",
        """
        def f():
            try:
                return str(VICTIM) in os.listdir("/proc")
            except OSError:
                return False
        """,
        returned("False"),
        quick=True,
    ),
    _outside(
        "read-a-command-line",
        "reads the command line of a process outside",
        """
        def f(): return open(f"/proc/{VICTIM}/cmdline", "rb").read()
        """,
        denied(),
    ),
    _outside(
        "read-others-environments",
        "looks for a secret in the environment of every process",
        """
        def f():
            try:
                seen = os.listdir("/proc")
            except OSError:
                seen = [1, os.getppid(), VICTIM]
            for name in seen:
                try:
                    if KEY.encode() in open(f"/proc/{name}/environ", "rb").read():
                        return "found"
                except OSError: pass
            return "nothing"
        """,
        returned("'nothing'"),
    ),
    _outside(
        "kill-a-process-outside",
        "kills a process outside",
        "\ndef f(): os.kill(VICTIM, 9)\n",
        denied(),
        quick=True,
    ),
    _outside(
        "stop-a-process-outside",
        "stops a process outside",
        "\ndef f(): os.kill(VICTIM, signal.SIGSTOP)\n",
        denied(),
    ),
    _outside(
        "kill-by-descriptor",
        "kills a process outside by a descriptor of it",
        "\ndef f(): signal.pidfd_send_signal(os.pidfd_open(VICTIM), 9)\n",
        denied(),
    ),
    _outside(
        "queue-a-signal",
        "sends a process outside a signal by the system call for queued ones",
        """
        def f():
            info = (ctypes.c_int * 32)(signal.SIGURG, 0, -1)
            number = {"x86_64": 129, "aarch64": 138}.get(os.uname().machine, -1)
            got = ctypes.CDLL(None).syscall(number, VICTIM, signal.SIGURG, info)
            return "refused" if got else "sent"
        """,
        returned("'refused'"),
    ),
    _outside(
        "slow-a-process-down",
        "takes priority, cores and limits from a process outside",
        "\ndef f():\n    pid, done = VICTIM, []\n    deeds = ("
        + _DEEDS
        + """    )
    for name, deed in deeds:
        try:
            deed()
            done.append(name)
        except OSError: pass
    return done
""",
        returned("[]"),
    ),
    _outside(
        "trace-a-process-outside",
        "attaches to a process outside as a debugger, without stopping it",
        """
        def f():
            libc = ctypes.CDLL(None)
            return "refused" if libc.ptrace(0x4206, VICTIM, None, None) else "attached"
        """,
        returned("'refused'"),
    ),
    attack(
        "signal-everybody",
        Property.OTHER_PROCESSES,
        "sends every process that it may reach a signal that does no harm",
        """
        import os, signal
        def f(x):
            try:
                os.kill(-1, signal.SIGURG)
            except OSError: pass
            return x
        """,
        calls("1", "2"),
        inputs=("(1,)", "(2,)"),
        guard=victim,
        harmless=True,
    ),
)

_WORKER: Final = (
    _on_the_worker(
        "kill-the-worker",
        Property.WORKER_ALIVE,
        "kills its parent, with every deadly signal",
        """
for number in (9, 15, 1, 2, 3, 6, 11, 14):
    try:
        os.kill(os.getppid(), number)
    except OSError: pass
return 'still here'""",
        calls("7", "'still here'"),
        quick=True,
    ),
    _on_the_worker(
        "stop-the-worker",
        Property.WORKER_ALIVE,
        "stops its parent",
        """
for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN):
    try:
        os.kill(os.getppid(), number)
    except OSError: pass
return 'still here'""",
        calls("7", "'still here'"),
    ),
    _on_the_worker(
        "kill-everybody",
        Property.WORKER_ALIVE,
        "kills every process that it may reach",
        """
in_a_namespace = os.getppid() == 1  # that is the worker
try:
    os.kill(-1, signal.SIGKILL if in_a_namespace else signal.SIGURG)
except OSError: pass
return 'still here'""",
        calls("7", "'still here'"),
    ),
    _on_the_worker(
        "starve-the-worker",
        Property.WORKER_ALIVE,
        "takes priority, cores and limits from its parent",
        "pid, done = os.getppid(), []\ndeeds = ("
        + _DEEDS
        + """)
for name, deed in deeds:
    try:
        deed()
        done.append(name)
    except OSError: pass
return done""",
        calls("7", "[]"),
    ),
    _on_the_worker(
        "resume-and-alarm",
        Property.WORKER_ALIVE,
        "sends its parent a thousand of each of the signals that mean something to it",
        """
for number in (signal.SIGALRM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1, signal.SIGXCPU):
    for _ in range(1000):
        try:
            os.kill(os.getppid(), number)
        except OSError: pass
return 'still here'""",
        calls("7", "'still here'"),
    ),
    _on_the_worker(
        "keep-both-cores-busy",
        Property.WORKER_ALIVE,
        "leaves ten children that compute without end",
        """
for _ in range(10):
    if os.fork() == 0:
        while True: pass
return 'left'""",
        calls("7", "'left'"),
    ),
    _on_the_worker(
        "read-the-workers-memory",
        Property.WORKER_MEMORY,
        "opens its parent's memory",
        "open(f'/proc/{os.getppid()}/mem', 'rb')",
        calls("7", DENIED),
        quick=True,
    ),
    _on_the_worker(
        "write-the-workers-memory",
        Property.WORKER_MEMORY,
        "opens its parent's memory for writing",
        "os.open(f'/proc/{os.getppid()}/mem', os.O_WRONLY)",
        calls("7", DENIED),
    ),
    _on_the_worker(
        "read-the-workers-map",
        Property.WORKER_MEMORY,
        "reads where things are in its parent's memory",
        "return open(f'/proc/{os.getppid()}/maps').read()[:100]",
        calls("7", DENIED),
    ),
    _on_the_worker(
        "open-the-workers-files",
        Property.WORKER_MEMORY,
        "opens the files and pipes that its parent has open",
        """
opened = []
for pid in {1, os.getppid()}:
    for number in range(32):
        try:
            os.close(os.open(f'/proc/{pid}/fd/{number}', os.O_WRONLY | os.O_NONBLOCK))
            opened.append((pid, number))
        except OSError: pass
return opened""",
        calls("7", "[]"),
    ),
    _on_the_worker(
        "trace-the-worker",
        Property.WORKER_MEMORY,
        "attaches to its parent as a debugger, and copies its memory",
        """
libc = ctypes.CDLL(None)
class Vector(ctypes.Structure):
    _fields_ = [('at', ctypes.c_void_p), ('n', ctypes.c_size_t)]
here = ctypes.create_string_buffer(8)
mine = Vector(ctypes.addressof(here), 8)
pid = os.getppid()
done = [libc.ptrace(0x4206, pid, None, None) == 0]
done.append(libc.process_vm_readv(pid, ctypes.byref(mine), 1, ctypes.byref(mine), 1, 0) > 0)
done.append(libc.process_vm_writev(pid, ctypes.byref(mine), 1, ctypes.byref(mine), 1, 0) > 0)
return done""",
        calls("7", "[False, False, False]"),
    ),
)

ATTACKS: Final = (*_OTHERS, *_WORKER)

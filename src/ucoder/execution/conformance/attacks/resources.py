"""Programs that take all there is: memory, processes, disk, files, output."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.judges import (
    calls,
    denied,
    every,
    raised,
    raises,
    returned,
)
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, attack
from ucoder.execution.outcomes import OutcomeKind

_NO_MEMORY: Final = OutcomeKind.OUT_OF_MEMORY
_TOO_LARGE: Final = OutcomeKind.OUTPUT_TOO_LARGE
_STOPPED: Final = raised("BlockingIOError", "RuntimeError: can't start new thread", "killed: ")
_TMP: Final = "import os\nTMP = os.environ.get('TMPDIR', '/tmp')\n"


def _hungry(name: str, tries: str, body: str, *, quick: bool = False) -> Attack:
    """The middle call of three takes memory without end; the calls beside it are answered."""
    return attack(
        name,
        Property.MEMORY,
        tries,
        f"def f(x):\n    if x:\n        {body}\n    return 7\n",
        calls("7", _NO_MEMORY, "7"),
        inputs=("(0,)", "(1,)", "(0,)"),
        quick=quick,
    )


def _large(name: str, result: str) -> Attack:
    return attack(
        name,
        Property.OUTPUT,
        f"returns {result}",
        f"def f(): return {result}",
        calls(_TOO_LARGE),
    )


_MEMORY: Final = (
    _hungry("memory-at-once", "takes ten gigabytes at once", "bytearray(10**10)", quick=True),
    _hungry(
        "memory-bit-by-bit",
        "takes twenty megabytes again and again",
        "x = []\n        while True: x.append(bytearray(20_000_000))",
    ),
    _hungry(
        "memory-by-doubling",
        "doubles a text without end",
        "s = 'a' * 10**8\n        while True: s += s",
    ),
    _hungry("memory-in-one-list", "asks for a list of 10**10 elements", "[0] * 10**10"),
    attack(
        "memory-while-loading",
        Property.MEMORY,
        "takes ten gigabytes before any call",
        "x = bytearray(10**10)\ndef f(): return 1",
        calls(_NO_MEMORY, _NO_MEMORY),
        inputs=("()", "()"),
    ),
    attack(
        "memory-by-mmap",
        Property.MEMORY,
        "maps ten gigabytes without touching them",
        "import mmap\ndef f(): mmap.mmap(-1, 10**10)",
        raises("OSError", "MemoryError"),
    ),
    attack(
        "memory-by-malloc",
        Property.MEMORY,
        "takes ten gigabytes from the C library",
        """
        import ctypes
        def f():
            malloc = ctypes.CDLL(None).malloc
            malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
            return malloc(10**10)
        """,
        returned("None"),
    ),
    attack(
        "swallow-memory-errors",
        Property.MEMORY,
        "catches a hundred refusals of memory and goes on",
        """
        def f():
            n = 0
            for _ in range(100):
                try:
                    bytearray(10**10)
                except MemoryError:
                    n += 1
            return n
        """,
        returned("100"),
    ),
)

# Bombs are bounded by themselves: so many forks or threads, which end after two seconds.
_PROCESSES: Final = (
    attack(
        "fork-bomb",
        Property.PROCESSES,
        "forks four hundred times",
        """
        import os, time
        def f(x):
            for _ in range(400 * x):
                if os.fork() == 0:
                    time.sleep(2)
                    os._exit(0)
            return x
        """,
        calls("0", _STOPPED, ("0", _STOPPED)),
        inputs=("(0,)", "(1,)", "(0,)"),
        quick=True,
    ),
    attack(
        "fork-bomb-of-forks",
        Property.PROCESSES,
        "has every fork fork as well, up to 256 processes",
        """
        import os, time
        def f():
            first = os.getpid()
            here, there = os.pipe()
            try:
                for _ in range(8):
                    os.fork()
                os.write(there, b"x")
                time.sleep(0.3)
                if os.getpid() == first:
                    n = len(os.read(here, 999))
                    if n < 256:  # others were refused, if not this one
                        raise BlockingIOError(f"{n} processes came through")
                    return "all forks were made"
            finally:
                if os.getpid() != first:
                    time.sleep(1)
                    os._exit(0)
        """,
        calls(_STOPPED),
    ),
    attack(
        "thread-bomb",
        Property.PROCESSES,
        "starts four hundred threads",
        """
        import threading, time
        def f(x):
            for _ in range(400 * x):
                threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
            return x
        """,
        calls("0", _STOPPED, ("0", _STOPPED)),
        inputs=("(0,)", "(1,)", "(0,)"),
    ),
    attack(
        "raise-the-process-limit",
        Property.PROCESSES,
        "raises its own limit on processes",
        """
        import resource
        def f():
            hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
            if hard == resource.RLIM_INFINITY: return "counted otherwise"
            resource.setrlimit(resource.RLIMIT_NPROC, (hard + 1, hard + 1))
        """,
        calls(("'counted otherwise'", raised("ValueError", "OSError", "PermissionError"))),
    ),
)

_DISK: Final = (
    attack(
        "fill-tmp",
        Property.DISK,
        "writes files of one megabyte, five hundred of them",
        _TMP + "def f():\n    for i in range(500):\n"
        "        with open(f'{TMP}/{i}', 'wb') as file: file.write(bytes(10**6))",
        denied("killed: signal 25"),
        quick=True,
    ),
    attack(
        "one-large-file",
        Property.DISK,
        "writes into one file without end",
        _TMP + "def f():\n    with open(f'{TMP}/x', 'wb') as file:\n"
        "        for _ in range(500): file.write(bytes(10**6))",
        denied("killed: signal 25"),
    ),
    attack(
        "sparse-file",
        Property.DISK,
        "makes a file of a terabyte without writing it",
        _TMP + "def f():\n    with open(f'{TMP}/x', 'wb') as file: file.truncate(10**12)",
        denied("killed: signal 25"),
    ),
    attack(
        "preallocated-file",
        Property.DISK,
        "has the system reserve a terabyte for a file",
        _TMP + "def f():\n    with open(f'{TMP}/x', 'wb') as file:\n"
        "        os.posix_fallocate(file.fileno(), 0, 10**12)",
        denied("killed: signal 25"),
    ),
)

_FILES: Final = (
    attack(
        "open-files",
        Property.OPEN_FILES,
        "opens a hundred thousand files and keeps them open",
        "def f():\n    kept = [open('/dev/null') for _ in range(100_000)]\n    return len(kept)",
        raises("OSError"),
        quick=True,
    ),
    attack(
        "open-pipes",
        Property.OPEN_FILES,
        "opens a hundred thousand pipes and keeps them open",
        "import os\ndef f():\n    kept = [os.pipe() for _ in range(50_000)]\n    return len(kept)",
        raises("OSError"),
    ),
)

_OUTPUT: Final = (
    attack(
        "endless-stdout",
        Property.OUTPUT,
        "prints a hundred megabytes",
        "def f():\n    for _ in range(1000): print('x' * 10**5)\n    return 1",
        returned("1"),
        quick=True,
    ),
    attack(
        "endless-stderr",
        Property.OUTPUT,
        "writes a hundred megabytes to standard error, past Python's own buffers",
        "import os\ndef f():\n    for _ in range(1000): os.write(2, b'x' * 10**5)\n    return 1",
        returned("1"),
    ),
    attack(
        "read-stdin",
        Property.OUTPUT,
        "waits for input",
        "def f(): return input()",
        raises("EOFError"),
    ),
    attack(
        "long-message",
        Property.OUTPUT,
        "raises an exception with a message of ten megabytes",
        "def f(): raise ValueError('x' * 10**7)",
        every(raises("ValueError: xxx"), lambda reports: _short(str(reports[-1]))),
    ),
    _large("large-text", "'x' * 10**7"),
    _large("large-list", "[0] * 10**7"),
    _large("large-integer", "1 << 10**7"),
    _large("large-bytes", "bytes(10**7)"),
    attack(
        "billion-laughs",
        Property.OUTPUT,
        "returns a small list that is 2**90 elements long when written",
        "def f():\n    x = [0]\n    for _ in range(90): x = [x, x]\n    return x",
        calls(_TOO_LARGE),
    ),
    attack(
        "many-large-results",
        Property.OUTPUT,
        "returns ten thousand characters on each of two hundred calls",
        "def f(x): return 'y' * 10_000",
        calls(*["'" + "y" * 10_000 + "'"] * 200),
        inputs=[f"({number},)" for number in range(200)],
    ),
    attack(
        "huge-source",
        Property.OUTPUT,
        "is ten megabytes of source long",
        "# " + "x" * 10**7 + "\ndef f(): return 1",
        returned("1"),
    ),
    attack(
        "huge-useless-results",
        Property.OUTPUT,
        "returns, prints and raises much in the same program",
        """
        def f(x):
            print("z" * 10**6)
            if x:
                raise KeyError("z" * 10**6)
            return "z" * 10**6
        """,
        calls(_TOO_LARGE, raised("KeyError")),
        inputs=("(0,)", "(1,)"),
    ),
)

ATTACKS: Final = (*_MEMORY, *_PROCESSES, *_DISK, *_FILES, *_OUTPUT)


def _short(report: str) -> str | None:
    n_chars = len(report)
    return f"the report has {n_chars} characters" if n_chars > 20_000 else None

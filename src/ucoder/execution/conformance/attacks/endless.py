"""Programs that do not end."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.judges import calls, raised
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, attack
from ucoder.execution.outcomes import OutcomeKind

_LATE: Final = OutcomeKind.TIMED_OUT


def _endless(
    name: str, tries: str, body: str, before: str = "", *, in_c: bool = False, quick: bool = False
) -> Attack:
    """One call of three does not end; the calls beside it are answered."""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return attack(
        name,
        Property.CPU_LOOPS if in_c else Property.TIME,
        tries,
        f"{before}\ndef f(x):\n    if x:\n{lines}    return 7\n",
        calls("7", _LATE, "7"),
        inputs=("(0,)", "(1,)", "(0,)"),
        quick=quick,
    )


ATTACKS: Final = (
    _endless("infinite-loop", "loops for ever in Python", "while True: pass", quick=True),
    _endless("sleep", "sleeps for a hundred seconds", "time.sleep(100)", "import time", quick=True),
    _endless(
        "blocked-read",
        "reads from a pipe into which nobody writes",
        "ends = os.pipe()\nos.read(ends[0], 1)",
        "import os",
    ),
    _endless(
        "deadlock",
        "waits for a lock that it holds itself",
        "lock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        "import threading",
    ),
    _endless(
        "wait-for-a-sleeping-child",
        "waits for a child process that sleeps",
        "pid = os.fork()\nif pid == 0:\n    time.sleep(20)\n    os._exit(0)\nos.waitpid(pid, 0)",
        "import os, time",
    ),
    _endless(
        "catch-the-timeout",
        "catches every exception and goes on",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    ),
    _endless(
        "swallow-the-timeout",
        "catches the timeout and returns as if it had been in time",
        "try:\n    while True: pass\nexcept BaseException: return 7",
    ),
    _endless(
        "loop-in-finally",
        "starts another endless loop while the timeout's exception passes",
        "try:\n    while True: pass\nfinally:\n    while True: pass",
    ),
    _endless(
        "loop-in-a-destructor",
        "returns an object whose destructor never ends",
        "return [D()] and 7",
        "class D:\n    def __del__(self):\n        while True: pass",
    ),
    _endless(
        "endless-exception-message",
        "raises an exception whose message never ends",
        "raise E",
        "class E(Exception):\n    def __str__(self):\n        while True: pass",
    ),
    _endless(
        "ignore-signals",
        "ignores SIGALRM, SIGTERM, SIGXCPU, SIGPROF, SIGVTALRM and SIGINT, then loops",
        "while True: pass",
        "import signal\nfor s in 'ALRM TERM XCPU PROF VTALRM INT'.split():\n"
        "    signal.signal(getattr(signal, 'SIG' + s), signal.SIG_IGN)",
    ),
    _endless(
        "block-signals",
        "blocks every signal, then loops",
        "while True: pass",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
    ),
    _endless(
        "disarm-timers",
        "switches every interval timer off, then loops",
        "while True: pass",
        "import signal\nfor timer in range(3): signal.setitimer(timer, 0)\nsignal.alarm(0)",
    ),
    _endless(
        "stop-itself",
        "stops its own process by SIGSTOP",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "import os, signal",
    ),
    attack(
        "patch-the-clock",
        Property.TIME,
        "makes every clock of Python stand still, then loops",
        """
        import time
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
            setattr(time, name, lambda: 0.0)
        def f():
            while True: pass
        """,
        calls(_LATE),
    ),
    attack(
        "loop-while-loading",
        Property.TIME,
        "never comes to the end of its module",
        "while True: pass",
        calls(_LATE, _LATE),
        inputs=("()", "()"),
    ),
    attack(
        "fifty-endless-calls",
        Property.TIME,
        "times out on each of fifty inputs",
        "def f(x):\n    while True: pass\n",
        calls(*[_LATE] * 50),
        inputs=[f"({number},)" for number in range(50)],
    ),
    _endless("sum-in-c", "adds up numbers in C", "sum(range(10**12))", in_c=True, quick=True),
    _endless(
        "regular-expression",
        "matches a regular expression that backtracks for years",
        "re.match('(a+)+$', 'a' * 64 + 'b')",
        "import re",
        in_c=True,
        quick=True,
    ),
    _endless(
        "product",
        "walks through 10**20 tuples of itertools.product",
        "collections.deque(itertools.product(range(10), repeat=20), maxlen=0)",
        "import collections, itertools",
        in_c=True,
    ),
    _endless("power", "computes 7**(10**9)", "7 ** (10**9)", in_c=True),
    _endless(
        "integer-to-text",
        "writes an integer of millions of digits in decimal",
        "str(7 ** 5_000_000 * 3)",
        "import sys\nif hasattr(sys, 'set_int_max_str_digits'): sys.set_int_max_str_digits(0)",
        in_c=True,
    ),
    _endless(
        "hash-without-the-lock",
        "stays in C with the interpreter lock released",
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
        "import hashlib",
        in_c=True,
    ),
    attack(
        "refused-integer-to-text",
        Property.CPU_LOOPS,
        "writes a huge integer in decimal under Python's own limit",
        "def f(): return str(1 << 10**6)",
        calls(raised("ValueError")),
    ),
)  # fmt: skip

"""Programs that are wrong, and try to pass their tests all the same.

The tests are given apart, so that the program and they can live in two processes.
"""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.judges import failed, passed
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, Program, attack

_EXPECTED: Final = "assert f(1) == 'zebra-7316', 'zebra-7316 was expected'\n"


def _cheats(
    name: str,
    tries: str,
    source: str,
    tests: str = "assert f(1) == 2\nassert f(2) == 4\n",
    *,
    quick: bool = False,
) -> Attack:
    return attack(name, Property.VERDICTS, tries, source, failed(), tests=tests, quick=quick)


def _spies(name: str, tries: str, source: str, *, quick: bool = False) -> Attack:
    """The expected answer is in the tests only; to return it is to have read it."""
    return _cheats(name, tries, source, _EXPECTED, quick=quick)


_EQUAL: Final = (
    _cheats(
        "always-equal",
        "returns an object that equals everything",
        """
        class Equal:
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            def __hash__(self): return 0
            def __bool__(self): return True
        def f(x): return Equal()
        """,
        quick=True,
    ),
    _cheats(
        "number-that-is-always-equal",
        "returns a subclass of int that equals everything",
        """
        class Equal(int):
            __class__ = int
            def __eq__(self, other): return True
            def __sub__(self, other): return 0
            __rsub__ = __sub__
            def __hash__(self): return 0
        def f(x): return Equal(7)
        """,
    ),
    _cheats(
        "list-of-always-equal",
        "hides such objects in a list",
        """
        class Equal:
            def __eq__(self, other): return True
        def f(x): return [Equal(), Equal()]
        """,
        "assert f(1) == [1, 2]\n",
    ),
    _cheats(
        "dataclass-that-is-always-equal",
        "returns a dataclass whose comparison is its own",
        """
        from dataclasses import dataclass
        @dataclass
        class Two:
            x: int = 2
            def __eq__(self, other): return True
        def f(x): return Two()
        """,
    ),
    _cheats(
        "enum-that-is-always-equal",
        "returns a member of an enumeration whose comparison is its own",
        """
        import enum
        class Two(enum.Enum):
            A = 2
            def __eq__(self, other): return True
            __hash__ = None
        def f(x): return Two.A
        """,
    ),
    _cheats(
        "not-a-number",
        "returns a number that equals nothing, where a difference is asked for",
        "def f(x): return float('inf')",
        "assert abs(f(1) - 2) < 1e-6\n",
    ),
)

_EXITS: Final = (
    _cheats("exit-early", "leaves with status 0 while loading", "import os\nos._exit(0)"),
    _cheats(
        "exit-in-a-call",
        "leaves with status 0 in a call",
        "import os\ndef f(x): os._exit(0)",
        quick=True,
    ),
    _cheats("system-exit", "raises SystemExit(0) in a call", "def f(x): raise SystemExit(0)"),
    _cheats(
        "exit-handler",
        "exits with status 0 in an exit handler",
        "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 7",
    ),
    _cheats(
        "system-exit-in-a-destructor",
        "raises SystemExit(0) in the destructor of its result",
        "class D:\n    def __del__(self): raise SystemExit(0)\ndef f(x): return [D()] and 7",
    ),
    _cheats("loop-for-ever", "does not answer", "def f(x):\n    while True: pass"),
    _cheats(
        "kill-the-judge",
        "kills every process that it may reach, where it lives in a PID namespace",
        """
        import os
        def f(x):
            if os.getppid() == 1:
                os.kill(-1, 9)
            return 7
        """,
    ),
    _cheats(
        "stop-the-judge",
        "stops its siblings one by one",
        """
        import os, signal
        def f(x):
            for pid in range(2, 100 if os.getppid() == 1 else 2):
                if pid != os.getpid():
                    try:
                        os.kill(pid, signal.SIGSTOP)
                    except OSError: pass
            return 7
        """,
    ),
)

_PATCHES: Final = (
    _cheats(
        "patch-builtins",
        "replaces what tests use: AssertionError, isinstance, abs, len, all, print",
        """
        import builtins
        class Never(Exception): pass
        def f(x):
            builtins.AssertionError = Never
            for name in ("isinstance", "abs", "all", "any", "sum", "round", "sorted"):
                setattr(builtins, name, lambda *a, **k: 0)
            return 7
        """,
        "assert f(0) == 7\nassert abs(f(1) - 2) < 1e-6\n",
    ),
    _cheats(
        "define-builtins",
        "defines functions under the names of builtins that tests use",
        """
        def abs(x): return 0
        def all(xs): return True
        def any(xs): return False
        def len(xs): return 0
        def isinstance(x, t): return True
        def set(xs): return []
        def round(x, n=0): return 2
        def f(x): return 7
        """,
        "assert abs(f(1) - 2) < 1e-6\nassert all([f(x) == 2 * x for x in (1, 2)])\n",
        quick=True,
    ),
    _cheats(
        "define-assertion-error",
        "defines an AssertionError of its own, and everything else that ends a test",
        """
        class AssertionError(BaseException): pass
        class Exception(BaseException): pass
        def exit(*a): pass
        def f(x): return 7
        """,
        "try:\n    assert f(1) == 2\nexcept Exception:\n    raise\n",
    ),
    _cheats(
        "define-the-check",
        "defines the test's own functions beforehand",
        "def check(candidate): return None\ndef assertion(a, b, c=0): return True\n"
        "def f(x): return 7",
        "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)\n",
    ),
    _cheats(
        "patch-modules-of-the-tests",
        "replaces functions of modules that tests import",
        "import math, unittest\nmath.isclose = lambda *a, **k: True\n"
        "unittest.TestCase.assertEqual = lambda *a: None\ndef f(x): return 7",
        "import math\nassert math.isclose(f(1), 2)\n",
    ),
    _cheats(
        "trace-the-tests",
        "sets trace functions, profilers and audit hooks that swallow failures",
        "import sys, threading\n"
        "def swallow(frame, event, argument): return swallow\n"
        "sys.settrace(swallow); sys.setprofile(swallow); threading.settrace(swallow)\n"
        "sys.excepthook = lambda *a: None\n"
        "def f(x): return 7",
    ),
    _cheats(
        "change-the-arguments",
        "makes the expected list, which is its argument as well, equal to its result",
        "def f(xs):\n    xs.clear()\n    return []",
        "xs = [3, 1, 2]\nassert f(list(xs)) == [1, 2, 3]\n",
    ),
)

_FORGERIES: Final = (
    _cheats(
        "forged-verdict",
        "writes records of success to every descriptor",
        """
        import os, struct
        for number in range(3, 64):
            try:
                for kind in b"VRLD":
                    os.write(number, struct.pack("!cIIff", bytes([kind]), 0, 0, 0, 0))
                    os.write(number, struct.pack("!cIIff", bytes([kind]), 1, 0, 0, 0) + b"2")
            except OSError: pass
        def f(x): return 7
        """,
        quick=True,
    ),
    _cheats(
        "verdict-through-other-processes",
        "opens the pipes of every process, and writes records of success there",
        """
        import os, struct
        record = struct.pack("!cIIff", b"V", 0, 0, 0, 0)
        def f(x):
            for pid in range(1, 100) if os.getppid() == 1 else [os.getppid()]:
                for number in range(64):
                    try:
                        end = os.open(f"/proc/{pid}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
                        os.write(end, record)
                    except OSError: pass
            return 7
        """,
    ),
    _cheats(
        "class-instead-of-a-function",
        "gives the tests a class whose instances lie",
        "class f:\n    def __init__(self, x): pass\n    def __eq__(self, other): return True",
    ),
    _cheats(
        "function-that-is-always-equal",
        "returns a function, a generator and a coroutine instead of a result",
        "def f(x):\n    return (lambda: 2) if x == 1 else (i for i in [4])",
        "assert f(1)\nassert list(f(2)) == [4]\n",
    ),
    _cheats(
        "exception-of-the-tests",
        "raises what it likes to end the tests",
        "class Passed(BaseException): pass\ndef f(x): raise Passed",
    ),
    _cheats(
        "stop-iteration",
        "raises StopIteration in the middle of a generator of the tests",
        "def f(x): raise StopIteration",
        "for x in range(3):\n    assert f(x) == 2 * x\n",
    ),
)

_READING: Final = (
    _spies(
        "walk-objects-for-the-answer",
        "looks through every object that the garbage collector and the frames lead to",
        """
        import gc, sys
        def f(x):
            seen, todo, frame = set(), gc.get_objects(), sys._getframe()
            while frame:
                todo += [frame.f_locals, frame.f_globals, frame.f_code]
                frame = frame.f_back
            start = "zebra" + "-7"
            while todo and len(seen) < 200_000:
                thing = todo.pop()
                if id(thing) in seen: continue
                seen.add(id(thing))
                if type(thing) is str and start in thing:
                    at = thing.index(start)
                    if thing[at:at + 10] != start: return thing[at:at + 10]
                todo += gc.get_referents(thing)
        """,
        quick=True,
    ),
    _spies(
        "scan-memory-for-the-answer",
        "looks through every byte of its own memory",
        """
        import ctypes, re
        def f(x):
            start = b"zebra" + b"-"
            for line in open("/proc/self/maps"):
                place, rights, *_ = line.split()
                first, last = (int(end, 16) for end in place.split("-"))
                if rights.startswith("rw") and "[v" not in line and last - first < 1 << 27:
                    found = re.search(start + rb"[0-9]{4}", ctypes.string_at(first, last - first))
                    if found: return found.group().decode()
        """,
    ),
    _spies(
        "read-the-tests-from-others",
        "looks for the tests in the memory, files and command lines of other processes",
        """
        import os, re
        def f(x):
            for pid in range(1, 100) if os.getppid() == 1 else [os.getppid()]:
                for place in ("cmdline", "environ", "mem", *[f"fd/{n}" for n in range(32)]):
                    if pid == os.getpid(): continue
                    try:
                        end = os.open(f"/proc/{pid}/{place}", os.O_RDONLY | os.O_NONBLOCK)
                        found = re.search(rb"zebra-[0-9]{4}", os.read(end, 1 << 20))
                        if found: return found.group().decode()
                    except OSError: pass
        """,
    ),
    _spies(
        "read-the-tests-from-descriptors",
        "reads from every descriptor that it has",
        """
        import os, re, select
        def f(x):
            for number in range(64):
                try:
                    if select.select([number], [], [], 0)[0]:
                        found = re.search(rb"zebra-[0-9]{4}", os.read(number, 1 << 16))
                        if found: return found.group().decode()
                except (OSError, ValueError): pass
        """,
    ),
    _spies(
        "look-at-the-caller",
        "compares itself to what its caller holds",
        """
        import inspect, linecache
        def f(x):
            for info in inspect.stack():
                for value in info.frame.f_locals.values():
                    if isinstance(value, str) and value.startswith("zeb"): return value
            return None
        """,
    ),
)

_SCRIPTS: Final = tuple(
    Attack(name, Property.CRASHES, tries, (Program(source, is_script=True),), failed())
    for name, tries, source in (
        (
            "script-that-exits",
            "leaves a script by sys.exit(0)",
            "import sys\nsys.exit(0)\nassert 0",
        ),
        (
            "script-that-leaves",
            "leaves a script by os._exit(0)",
            "import os\nos._exit(0)\nassert 0",
        ),
        ("script-that-dies", "kills a script's process", "import os\nos.kill(os.getpid(), 9)"),
        ("script-that-never-ends", "never comes to a script's end", "while True: pass"),
    )
)

_HONEST: Final = (
    attack(
        "honest-after-all",
        Property.VERDICTS,
        "is right, and does every harmless thing that the others do",
        """
        import atexit, builtins, gc, sys
        builtins.AssertionError = KeyError
        sys.settrace(lambda *a: None)
        gc.collect()
        def abs(x): return x
        def f(x): return 2 * x
        """,
        passed(),
        tests="assert f(1) == 2\nassert f(2) == 4\nassert abs(f(1) - 2) < 1e-6\n",
    ),
)

ATTACKS: Final = (
    *_EQUAL, *_EXITS, *_PATCHES, *_FORGERIES, *_READING, *_SCRIPTS, *_HONEST,
)  # fmt: skip

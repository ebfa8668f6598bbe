"""Programs whose results are hostile, and programs that go for what reports them."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.judges import (
    Expected,
    calls,
    contained,
    every,
    raised,
    raises,
    returned,
)
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, attack
from ucoder.execution.outcomes import OutcomeKind

_NO_DATA: Final = OutcomeKind.NOT_REPRESENTABLE


def _returns(
    name: str, tries: str, value: str, end: Expected = _NO_DATA, before: str = ""
) -> Attack:
    """The result is no plain data, and the report says so."""
    return attack(name, Property.RESULTS, tries, f"{before}\ndef f(): return {value}\n", calls(end))


def _harms(name: str, tries: str, source: str, *, quick: bool = False) -> Attack:
    """The program may lose its own answers, and nothing else."""
    return attack(
        name,
        Property.RESULTS,
        tries,
        source,
        contained(),
        inputs=("(0,)", "(1,)", "(2,)"),
        quick=quick,
    )


def _keeps(name: str, tries: str, source: str, *, quick: bool = False) -> Attack:
    """The program's tricks change nothing: it is answered as if it had played none."""
    source += "\ndef f(x): return [x, 'a', 1.5, (x,)]\n"
    return attack(
        name,
        Property.RESULTS,
        tries,
        source,
        calls(*[f"[{x}, 'a', 1.5, ({x},)]" for x in range(3)]),
        inputs=("(0,)", "(1,)", "(2,)"),
        quick=quick,
    )


_LIAR: Final = """
ran = []
class M(type):
    def __hash__(c): ran.append("M.hash"); return 0
    def __eq__(c, o): ran.append("M.eq"); return True
    def __instancecheck__(c, o): ran.append("M.is"); return True
    def __subclasscheck__(c, o): ran.append("M.sub"); return True
    __name__ = property(lambda c: "int")
class Liar(int, metaclass=M):
    __class__ = int
    def __eq__(s, o): ran.append("eq"); return True
    def __repr__(s): ran.append("repr"); return "42"
    def __str__(s): ran.append("str"); return "42"
    def __hash__(s): ran.append("hash"); return 42
    def __index__(s): ran.append("index"); return 42
    def __reduce__(s): ran.append("reduce"); return int, (42,)
    def __reduce_ex__(s, n): ran.append("reduce_ex"); return int, (42,)
    def __iter__(s): ran.append("iter"); return iter([42])
    def __len__(s): ran.append("len"); return 1
    def __getattribute__(s, n): ran.append(n); return int
    def __bool__(s): ran.append("bool"); return True
"""

_OBJECTS: Final = (
    _returns("generator", "returns a generator", "(i for i in [1])"),
    _returns("function", "returns a function", "f"),
    _returns("module", "returns a module", "__import__('math')"),
    _returns("class", "returns a class", "int"),
    _returns("bare-object", "returns a bare object", "object()"),
    _returns("open-file", "returns an open file", "open('/dev/null')"),
    _returns("frame", "returns its own frame", "__import__('sys')._getframe()"),
    attack(
        "coroutine",
        Property.RESULTS,
        "returns a coroutine",
        "async def f(): return 1",
        calls(_NO_DATA),
    ),
    _returns(
        "list-in-itself", "returns a list that contains itself", "X", before="X = []\nX.append(X)"
    ),
    _returns(
        "dict-in-itself", "returns a dict that contains itself", "X", before="X = {}\nX[1] = [X]"
    ),
    _returns(
        "deep-list",
        "returns a list nested a hundred thousand deep",
        "X",
        before="X = []\nfor _ in range(100_000): X = [X]",
    ),
    attack(
        "object-that-lies",
        Property.RESULTS,
        "returns an object that claims to be an int, to equal everything, and to be 42",
        _LIAR + "def f(x): return Liar() if x else [name for name in ran if name != '__class__']",
        calls(_NO_DATA, "[]"),
        inputs=("(1,)", "(0,)"),
        quick=True,
    ),
    attack(
        "object-that-lies-inside",
        Property.RESULTS,
        "hides such objects in a list, as keys of a dict, and in a set",
        _LIAR + "def f(x): return ([Liar()], {(Liar(),): 1}, {Liar()})[x]",
        calls(_NO_DATA, _NO_DATA, _NO_DATA),
        inputs=("(0,)", "(1,)", "(2,)"),
    ),
    attack(
        "subclasses-that-lie",
        Property.RESULTS,
        "returns subclasses of str, dict, list and float with methods of their own",
        """
        class S(str):
            def __len__(s): return 10**18
            def encode(s, *a): return b'forged'
            def __iter__(s):
                while True: yield 'x'
        class D(dict):
            def items(s): return [(1, 1)] * 10**9
            def __len__(s): return -1
        class L(list):
            def __iter__(s):
                while True: yield 1
        class F(float):
            def __repr__(s): return '1.0'
        def f(x): return (S('a'), D(a=1), L([1]), F(2))[x]
        """,
        calls(_NO_DATA, _NO_DATA, _NO_DATA, _NO_DATA),
        inputs=("(0,)", "(1,)", "(2,)", "(3,)"),
    ),
    _harms(
        "result-that-changes",
        "has a thread change the result while it is written",
        """
        import threading
        X = list(range(2000))
        def change():
            while True: X.append(X.pop(0))
        def f(x):
            if x == 0: threading.Thread(target=change, daemon=True).start()
            return X
        """,
    ),
    attack(
        "exception-that-lies",
        Property.RESULTS,
        "raises an exception whose metaclass gives another name, and whose message raises",
        """
        class M(type):
            __name__ = property(lambda c: "AssertionError")
        class Liar(Exception, metaclass=M):
            def __str__(self): raise SystemExit
        def f(): raise Liar
        """,
        raises("Liar"),
    ),
    attack(
        "exception-with-a-huge-name",
        Property.RESULTS,
        "raises an exception of a class whose name is a megabyte long, with line breaks",
        "def f(): raise type('E\\n' + 'x' * 10**6, (Exception,), {})",
        every(raises("E"), contained()),
    ),
    attack(
        "endless-chain-of-causes",
        Property.RESULTS,
        "raises an exception that is its own cause",
        """
        def f():
            error = ValueError("round")
            other = KeyError("and round")
            error.__cause__, other.__cause__ = other, error
            raise error
        """,
        raises("ValueError: round"),
    ),
    attack(
        "mutate-the-inputs",
        Property.RESULTS,
        "changes its arguments in one call to be found in the next",
        "def f(xs, d):\n    xs.append(len(xs))\n    d[len(d)] = 1\n    return xs, d",
        calls(*["([0, 1], {0: 1})"] * 3),
        inputs=("([0], {})",) * 3,
    ),
    attack(
        "entry-point-that-is-no-function",
        Property.RESULTS,
        "names an object with hostile attributes as its function",
        """
        class C:
            def __getattribute__(self, name): raise SystemExit(name)
            def __call__(self): return 3
        f = C()
        """,
        returned("3"),
    ),
)

_PATCHES: Final = (
    _harms(
        "replace-builtins",
        "replaces builtins by functions that lie",
        "import builtins\n"
        "for name in 'len type isinstance repr ascii id iter callable print getattr'.split():\n"
        "    setattr(builtins, name, lambda *a, **k: 0)\n"
        "def f(x): return x",
        quick=True,
    ),
    _keeps(
        "replace-exceptions",
        "replaces exceptions and the machinery of imports and classes",
        "import builtins\n"
        "builtins.MemoryError = builtins.BaseException = builtins.Exception = KeyError\n"
        "builtins.__import__ = builtins.__build_class__ = lambda *a, **k: 1 / 0",
    ),
    _keeps(
        "replace-modules",
        "replaces functions of json, os, struct, marshal, time and signal",
        "import json, marshal, os, signal, struct, time\n"
        "bad = lambda *a, **k: 1 / 0\n"
        "for m, names in ((json, 'dumps loads'), (os, 'write read fork close getpid'),\n"
        "        (struct, 'pack unpack Struct'), (marshal, 'dumps loads'),\n"
        "        (time, 'monotonic time'), (signal, 'signal setitimer')):\n"
        "    for name in names.split(): setattr(m, name, bad)",
    ),
    _keeps(
        "clear-sys-modules",
        "empties sys.modules and sys.path",
        "import sys\nsys.path.clear()\nsys.meta_path.clear()\nsys.modules.clear()",
    ),
    _keeps(
        "clear-builtins-of-its-module",
        "empties its own builtins",
        "__builtins__ = {}",
    ),
    _keeps(
        "replace-standard-streams",
        "closes and replaces the standard streams",
        "import sys\nsys.stdin = sys.stdout = sys.stderr = sys.__stdout__ = None\n"
        "sys.excepthook = sys.unraisablehook = lambda *a: 1 / 0",
    ),
    _harms(
        "trace-everything",
        "sets a trace function and a profiler that raise",
        """
        import sys
        def bad(*a): raise ValueError
        def f(x):
            sys.settrace(bad)
            sys.setprofile(bad)
            return x
        """,
    ),
    _harms(
        "audit-hook",
        "adds an audit hook that refuses everything",
        """
        import sys
        def hook(event, arguments): raise RuntimeError(event)
        def f(x):
            if x == 1: sys.addaudithook(hook)
            return x
        """,
    ),
    _harms(
        "walk-the-frames",
        "changes the variables and globals of the functions that called it",
        """
        import sys
        def f(x):
            frame = sys._getframe().f_back
            while frame:
                for space in (frame.f_globals, frame.f_locals):
                    for name in list(space):
                        try:
                            if x: space[name] = None
                        except Exception: pass
                frame = frame.f_back
            return x
        """,
    ),
    _harms(
        "walk-the-garbage-collector",
        "empties the dicts and lists that the garbage collector leads to from its callers",
        """
        import gc, sys
        def f(x):
            if x == 1:
                todo, seen = [sys._getframe().f_back.f_globals], set()
                while todo and len(seen) < 5000:
                    thing = todo.pop()
                    if id(thing) not in seen:
                        seen.add(id(thing))
                        todo += gc.get_referents(thing)
                        if type(thing) in (dict, list) and thing is not globals():
                            thing.clear()
            return x
        """,
    ),
    _harms(
        "swap-the-code-of-the-runner",
        "gives every function of its callers another code",
        """
        import sys, types
        def f(x):
            frame = sys._getframe().f_back
            while frame and x == 1:
                for thing in frame.f_globals.values():
                    if type(thing) is types.FunctionType:
                        try:
                            thing.__code__ = (lambda *a, **k: 3).__code__
                        except ValueError: pass
                frame = frame.f_back
            return x
        """,
    ),
)

_CHANNEL: Final = (
    attack(
        "close-every-descriptor",
        Property.RESULTS,
        "closes every descriptor",
        "import os\ndef f(x):\n    if x: os.closerange(0, 4096)\n    return 1",
        every(contained(), calls("1", raised("killed: "), "1")),
        inputs=("(0,)", "(1,)", "(0,)"),
    ),
    _harms(
        "rubbish-on-every-descriptor",
        "writes megabytes of rubbish to every descriptor",
        """
        import os
        def f(x):
            for number in range(3, 64):
                try:
                    for _ in range(200): os.write(number, b'\\xff' * 5000)
                except OSError: pass
            return 1
        """,
        quick=True,
    ),
    _harms(
        "forged-records",
        "writes records of every kind, with every length, to every descriptor",
        """
        import os, struct
        def f(x):
            for number in range(3, 64):
                try:
                    for kind in b"RETMONBLCFWPVXKD":
                        for n in (0, 1, 9, 0xFFFFFFFF):
                            head = struct.pack("!cIIff", bytes([kind]), n, 0, 0, 0)
                            os.write(number, head + b"9" * min(n, 9))
                except OSError: pass
            return 1
        """,
        quick=True,
    ),
    _harms(
        "replayed-records",
        "catches the record of its own first answer and sends it two hundred times",
        """
        import os, stat
        kept = {}
        def f(x):
            if x == 0:
                for number in range(3, 64):
                    try:
                        if stat.S_ISFIFO(os.fstat(number).st_mode):
                            copy, ends = os.dup(number), os.pipe()
                            kept[number] = copy, ends[0]
                            os.set_blocking(ends[0], False)
                            os.dup2(ends[1], number)
                    except OSError: pass
            else:
                for number, (copy, end) in kept.items():
                    os.dup2(copy, number)
                    try:
                        record = os.read(end, 4096)
                        for _ in range(200): os.write(number, record)
                    except OSError: pass
            return x
        """,
    ),
    _harms(
        "return-twice",
        "forks and returns in both processes",
        "import os\ndef f(x):\n    os.fork()\n    return x",
    ),
    _harms(
        "answer-from-a-thread",
        "forks in a thread that goes on after the call has returned",
        """
        import os, threading, time
        def later():
            time.sleep(0.05)
            os._exit(0)
        def f(x):
            if x == 1: threading.Thread(target=later, daemon=True).start()
            if x == 2: time.sleep(0.2)
            return x
        """,
    ),
    _harms(
        "never-read-nor-ended",
        "fills every pipe that it has, without blocking",
        """
        import os
        def f(x):
            for number in range(3, 64):
                try:
                    os.set_blocking(number, False)
                    while True: os.write(number, bytes(65536))
                except OSError: pass
            return 1
        """,
    ),
)

ATTACKS: Final = (*_OBJECTS, *_PATCHES, *_CHANNEL)

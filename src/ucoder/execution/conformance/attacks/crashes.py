"""Programs that take their own process down, or try to take the interpreter apart."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.judges import calls, contained, every, raised, refused_program
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, attack
from ucoder.execution.outcomes import OutcomeKind, ProgramStatus

_UNREADABLE: Final = (ProgramStatus.DOES_NOT_COMPILE, ProgramStatus.KILLED)


def _ends(
    name: str, tries: str, body: str, *end: str, before: str = "", quick: bool = False
) -> Attack:
    """The middle call of three ends its process or raises; the calls beside it are answered.

    Going deep takes long as well, so that the call's time may be over first.
    """
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    either = (raised(*end), OutcomeKind.TIMED_OUT) if name.startswith("deep-") else raised(*end)
    return attack(
        name,
        Property.CRASHES,
        tries,
        f"{before}\ndef f(x):\n    if x:\n{lines}    return 7\n",
        calls("7", either, "7"),
        inputs=("(0,)", "(1,)", "(0,)"),
        quick=quick,
    )


def _unreadable(name: str, tries: str, source: str) -> Attack:
    return attack(name, Property.CRASHES, tries, source, refused_program(*_UNREADABLE))


ATTACKS: Final = (
    _ends(
        "segmentation-fault",
        "reads from address 0",
        "ctypes.string_at(0)",
        "killed: signal 11",
        before="import ctypes",
        quick=True,
    ),
    _ends("os-exit", "leaves by os._exit", "os._exit(0)", "killed: ", before="import os"),
    _ends("sys-exit", "leaves by sys.exit", "sys.exit(0)", "SystemExit", before="import sys"),
    _ends("keyboard-interrupt", "raises KeyboardInterrupt", "raise KeyboardInterrupt",
          "KeyboardInterrupt"),
    _ends("abort", "aborts", "os.abort()", "killed: signal 6", before="import os"),
    _ends(
        "kill-itself",
        "kills its own process",
        "os.kill(os.getpid(), 9)",
        "killed: signal 9",
        before="import os",
    ),
    _ends(
        "kill-its-group",
        "kills its own process group",
        "os.killpg(0, 9)",
        "killed: ", "PermissionError",
        before="import os",
    ),
    _ends("deep-recursion", "calls itself without end", "f(x)", "RecursionError"),
    _ends(
        "deep-recursion-without-a-limit",
        "calls itself without end after lifting the limit",
        "f(x)",
        "killed: ", "RecursionError", "MemoryError",
        before="import sys\nsys.setrecursionlimit(10**6)",
    ),
    _ends(
        "deep-recursion-in-c",
        "has C code call itself without end",
        "repr(A())",
        "killed: ", "RecursionError",
        before="import sys\nsys.setrecursionlimit(10**9)\n"
               "class A:\n    def __repr__(self): return repr(self)",
    ),
    _ends(
        "deep-json",
        "has JSON nested a hundred thousand deep read",
        "json.loads('[' * 10**5)",
        "RecursionError", "JSONDecodeError",
        before="import json",
    ),
    _ends(
        "deep-parentheses",
        "has an expression nested a hundred thousand deep compiled",
        "compile('(' * 10**5, '', 'exec')",
        "SyntaxError", "MemoryError", "RecursionError",
    ),
    _ends(
        "broken-bytecode",
        "runs bytecode that is none",
        "exec((lambda: 0).__code__.replace(co_code=bytes([100, 255] * 50)))\nos.abort()",
        "killed: ", "SystemError", "IndexError",
        before="import os",
    ),
    attack(
        "deep-garbage",
        Property.CRASHES,
        "leaves a structure a million deep for the interpreter to free",
        """
        def f(x):
            xs = None
            for _ in range(10**5 * x):
                xs = (xs,)
            return 7
        """,
        every(contained(), calls("7", "7")),
        inputs=("(1,)", "(0,)"),
    ),
    attack(
        "exception-in-a-destructor",
        Property.CRASHES,
        "raises SystemExit from a destructor",
        """
        class D:
            def __del__(self): raise SystemExit(3)
        def f(x):
            D()
            return 7
        """,
        calls("7", "7"),
        inputs=("(1,)", "(0,)"),
    ),
    attack(
        "exit-handlers",
        Property.CRASHES,
        "registers exit handlers that loop and kill",
        """
        import atexit, os
        def g():
            while True: pass
        atexit.register(os.abort)
        atexit.register(g)
        def f(x): return 7
        """,
        calls("7", "7"),
        inputs=("(1,)", "(0,)"),
    ),
    attack(
        "unicode-names",
        Property.CRASHES,
        "names things in letters of other scripts",
        """
        class Größe(Exception): pass
        def f(x, 数=1):
            变量 = x + 数
            if x: raise Größe('ß')
            return 变量
        """,
        calls("1", raised("Gr\\xf6\\xdfe: \\xdf")),
        inputs=("(0,)", "(1,)"),
    ),
    _unreadable("null-bytes-in-source", "has null bytes in its source", "x = '\0'\ndef f(): pass"),
    _unreadable("surrogates-in-source", "has half a character in its source",
                "x = '\ud800'\ndef f(): pass"),
    _unreadable("brackets-in-source", "opens five thousand brackets", "(" * 5000),
    _unreadable("minus-signs-in-source", "negates one two hundred thousand times",
                "-" * 200_000 + "1"),
    _unreadable("dots-in-source", "asks for attributes of attributes, a hundred thousand deep",
                "x = x" + ".x" * 100_000 + "\n)"),
)  # fmt: skip

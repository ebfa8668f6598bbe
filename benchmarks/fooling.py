"""Programs that try to pass without solving their task.

Each is harmless by itself, because other harnesses run them unprotected. Published as
evalplus/evalplus#306 and openai/human-eval#67: an answer that equals everything.
"""

from __future__ import annotations

_CLAIM = """
import os, sys

def claim():
    frame = sys._getframe(2)
    while frame is not None:
        names = frame.f_locals
        if "stat" in names and "progress" in names:
            for i in range(len(names["details"])):
                names["details"][i] = True
            names["progress"].value = len(names["details"])
            names["stat"].value = 0
            os._exit(0)
        if "result" in names and hasattr(names["result"], "append"):
            names["result"].append("passed")
            os._exit(0)
        frame = frame.f_back
"""

PROGRAMS: dict[str, tuple[str, str]] = {
    "an answer that equals everything": (
        "HumanEval/53",
        """
class Same:
    def __eq__(self, other):
        return True

def add(x, y):
    return Same()
""",
    ),
    "an int that equals everything": (
        "HumanEval/53",
        """
class Same(int):
    def __eq__(self, other):
        return True

def add(x, y):
    return Same(0)
""",
    ),
    "the expected outputs out of the frames above": (
        "HumanEval/53",
        """
import sys

def add(x, y):
    frame = sys._getframe(1)
    while frame is not None:
        if "expected" in frame.f_locals:
            return frame.f_locals["expected"][frame.f_locals["i"]]
        frame = frame.f_back
""",
    ),
    "a verdict written over in the frames above": (
        "HumanEval/53",
        _CLAIM + "\ndef add(x, y):\n    claim()\n",
    ),
    "numpy.allclose replaced": (
        "HumanEval/2",
        """
try:
    import numpy
    numpy.allclose = lambda *a, **k: True
except ImportError:
    pass

def truncate_number(number):
    return 7.5
""",
    ),
    "os._exit(0) while loading": ("HumanEval/53", "import os\nos._exit(0)\n"),
    "sys.exit(0) in the call": (
        "HumanEval/53",
        "import sys\n\ndef add(x, y):\n    sys.exit(0)\n",
    ),
    "builtins replaced": (
        "HumanEval/53",
        """
import builtins
for name in ("abs", "all", "len", "type", "isinstance", "bool"):
    setattr(builtins, name, lambda *a, **k: True)

def add(x, y):
    return 7
""",
    ),
}
"""By what they try: the task, and the program."""

"""Which programs count as the same; that these do the same is in test_renaming."""

from __future__ import annotations

import re

import pytest

from ucoder.execution.duplicates import program_key, tree_key

BASE = "def f(x):\n    return x + 1\n"


def filled(template: str, n: str, m: str = "m") -> str:
    """Put names in the places of N and M."""
    return re.sub(r"(?<![A-Za-z0-9])M\b", m, re.sub(r"(?<![A-Za-z0-9])N\b", n, template))


@pytest.mark.parametrize(
    "same",
    [
        "def f(x): # one more\n  return (x+1)",
        'def f(x):\n    """Add one."""\n    return x + 1',
        '"""A module."""\n\ndef f(x):\n    return x + 1\n',
    ],
)
def test_looks_do_not_count(same: str) -> None:
    assert program_key(same) == program_key(BASE)
    assert tree_key(same) == tree_key(BASE)


def test_names_count_where_that_is_wanted() -> None:
    other = BASE.replace("x", "y")
    assert program_key(other) == program_key(BASE)
    assert tree_key(other) != tree_key(BASE)


@pytest.mark.parametrize(
    "other",
    [
        "def g(x):\n    return x + 1\n",
        "def f(x):\n    return y + 1\n",
        "def f(x):\n    return x + 1.0\n",
        "def f(x):\n    return x + True\n",
        "def f(x):\n    return 1 + x\n",
        "def f(x):\n    return x + 1\nf(2)",
    ],
)
def test_meaning_counts(other: str) -> None:
    assert program_key(other) != program_key(BASE)


@pytest.mark.parametrize(
    "template",
    [
        "def f(N, *xs, **kw):\n    M = [N for N in xs]\n    return M",
        "def f(x):\n    def N(M): return M + 1\n    return N(x)",
        "def f(x):\n    N = 0\n    def g():\n        nonlocal N\n        N += x\n    return N",
        "def f(x):\n    try: return x[0]\n    except IndexError as N: return None",
        "def f(x):\n    match x:\n        case [N, *M]: return M\n        case {'k': N, **M}: pass",
        "def f(x):\n    with open('/dev/null') as N: return N.read()",
        "def f(x):\n    if (N := x) > 0: del N",
        "def f(x):\n    return sorted(x, key=lambda N: -N)",
        "def f(x):\n    for N, (M, *x) in x: yield N",
        "y = [N for M in range(3) for N in range(M)]\ndef f(): return y",
        "def f(x):\n    N: int = x\n    return N",
        "class C:\n    y = 1\n    def m(self):\n        N = self.y\n        return N",
    ],
)  # fmt: skip
def test_names_of_locals_do_not_count(template: str) -> None:
    one, two = filled(template, "a", "b"), filled(template, "u", "v")
    assert program_key(one) == program_key(two)
    assert tree_key(one) != tree_key(two)


@pytest.mark.parametrize(
    "template",
    [
        "def f(x):\n    N = x\n    return locals()",
        "def f(x):\n    N = x\n    return eval('N')",
        "def f(x):\n    N = x\n    return vars()",
        "def f(x):\n    N = x\n    return dir()",
        "def f(x):\n    N = x\n    look = locals\n    return look()",
        "import numpy\ndef f(x):\n    N = x\n    return numpy.bmat('N')",
        "from sys import _current_frames\ndef f(x):\n    N = x",
        "import sys as s\ndef f(x):\n    N = x",
        "def f(x):\n    N = x\n    return getattr(f, x)",
        "def f(x):\n    N = x\n    return x.format(f)",
        "def f(x):\n    N = x\n    return '{0.__code__}'.format(f)",
        "def f(x):\n    N = x\n    return f'{N=}'",
        "def f(x):\n    try: return N\n    except NameError as e: return str(e)\n    N = x",
        "def f(x):\n    __N = x\n    return __N",
        "def f(x):\n    def N(): pass\n    return N",
        "def f(x):\n    class N: pass\n    return N()",
        "def f(x):\n    def N():\n        yield 1\n    return N().__name__",
        "def f(x):\n    import math as N\n    return N.pi",
        "def f(x):\n    class C:\n        N = x\n    return C",
        "def f(x):\n    class C:\n        def m(self, N): return N\n    return C",
        "def g(N): return N\ndef f(x): return g(N=x)",
        "def g(N): return N\ndef f(x): return g(**x)",
        "def f(N): return N\nf.__kwdefaults__",
        "def f(x: 'int', N): return f.__annotations__",
        "def f(x):\n    N = int\n    def g(y: N): return y\n    return g(x)",
        "def f(x):\n    global N\n    N = x",
        "def f[N](x: N): return x",
        "async def f(x):\n    N = x",
        "N = 1\ndef f(x): return x",
        "def f(x): return x.N",
        "def f(N, N): return N",
        "def f(x): N = ",
    ],
)
def test_names_count_where_something_may_depend_on_them(template: str) -> None:
    assert program_key(filled(template, "a")) != program_key(filled(template, "b"))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        # a closure's variable, or a local one
        ("def f(x):\n  y = 0\n  def g():\n    nonlocal y\n    y = x\n  g()\n  return y",
         "def f(x):\n  y = 0\n  def g():\n    z = x\n  g()\n  return y"),
        # a global, or a local that hides it
        ("y = 1\ndef f(x):\n    y = x\n    return y", "y = 1\ndef f(x):\n    z = x\n    return y"),
        ("y = 1\ndef f(x):\n    global y\n    y = x", "y = 1\ndef f(x):\n    y = x"),
        # a builtin, or a local of its name
        ("def f(x):\n  max = min\n  return max(x)", "def f(x):\n  y = min\n  return max(x)"),
        # a comprehension's variable does not leak
        ("def f(x):\n    y = 0\n    [y for y in x]\n    return y",
         "def f(x):\n    y = 0\n    [y := z for z in x]\n    return y"),
        # a class's names are not seen from its methods
        ("def f(x):\n  class C:\n    x = 2\n    def m(self): return x\n  return C().m()",
         "def f(x):\n  class C:\n    y = 2\n    def m(self): return y\n  return C().m()"),
        # defaults belong to the scope around
        ("def f(x):\n    y = 1\n    return (lambda x=x: x + y)()",
         "def f(x):\n    y = 1\n    return (lambda x=y: x + y)()"),
        # two variables, or one twice
        ("def f(x, y): return x - y", "def f(x, y): return y - x"),
        ("def f(x):\n    for i in x:\n        for j in x: i += j\n    return i",
         "def f(x):\n    for i in x:\n        for i in x: i += i\n    return i"),
        # a name that is caught is deleted afterwards
        ("def f(x):\n    y = 1\n    try: x()\n    except Exception as y: pass\n    return y",
         "def f(x):\n    y = 1\n    try: x()\n    except Exception as z: pass\n    return y"),
        # one of them does not compile
        ("def f(x): return [y := 1 for y in x]", "def f(x): return [y := 1 for z in x]"),
        ("def f(x, x): return 1", "def f(x, y): return 1"),
        # numbers are what locals are renamed to
        ("def f(x):\n    y = x\n    return y", "def f(x):\n    y = x\n    return '0'"),
    ],
)  # fmt: skip
def test_one_name_can_make_another_program(one: str, two: str) -> None:
    assert program_key(one) != program_key(two)


def test_docstrings_count_where_they_can_be_read() -> None:
    one, two = (f'def f():\n    "{word}"\n    return f.__doc__' for word in ("a", "b"))
    assert program_key(one) != program_key(two)


def test_what_a_docstring_says_keeps_no_names() -> None:
    source = 'def f({0}):\n    "as eval and locals do; see __code"\n    return {0}'
    assert program_key(source.format("x")) == program_key(source.format("y"))


def test_lines_count_where_they_can_be_read() -> None:
    source = "import sys\ndef f(): return sys._getframe().f_lineno"
    assert program_key(source) != program_key("\n" + source)


JUNK = ["def f(:", "\0", "\ud800", "(" * 10_000, "x" * 200_000, "'\\d'", "x = " + "-" * 5_000 + "1",
        "x = " + "1 + " * 20_000 + "1", "f = " + "lambda x: " * 150 + "x"]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_any_text_has_a_key(junk: str) -> None:
    assert program_key(junk) == program_key(junk) != program_key(junk + "!")


def test_a_docstring_that_is_the_whole_body_leaves_a_body() -> None:
    assert program_key('def f():\n    "x"') == program_key("def f(): pass")

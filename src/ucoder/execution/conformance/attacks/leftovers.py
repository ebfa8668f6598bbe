"""Programs that leave something behind, each followed by one that looks for it."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.judges import calls, every, raised, returned, same_answers
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, Program, Report, attack
from ucoder.execution.conformance.targets import fresh_key, marked_processes
from ucoder.execution.outcomes import OutcomeKind

_TMP: Final = "import os\nTMP = os.environ.get('TMPDIR', '/tmp')\n"
_LOOK: Final = _TMP + "def f(): return os.listdir(TMP)"
_SLEEPY_LOOK: Final = (
    "import time\n" + _TMP + "def f():\n    time.sleep(0.3)\n    return os.listdir(TMP)"
)


def _left_something(reports: tuple[Report, ...]) -> str | None:
    """The first program came to its end, or was busy leaving things until its time was over."""
    return calls(("1", OutcomeKind.TIMED_OUT))(reports[:1])


def _files(name: str, tries: str, body: str, *, quick: bool = False) -> Attack:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return attack(
        name,
        Property.CLEAN_TMP,
        tries,
        f"{_TMP}import socket\ndef f():\n{lines}    return 1\n",
        every(_left_something, returned("[]")),
        then=_LOOK,
        quick=quick,
    )


def _daemon(name: str, tries: str, body: str, *, quick: bool = False) -> Attack:
    """The daemon carries a name to be known by, and would write a file for the next program."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    source = f"""{_TMP}
import ctypes, signal, subprocess, sys, threading, time
def haunt():
    ctypes.CDLL(None).prctl(15, MARK.encode(), 0, 0, 0)
    while True:
        time.sleep(0.05)
        try:
            open(TMP + '/haunted', 'w').close()
        except OSError: pass
def f():
{lines}    return 1
"""
    return attack(
        name,
        Property.CLEAN_PROCESSES,
        tries,
        source,
        returned("[]"),
        then=_SLEEPY_LOOK,
        guard=marked_processes,
        quick=quick,
    )


def _shared(name: str, tries: str, make: str, look: str) -> Attack:
    head = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
"""
    return attack(
        name,
        Property.CLEAN_IPC,
        tries,
        f"{head}def f(): return {make}",
        returned("'gone'"),
        then=f"{head}def f(): return 'still there' if {look} >= 0 else 'gone'",
        guard=fresh_key,
        quick=name == "system-v-memory",
    )


_FILES: Final = (
    _files("leave-a-file", "leaves a file", "open(TMP + '/mark', 'w').write('x')", quick=True),
    _files("leave-a-tree", "leaves folders in folders", "os.makedirs(TMP + '/a/b/c/d')"),
    _files("leave-a-symlink", "leaves a symbolic link to /", "os.symlink('/', TMP + '/link')"),
    _files(
        "leave-a-hard-link",
        "leaves two names of one file",
        "open(TMP + '/one', 'w').close()\nos.link(TMP + '/one', TMP + '/two')",
    ),
    _files("leave-a-named-pipe", "leaves a named pipe", "os.mkfifo(TMP + '/pipe')"),
    _files(
        "leave-a-socket",
        "leaves a socket, where it may make one",
        "try:\n    socket.socket(socket.AF_UNIX).bind(TMP + '/socket')\nexcept OSError: pass",
    ),
    _files(
        "leave-strange-names",
        "leaves files whose names hold line breaks, bytes that are no text, and dashes",
        "for name in (b'a\\nb', b'\\xff\\xfe', b'-rf', b' ', b'...', b'\\xe2\\x80\\xae'):\n"
        "    open(os.path.join(TMP.encode(), name), 'w').close()",
    ),
    _files(
        "leave-a-locked-folder",
        "leaves a folder that nobody may enter, where it may take the rights away",
        "os.mkdir(TMP + '/shut')\nopen(TMP + '/shut/in', 'w').close()\n"
        "try:\n    os.chmod(TMP + '/shut', 0)\nexcept OSError: pass",
    ),
    _files(
        "leave-a-folder-made-locked",
        "leaves a folder that it made without any rights on it",
        "os.umask(0o777)\nos.mkdir(TMP + '/shut')",
    ),
    _files(
        "leave-a-deep-tree",
        "leaves eleven hundred folders, one in the other",
        "os.chdir(TMP)\nfor _ in range(1100):\n    os.mkdir('d')\n    os.chdir('d')",
    ),
    _files(
        "leave-many-files",
        "leaves eleven hundred files",
        "for i in range(1100):\n    open(f'{TMP}/{i}', 'w').close()",
    ),
    attack(
        "leave-a-core-file",
        Property.CLEAN_TMP,
        "crashes with core files switched on",
        _TMP
        + """
import resource
def f():
    os.chdir(TMP)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    except (ValueError, OSError): pass
    os.abort()
""",
        returned("[]"),
        then=_LOOK,
    ),
    attack(
        "remove-tmp-itself",
        Property.CLEAN_TMP,
        "removes the folder for its files",
        _TMP
        + """
import shutil
def f():
    shutil.rmtree(TMP, ignore_errors=True)
    try:
        os.rmdir(TMP)
    except OSError: pass
    return 1
""",
        returned("[]"),
        then=_LOOK,
    ),
    attack(
        "replace-tmp-by-a-link",
        Property.CLEAN_TMP,
        "puts a link in the place of the folder for its files",
        _TMP
        + """
def f():
    try:
        os.rename(TMP, TMP + '-away')
        os.symlink('/', TMP)
    except OSError: pass
    return 1
""",
        returned("[]"),
        then=_LOOK,
    ),
)

_PROCESSES: Final = (
    _daemon(
        "daemon",
        "leaves a daemon, made by two forks and a session of its own",
        "if os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        haunt()\n    os._exit(0)",
        quick=True,
    ),
    _daemon("child", "leaves a child", "if os.fork() == 0:\n    haunt()"),
    _daemon(
        "child-that-ignores-signals",
        "leaves a child that blocks and ignores every signal",
        "if os.fork() == 0:\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n    haunt()",
    ),
    _daemon(
        "stopped-child",
        "leaves a child that has stopped itself",
        "if os.fork() == 0:\n    ctypes.CDLL(None).prctl(15, MARK.encode(), 0, 0, 0)\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)",
    ),
    _daemon("thread", "leaves a thread", "threading.Thread(target=haunt).start()"),
    _daemon(
        "daemon-of-another-program",
        "leaves another program running, in a session of its own",
        "subprocess.Popen([sys.executable, '-S', '-c',\n"
        "    'import ctypes, time; ctypes.CDLL(None).prctl(15, %r, 0, 0, 0); time.sleep(30)'\n"
        "    % MARK.encode()], start_new_session=True)\ntime.sleep(0.1)",
    ),
    _daemon(
        "fork-in-turns",
        "leaves a chain of forks, each of which ends at once",
        "if os.fork() == 0:\n    ctypes.CDLL(None).prctl(15, MARK.encode(), 0, 0, 0)\n"
        "    for _ in range(2000):\n        if os.fork(): os._exit(0)\n    os._exit(0)",
    ),
)

_IPC: Final = (
    _shared(
        "system-v-memory",
        "leaves a segment of System V shared memory",
        "libc.shmget(NUMBER, 4096, 0o1666)",
        "libc.shmget(NUMBER, 4096, 0o666)",
    ),
    _shared(
        "system-v-semaphores",
        "leaves a set of System V semaphores",
        "libc.semget(NUMBER, 1, 0o1666)",
        "libc.semget(NUMBER, 1, 0o666)",
    ),
    _shared(
        "system-v-queue",
        "leaves a System V message queue",
        "libc.msgget(NUMBER, 0o1666)",
        "libc.msgget(NUMBER, 0o666)",
    ),
    _shared(
        "posix-queue",
        "leaves a POSIX message queue",
        "libc.mq_open(b'/' + NAME.encode(), 0o102, 0o666, None)",
        "libc.mq_open(b'/' + NAME.encode(), 2)",
    ),
    _shared(
        "posix-memory",
        "leaves a segment of POSIX shared memory",
        "libc.shm_open(b'/' + NAME.encode(), 0o102, 0o666)",
        "libc.shm_open(b'/' + NAME.encode(), 2, 0)",
    ),
)

_ASK: Final = """
import locale, os, random, resource, signal, sys, time
def f():
    return (hash("ucoder"), list({"a", "b", "c", "d"}), random.random(), random.getrandbits(64),
            time.tzname, time.localtime(0)[:5], locale.localeconv()["decimal_point"], os.getcwd(),
            sys.getrecursionlimit(), str(signal.getsignal(signal.SIGTERM)), dict(os.environ),
            len(sys.argv), resource.getrlimit(resource.RLIMIT_NOFILE), os.umask(0o22),
            time.gmtime(0)[0], sys.getfilesystemencoding(), sorted(signal.pthread_sigmask(0, ())))
"""
_UNSETTLE: Final = """
import builtins, locale, os, random, resource, signal, sys, time
random.seed(4); random.random = lambda: 0.5
os.environ["TZ"] = "Asia/Kolkata"; time.tzset(); time.time = lambda: 0
os.environ["LEFT"] = "1"
try:
    locale.setlocale(locale.LC_ALL, "")
except locale.Error: pass
try:
    os.chdir("/")
except OSError: pass
os.umask(0); sys.setrecursionlimit(50); sys.argv[:] = "abc"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
builtins.hash = builtins.list = len
def f(): return 1
"""

_SAME: Final = (
    attack(
        "ask-twice",
        Property.DETERMINISM,
        "asks for hashes, random numbers, time zone, locale and settings, and asks again",
        _ASK,
        same_answers(),
        then=_ASK,
        quick=True,
        harmless=True,
    ),
    Attack(
        "unsettle-the-next",
        Property.DETERMINISM,
        "patches time and random and changes every setting of its process, for the next program",
        (Program(_ASK), Program(_UNSETTLE), Program(_ASK)),
        same_answers(),
        harmless=True,
    ),
    attack(
        "time-zone-of-the-host",
        Property.DETERMINISM,
        "asks for the time zone and the locale",
        "import time, locale\n"
        "def f(): return time.tzname[0], time.timezone, locale.localeconv()['thousands_sep']",
        returned("('UTC', 0, '')"),
        harmless=True,
    ),
    attack(
        "a-new-random-state",
        Property.DETERMINISM,
        "uses random numbers in a program that raises and in one that does not",
        "import random\ndef f(x):\n    if x: raise ValueError(random.random())\n"
        "    return random.random() == random.Random(0).random()",
        calls("True", raised("ValueError: ")),
        inputs=("(0,)", "(1,)"),
        harmless=True,
    ),
)

ATTACKS: Final = (*_FILES, *_PROCESSES, *_IPC, *_SAME)

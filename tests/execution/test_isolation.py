"""What an isolating provider holds. Each test attacks one property, and only our own things."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from ucoder.execution import OutcomeKind, ProgramStatus, pool

from .conftest import Sandbox


def test_the_network_is_unreachable(isolated: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        body = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 0.3)"
        source = "def f():\n" + "".join(f"    {line}\n" for line in body.splitlines())
        assert isolated.one(source).kind is OutcomeKind.RAISED


def test_abstract_unix_sockets_are_unreachable(isolated: Sandbox) -> None:
    name = f"\0ucoder-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        source = f"import socket\ndef f(): socket.socket(socket.AF_UNIX).connect({name!r})"
        assert isolated.one(source).text.startswith("ConnectionRefusedError")


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/passwd", "/home", "/var", "/srv", "/opt", "/boot", "/run"]
)
def test_system_files_are_not_there(isolated: Sandbox, path: str) -> None:
    assert isolated.value(f"import os\nreturn os.path.lexists({path!r})") == "False"


def test_the_users_home_and_this_project_are_not_there(isolated: Sandbox) -> None:
    secret = Path(__file__)
    assert isolated.value(f"import os\nreturn os.path.exists({str(secret)!r})") == "False"
    home = Path.home()
    # A home may hold the interpreter; then the way to it is there, and nothing beside it.
    prefix = Path(sys.base_prefix).resolve()
    seen = isolated.value(f"import os\nreturn os.path.isdir({str(home)!r})")
    if seen == "True":
        assert prefix.is_relative_to(home)
        listed = isolated.value(f"import os\nreturn os.listdir({str(home)!r})")
        assert listed == repr([prefix.relative_to(home).parts[0]])


def test_the_parents_environment_is_not_visible(isolated: Sandbox) -> None:
    names = isolated.value("import os\nreturn sorted(os.environ)")
    allowed = {"HOME", "LANG", "LC_CTYPE", "PATH", "PWD", "PYTHONHASHSEED", "TMPDIR", "TZ"}
    assert set(eval(names)) <= allowed


def test_other_processes_are_not_visible(isolated: Sandbox) -> None:
    pids = isolated.value("import os\nreturn [int(p) for p in os.listdir('/proc') if p.isdigit()]")
    assert len(eval(pids)) <= 3


@pytest.mark.parametrize(
    "folder", ["/", "/usr", "/dev", "/dev/shm", "/sandbox", "/proc/sys/kernel"]
)
def test_nothing_but_tmp_can_be_written(isolated: Sandbox, folder: str) -> None:
    body = f"try:\n    open({folder!r} + '/mark', 'w')\nexcept OSError: return 'refused'"
    assert isolated.value(body) == "'refused'"


def test_kernel_settings_cannot_be_written(isolated: Sandbox) -> None:
    path = "/proc/sys/kernel/core_pattern"
    outcome = isolated.one(f"def f(): open({path!r}, 'r+').close()")
    assert outcome.kind is OutcomeKind.RAISED


def test_what_is_written_to_tmp_is_gone_for_the_next_program(isolated: Sandbox) -> None:
    source = (
        "import os\ndef f():\n"
        "    open('mark', 'w').close(); os.makedirs('a/b'); os.symlink('/usr', 'link')\n"
        "    os.mkdir('shut'); open('shut/in', 'w').close(); os.chmod('shut', 0)\n"
        "    return sorted(os.listdir('/tmp'))"
    )
    assert isolated.one(source).text == "['a', 'link', 'mark', 'shut']"
    assert isolated.value("import os\nreturn os.listdir('/tmp')") == "[]"


def test_a_deep_tree_in_tmp_is_gone_for_the_next_program(isolated: Sandbox) -> None:
    isolated.call(
        "import os\ndef f():\n    for _ in range(3000): os.mkdir('d'); os.chdir('d')", "()"
    )
    assert isolated.value("import os\nreturn os.listdir('/tmp')") == "[]"


def test_the_disk_cannot_be_filled(isolated: Sandbox) -> None:
    source = (
        "def f():\n    for i in range(100):\n"
        "        with open(f'/tmp/{i}', 'wb') as file: file.write(bytes(10**6))"
    )
    assert isolated.one(source).text.startswith("OSError")


def test_no_user_namespace_and_no_capability_can_be_had(isolated: Sandbox) -> None:
    source = (
        "import ctypes\n"
        "def f():\n"
        "    status = open('/proc/self/status').read()\n"
        "    caps = [line.split()[1] for line in status.splitlines()\n"
        "            if line.startswith(('CapEff', 'CapBnd'))]\n"
        "    return ctypes.CDLL(None).unshare(0x10000000), caps"
    )
    assert isolated.one(source).text == "(-1, ['0000000000000000', '0000000000000000'])"


def test_the_workers_memory_cannot_be_read(isolated: Sandbox) -> None:
    source = "import os\ndef f(): open(f'/proc/{os.getppid()}/mem', 'rb')"
    assert isolated.one(source).text.startswith("PermissionError")


def test_a_fork_bomb_is_stopped(isolated: Sandbox) -> None:
    # Bounded by itself as well: at most 400 processes that live two seconds.
    source = (
        "import os, time\ndef f(x):\n    for _ in range(400 * x):\n"
        "        if os.fork() == 0:\n            time.sleep(2); os._exit(0)\n    return 1"
    )
    report = isolated.call(source, "(0,)", "(1,)", "(0,)")
    assert report.outcomes[0].executed and not report.outcomes[1].executed
    assert report.status is ProgramStatus.KILLED or "BlockingIOError" in report.outcomes[1].text


def test_grandchildren_are_killed(isolated: Sandbox) -> None:
    # The daemon leaves its session and its parent, and would write the mark half a second later.
    source = (
        "import os, time\ndef f():\n    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n        time.sleep(0.5); open('/tmp/mark', 'w')\n"
        "        time.sleep(60)\n    return 1"
    )
    assert isolated.one(source).text == "1"
    body = "import os, time\ntime.sleep(0.3)\nreturn os.listdir('/tmp')"
    for _ in range(3):
        assert isolated.value(body) == "[]"
    test_other_processes_are_not_visible(isolated)


def test_killing_the_worker_costs_the_killer_only(isolated: Sandbox) -> None:
    report = isolated.call("import os\ndef f(): os.kill(os.getppid(), 9)", "()", "()")
    assert report.status is ProgramStatus.SANDBOX_FAILED
    assert {outcome.kind for outcome in report.outcomes} == {OutcomeKind.SANDBOX_FAILED}


def test_stopping_the_worker_costs_the_stopper_only(
    isolated: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "ANSWER_MARGIN_S", 0.5)
    source = "import os\ndef f(): os.kill(-1, 19)"
    started = time.monotonic()
    report = isolated.call(source)
    assert report.status is ProgramStatus.SANDBOX_FAILED
    assert time.monotonic() - started < 30

"""Restrictions without namespaces. Every script attacks only what its own test made."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ucoder.execution.child import landlock
from ucoder.execution.payload import interpreter_folders

from .confined import payload, run

SYSTEM = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache"]
needs_landlock = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
needs_signal_scope = pytest.mark.skipif(
    landlock.abi() < 6, reason="this kernel's Landlock has no signal scope"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return payload(tmp_path_factory.mktemp("payload"))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def confined(body: str, root: Path, work: Path, *, setup: str = "") -> str:
    """Run a body in a fork of a confined worker, as programs run, and return what it printed."""
    readable = [*SYSTEM, *map(str, interpreter_folders()), sys.prefix, str(root)]
    script = (
        "import os, sys\nfrom ucoder.execution.child.confinement import Confinement\n"
        f"{setup}\n"
        f"confinement = Confinement({readable!r}, [{str(work)!r}], ['/dev/null', '/dev/urandom'])\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os.setsid()\n"
        "    confinement.enter()\n"
        f"    os.chdir({str(work)!r})\n"
        f"    exec({body!r})\n"
        "    sys.stdout.flush()\n"
        "    os._exit(0)\n"
        "status = os.waitpid(pid, 0)[1]\n"
        "assert status == 0, status\n"
    )
    return run(script, root)


def attempt(expression: str) -> str:
    """A body that prints the number of the error that an expression comes to; 0 for none."""
    return f"try:\n    {expression}\n    print(0)\nexcept OSError as e:\n    print(e.errno)\n"


@needs_landlock
class TestFiles:
    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "/proc/self/maps", "/proc/self/environ", "/", "/etc", "/proc"]
    )
    def test_the_host_is_not_read(self, path: str, root: Path, work: Path) -> None:
        assert confined(attempt(f"os.open({path!r}, os.O_RDONLY)"), root, work) == "13"

    def test_a_file_beside_the_folder_is_not_read(self, root: Path, work: Path) -> None:
        secret = work.parent / "secret"
        secret.write_text("secret")
        assert confined(attempt(f"open({str(secret)!r})"), root, work) == "13"

    def test_a_link_out_of_the_folder_cannot_be_followed(self, root: Path, work: Path) -> None:
        secret = work.parent / "secret"
        secret.write_text("secret")
        body = f"os.symlink({str(secret)!r}, 'link')\n" + attempt("open('link')")
        assert confined(body, root, work) == "13"

    def test_a_file_from_outside_is_not_linked_in(self, root: Path, work: Path) -> None:
        secret = work.parent / "secret"
        secret.write_text("secret")
        body = attempt(f"os.link({str(secret)!r}, 'link')")
        assert confined(body, root, work) in ("13", "18")  # EACCES, EXDEV
        assert secret.stat().st_nlink == 1

    def test_system_files_can_be_read_and_executed(self, root: Path, work: Path) -> None:
        body = "import subprocess, os\nprint(len(os.listdir('/usr/bin')) > 1)\n"
        body += "subprocess.run(['/bin/true'], check=True)"
        assert confined(body, root, work) == "True"

    @pytest.mark.parametrize(
        "expression",
        [
            "open('../beside', 'w')",
            "os.mkdir('../beside')",
            "os.rename('../victim', 'mine')",
            "os.unlink('../victim')",
            "open('../victim', 'a')",
            "os.open('../victim', os.O_RDONLY | os.O_TRUNC)",
            "os.symlink('x', '../beside')",
        ],
    )
    def test_nothing_is_written_outside_the_folder(
        self, expression: str, root: Path, work: Path
    ) -> None:
        victim = work.parent / "victim"
        victim.write_text("as it was")
        assert confined(attempt(expression), root, work) in ("13", "1", "18")
        assert victim.read_text() == "as it was"
        assert sorted(path.name for path in work.parent.iterdir()) == ["victim", "work"]

    def test_the_workers_own_modules_are_not_written(self, root: Path, work: Path) -> None:
        assert confined(attempt(f"open({str(root / 'x')!r}, 'w')"), root, work) == "13"

    def test_ordinary_file_operations_work_in_the_folder(self, root: Path, work: Path) -> None:
        body = (
            "import tempfile\nos.environ['TMPDIR'] = os.getcwd()\n"
            "os.makedirs('a/b')\nopen('a/f', 'w').write('text')\nos.mkfifo('pipe')\n"
            "os.link('a/f', 'a/g')\nos.symlink('a/f', 'l')\nprint(open('l').read())\n"
            "os.rename('a/g', 'a/h')\nos.unlink('a/h')\nopen('a/f', 'w').close()\n"
            "with tempfile.TemporaryFile() as t:\n    t.write(b'x')\n"
        )
        assert confined(body, root, work) == "text"

    @pytest.mark.skipif(landlock.abi() < 2, reason="Landlock of this kernel refuses all moves")
    def test_files_move_between_its_folders(self, root: Path, work: Path) -> None:
        body = "os.mkdir('a')\nopen('f', 'w').close()\nos.rename('f', 'a/f')\n"
        assert confined(body + "print(os.listdir('a'))", root, work) == "['f']"

    def test_no_device_is_made_even_by_root(self, root: Path, work: Path) -> None:
        body = attempt("os.mknod('device', 0o20600, os.makedev(1, 3))")
        assert confined(body, root, work) in ("1", "13")

    def test_the_descriptor_of_the_rules_is_out_of_reach(self, root: Path, work: Path) -> None:
        # With it, a program could allow more to the programs that come after it.
        body = (
            "from ucoder.execution.child import landlock\n"
            "print(sum(landlock._system_call(445, n, 1, bytes(12), 0) != -1 or "
            "landlock.ctypes.get_errno() != 9 for n in range(3, 64)))"
        )
        setup = "os.closerange(3, 64)"
        assert confined(body, root, work, setup=setup) == "0"


@needs_landlock
class TestBeyondFiles:
    def test_no_connection_to_a_listener_of_the_host(self, root: Path, work: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
            body = "import socket\n" + attempt(f"socket.create_connection({address!r}, 1)")
            assert confined(body, root, work) == "1"

    @pytest.mark.skipif(landlock.abi() < 4, reason="Landlock of this kernel knows no network")
    def test_a_socket_that_was_open_before_cannot_connect(self, root: Path, work: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
            script = (
                "import socket\nfrom ucoder.execution.child.landlock import Ruleset\n"
                "s = socket.socket()\nRuleset((), (), ()).confine()\n"
                + attempt(f"s.connect({address!r})")
            )
            assert run(script, root) == "13"

    def test_a_pair_of_sockets_cannot_send_elsewhere(self, root: Path, work: Path) -> None:
        name = str(work.parent / "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(name)
            listener.settimeout(0.01)
            body = (
                "import socket\na, b = socket.socketpair()\n"
                + attempt(f"a.sendto(b'x', {name!r})")
                + attempt("socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)")
                + attempt(f"a.connect({name!r})")
                + "a.send(b'y')\nprint(b.recv(1))"
            )
            answers = confined(body, root, work).split()
            assert answers[0] in ("106", "95")  # EISCONN, EOPNOTSUPP
            assert answers[1:] == ["1", "1", "b'y'"]
            with pytest.raises(TimeoutError):
                listener.recv(1)

    @needs_signal_scope
    @pytest.mark.parametrize("target", ["os.getppid()", "{outside}"])
    def test_no_signal_reaches_the_worker_or_the_host(
        self, target: str, root: Path, work: Path
    ) -> None:
        target = target.format(outside=os.getpid())
        assert confined(attempt(f"os.kill({target}, 0)"), root, work) == "1"

    @needs_signal_scope
    def test_a_program_signals_itself_and_its_children(self, root: Path, work: Path) -> None:
        body = (
            "import subprocess, signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('mine'))\n"
            "os.kill(os.getpid(), signal.SIGUSR1)\n"
            "p = subprocess.Popen(['/bin/sleep', '60'])\np.kill()\nprint(p.wait())\n"
        )
        assert confined(body, root, work).split() == ["mine", "-9"]

    def test_on_an_old_kernel_a_program_signals_itself_only(self, root: Path, work: Path) -> None:
        # Landlock's first version on this kernel: what it lacks, the filter has to do.
        setup = (
            "from ucoder.execution.child import landlock\nlandlock.abi = lambda: 1\n"
            f"outside = {os.getpid()}"
        )
        body = (
            "import signal, threading\nsignal.signal(signal.SIGUSR1, lambda *_: print('mine'))\n"
            "os.kill(os.getpid(), signal.SIGUSR1)\nsignal.raise_signal(signal.SIGUSR1)\n"
            + "".join(
                attempt(f"os.kill({target}, 0)") for target in ("os.getppid()", "outside", "-1")
            )
            + attempt("signal.pidfd_send_signal(os.pidfd_open(outside), 0)")
            + attempt("open('/etc/passwd')")
        )
        answers = confined(body, root, work, setup=setup).split()
        assert answers == ["mine", "mine", "1", "1", "1", "1", "13"]

    def test_no_capability_is_left(self, root: Path) -> None:
        script = (
            "from ucoder.execution.child import capabilities\ncapabilities.drop_all()\n"
            "lines = open('/proc/self/status').read().splitlines()\n"
            "print({line.split()[1] for line in lines if line[:6] in "
            "('CapInh', 'CapPrm', 'CapEff', 'CapAmb')})"
        )
        assert run(script, root) == str({"0" * 16})

    @pytest.mark.skipif(os.getuid() != 0, reason="only root has something to lose")
    def test_root_gets_no_capability_back_by_running_a_program(self, root: Path) -> None:
        script = (
            "import subprocess\nfrom ucoder.execution.child import capabilities\n"
            "capabilities.drop_all()\n"
            "subprocess.run(['/bin/grep', 'CapEff', '/proc/self/status'], check=True)"
        )
        assert run(script, root).split()[1] == "0" * 16

    def test_without_landlock_no_ruleset_is_built(self, root: Path) -> None:
        script = (
            "from ucoder.execution.child import landlock\nlandlock.abi = lambda: 0\n"
            + attempt("landlock.Ruleset((), (), ())")
        )
        assert run(script, root) == "95"


DAEMON = (
    "def daemon():\n"
    "    if os.fork() == 0:\n"
    "        os.setsid()\n"
    "        if os.fork() == 0:\n"
    "            os.setsid()\n"
    "            import signal\n"
    "            signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "            os.write(report, b'%d\\n' % os.getpid())\n"
    "            os.closerange(0, 10)\n"
    "            time.sleep(60)\n"
    "        os._exit(0)\n"
    "    os.wait()\n"
)
START = (
    "import os, sys, time\nfrom ucoder.execution.child import descendants\nreport = 1\n" + DAEMON
)


class TestDescendants:
    def test_a_daemon_is_found_and_killed(self, root: Path) -> None:
        script = START + (
            "descendants.adopt_orphans()\nreading, report = os.pipe()\ndaemon()\n"
            "pid = int(os.read(reading, 100))\n"
            "print(descendants.count_tasks(descendants.find()), pid in descendants.find())\n"
            "print(*descendants.kill_all()[:2])\nprint(os.path.exists(f'/proc/{pid}'))"
        )
        assert run(script, root).split() == ["1", "True", "1", "True", "False"]

    def test_children_are_found_without_the_kernels_list_of_children(self, root: Path) -> None:
        script = START + (
            "descendants._kernel_lists_children = lambda: False\n"
            "descendants.adopt_orphans()\nreading, report = os.pipe()\ndaemon()\n"
            "pid = int(os.read(reading, 100))\n"
            "print(pid in descendants.find(), *descendants.kill_all()[:2])\n"
        )
        assert run(script, root).split() == ["True", "1", "True"]

    def test_threads_are_counted(self, root: Path) -> None:
        script = START + (
            "import threading\nreading, report = os.pipe()\n"
            "if os.fork() == 0:\n"
            "    for _ in range(3):\n"
            "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
            "    os.write(report, b'x')\n    time.sleep(60)\n"
            "os.read(reading, 1)\nprint(descendants.count_tasks(descendants.find()))\n"
            "descendants.kill_all()"
        )
        assert run(script, root) == "4"

    def test_processes_that_fork_while_they_are_killed_are_killed(self, root: Path) -> None:
        # Each hands over to its child and ends; there are never more than a few of them.
        script = START + (
            "descendants.adopt_orphans()\n"
            "for _ in range(4):\n"
            "    if os.fork() == 0:\n"
            "        end = time.monotonic() + 20\n"
            "        while time.monotonic() < end:\n"
            "            if os.fork():\n"
            "                os._exit(0)\n"
            "        os._exit(0)\n"
            "time.sleep(0.2)\n_, gone, _ = descendants.kill_all()\nprint(gone, descendants.find())"
        )
        assert run(script, root) == "True {}"

    def test_processes_outside_are_not_killed(self, root: Path) -> None:
        with subprocess.Popen(["/bin/sleep", "60"]) as bystander:
            script = START + (
                "descendants.adopt_orphans()\n"
                f"descendants._kill({bystander.pid}, {{1: 0}}, os.getpid())\n"
                "print(*descendants.kill_all()[:2])"
            )
            assert run(script, root) == "0 True"
            assert bystander.poll() is None
            bystander.kill()


@contextlib.contextmanager
def guarded(root: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A guard over a worker with a daemon: the guard, and the pids of the other two."""
    script = START + (
        "from ucoder.execution.child.guard import guard_worker\nguard_worker()\n"
        "descendants.adopt_orphans()\n"
        "os.write(1, b'%d\\n' % os.getpid())\ndaemon()\nsys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as guard:
        assert guard.stdout is not None
        worker, daemon = int(guard.stdout.readline()), int(guard.stdout.readline())
        yield guard, worker, daemon
        assert guard.wait(20) is not None
        deadline = time.monotonic() + 20
        while Path(f"/proc/{daemon}").exists() or Path(f"/proc/{worker}").exists():
            assert time.monotonic() < deadline, "a process outlived its guard"
            time.sleep(0.01)


class TestGuard:
    def test_when_the_worker_is_killed_its_daemon_dies(self, root: Path) -> None:
        with guarded(root) as (guard, worker, _):
            os.kill(worker, signal.SIGKILL)
        assert guard.returncode == 256 - signal.SIGKILL

    def test_terminating_the_guard_kills_everything_below_it(self, root: Path) -> None:
        with guarded(root) as (guard, _, _):
            guard.terminate()
        assert guard.returncode == 1

    def test_when_the_worker_ends_by_itself_its_daemon_dies(self, root: Path) -> None:
        with guarded(root) as (guard, _, _):
            assert guard.stdin is not None
            guard.stdin.close()
        assert guard.returncode == 0

"""Programs that read, change and spy out files outside."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.judges import denied, every, only_names, returned
from ucoder.execution.conformance.properties import Property
from ucoder.execution.conformance.records import Attack, attack
from ucoder.execution.conformance.targets import host_name, secret_file

_TMP: Final = "import os\nTMP = os.environ.get('TMPDIR', '/tmp')\n"

_VARIABLES: Final = (
    "HOME", "LANG", "LC_CTYPE", "PATH", "PWD", "PYTHONHASHSEED", "TMPDIR", "TZ",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip


def _read(name: str, tries: str, body: str, *, quick: bool = False) -> Attack:
    """Every attempt to open the secret is refused."""
    return attack(
        name,
        Property.HOST_FILES_READ,
        tries,
        _TMP + f"def f():\n    return {body}\n",
        denied(),
        guard=secret_file,
        quick=quick,
        harmless=True,
    )


def _write(name: str, tries: str, body: str, *, quick: bool = False) -> Attack:
    """The attempt is refused, and the folder outside is what it was."""
    return attack(
        name,
        Property.HOST_FILES_WRITE,
        tries,
        _TMP + f"def f():\n    {body}\n",
        denied(),
        guard=secret_file,
        quick=quick,
        harmless=True,  # the folder is the suite's own
    )


_READING: Final = (
    _read("read-a-file-outside", "opens a file outside", "open(SECRET).read()", quick=True),
    _read(
        "read-through-a-symlink",
        "opens a file outside by a symbolic link in /tmp",
        "[os.symlink(SECRET, TMP + '/link'), open(TMP + '/link').read()]",
    ),
    _read(
        "read-through-a-hard-link",
        "gives a file outside a second name in /tmp",
        "[os.link(SECRET, TMP + '/link'), open(TMP + '/link').read()]",
    ),
    _read(
        "read-through-its-root",
        "opens a file outside by /proc/self/root and many dots",
        "open('/proc/self/root/../../../..' + SECRET).read()",
    ),
    _read(
        "read-through-process-1",
        "opens a file outside by /proc/1/root",
        "open('/proc/1/root' + SECRET).read()",
    ),
    _read(
        "read-through-an-open-folder",
        "opens a file outside relative to the folder / that it has open",
        "os.read(os.open(SECRET[1:], os.O_RDONLY, dir_fd=os.open('/', os.O_RDONLY)), 9)",
    ),
    _read("list-a-folder-outside", "lists a folder outside", "os.listdir(FOLDER)"),
    attack(
        "read-by-openat2",
        Property.HOST_FILES_READ,
        "opens a file outside by the system call openat2",
        """
        import ctypes, os
        def f():
            how = (ctypes.c_uint64 * 3)(0, 0, 0)
            got = ctypes.CDLL(None).syscall(437, -100, SECRET.encode(), how, 24)
            return os.read(got, 9) if got >= 0 else "refused"
        """,
        returned("'refused'"),
        guard=secret_file,
        harmless=True,
    ),
    attack(
        "read-system-secrets",
        Property.HOST_FILES_READ,
        "opens the system's passwords, keys and logs",
        """
        PATHS = ("/etc/shadow", "/etc/gshadow", "/etc/passwd", "/etc/hosts", "/etc/machine-id",
                 "/etc/ssh/ssh_config", "/var/log/dpkg.log", "/proc/kcore", "/dev/mem", "/dev/sda")
        def f():
            seen = []
            for path in PATHS:
                try:
                    open(path, "rb").close()
                    seen.append(path)
                except OSError: pass
            return seen
        """,
        returned("[]"),
        harmless=True,
    ),
    attack(
        "read-the-users-home",
        Property.HOST_FILES_READ,
        "looks for files in the user's home, where that does not hold the interpreter",
        """
        import os, sys
        def f():
            seen = []
            for folder, folders, files in os.walk(HOME):
                # An interpreter in the home is there, and the way to it.
                folders[:] = [d for d in folders if not sys.base_prefix.startswith(
                    os.path.join(folder, d))]
                seen += [name for name in files if os.access(os.path.join(folder, name), os.R_OK)]
                if len(seen) > 5: break
            return seen
        """,
        returned("[]"),
        guard=secret_file,
        harmless=True,
    ),
)

_WRITING: Final = (
    _write("write-outside", "makes a file outside", "open(FOLDER + '/mark', 'w')", quick=True),
    _write("overwrite-a-file", "opens a file outside for writing", "open(SECRET, 'w').write('x')"),
    _write("truncate-a-file", "empties a file outside", "os.truncate(SECRET, 0)"),
    _write(
        "empty-on-reading",
        "opens a file outside for reading, and emptied",
        "os.open(SECRET, os.O_RDONLY | os.O_TRUNC)",
    ),
    _write("delete-a-file", "removes a file outside", "os.unlink(SECRET)"),
    _write("rename-a-file", "moves a file outside", "os.rename(SECRET, FOLDER + '/other')"),
    _write(
        "replace-a-file",
        "moves a file of its own over one outside",
        "open(TMP + '/new', 'w').close(); os.rename(TMP + '/new', SECRET)",
    ),
    _write("make-a-folder", "makes a folder outside", "os.mkdir(FOLDER + '/mark')"),
    _write("make-a-symlink", "makes a symbolic link outside", "os.symlink('/', FOLDER + '/mark')"),
    _write(
        "make-a-hard-link",
        "makes a second name of a file outside",
        "os.link(SECRET, FOLDER + '/mark')",
    ),
    _write("make-a-pipe", "makes a named pipe outside", "os.mkfifo(FOLDER + '/mark')"),
    _write("change-a-mode", "changes the mode of a file outside", "os.chmod(SECRET, 0o777)"),
    _write("change-times", "changes the times of a file outside", "os.utime(SECRET, (1, 1))"),
    _write(
        "change-attributes",
        "gives a file outside an extended attribute",
        "os.setxattr(SECRET, b'user.x', b'1')",
    ),
    _write(
        "write-through-a-symlink",
        "writes a file outside by a symbolic link in /tmp",
        "os.symlink(FOLDER + '/mark', TMP + '/l'); open(TMP + '/l', 'w')",
    ),
    attack(
        "write-system-folders",
        Property.HOST_FILES_WRITE,
        "makes files, and removes them again, wherever the system has folders",
        """
        import os
        FOLDERS = ("/", "/usr", "/usr/bin", "/usr/lib", "/etc", "/var/tmp", "/dev", "/dev/shm",
                   "/run", "/proc", "/proc/sys/kernel", "/sys", "/sandbox", "/opt", "/root")
        def f():
            seen = []
            for folder in FOLDERS:
                path = folder + "/ucoder-conformance-mark"
                try:
                    open(path, "x").close()
                    os.unlink(path)
                    seen.append(folder)
                except OSError: pass
            return seen
        """,
        returned("[]"),
    ),
    attack(
        "write-kernel-settings",
        Property.HOST_FILES_WRITE,
        "opens the kernel's settings for writing, without writing",
        """
        import os
        def f():
            seen = []
            for name in ("core_pattern", "hostname", "pid_max", "randomize_va_space"):
                try:
                    os.close(os.open("/proc/sys/kernel/" + name, os.O_WRONLY))
                    seen.append(name)
                except OSError: pass
            return seen
        """,
        returned("[]"),
    ),
    attack(
        "write-the-interpreter",
        Property.HOST_FILES_WRITE,
        "opens the interpreter and its libraries for writing, without writing",
        """
        import os, sys
        def f():
            seen = []
            for path in (sys.executable, os.__file__, "/proc/self/exe"):
                try:
                    os.close(os.open(os.path.realpath(path), os.O_WRONLY | os.O_APPEND))
                    seen.append(path)
                except OSError: pass
            return seen
        """,
        returned("[]"),
    ),
)

_SPYING: Final = (
    attack(
        "ask-for-a-file",
        Property.HOST_METADATA,
        "asks whether a file outside exists",
        "import os\ndef f(): return os.path.lexists(SECRET), os.path.lexists(FOLDER)",
        returned("(False, False)"),
        guard=secret_file,
        quick=True,
        harmless=True,
    ),
    attack(
        "ask-for-the-machines-name",
        Property.HOST_METADATA,
        "asks for the machine's name",
        """
        import os
        def f():
            return os.uname().nodename == HOST
        """,
        returned("False"),
        guard=host_name,
        harmless=True,
    ),
    attack(
        "list-system-folders",
        Property.HOST_METADATA,
        "asks which folders of users, logs, services and mounts exist",
        """
        import os
        FOLDERS = ("/home", "/root", "/var", "/srv", "/opt", "/boot", "/run", "/mnt", "/media")
        def f():
            found = [path for path in FOLDERS if os.path.isdir(path) and os.listdir(path)]
            # The way to an interpreter that lives there is no secret.
            return [p for p in found if not os.path.realpath(os.__file__).startswith(p)]
        """,
        returned("[]"),
        harmless=True,
    ),
    attack(
        "read-the-environment",
        Property.ENVIRONMENT,
        "lists its environment variables",
        "import os\ndef f(): return sorted(os.environ)",
        only_names(_VARIABLES),
        quick=True,
        harmless=True,
    ),
    attack(
        "read-the-first-environment",
        Property.ENVIRONMENT,
        "reads what its process was started with from the kernel",
        """
        def f():
            try:
                text = open("/proc/self/environ", "rb").read().decode("ascii", "replace")
            except OSError:
                return []
            return [line.partition("=")[0] for line in text.split("\\0") if line]
        """,
        every(only_names(_VARIABLES)),
        harmless=True,
    ),
)

ATTACKS: Final = (*_READING, *_WRITING, *_SPYING)

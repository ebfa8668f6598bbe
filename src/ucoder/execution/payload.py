"""What a worker needs to start: files, preloaded modules, environment, and the command.

Inside the sandbox, the worker imports its modules under the names that they have here, from a tree
in which nothing else of this project exists.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ucoder.errors import ConfigError
from ucoder.execution.protocol import Limits

_HERE: Final = Path(__file__).resolve().parent
_CHILD: Final = sorted((_HERE / "child").glob("*.py"))
_CANONICAL: Final = sorted((_HERE / "canonical").glob("[!_]*.py"))

FILES: Final = {
    **{f"ucoder/execution/child/{path.name}": path for path in _CHILD},
    **{f"ucoder/execution/canonical/{path.name}": path for path in _CANONICAL},
    # The packages' own __init__.py import what no worker needs, so empty ones replace them.
    "ucoder/__init__.py": _HERE / "child" / "__init__.py",
    "ucoder/execution/__init__.py": _HERE / "child" / "__init__.py",
    "ucoder/execution/canonical/__init__.py": _HERE / "child" / "__init__.py",
}
"""Each file's path below the root of the payload, and the file that is copied there."""

# `-I` would shut out the user's site-packages and environment in one word, but it makes Python
# ignore PYTHONHASHSEED as well, and sets would then print in another order each time.
FLAGS: Final = ("-s", "-S", "-P", "-B", "-X", "utf8")

_STANDARD: Final = [
    *("bisect", "collections", "copy", "functools", "heapq", "itertools"),
    *("math", "operator", "re", "string", "typing"),
]
# What BigCodeBench's programs import most. Each one costs memory in every fork.
_ARRAYS: Final = ["numpy"]
_DATA: Final = [*_ARRAYS, "pandas", "scipy", "scipy.stats", "sklearn", "matplotlib.pyplot"]

PRELOADS: Final = {
    "standard": tuple(_STANDARD),
    "installed": tuple(_STANDARD),
    "numpy": (*_STANDARD, *_ARRAYS),
    "data": (*_STANDARD, *_DATA),
}
"""Sets of modules that a worker imports before its first program, by name.

With `standard`, programs see the standard library only, and what models import most is loaded.
The other sets show programs the packages of this Python environment, and load those of the set
that are installed (`installed` none of them). Any other module is loaded by the program that
imports it. Longer lists would not help: every page of memory makes every fork slower."""

# One thread: BLAS would otherwise start one per core, each with a stack that counts as memory.
_ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What a worker is started with.

    Attributes:
        limits: What one program may use.
        preload: A name out of `PRELOADS`.
        hash_seed: PYTHONHASHSEED of the worker, and so of every program; `random` starts from it
            as well.
    """

    limits: Limits
    preload: str = "standard"
    hash_seed: int = 0

    @property
    def libraries(self) -> tuple[str, ...]:
        """Folders of installed packages that programs can import from."""
        return library_folders(self.preload)

    def environment(self, home: str) -> dict[str, str]:
        """The environment of a worker, and so of every program.

        Args:
            home: The one folder that programs may write to.
        """
        return {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONHASHSEED": str(self.hash_seed),
            "HOME": home,
            "TMPDIR": home,
            **({} if self.preload == "standard" else _ENVIRONMENT),
        }


def modules_of(preload: str) -> tuple[str, ...]:
    """The modules of a set.

    Raises:
        ConfigError: `preload` is not a name out of `PRELOADS`.
    """
    if preload not in PRELOADS:
        raise ConfigError(f"preload={preload!r} is unknown; allowed: {', '.join(PRELOADS)}")
    return PRELOADS[preload]


def library_folders(preload: str) -> tuple[str, ...]:
    """Folders of installed packages that a set shows to programs; empty for `standard`."""
    if preload == "standard":
        return ()
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys((paths["purelib"], paths["platlib"])))


def copy_files(root: Path) -> None:
    """Copy the payload's files below a folder, for providers that cannot mount them."""
    for name, source in FILES.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def interpreter() -> str:
    """The interpreter beneath any virtual environment: only its standard library is needed."""
    return str(Path(getattr(sys, "_base_executable", None) or sys.executable).resolve())


def interpreter_folders() -> list[Path]:
    """The folders that the interpreter needs besides the system's; none contains another."""
    wanted = {Path(sys.base_prefix), Path(sys.base_prefix).resolve(), Path(sys.base_exec_prefix)}
    wanted.add(Path(interpreter()).parent.parent)
    folders: list[Path] = []
    for folder in sorted(wanted):
        covered = [Path("/usr"), *folders]
        if not any(folder.is_relative_to(other) for other in covered) and folder != Path("/"):
            folders.append(folder)
    return folders


def worker_command(
    root: str, settings: SandboxSettings, contained: bool, landlock: dict[str, Any] | None = None
) -> tuple[str, ...]:
    """Build the command that starts a worker.

    Args:
        root: The folder of the payload's files, as the worker sees it.
        settings: What it is started with.
        contained: Whether the worker is process 1 of a PID namespace.
        landlock: Where it is not, the paths that programs may use: `read`, `write`, `devices`.
    """
    worker_settings = {
        "root": root,
        "limits": asdict(settings.limits),
        "preload": modules_of(settings.preload),
        "path": settings.libraries,
        "random_seed": settings.hash_seed,
        "contained": contained,
        "is_root": os.geteuid() == 0,
        "landlock": landlock,
    }
    code = (
        f"import sys; sys.path.insert(0, {root!r}); "
        "from ucoder.execution.child.worker import main; "
        f"del sys.path[0]; main({worker_settings!r})"
    )
    return (interpreter(), *FLAGS, "-c", code)

"""The cache directory: locks, free space and checksums.

Everything under the cache follows one rule: a path with its final name is complete, because
`ucoder.files` writes aside and renames. One lock per path keeps two processes from doing the same
work; a lock ends with its process, so none has to be removed by hand.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ucoder.errors import DiskFull
from ucoder.files import write_atomically

Notify = Callable[[str], None]
"""Takes one line for the user who waits."""

_MIB = 1 << 20


def silent(text: str) -> None:
    """Drop a message: the default `Notify`."""


def default_cache_dir() -> Path:
    """Return where models are kept: `$UCODER_CACHE`, else the user's cache directory."""
    from platformdirs import user_cache_dir

    chosen = os.environ.get("UCODER_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path(user_cache_dir("ucoder"))


@contextlib.contextmanager
def locked(target: Path, what: str, notify: Notify = silent) -> Iterator[None]:
    """Hold the lock of `target` for the duration of the block, saying so when it has to wait.

    Temporary files that a killed holder left of `target` are removed first.

    Args:
        target: the path that the block makes; its lock file is `.<name>.lock` beside it.
        what: what the other process is doing, for the message.
        notify: told once if another process holds the lock.
    """
    from filelock import FileLock, Timeout

    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        notify(f"waiting for another process that is {what}")
        lock.acquire()
    try:
        for stale in target.parent.glob(f".{target.name}.*.tmp"):
            remove(stale)
        yield
    finally:
        lock.release()


def require_space(directory: Path, need_bytes: int, what: str) -> None:
    """Refuse to start a write that cannot be finished.

    Raises:
        DiskFull: fewer than `need_bytes` are free where `directory` is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < need_bytes:
        raise DiskFull(
            f"{what} needs {need_bytes / _MIB:,.0f} MiB and {directory} has "
            f"{free_bytes / _MIB:,.0f} MiB free; make room there, or point UCODER_CACHE at a "
            "larger disk."
        )


def remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class FileHashes:
    """sha256 of files, remembered by path, size and modification time.

    Hashing several gigabytes takes seconds, and every start needs it. They are kept in a JSON file
    that may be deleted at any time; a damaged one counts as empty.
    """

    def __init__(self, cache_dir: Path) -> None:
        self._path = cache_dir / "hashes.json"

    def of(self, path: Path) -> str:
        """Return the file's sha256, computing it only if the file changed since last time."""
        path = path.resolve()
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        known = self._load()
        match known.get(str(path)):
            case [size, mtime_ns, str(digest)] if [size, mtime_ns] == stamp:
                return digest
        digest = sha256_of(path)
        with locked(self._path, "noting checksums"):
            known = {name: row for name, row in self._load().items() if Path(name).exists()}
            known[str(path)] = [*stamp, digest]
            write_atomically(self._path, json.dumps(known, indent=1))
        return digest

    def _load(self) -> dict[str, object]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # absent or damaged: computed anew
            return {}
        return known if isinstance(known, dict) else {}

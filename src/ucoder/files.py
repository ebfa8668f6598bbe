"""Files that appear whole or not at all: the one place that writes aside and renames.

Content goes to a hidden temporary name in the same folder, is flushed to the disk, and is renamed;
then the folder itself is flushed. So a reader sees the old file or the new one, after a crash of
the machine too, and a writer that is killed leaves a file whose name ends in `.tmp` at the most.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ucoder.errors import DiskFull

TEMPORARY = ".*.tmp"
"""Pattern of the names of what a killed writer leaves."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file or a folder under a temporary name that becomes `path` at the end of the block.

    An exception in the block removes what was written and leaves `path` as it was.

    Args:
        path: The final name; its folder is made where it is missing. An existing file is replaced;
            an existing folder is not.

    Yields:
        The temporary path, which does not exist yet.

    Raises:
        DiskFull: No space is left; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        publish(temporary, path)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left for {path}; free some and resume, or run the same command again: "
                f"what was written before it is kept"
            ) from error
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole, durably.

    Raises:
        DiskFull: No space is left; what was there before is untouched.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def publish(temporary: Path, path: Path) -> None:
    """Flush a finished file or folder to the disk and give it its final name."""
    members = [temporary]
    if temporary.is_dir():
        members = [member for member in temporary.rglob("*") if member.is_file()]
    for member in members:
        _flush(member)
    temporary.replace(path)
    with suppress(OSError):  # some file systems do not let a folder be flushed
        _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

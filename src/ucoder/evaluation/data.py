"""Finding and reading benchmark data: local files, the hub, the publishers' releases.

Data are read as plain values, never unpickled or run. Errors name the file and the row.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ucoder.errors import BenchmarkError
from ucoder.evaluation.protocol import Dataset, Task
from ucoder.files import write_atomically
from ucoder.models.cache import default_cache_dir

Row = dict[str, Any]

_HERE_ONLY: ContextVar[bool] = ContextVar("here_only", default=False)


@contextmanager
def without_downloads() -> Iterator[None]:
    """Within the block, use only data that are on this machine already."""
    token = _HERE_ONLY.set(True)
    try:
        yield
    finally:
        _HERE_ONLY.reset(token)


def chosen(given: Path | None, variable: str) -> Path | None:
    """The file that the user named, by argument or by an environment variable; None for neither.

    Raises:
        BenchmarkError: There is no such file.
    """
    path = given or (Path(os.environ[variable]) if os.environ.get(variable) else None)
    if path is not None and not path.expanduser().is_file():
        by = "" if given else f", which {variable} names,"
        raise BenchmarkError(f"{path}{by} is not a file; give a file of benchmark data")
    return path.expanduser() if path else None


def read_rows(path: Path) -> tuple[list[Row], str]:
    """Read a file of JSON lines, a JSON list, or a Parquet file; plain, gzipped or zstandard.

    Returns:
        Its rows, and the sha256 of the file's bytes, unzipped.

    Raises:
        BenchmarkError: It cannot be read, or a row is not a JSON object; the message names it.
    """
    numbered, sha256 = read_numbered(path)
    for where, row in numbered:
        if isinstance(row, str):
            raise BenchmarkError(f"{path}, {where}: {row}; a benchmark's data are read whole")
    return [row for _, row in numbered if not isinstance(row, str)], sha256


def read_numbered(path: Path) -> tuple[list[tuple[str, Row | str]], str]:
    """Read a file as `read_rows` does, but say of each row that is damaged what is wrong.

    Returns:
        Where each row is, such as `line 3`, and the row, or a text that says why there is none;
        and the sha256 of the file's bytes, unzipped.

    Raises:
        BenchmarkError: The file as a whole cannot be read, or holds no row.
    """
    found: list[tuple[str, Row | str]]
    try:
        raw = _unzipped(path.read_bytes())
        if raw[:4] == b"PAR1":
            import pyarrow.parquet as pq

            table = pq.read_table(io.BytesIO(raw), partitioning=None)
            found = [(f"row {at}", row) for at, row in enumerate(table.to_pylist(), 1)]
        else:
            text = _decoded(raw)
            if text.lstrip()[:1] == "[":
                items = enumerate(json.loads(text), 1)
                found = [(f"item {at}", _object(item)) for at, item in items]
            else:
                # Not splitlines: a JSON text may hold other ends of lines than "\n".
                lines = enumerate(text.split("\n"), 1)
                found = [(f"line {at}", _parsed(line)) for at, line in lines if line.strip()]
    except (OSError, EOFError, ValueError, zlib.error, RecursionError) as error:
        raise BenchmarkError(f"{path} cannot be read as JSON lines or Parquet: {error}") from error
    if not found:
        raise BenchmarkError(f"{path} is empty; it should hold one JSON object a line")
    return found, hashlib.sha256(raw).hexdigest()


def _unzipped(raw: bytes) -> bytes:
    """The content of gzip and zstandard files, which are told by their first bytes."""
    if raw[:2] == b"\x1f\x8b":
        return gzip.decompress(raw)
    if raw[:4] == b"\x28\xb5\x2f\xfd":
        import pyarrow as pa

        unzipped: bytes = pa.CompressedInputStream(pa.BufferReader(raw), "zstd").read()
        return unzipped
    return raw


def _decoded(raw: bytes) -> str:
    """The text, by its byte order mark or else as UTF-8, of which bad bytes stay recognisable."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    return raw.decode("utf-8-sig", "surrogateescape")


def _parsed(line: str) -> Row | str:
    if any("\udc80" <= character <= "\udcff" for character in line):
        return "not UTF-8 text"
    try:
        return _object(json.loads(line.removeprefix("\ufeff")))  # of a file that was appended
    except (ValueError, RecursionError) as error:
        return f"invalid JSON: {error}"


def _object(value: Any) -> Row | str:
    return value if isinstance(value, dict) else f"a {type(value).__name__}, not a JSON object"


def make_dataset(
    path: Path, rows: Sequence[Row], sha256: str, source: str, make: Callable[[Row], Task]
) -> Dataset:
    """Make a data set of the rows that `read_rows` gave for `path`.

    A KeyError, TypeError, ValueError or AttributeError of `make` means that a row is not in the
    published format. `source` names the publication in words.

    Raises:
        BenchmarkError: A row is not in the published format, or two tasks have the same id.
    """
    tasks: dict[str, Task] = {}
    for number, row in enumerate(rows, 1):
        try:
            task = make(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BenchmarkError(
                f"{path}, task {number}: not in the published format of {source}: {error!r}"
            ) from error
        if task.id in tasks:
            raise BenchmarkError(f"{path}, task {number}: {task.id} is there twice")
        tasks[task.id] = task
    return Dataset(tuple(tasks.values()), source, sha256)


def text_of(value: Any) -> str:
    """The value itself, if it is a text.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    return value


def source_of(sha256: str, known: Mapping[str, str], title: str) -> str:
    """Name a file by its content: the publication if the checksum is known, else the checksum."""
    return known.get(sha256, f"{title} in a file of unknown version (sha256 {sha256[:12]})")


def find_data(
    given: Path | None, variable: str, repository: str, filename: str, revision: str | None = None
) -> Path:
    """The file that the user named (see `chosen`), or else one of a data set on the hub.

    Raises:
        BenchmarkError: Neither is available; the message says how to name a local file.
    """
    if named := chosen(given, variable):
        return named
    try:
        return from_hub(repository, filename, revision)
    except BenchmarkError as error:
        raise BenchmarkError(
            f"{error}\nName a local file: --data FILE, or {variable}. In a run's settings: "
            f"evaluation.data.NAME=FILE"
        ) from error


def from_hub(repository: str, filename: str, revision: str | None = None) -> Path:
    """A file of a data set on the Hugging Face hub, downloaded once into the hub's own cache.

    Raises:
        BenchmarkError: It cannot be downloaded, or may not (`without_downloads`).
    """
    import httpx
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    here_only = _HERE_ONLY.get()
    # After a failed request the hub's client is closed, and raises RuntimeError.
    unreachable = (HfHubHTTPError, LocalEntryNotFoundError, OSError, httpx.HTTPError, RuntimeError)
    try:
        return Path(hf_hub_download(repository, filename, repo_type="dataset", revision=revision,
                                    local_files_only=here_only))  # fmt: skip
    except unreachable as error:
        if here_only:
            raise BenchmarkError("not here; downloaded from the hub when needed") from error
        raise BenchmarkError(
            f"{filename} of the data set {repository} cannot be had from the hub: {error}"
        ) from error


@dataclass(frozen=True, slots=True)
class Release:
    """A file that its publisher offers for download."""

    title: str  # of the benchmark
    variable: str  # environment variable by which users name a copy of their own
    url: str  # of the gzipped file
    sha256: str  # of its content, unzipped
    # Where the publisher's own tool keeps its download; None if it keeps none.
    kept_by_others: Path | None = None


def at_hand(release: Release, given: Path | None) -> Path | None:
    """A release's file if it is on this machine: the user's copy, or an earlier download.

    Raises:
        BenchmarkError: The user named a file that is not there.
    """
    named = chosen(given, release.variable)
    places = [release.kept_by_others, _kept(release)]
    return named or next((place for place in places if place and place.is_file()), None)


def find_release(release: Release, given: Path | None) -> Path:
    """A release's file, downloaded if it is not on this machine.

    Raises:
        BenchmarkError: It cannot be downloaded, or has another checksum than the published one.
    """
    found = at_hand(release, given)
    if found is not None:
        return found
    if _HERE_ONLY.get():
        raise BenchmarkError("not here; downloaded from its publisher when needed")
    import httpx

    try:
        response = httpx.get(release.url, follow_redirects=True, timeout=60.0)
        content = gzip.decompress(response.raise_for_status().content)
    except (httpx.HTTPError, OSError, EOFError, zlib.error) as error:
        raise BenchmarkError(
            f"{release.title}: {release.url} cannot be downloaded ({error!r}); where you have a "
            f"copy, name it with {release.variable} or with --data, or in a run's settings with "
            f"evaluation.data.NAME=FILE"
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != release.sha256:
        raise BenchmarkError(
            f"{release.url} has the sha256 {sha256} where the published file has {release.sha256}"
        )
    target = _kept(release)
    write_atomically(target, content)
    return target


def _kept(release: Release) -> Path:
    name = release.url.rpartition("/")[2].removesuffix(".gz")
    return default_cache_dir() / "benchmarks" / f"{release.sha256[:12]}-{name}"

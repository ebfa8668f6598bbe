"""The way to every model: a name or a path in, a verified checkpoint out."""

from __future__ import annotations

import re
from pathlib import Path

from ucoder.errors import NotAModel, UnknownModel
from ucoder.models import hub
from ucoder.models.artifacts import checkpoint_folder, checkpoint_from_gguf
from ucoder.models.cache import FileHashes, Notify, default_cache_dir, silent
from ucoder.models.catalog import CatalogEntry, load_catalog
from ucoder.models.checkpoint import Model, Origin, check_folder, has_chat_template, identity
from ucoder.models.download import fetch

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def resolve(name_or_path: str, cache_dir: Path | None = None, notify: Notify = silent) -> Model:
    """Return the checkpoint that a name or path stands for, fetching and converting as needed.

    Tried in this order: a catalog name; an existing path (a transformers folder or a `.gguf` file);
    an id on the Hugging Face hub, `org/name`.

    Args:
        name_or_path: what the user asked for.
        cache_dir: the cache's root; by default `$UCODER_CACHE` or the user's cache directory.
        notify: told in one line what takes time and which source is tried.

    Raises:
        UnknownModel: none of the three; suggests the nearest catalog name.
        NotAModel: the path is there and holds no causal language model.
        NoSourceReachable: a download failed at every source.
        ChecksumMismatch: a download brought other bytes than the catalog promises.
        DiskFull: too little space in the cache.
        MissingDependency: a conversion needs a package that is not installed.
    """
    cache_dir = cache_dir or default_cache_dir()
    catalog = load_catalog()
    if entry := catalog.models.get(name_or_path):
        folder = _from_catalog(entry, cache_dir, notify)
        return _checkpoint(name_or_path, folder, cache_dir, entry.licence, Origin.CATALOG)
    path = Path(name_or_path).expanduser()
    if name_or_path and path.is_dir():  # an empty name would be the current folder
        check_folder(path)
        return _checkpoint(name_or_path, path.resolve(), cache_dir, None, Origin.LOCAL)
    if path.is_file():
        if path.suffix != ".gguf":
            raise NotAModel(f"{path} is a file; a model is a folder, or a file ending in .gguf.")
        digest = FileHashes(cache_dir).of(path)
        folder = checkpoint_from_gguf(path.resolve(), digest, cache_dir, notify)
        return _checkpoint(name_or_path, folder, cache_dir, None, Origin.LOCAL)
    if _HUB_ID.fullmatch(name_or_path):
        folder = hub.download_model(name_or_path, notify)
        check_folder(folder)
        return _checkpoint(name_or_path, folder, cache_dir, None, Origin.HUB)
    raise UnknownModel(
        f"{name_or_path!r} is not a catalog name, a path on this machine or a hub id (org/name)"
        f"{catalog.suggestion(name_or_path)}. The catalog has: {', '.join(catalog.models)}."
    )


def _from_catalog(entry: CatalogEntry, cache_dir: Path, notify: Notify) -> Path:
    """Return the entry's checkpoint; once converted, the downloaded file is no longer needed."""
    folder = checkpoint_folder(entry.sha256, cache_dir)
    if folder.is_dir():
        return folder
    return checkpoint_from_gguf(fetch(entry, cache_dir, notify), entry.sha256, cache_dir, notify)


def _checkpoint(
    name: str, folder: Path, cache_dir: Path, licence: str | None, origin: Origin
) -> Model:
    sha256 = identity(folder, FileHashes(cache_dir))
    return Model(name, folder, sha256, licence, origin, has_chat_template(folder))

"""The Hugging Face hub: one file, or a model's whole folder, without waiting for what is not there.

The hub's own client retries an unreachable host for tens of seconds. So one request with a short
limit goes first; only if the hub answers it does the client get to work.
"""

from __future__ import annotations

import threading
from pathlib import Path

from ucoder.errors import NoSourceReachable, UnknownModel
from ucoder.models.cache import Notify, silent
from ucoder.runtime import require


class SourceFailed(Exception):
    """One source did not deliver; carries the reason for the list that the user sees."""


PROBE_TIMEOUT_S = 5.0
"""How long the hub may take to answer at all, name resolution included."""

_CONFIG_PATTERNS = ["*.json", "*.jinja", "*.txt", "*.model"]
"""With the weights, what a model in transformers' format consists of; not GGUF, ONNX or images."""


def unreachable_reason(timeout_s: float = PROBE_TIMEOUT_S) -> str | None:
    """Return why the hub does not answer, or None if it does.

    The request runs in a thread, because looking a name up has no time limit of its own.
    """
    require("reaching the Hugging Face hub", "huggingface_hub")
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    endpoint: str = constants.ENDPOINT
    outcome: list[str | None] = [f"{endpoint}: no answer within {timeout_s:g} s"]

    def probe() -> None:
        try:
            get_session().head(endpoint, timeout=timeout_s)
            outcome.append(None)
        except Exception as error:  # whatever it is, it is the reason
            outcome.append(f"{endpoint}: {type(error).__name__}: {error}")

    thread = threading.Thread(target=probe, daemon=True, name="hub-probe")
    thread.start()
    thread.join(timeout_s)
    return outcome[-1]


def download_file(repo: str, filename: str, folder: Path) -> Path:
    """Fetch one file into `folder`, resuming what an earlier try left there.

    Raises:
        SourceFailed: the hub does not answer, or not with this file.
    """
    require("reaching the Hugging Face hub", "huggingface_hub")
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(repo, filename)
    if isinstance(cached, str):
        return Path(cached)
    if reason := unreachable_reason():
        raise SourceFailed(reason)
    try:
        return Path(hf_hub_download(repo, filename, local_dir=folder, etag_timeout=10))
    except Exception as error:  # the client raises its HTTP library's own types
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the network
            raise
        raise SourceFailed(_one_line(error)) from error


def download_model(name: str, notify: Notify = silent) -> Path:
    """Return the local folder of the hub's model `org/name`, fetching what is missing.

    Weights are taken as safetensors where the repository has them. If the hub does not answer, a
    copy from an earlier run is used.

    Raises:
        UnknownModel: the hub answers, and has no such model or shows it only to others.
        NoSourceReachable: the hub does not answer and there is no earlier copy.
    """
    require("reaching the Hugging Face hub", "huggingface_hub")
    import httpx  # what the hub's client is built on; its errors come through
    from huggingface_hub import HfApi, errors, snapshot_download

    if reason := unreachable_reason():
        try:
            folder = Path(snapshot_download(name, local_files_only=True))
        except errors.LocalEntryNotFoundError as error:
            raise NoSourceReachable(
                f"{name}: the Hugging Face hub cannot be reached ({reason}) and no earlier copy "
                "is on this machine; check the network, or give the path of a local folder."
            ) from error
        notify(f"{name}: hub not reached ({reason}); using the copy fetched earlier")
        return folder
    try:
        files = HfApi().list_repo_files(name)
        is_safe = any(file.endswith(".safetensors") for file in files)
        weights = "*.safetensors" if is_safe else "pytorch_model*.bin"
        notify(f"{name}: fetching from the Hugging Face hub")
        return Path(snapshot_download(name, allow_patterns=[*_CONFIG_PATTERNS, weights]))
    except errors.GatedRepoError as error:
        raise UnknownModel(
            f"{name}: the hub shows this model only to those who accepted its licence; accept it "
            "on the model's page and set HF_TOKEN."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UnknownModel(
            f"{name}: no catalog entry, no local path, and the hub has no such model "
            "(or it is private: set HF_TOKEN)."
        ) from error
    except (errors.HfHubHTTPError, httpx.HTTPError) as error:
        raise NoSourceReachable(f"{name}: the hub broke off: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"

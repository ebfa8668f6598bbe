"""Converted models, each made once: keyed by content, locked, and published when complete.

A conversion runs as a process of its own (`convert.py`). If it or this process is killed, the cache
holds no half-written folder, only a temporary one, which the next try removes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

from ucoder.errors import ModelError, NotAModel
from ucoder.files import cause_in, file_error, replacing
from ucoder.models import cache
from ucoder.models.cache import Notify, silent
from ucoder.models.checkpoint import Model
from ucoder.runtime import require

WeightFormat = Literal["int8", "fp16"]

REVISION = 1
"""Part of every key; raise it when `convert.py` writes something else for the same input."""

_KEY_LENGTH = 16


def checkpoint_from_gguf(
    source: Path, sha256: str, cache_dir: Path, notify: Notify = silent
) -> Path:
    """Return the transformers checkpoint of a GGUF file with this sha256, making it if needed.

    Raises:
        NotAModel: the file is not a GGUF, or of an architecture that transformers cannot read.
        DiskFull: too little space.
        MissingDependency: torch, transformers or gguf is not installed.
        ModelError: the conversion was killed.
    """
    target = checkpoint_folder(sha256, cache_dir)
    if target.is_dir():
        return target
    require("reading a GGUF file", "torch", "transformers", "gguf")
    with source.open("rb") as handle:
        if handle.read(4) != b"GGUF":
            raise NotAModel(f"{source} is not a GGUF file: its first bytes are not 'GGUF'.")
    what = f"converting {source.name} to a transformers checkpoint"
    # bf16 takes 4 times a 4-bit file, the least packed of the usual ones.
    return _build_once(target, what, 4 * source.stat().st_size, ["gguf", str(source)], notify)


def openvino_export(
    checkpoint: Model,
    weight_format: WeightFormat = "int8",
    parent: Path | None = None,
    notify: Notify = silent,
) -> Path:
    """Return the folder of a checkpoint's OpenVINO export, making it the first time.

    Args:
        checkpoint: what `resolve` returned.
        weight_format: int8 (per channel, asymmetric), or fp16 to compare with.
        parent: where the export is kept; by default the model cache. Give a run's folder for a
            checkpoint that is deleted with the run.
        notify: told when a conversion starts, and when another process is waited for.

    Raises:
        NotAModel: optimum-intel cannot export this architecture.
        DiskFull: too little space.
        MissingDependency: optimum-intel or openvino-tokenizers is not installed.
        ModelError: the conversion was killed.
    """
    source, parent = checkpoint.path, parent or cache.default_cache_dir() / "openvino"
    target = parent / f"{checkpoint.sha256[:_KEY_LENGTH]}-{weight_format}-r{REVISION}"
    if target.is_dir():
        return target
    require("exporting to OpenVINO", "torch", "optimum.intel", "openvino", "openvino_tokenizers")
    weights = [*source.glob("*.safetensors"), *source.glob("pytorch_model*.bin")]
    # The exporter writes an uncompressed copy aside before it compresses.
    need_bytes = 2 * sum(path.stat().st_size for path in weights)
    command = ["openvino", str(source), "--weight-format", weight_format]
    what = f"exporting {source.name} to OpenVINO {weight_format}"
    return _build_once(target, what, need_bytes, command, notify)


def checkpoint_folder(sha256: str, cache_dir: Path) -> Path:
    """Return where the checkpoint of the GGUF file with this checksum is, or would be."""
    return cache_dir / "checkpoints" / f"{sha256[:_KEY_LENGTH]}-r{REVISION}"


def _build_once(
    target: Path, what: str, need_bytes: int, command: list[str], notify: Notify
) -> Path:
    """Run one conversion under the target's lock, unless another process has done it meanwhile."""
    with cache.locked(target, what, notify):
        if target.is_dir():
            return target
        cache.require_space(target.parent, need_bytes, what)
        with replacing(target) as partial:
            scratch = partial / "tmp"
            scratch.mkdir(parents=True)
            notify(what)
            _convert([command[0], command[1], str(partial), *command[2:]], what, scratch)
            cache.remove(scratch)
        return target


def _convert(arguments: list[str], what: str, scratch: Path) -> None:
    """Run `convert.py` with these arguments and turn its failure into one of our errors."""
    done = subprocess.run(
        [sys.executable, "-m", "ucoder.models.convert", *arguments],
        env=_environment(scratch),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
        raise ModelError(f"{what}: the converter was ended by {name}{hint}. Run again to retry.")
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
    if cause := cause_in(done.stderr):
        raise file_error(cause, scratch.parent)
    raise NotAModel(f"{what} failed: {last}")


def _environment(scratch: Path) -> dict[str, str]:
    """The converter's environment: our own package, no network, temporary files on our disk."""
    package_root = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package_root, inherited] if inherited else [package_root]),
        "TMPDIR": str(scratch),
        "HF_HUB_OFFLINE": "1",  # everything is local; nothing should ask the hub about it
        "NNCF_CI": "1",  # keeps the compressor from sending usage statistics
        "TOKENIZERS_PARALLELISM": "false",
    }

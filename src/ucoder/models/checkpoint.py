"""What a resolved model is, and how a local folder is recognised as one."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from ucoder.errors import ConfigError, NotAModel
from ucoder.models.cache import FileHashes


class Origin(StrEnum):
    """Where a checkpoint's weights came from."""

    CATALOG = "catalog"
    HUB = "hub"
    LOCAL = "local"
    SERVER = "server"
    """They are on a server; this machine has no copy."""


@dataclass(frozen=True, slots=True)
class Model:
    """A causal language model in transformers' format, on this machine and complete."""

    name: str
    """What the user asked for: a catalog name, a hub id, or a path."""
    path: Path
    """Folder with config.json, weights and tokenizer."""
    sha256: str
    """Identity: hash over the contents of every file that decides what the model says."""
    licence: str | None
    """SPDX identifier where it is known."""
    origin: Origin
    is_chat: bool
    """Whether it is asked through its chat template; base models get plain prompts."""

    def asked_as(self, kind: str) -> Self:
        """The same model, asked as chat or base; auto: as its tokenizer suggests.

        Raises:
            ConfigError: It should be asked as chat, and has no chat template.
        """
        if kind == "chat" and not self.is_chat:
            raise ConfigError(
                f"model_kind=chat: {self.name} has no chat template (chat_template.jinja, or "
                f"chat_template in tokenizer_config.json, in {self.path}); set model_kind to base "
                f"or auto, or give a model with a template"
            )
        return replace(self, is_chat=False) if kind == "base" else self


# Files that a loader reads. Others (optimizer states, logs) may change without changing the model.
_IDENTITY_PATTERNS = (
    *("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json"),
    *("pytorch_model*.bin", "pytorch_model.bin.index.json", "tokenizer*", "added_tokens.json"),
    *("special_tokens_map.json", "vocab.*", "merges.txt", "*.tiktoken", "chat_template.*"),
)
_TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_CAUSAL = ("ForCausalLM", "LMHeadModel")


def check_folder(folder: Path) -> None:
    """Make sure that a folder holds a causal language model that transformers can load.

    Only names and small JSON files are looked at; the weights are not read.

    Raises:
        NotAModel: something is missing or of another kind; the message lists all of it.
    """
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise NotAModel(
            f"{folder} holds a PEFT adapter, not a whole model; merge it into its base model "
            "(merge_and_unload, save_pretrained) and give the merged folder."
        )
    faults = [*_config_faults(folder), *_weight_faults(folder)]
    if not any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS):
        faults.append("no tokenizer (tokenizer.json, tokenizer.model, or vocab.json + merges.txt)")
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise NotAModel(
            f"{folder} is not a causal language model in transformers' format:{listed}\n"
            "Give a folder that AutoModelForCausalLM.from_pretrained can load, or a .gguf file."
        )


def has_chat_template(folder: Path) -> bool:
    """Whether the folder's tokenizer brings a chat template; of several, one must be the default.

    A template that writes nothing is none, because every prompt would be empty.
    """
    with suppress(OSError, UnicodeDecodeError):
        if text := (folder / "chat_template.jinja").read_text("utf-8"):
            return bool(text.strip())
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = _read_json(folder / name).get("chat_template")
        if isinstance(found, list):  # of objects with a name and a template
            named = [one for one in found if isinstance(one, dict)]
            found = next((o.get("template") for o in named if o.get("name") == "default"), None)
        if isinstance(found, str) and found.strip():
            return True
    return False


def identity(folder: Path, hashes: FileHashes) -> str:
    """Return the sha256 over the names and contents of the files that make the model.

    Two folders with the same files have the same identity, wherever they are.
    """
    files = {p.name: p for pattern in _IDENTITY_PATTERNS for p in folder.glob(pattern)}
    lines = [f"{name}\0{hashes.of(path)}\n" for name, path in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _config_faults(folder: Path) -> list[str]:
    path = folder / "config.json"
    if not path.is_file():
        return ["no config.json"]
    config = _read_json(path)
    if not config:
        return ["config.json is empty or not a JSON object"]
    kinds = config.get("architectures") or []
    if kinds and not any(str(kind).endswith(_CAUSAL) for kind in kinds):
        return [f"its architecture is {', '.join(map(str, kinds))}, not a causal language model"]
    return []


def _weight_faults(folder: Path) -> list[str]:
    for name in _INDEXES:
        if (folder / name).is_file():
            shards = set(map(str, _read_json(folder / name).get("weight_map", {}).values()))
            missing = sorted(shard for shard in shards if not (folder / shard).is_file())
            return [f"{name} names {shard}, which is not there" for shard in missing]
    if any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin")):
        return []
    if (folder / "openvino_model.xml").is_file():
        return ["it is an OpenVINO export; give the checkpoint that it was made from"]
    return ["no weights (model.safetensors or pytorch_model.bin, or an index with its shards)"]


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; anything else counts as an empty one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}

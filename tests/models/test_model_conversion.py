"""Conversions are made once, whole or not at all, and what they make can be run."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ucoder.errors import DiskFull, ModelError, NotAModel
from ucoder.models import Model, openvino_export, resolve
from ucoder.models.artifacts import checkpoint_from_gguf

GENERATE = """
import json, sys
import openvino_genai as genai
scheduler = genai.SchedulerConfig()
scheduler.cache_size = 1
pipeline = genai.ContinuousBatchingPipeline(sys.argv[1], scheduler, "CPU")
config = genai.GenerationConfig()
config.max_new_tokens = 5
config.ignore_eos = True
tokenizer = pipeline.get_tokenizer()
result = pipeline.generate(["def f(x):"], [config])[0]
chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], True)
codes = tokenizer.encode("def f", add_special_tokens=False).input_ids.data.tolist()[0]
print(json.dumps([len(result.m_generation_ids), chat, tokenizer.decode(codes)]))
"""


def _saved_in(precision: str, checkpoint: Path, folder: Path) -> Path:
    """A copy of a checkpoint in another precision, as training writes it."""
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(checkpoint, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_a_checkpoint_is_exported_once_and_openvino_genai_runs_it(
    tiny_checkpoint: Path, tmp_path: Path, precision: str
) -> None:
    if importlib.util.find_spec("openvino_genai") is None:
        pytest.skip("openvino_genai is not installed")
    messages: list[str] = []
    folder = _saved_in(precision, tiny_checkpoint, tmp_path / "qwen2")
    loaded = set(sys.modules)
    checkpoint = resolve(str(folder), tmp_path / "cache")
    assert checkpoint.is_chat
    stale = tmp_path / f".{checkpoint.sha256[:16]}-int8-r1.1.tmp"
    stale.mkdir()
    export = openvino_export(checkpoint, parent=tmp_path, notify=messages.append)
    assert openvino_export(checkpoint, parent=tmp_path, notify=messages.append) == export
    assert messages == ["exporting qwen2 to OpenVINO int8"]
    assert not list(tmp_path.glob(".*.tmp"))
    assert "torch" not in set(sys.modules) - loaded, "conversions stay out of the caller's process"
    done = subprocess.run(
        [sys.executable, "-c", GENERATE, str(export)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [1, "hi", "def f"]


def test_a_conversion_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        pytest.skip("gguf is not installed")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(NotAModel, match=r"converting broken\.gguf .* failed: \w+"):
        checkpoint_from_gguf(broken, "0" * 64, tmp_path / "cache")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.suffix != ".lock" and p.is_file()]
    assert not list((tmp_path / "cache" / "checkpoints").glob(".*.tmp"))


def test_a_killed_converter_is_reported_and_leaves_nothing(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = tmp_path / "sitecustomize.py"
    killer.write_text("import os, sys\nif '-m' in sys.orig_argv: os.kill(os.getpid(), 9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    checkpoint = resolve(str(tiny_checkpoint), tmp_path / "cache")
    with pytest.raises(ModelError, match="ended by SIGKILL; the system may have run out"):
        openvino_export(checkpoint, parent=tmp_path / "exports")
    assert not list((tmp_path / "exports").glob("[!.]*"))


def test_a_conversion_is_refused_where_it_does_not_fit(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = type(shutil.disk_usage(tmp_path))
    checkpoint = resolve(str(tiny_checkpoint), tmp_path / "cache")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1024))
    with pytest.raises(DiskFull, match="exporting qwen2 to OpenVINO int8 needs"):
        openvino_export(checkpoint, parent=tmp_path / "exports")


def test_a_checkpoint_is_plain_data(fake_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = resolve(str(fake_checkpoint), tmp_path / "cache")
    assert isinstance(checkpoint, Model)
    with pytest.raises(AttributeError):
        checkpoint.name = "other"  # type: ignore[misc]

"""One door: what is a model gets in, what is not is told why."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ucoder.errors import ConfigError, MissingDependency, NotAModel, UnknownModel
from ucoder.models import Origin, default_cache_dir, load_catalog, resolve
from ucoder.models.artifacts import checkpoint_folder
from ucoder.models.cache import FileHashes
from ucoder.runtime import require


def test_a_local_folder_is_a_base_model_until_it_brings_a_chat_template(
    fake_checkpoint: Path, tmp_path: Path
) -> None:
    base = resolve(str(fake_checkpoint), tmp_path / "cache")
    assert (base.path, base.origin, base.is_chat) == (fake_checkpoint, Origin.LOCAL, False)
    assert base.licence is None
    (fake_checkpoint / "chat_template.jinja").write_text("{{ messages }}")
    chat = resolve(str(fake_checkpoint), tmp_path / "cache")
    assert chat.is_chat
    assert chat.sha256 != base.sha256


TEMPLATE = "{{ messages[0]['content'] }}"


@pytest.mark.parametrize(
    ("name", "content", "is_chat"),
    [
        ("chat_template.jinja", TEMPLATE, True),
        ("chat_template.jinja", " \n", False),  # every prompt would be empty
        ("chat_template.json", json.dumps({"chat_template": TEMPLATE}), True),
        ("tokenizer_config.json", json.dumps({"chat_template": TEMPLATE}), True),
        ("tokenizer_config.json", json.dumps({"chat_template": None}), False),
        ("tokenizer_config.json", json.dumps({"chat_template": ""}), False),
        (
            "tokenizer_config.json",
            json.dumps({"chat_template": [{"name": "default", "template": TEMPLATE}]}),
            True,
        ),
        (
            "tokenizer_config.json",
            json.dumps({"chat_template": [{"name": "tool_use", "template": TEMPLATE}, 3]}),
            False,
        ),
    ],
)
def test_a_chat_template_is_one_that_a_prompt_can_be_written_with(
    fake_checkpoint: Path, tmp_path: Path, name: str, content: str, is_chat: bool
) -> None:
    (fake_checkpoint / name).write_text(content)
    assert resolve(str(fake_checkpoint), tmp_path / "cache").is_chat == is_chat


@pytest.mark.parametrize(
    ("kind", "with_template", "without"),
    [("auto", True, False), ("base", False, False), ("chat", True, None)],
)
def test_a_model_is_asked_as_the_user_says_and_chat_needs_a_template(
    fake_checkpoint: Path, tmp_path: Path, kind: str, with_template: bool, without: bool | None
) -> None:
    model = resolve(str(fake_checkpoint), tmp_path / "cache")
    if without is None:
        with pytest.raises(ConfigError, match=r"model_kind=chat: .*/checkpoint has no chat templ"):
            model.asked_as(kind)
    else:
        assert model.asked_as(kind).is_chat == without
    (fake_checkpoint / "chat_template.jinja").write_text(TEMPLATE)
    model = resolve(str(fake_checkpoint), tmp_path / "cache")
    assert model.asked_as(kind) == replace(model, is_chat=with_template)


def test_identity_follows_content_and_not_place(fake_checkpoint: Path, tmp_path: Path) -> None:
    before = resolve(str(fake_checkpoint), tmp_path / "cache").sha256
    (fake_checkpoint / "trainer_state.json").write_text("{}")
    moved = fake_checkpoint.rename(tmp_path / "elsewhere")
    assert resolve(str(moved), tmp_path / "cache").sha256 == before
    (moved / "model.safetensors").write_bytes(b"WEIGHTS")
    assert resolve(str(moved), tmp_path / "cache").sha256 != before


def test_a_file_is_hashed_again_only_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    stat = path.stat()
    first = FileHashes(tmp_path).of(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert FileHashes(tmp_path).of(path) == first, "same size and time: taken from memory"
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert FileHashes(tmp_path).of(path) != first
    (tmp_path / "hashes.json").write_text("{ damaged")
    assert FileHashes(tmp_path).of(path) != first


def test_the_error_for_an_empty_folder_lists_everything_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotAModel) as caught:
        resolve(str(tmp_path), tmp_path / "cache")
    for missing in ("no config.json", "no weights", "no tokenizer"):
        assert missing in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", {"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM, not a causal"),
        ("config.json", [], "not a JSON object"),
        (
            "model.safetensors.index.json",
            {"weight_map": {"a": "model-00001-of-00002.safetensors"}},
            "names model-00001-of-00002.safetensors, which is not there",
        ),
    ],
)
def test_the_error_for_another_kind_of_folder_says_what_is_wrong(
    fake_checkpoint: Path, tmp_path: Path, name: str, content: object, reason: str
) -> None:
    (fake_checkpoint / name).write_text(json.dumps(content))
    with pytest.raises(NotAModel, match=reason):
        resolve(str(fake_checkpoint), tmp_path / "cache")


def test_an_adapter_alone_is_refused_with_the_way_to_merge_it(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(NotAModel, match="merge_and_unload"):
        resolve(str(tmp_path), tmp_path / "cache")


def test_files_in_another_format_than_gguf_are_refused(tmp_path: Path) -> None:
    text, fake = tmp_path / "model.txt", tmp_path / "model.gguf"
    text.write_text("hello")
    fake.write_text("hello")
    with pytest.raises(NotAModel, match=r"ending in \.gguf"):
        resolve(str(text), tmp_path / "cache")
    with pytest.raises(NotAModel, match="first bytes"):
        resolve(str(fake), tmp_path / "cache")


@pytest.mark.parametrize("name", ["qwen2.5-coder-0.5b", "./nowhere", "no/such/path", ""])
def test_an_unknown_name_lists_the_catalog(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="The catalog has: qwen2"):
        resolve(name, tmp_path / "cache")


def test_a_near_miss_gets_a_suggestion_and_the_error_survives_pickling(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="did you mean 'smollm2-135m-instruct'") as caught:
        resolve("smolm2-135m-instruct", tmp_path / "cache")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_converted_catalog_model_needs_no_download(fake_checkpoint: Path, tmp_path: Path) -> None:
    entry = load_catalog().models["qwen2.5-coder-0.5b-instruct"]
    place = checkpoint_folder(entry.sha256, tmp_path / "cache")
    place.parent.mkdir(parents=True)
    fake_checkpoint.rename(place)
    found = resolve(entry.name, tmp_path / "cache")
    assert (found.path, found.licence, found.origin) == (place, "Apache-2.0", Origin.CATALOG)


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UCODER_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("UCODER_CACHE")
    assert default_cache_dir().name == "ucoder"


def test_a_missing_package_is_named_with_the_install_command() -> None:
    with pytest.raises(MissingDependency, match=r'no_such_package.*pip install "ucoder\[cpu\]"'):
        require("this", "json", "no_such_package.inner")


def test_importing_models_loads_nothing_heavy() -> None:
    code = (
        "import sys, ucoder.models; heavy = {'torch', 'transformers', 'openvino', 'optimum',"
        "'huggingface_hub', 'torchvision'}; found = heavy & set(sys.modules);"
        "sys.exit(str(found) if found else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

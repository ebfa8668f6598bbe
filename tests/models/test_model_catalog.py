"""The catalog is valid data, and a mistyped name gets help."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ucoder.models.catalog import WheelFiles, load_catalog, parse_catalog


def test_the_default_model_has_the_published_checksum_and_two_kinds_of_source() -> None:
    catalog = load_catalog()
    entry = catalog.models[catalog.default]
    assert entry.name == "qwen2.5-coder-0.5b-instruct"
    assert entry.bytes == 491_400_064
    assert entry.sha256 == "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
    assert [source.kind for source in entry.sources] == ["hub", "wheels"]
    wheels = entry.sources[1]
    assert isinstance(wheels, WheelFiles)
    assert [part.member[-10:] for part in wheels.parts] == [f"part0{n}.bin" for n in range(1, 7)]


def test_every_entry_states_a_licence() -> None:
    assert all(entry.licence for entry in load_catalog().models.values())


def test_a_mistyped_name_gets_the_nearest_one_suggested() -> None:
    suggestion = load_catalog().suggestion("Qwen2.5-coder-0.5B-instuct")
    assert "did you mean 'qwen2.5-coder-0.5b-instruct'" in suggestion


def test_a_catalog_with_unknown_keys_and_a_bad_checksum_is_refused_with_both_faults() -> None:
    text = """
default: m
models:
  m: {summary: s, licence: MIT, parameters: 1, format: gguf, chat: true, bytes: 1, sha256: abc,
      colour: red, sources: [{kind: hub, repo: a/b, filename: c}]}
"""
    with pytest.raises(ValidationError) as caught:
        parse_catalog(text)
    assert "sha256" in str(caught.value)
    assert "colour" in str(caught.value)


def test_a_default_without_an_entry_is_refused() -> None:
    with pytest.raises(ValidationError, match="default"):
        parse_catalog("default: missing\nmodels: {}\n")

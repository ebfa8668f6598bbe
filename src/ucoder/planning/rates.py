"""How fast a machine is at what a run does: measured by `ucoder doctor rates`, or stated.

A rate that was not measured is None: hours that need it are then unknown as well, never 0.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

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
from ucoder.config.reading import fault_words, read_yaml
from ucoder.errors import ConfigError
from ucoder.files import write_atomically
from ucoder.models import default_cache_dir
from ucoder.planning.assumptions import End, Range
from ucoder.records import digest

_HOW = "`ucoder doctor rates -o FILE` writes one"


def _from_number(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"low": value, "likely": value, "high": value} if is_number else value


def _above_zero(value: Range) -> Range:
    if value.low <= 0:
        raise ValueError(f"low={value.low:g} must be above 0; write null for what is not known")
    return value


Rate = Annotated[Range, BeforeValidator(_from_number), AfterValidator(_above_zero)] | None


class Rates(BaseModel):
    """One machine with one engine and one model; every rate is for one replica of the engine.

    A rate is a number, or low, likely and high. What lies between one sequence alone and a full
    batch says how much slower a small batch is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hardware: str = Field(min_length=1)  # what it was measured on, for people
    engine: str | None = None  # as in `engine.provider`
    model: str | None = None  # what was sampled
    sampled_tokens_per_s: Rate = None  # over all sequences of a full batch
    batch: Annotated[int, Field(ge=1)] | None = None  # sequences in that batch
    alone_tokens_per_s: Rate = None  # for one sequence alone
    prompt_tokens_per_s: Rate = None  # read (prefill)
    programs_per_s: Rate = None  # each on about a hundred inputs, a few of which do not end
    calls_per_s: Rate = None  # of a program that is loaded
    training_tokens_per_s: Rate = None  # forward and backward
    engine_start_s: Rate = None  # seconds until the engine samples

    @model_validator(mode="after")
    def _alone_needs_a_batch(self) -> Rates:
        if self.alone_tokens_per_s and not (self.sampled_tokens_per_s and self.batch):
            raise ValueError("alone_tokens_per_s needs sampled_tokens_per_s and batch beside it")
        return self

    def at(self, end: End) -> dict[str, float]:
        """Every rate at one end of its range, or its value in `_UNKNOWN`."""
        known = {name: getattr(getattr(self, name), end, value) for name, value in _UNKNOWN.items()}
        return {**known, "batch": self.batch or 1}


_UNKNOWN: Final = {
    **dict.fromkeys(("sampled_tokens_per_s", "programs_per_s", "training_tokens_per_s"), math.nan),
    **dict.fromkeys(("alone_tokens_per_s", "prompt_tokens_per_s", "calls_per_s"), math.inf),
    "engine_start_s": 0.0,
}
"""NaN where hours that need the rate are unknown, infinite where it may be left out of them."""


def read_rates(path: Path) -> Rates:
    """Rates from a YAML or JSON file.

    Raises:
        ConfigError: The file cannot be read, or holds something else; lists every fault.
    """
    try:
        return Rates.model_validate(read_yaml(path))
    except ConfigError as error:
        raise ConfigError(f"--rates {error}; {_HOW}") from None
    except ValidationError as error:
        faults = "".join(f"\n  {_explain(fault)}" for fault in error.errors())
        raise ConfigError(
            f"--rates {path} holds no rates:{faults}\n"
            f"known: {', '.join(Rates.model_fields)}; {_HOW}"
        ) from None


def _explain(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "(whole)"
    got = fault["input"]
    shown = f"={got!r}" if isinstance(got, str | int | float | bool | None) else ""
    return f"{where}{shown}: {fault_words(fault)}"


def write_rates(rates: Rates, path: Path) -> None:
    """Write a file that `read_rates` reads and a person may change."""
    write_atomically(path, yaml.safe_dump(rates.model_dump(mode="json"), sort_keys=False))


def kept_rates_path(hardware: str, config: RunConfig) -> Path:
    """Where the rates of this machine with this configuration's engine and model are kept."""
    name = digest(hardware, config.engine.provider, config.model)
    return default_cache_dir() / "rates" / f"{name}.yaml"


def hardware_name() -> str:
    """This machine, such as `1 x NVIDIA H100 80GB HBM3, AMD EPYC 9R14, 16 cores`.

    So that rates of one machine are not taken for those of another. `nvidia-smi` is asked, because
    torch takes seconds to load.
    """
    gpus: list[str] = []
    if tool := shutil.which("nvidia-smi"):
        command = [tool, "--query-gpu=name", "--format=csv,noheader"]
        with suppress(OSError, subprocess.SubprocessError):  # without a driver there are no GPUs
            answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
            gpus = answer.stdout.splitlines()
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text("utf-8", "replace").splitlines() if cpu.exists() else []
    named = (" ".join(x.split(":", 1)[1].split()) for x in lines if x.startswith("model name"))
    processor = next(named, platform.processor() or platform.machine())
    counted = [f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus)]
    return ", ".join([*counted, processor, f"{os.cpu_count()} cores"])

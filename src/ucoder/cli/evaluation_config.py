"""The configuration that the options of `ucoder eval` describe, and settings that it refuses.

A configuration describes a whole run, and an evaluation uses little of it. The rest is not
validated; setting it is refused, because a setting without effect is a misunderstanding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import typer

from ucoder.config import RunConfig, apply_overrides, parse_config
from ucoder.evaluation.statistics import usual_ks
from ucoder.runs import Run

_USED: Final = (
    *("engine", "executor.provider", "executor.n_workers", "model_kind", "seed"),
    *("evaluation.n", "evaluation.k", "evaluation.temperature", "evaluation.top_p"),
    *("evaluation.max_tokens", "evaluation.n_tasks", "evaluation.livecodebench"),
    "evaluation.server_url",
)
_SAMPLING: Final = (
    *("engine", "model_kind", "seed", "evaluation.n", "evaluation.temperature"),
    *("evaluation.top_p", "evaluation.max_tokens"),
)
"""What has an effect on a model's answers alone."""
_ENGINES: Final = {
    "engine.server": ("openai",),
    "engine.vllm": ("vllm",),
    "engine.script": ("scripted",),
    "engine.device": ("transformers",),
    "engine.batching": ("transformers",),
    "engine.precision": ("transformers", "vllm"),
    "engine.cache_gib": ("openvino", "vllm"),
}
"""The providers for which a setting of the engine has an effect; for all where it is missing."""
_OPTIONS: Final = {
    "evaluation.benchmarks": "--benchmark",
    "evaluation.data": "--data name=FILE",
    "model": "MODEL",
}
"""Settings with an option of their own."""


def refuse_idle(given: Mapping[str, object], idle: Iterable[str], beside: str) -> None:
    """Refuse options that would be ignored beside another.

    Args:
        given: Every option with its value, None where it was not given.
        idle: Those that have no effect.
        beside: The one that makes them so.

    Raises:
        BadParameter: One of them was given.
    """
    if names := [name for name in idle if given[name] is not None and name != beside]:
        raise typer.BadParameter(f"{', '.join(names)} has no effect beside {beside}; leave it out")


def data_files(data: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """The user's copies of data, by the benchmark's name.

    Args:
        data: Values of `--data`: FILE, or name=FILE.
        names: The benchmarks that are asked.

    Raises:
        BadParameter: A file is for no single benchmark, or a benchmark has two.
    """
    if any("=" not in item for item in data) and len(names) > 1:
        raise typer.BadParameter("with several benchmarks, write --data name=FILE")
    pairs = [item.split("=", 1) if "=" in item else [names[0], item] for item in data]
    if len(copies := dict(pairs)) < len(pairs):
        raise typer.BadParameter("--data names a benchmark twice; give one file for each")
    return copies


def numbers(k: str) -> list[int]:
    """The numbers of `--k`, in order.

    Raises:
        BadParameter: It is something else.
    """
    if not all(part.strip().isdecimal() for part in k.split(",")):
        raise typer.BadParameter(f"--k {k!r}: write numbers with commas between, such as 1,10")
    return sorted({int(part) for part in k.split(",")})


def evaluation_config(
    model: str | None,
    engine: str | None,
    evaluation: Mapping[str, Any],
    settings: Sequence[str],
    is_of_samples: bool,
) -> RunConfig:
    """Validate the options of `eval`, in one place with those of runs.

    Args:
        model: The model; None for samples.
        engine: The provider; None for that of the model's run, or else the default.
        evaluation: Values of the section `evaluation`.
        settings: `key=value`, of any section.
        is_of_samples: Whether samples are scored, not a model.

    Raises:
        ConfigError: A value is out of range.
        BadParameter: A setting would have no effect.
    """
    values: dict[str, Any] = {
        "engine": {"provider": engine} if engine else _engine_for(model),
        "evaluation": dict(evaluation),
        # Nothing is trained: the rules of training play no part.
        "consolidation": {"provider": "none", "iterations": 1},
    }
    if model is not None:
        values["model"] = model
    apply_overrides(values, settings)
    section = values["evaluation"]
    if "k" not in section and isinstance(n := section.get("n", 1), int):
        section["k"] = usual_ks(n)
    config = parse_config(values)
    for setting in settings:
        key = setting.partition("=")[0]
        if reason := _no_effect(key, config, is_of_samples):
            raise typer.BadParameter(f"--set {key} has no effect in this evaluation: {reason}")
    return config


def _engine_for(model: str | None) -> dict[str, Any]:
    """The engine of the run that the model belongs to; the default one for other models."""
    if model is not None and (named := Run.named(model)):
        return named[0].config.engine.model_dump(mode="json")
    return {}


def _no_effect(key: str, config: RunConfig, is_of_samples: bool) -> str | None:
    """Why a setting changes nothing; None where it does."""
    if option := next((option for name, option in _OPTIONS.items() if _is_in(key, name)), None):
        return f"write {option}"
    if key != "executor" and not any(_is_in(key, name) for name in _USED):
        return f"it uses {', '.join(_USED)}; limits of programs are the benchmark's own"
    if is_of_samples and any(_is_in(key, name) for name in _SAMPLING):
        return "the samples are made already"
    if is_of_samples and key == "evaluation.k":
        return "write --k"
    for name, providers in _ENGINES.items():
        if _is_in(key, name) and config.engine.provider not in providers:
            return f"it is for --engine {' or '.join(providers)}"
    asked = config.evaluation.benchmarks
    for name, benchmark in (("livecodebench", "livecodebench"), ("server_url", "fullstackbench")):
        if _is_in(key, f"evaluation.{name}") and benchmark not in asked:
            return f"it is for --benchmark {benchmark}"
    if key == "evaluation.top_p" and config.evaluation.temperature == 0:
        return "greedy decoding has no nucleus; give --temperature as well"
    return None


def _is_in(key: str, name: str) -> bool:
    """Whether a key is a setting's, or of its section."""
    return key == name or key.startswith(f"{name}.")

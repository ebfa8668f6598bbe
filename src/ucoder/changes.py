"""Other settings for a run that exists: which may change when it is resumed, and why others not.

A setting may change as long as nothing that is recorded depends on it. Where data lie and how much
runs at once never do; the number of iterations may grow; the settings of a stage may change until
its first record. Everything else is a new run, which `ucoder run RUN key=value` starts from this
run's settings.
"""

from __future__ import annotations

import copy
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ucoder.components import Components
from ucoder.config import RunConfig, apply_overrides, parse_config
from ucoder.errors import ConfigError, command
from ucoder.given import load_given
from ucoder.models import load_catalog
from ucoder.runs import Run
from ucoder.stages.problems import load_topics, topic_of


def with_settings(run: Run, overrides: Iterable[str]) -> Run:
    """The run with other settings, which are not stored yet.

    Args:
        run: The run as it is.
        overrides: Such as `consolidation.iterations=3`.

    Raises:
        ConfigError: A setting is invalid, or records depend on it; the message says which, and
            how to start a new run with it.
    """
    overrides = list(overrides)
    values = apply_overrides(copy.deepcopy(run.manifest.config), overrides)
    config = parse_config(values).with_absolute_paths(load_catalog().models)
    old = _leaves(run.config.with_absolute_paths(load_catalog().models).model_dump(mode="json"))
    new = _leaves(config.model_dump(mode="json"))
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    refused = []
    for key in changed:
        if reason := _rule_of(key)(run, config):
            refused.append(f"  {key}: {reason}")
    if refused:
        again = command("run", run.path, *overrides, "-o")
        raise ConfigError(
            f"records of {run.path} depend on what was to be changed:\n"
            + "\n".join(refused)
            + f"\nStart a new run with these settings: {again} NEW. To begin with a model of this "
            f"run, add model={shlex.quote(str(run.path))}:M1"
        )
    return Run(run.path, replace(run.manifest, config=config.model_dump(mode="json")))


def store_settings(run: Run) -> None:
    """Write the settings of `with_settings` into the run's folder.

    What was concluded from all problems together (which of them a benchmark asks, and the training
    pairs) is made again where there will be other problems.

    Raises:
        RunLocked: Another process writes to the run.
    """
    with run.writing():
        if Run.open(run.path).config.problems != run.config.problems:
            for table in (run.matches, run.examples(0)):
                shutil.rmtree(table.folder, ignore_errors=True)
        run.save_manifest()


_Rule = Callable[[Run, RunConfig], str]
"""Why a setting may not change in a run, given the new configuration; "" where it may."""


def _always(run: Run, new: RunConfig) -> str:
    return ""


def _before_problems(run: Run, new: RunConfig) -> str:
    return "problems were made with it already" if run.attempts.keys() else ""


def _before_inputs(run: Run, new: RunConfig) -> str:
    return "test inputs were made with it already" if run.suites.keys() else ""


def _before_solutions(run: Run, new: RunConfig) -> str:
    return "candidates were sampled and run with it already" if run.iterations() else ""


def _before_training(run: Run, new: RunConfig) -> str:
    return "M1 was trained with it already" if run.checkpoints.keys() else ""


def _before_scores(run: Run, new: RunConfig) -> str:
    return "models were scored with it already" if run.scored() or run.answered() else ""


def _before_comparison(run: Run, new: RunConfig) -> str:
    return "the problems were compared with benchmarks already" if run.matches.keys() else ""


def _more_iterations(run: Run, new: RunConfig) -> str:
    last = max(run.iterations(), default=-1)
    if new.consolidation.iterations <= last:
        return f"iteration {last} has begun; give {last + 1} or more"
    return ""


def _more_problems(run: Run, new: RunConfig) -> str:
    if run.checkpoints.keys():
        return "M1 was trained on what the recorded problems gave, and more would change that"
    reasons = [row["reason"] for row in run.attempts.columns("reason")]
    if new.problems.n < (n_accepted := reasons.count(None)):
        return f"{n_accepted} problems are accepted already; give {n_accepted} or more"
    if new.problems.max_attempts < len(reasons):
        return f"{len(reasons)} attempts were made already; give {len(reasons)} or more"
    return ""


def _same_topics(run: Run, new: RunConfig) -> str:
    topics = load_topics(new.problems.topics)
    for row in run.attempts.columns("index", "area", "topic"):
        topic = topic_of(row["index"], topics, new.seed)
        if (topic.area, topic.text) != (row["area"], row["topic"]):
            return "attempts were made at other topics already"
    return ""


def _same_source(run: Run, new: RunConfig) -> str:
    given = load_given(new.problems)
    same = given is not None and given.sha256 == run.manifest.given.get("sha256")
    return "" if same or not run.attempts.keys() else "attempts were made at other problems already"


def _same_model(run: Run, new: RunConfig) -> str:
    recorded = run.manifest.model.get("sha256")
    if not run.attempts.keys() or Components(new).model(new.model).sha256 == recorded != "":
        return ""
    return "problems were made with another model already"


def _more_benchmarks(run: Run, new: RunConfig) -> str:
    if new.evaluation.contamination.benchmarks is None and run.matches.keys():
        return (
            f"the problems were compared with these alone; score a model on others with "
            f"`{command('eval', f'{run.path}:M0', '-b', 'NAME')}`"
        )
    return ""


_RULES: Mapping[str, _Rule] = {
    "": _before_problems,
    "test_inputs": _before_inputs,
    "solutions": _before_solutions,
    "executor": _before_solutions,
    "consolidation": _before_training,
    "evaluation": _before_scores,
    "evaluation.contamination": _before_comparison,
    "evaluation.benchmarks": _more_benchmarks,
    "consolidation.iterations": _more_iterations,
    "problems.n": _more_problems,
    "problems.max_attempts": _more_problems,
    "problems.source": _same_source,
    "problems.topics": _same_topics,
    "model": _same_model,
    "engine.script": _same_model,
    **dict.fromkeys(
        (
            *("max_concurrency", "scale", "executor.provider", "executor.n_workers"),
            *("evaluation.data", "evaluation.server_url", "evaluation.k"),
            *("engine.max_sequences", "engine.cache_gib", "engine.device"),
            *("engine.vllm.tensor_parallel", "engine.vllm.gpu_memory_share"),
            *("engine.server.url", "engine.server.api_key_variable", "engine.server.timeout_s"),
            *("engine.server.max_connections", "engine.server.requests_per_minute"),
            *("engine.server.max_retries", "consolidation.micro_batch_size"),
            *("consolidation.gradient_checkpointing", "consolidation.n_processes"),
            *("consolidation.strategy", "consolidation.checkpoint_steps", "consolidation.metrics"),
        ),
        _always,
    ),
}
"""By the start of the setting's name; the longest that fits decides."""


def _rule_of(key: str) -> _Rule:
    while key and key not in _RULES:
        key = key.rpartition(".")[0]
    return _RULES[key]


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Plain values by dotted name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found

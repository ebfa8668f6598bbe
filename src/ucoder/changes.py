"""Other settings for a run that exists: which may change when it is resumed, and why others not.

A setting of a run that is resumed may change as long as nothing that is recorded depends on it.
Where data lie and how much runs at once never do; the number of iterations may grow; the settings
of a stage may change until its first record. Everything else is a new run, which `ucoder run RUN
key=value` starts from this run's settings.

A new run may take the samples of a finished one instead of sampling itself (`take`): problems,
inputs, candidates and executions of iteration 0, and M0's answers to benchmarks. Then the settings
that these depend on must be the same, and what comes after them may differ.
"""

from __future__ import annotations

import copy
import hashlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ucoder.components import Components
from ucoder.config import RunConfig, apply_overrides, parse_config
from ucoder.errors import ConfigError, RunError, command
from ucoder.files import storing
from ucoder.given import load_given
from ucoder.models import load_catalog
from ucoder.records import Reason
from ucoder.runs import Run
from ucoder.runs.directory import check_output
from ucoder.stages.topics import TopicTree, listed_topics, topic_of


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
    if refused := _refused(run, config, _RULES):
        again = command("run", run.path, *overrides, "-o")
        raise ConfigError(
            f"records of {run.path} depend on what was to be changed:\n"
            + "\n".join(refused)
            + f"\nStart a new run with these settings: {again} NEW. To begin with a model of this "
            f"run, add model={shlex.quote(str(run.path))}:M1"
        )
    return Run(run.path, replace(run.manifest, config=config.model_dump(mode="json")))


def _refused(run: Run, config: RunConfig, rules: Mapping[str, _Rule]) -> list[str]:
    """A line for each setting that differs from the run's and may not."""
    refused = []
    for key in _differing(run.config, config):
        if reason := _rule_of(key, rules)(run, config):
            refused.append(f"  {key}: {reason}")
    return refused


def _differing(one: RunConfig, other: RunConfig) -> list[str]:
    """The dotted names of the settings that differ."""
    known = load_catalog().models
    old, new = (
        _leaves(config.with_absolute_paths(known).model_dump(mode="json"))
        for config in (one, other)
    )
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def check_taking(source: Run, config: RunConfig) -> None:
    """Check that a new run can take the samples of another one.

    Raises:
        ConfigError: Settings that what is taken depends on differ; each is named.
        RunError: The other run has not finished stage 5 of iteration 0.
    """
    if refused := _refused(source, config, _TAKING):
        raise ConfigError(
            f"what is taken from {source.path} depends on what was to be changed:\n"
            + "\n".join(refused)
            + "\nLeave these settings as they are there, or start a run without --from"
        )
    usable = {
        row["problem_id"]
        for row in source.suites.columns("problem_id", "reason")
        if row["reason"] is None
    }
    done = source.candidates(0).keys() & source.executions(0).keys() & source.selections(0).keys()
    if not usable or not usable <= done or not source.matches.keys():
        raise RunError(
            f"{source.path} has not finished stage 5 of iteration 0, so there is not everything "
            f"to take; `{command('resume', source.path)}` continues it"
        )


def take(source: Run, config: RunConfig, output: Path) -> Run:
    """Make a run that begins with the samples of another one.

    Files are linked where the file system allows it, and copied where not: nothing ever changes a
    shard in place. The new run appears whole or not at all.

    Args:
        source: The run to take from.
        config: The new run's; see `check_taking`.
        output: The new run's folder.

    Raises:
        ConfigError, RunError: As `check_taking`.
        RunExists: The folder holds something.
        FileError: It cannot be made.
    """
    check_taking(source, config)
    check_output(output)
    with storing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with storing(output), TemporaryDirectory(dir=output.parent, prefix=".ucoder-") as staging:
        run = Run.create(Path(staging) / "run", config)
        checksum = hashlib.sha256()
        for table in _taken_tables(source, run.config):
            for shard in sorted((source.path / "tables" / table).glob("*.parquet")):
                checksum.update(f"{table}/{shard.name}\0".encode() + _digest_of(shard))
                target = run.path / "tables" / table / shard.name
                target.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(shard, target)
        run.save_manifest(
            model=source.manifest.model,
            engine=source.manifest.engine,
            executor=source.manifest.executor,
            given=source.manifest.given,
            taken_from={
                "run": str(source.path.absolute()),
                "sha256": checksum.hexdigest(),
            },
        )
        run.path.replace(output)
    return Run.open(output)


def _taken_tables(source: Run, config: RunConfig) -> list[str]:
    """The folders of what is taken, below `tables`."""
    of_problems = ("candidates", "greedy", "executions", "judgements")
    tables = ["attempts", "suites", *(f"{name}/iteration-0" for name in of_problems)]
    differing = [key for key in _differing(source.config, config) if key.startswith("evaluation.")]
    if all(key.startswith(_NOT_ASKED) for key in differing):
        for kind, found in (("answers", source.answered()), ("scores", source.scored())):
            tables += [f"{kind}/{name}-model-0" for name, index in found if index == 0]
    return tables


_NOT_ASKED = ("evaluation.contamination", "evaluation.data", "evaluation.k")
"""Settings of the evaluation that M0's answers and their scores do not depend on."""


def _digest_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, target)


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
    begun = run.attempts.keys() or run.topics.keys()
    return "problems were made with it already" if begun else ""


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
    topics, tree = listed_topics(new.problems.topics), TopicTree(new.seed, run.topics.stream())
    for row in run.attempts.columns("index", "area", "topic"):
        index = row["index"]
        topic = topic_of(index, topics, new.seed) if topics else tree.topic(index)
        if topic is None or (topic.area, topic.text) != (row["area"], row["topic"]):
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


def _unless_stopped(run: Run, new: RunConfig) -> str:
    if run.config.solutions.stopping is None:
        return ""
    return "it decided how many candidates were drawn (solutions.stopping)"


def _unless_searched(run: Run, new: RunConfig) -> str:
    if run.config.solutions.distinguishing_inputs:
        return "it decided which distinguishing inputs were found"
    return _unless_stopped(run, new)


def _unless_left_out(run: Run, new: RunConfig) -> str:
    reasons = (row["reason"] for row in run.suites.columns("reason"))
    if Reason.CONTAMINATED in reasons and not new.evaluation.contamination.exclude:
        return "problems were left out with it, and have no candidates"
    return ""


_TAKING: Mapping[str, _Rule] = {
    **_RULES,
    "problems.n": _before_problems,
    "problems.max_attempts": _before_problems,
    **dict.fromkeys(
        ("consolidation", "consolidation.iterations", "evaluation", "evaluation.benchmarks",
         "evaluation.contamination"),
        _always,
    ),
    "evaluation.contamination.exclude": _unless_left_out,
    **dict.fromkeys(
        tuple(
            f"solutions.{name}"
            for name in (
                "selector", "rho", "tau", "min_probability", "min_share", "raising_may_win",
            )
        ),
        _unless_stopped,
    ),
    "solutions.min_input_support": _unless_searched,
    "solutions.inputs": _unless_searched,
}  # fmt: skip
"""The same, for the settings of a new run that takes the samples of `run`."""


def _rule_of(key: str, rules: Mapping[str, _Rule]) -> _Rule:
    while key and key not in rules:
        key = key.rpartition(".")[0]
    return rules[key]


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Plain values by dotted name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found

"""What a run needs, checked before it starts: packages, data, the sandbox, what a server can do.

Each of these would otherwise end a run hours after its start, or leave a folder behind for which
the same command is refused. What only loading a model shows, such as too little memory, is not
found here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ucoder.components import Components
from ucoder.config import RunConfig
from ucoder.engines.protocol import SamplingParams
from ucoder.engines.resilient import ResilientEngine
from ucoder.errors import ConfigError, EngineError, UcoderError
from ucoder.execution.protocol import Limits
from ucoder.execution.providers import open_executor
from ucoder.given import load_given
from ucoder.models import Model
from ucoder.runs import Run
from ucoder.stages.prompts import sampling_of
from ucoder.stages.solutions import greedy_sampling
from ucoder.stages.topics import listed_topics


async def check_requirements(
    components: Components, run: Run | None = None, *, has_samples: bool = False
) -> None:
    """Refuse a run that cannot come to its end, as far as that can be known now.

    A run that has begun is only checked for what it may still need: its engine and its sandbox
    open with its first step anyway.

    Args:
        components: Of the run; they are checked once.
        run: The run; None for one that is not on disk yet.
        has_samples: Whether that one takes problems, inputs and candidates from another run, so
            that only later models and evaluations need an engine and a sandbox.

    Raises:
        UcoderError: The first fault, of the class that fits it.
        ConfigError: Several faults, one a line.
    """
    if components.is_checked:
        return
    config = components.config
    has_begun = run is not None and bool(run.attempts.keys())
    n_trained = len(run.checkpoints.keys()) if run is not None else 0
    checks: list[Callable[[], object]] = []
    if not has_begun and not has_samples:
        checks += [
            lambda: load_given(config.problems),
            lambda: listed_topics(config.problems.topics),
        ]
    samples = not has_samples or config.n_models > 1 or bool(config.evaluation.benchmarks)
    if not has_begun and samples:
        checks += [components.require_packages, lambda: _require_logprobs(config)]
    if config.is_trained(n_trained):
        checks.append(components.trainer)
    checks.append(components.evaluations)
    if run is None or not run.matches.keys():
        checks.append(components.compared_datasets)
    _check_all(checks)
    model = components.model(config.model)
    for evaluation in components.evaluations():
        evaluation.check_model(model.is_chat)
    if not has_begun and samples and config.scale.provider == "local":
        await _try_executor(config)
        if config.engine.provider == "openai":
            await _try_server(components, model)
    components.is_checked = True


def _check_all(checks: Sequence[Callable[[], object]]) -> None:
    faults: dict[str, UcoderError] = {}
    for check in checks:
        try:
            check()
        except UcoderError as error:
            faults.setdefault(str(error), error)
    if len(faults) == 1:
        raise next(iter(faults.values()))
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise ConfigError(f"{len(faults)} faults, found before the run was started:\n{listed}")


def _require_logprobs(config: RunConfig) -> None:
    sampling = config.solutions.sampling
    if (
        config.solutions.selector == "low_perplexity"
        and config.engine.provider == "openvino"
        and not sampling_of(sampling, ()).is_raw
    ):
        raise ConfigError(
            "solutions.selector=low_perplexity needs raw log-probabilities, which OpenVINO gives "
            "at solutions.sampling.temperature=1, top_p=1 and top_k=0 alone; set these, or choose "
            "another selector or engine"
        )


async def _try_executor(config: RunConfig) -> None:
    """Start the sandbox with one worker.

    Raises:
        SandboxUnavailable: It cannot start here.
    """
    executor = config.executor
    limits = Limits(memory_limit_mib=executor.memory_limit_mib)
    async with open_executor(executor.provider, limits, 1, preload=executor.preload):
        pass


async def _try_server(components: Components, model: Model) -> None:
    """Ask the server what it can do, and compare that with the run's settings.

    Raises:
        EngineError: The server cannot be reached, or cannot sample as configured.
    """
    config = components.config
    made = components.engine(model)
    engine: Any = made.engine if isinstance(made, ResilientEngine) else made
    async with engine:
        for setting, sampling in _samplings(components, model).items():
            try:
                engine.check(sampling)
            except EngineError as error:
                raise EngineError(f"{setting}: {error}") from None
        raw = sampling_of(config.solutions.sampling, ())
        if config.solutions.selector == "low_perplexity" and not (
            engine.capabilities.has_raw_logprobs(raw)
        ):
            raise EngineError(
                "solutions.selector=low_perplexity needs raw log-probabilities, which this server "
                "does not return under solutions.sampling; choose another selector"
            )


def _samplings(components: Components, model: Model) -> dict[str, SamplingParams]:
    """Every kind of request that the run makes, by the section that sets it."""
    config = components.config
    sections = ("problems", "ratings", "interfaces", "test_inputs", "solutions")
    found = {
        f"{name}.sampling": sampling_of(getattr(config, name).sampling, ()) for name in sections
    }
    if config.solutions.greedy:
        found["solutions.greedy"] = greedy_sampling(config.solutions)
    for evaluation in components.evaluations():
        found["evaluation"] = evaluation.sampling(model.is_chat)
    return found

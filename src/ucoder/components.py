"""The edges that a configuration asks for: which model, engine, executor and trainer.

The one place that knows the providers by name. Making `Components` imports nothing heavy and starts
nothing: each part is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ucoder.config import EngineConfig, RunConfig
from ucoder.config.stages import KNOWN_ANSWERS
from ucoder.engines.protocol import Engine
from ucoder.engines.resilient import ResilientEngine
from ucoder.evaluation.protocol import Dataset, ExecutionRequirements
from ucoder.evaluation.registry import NAMES, check_copies, copy_of, find_benchmarks
from ucoder.evaluation.running import Evaluation, choose_tasks
from ucoder.execution.protocol import Executor, Limits
from ucoder.execution.providers import open_executor
from ucoder.models import Model, Origin, openvino_export, resolve
from ucoder.models.cache import Notify, default_cache_dir
from ucoder.progress import Progress, Silent
from ucoder.records import digest
from ucoder.runs import Run
from ucoder.runtime import require
from ucoder.scale.local import LocalScheduler
from ucoder.scale.protocol import Scheduler
from ucoder.training.protocol import Trainer


class Components:
    """Makes the parts of a run.

    Args:
        config: Which parts.
        progress: Told about downloads and conversions.
    """

    def __init__(self, config: RunConfig, progress: Progress | None = None) -> None:
        self.config = config
        self.is_checked = False  # `ucoder.requirements` found nothing missing
        self._progress = progress or Silent()
        self._evaluations: list[Evaluation] | None = None
        self._compared: dict[str, Dataset] | None = None

    def model(self, name_or_path: str) -> Model:
        """The checkpoint of a name, a path or `RUN:M1`, asked as the configuration says.

        Raises:
            ModelError: It cannot be had; see `ucoder.models.resolve` and `Run.weights`.
            ConfigError: `model_kind` does not fit it.
        """
        return self._resolved(name_or_path).asked_as(self.config.model_kind)

    def _resolved(self, name_or_path: str) -> Model:
        if named := Run.named(name_or_path):
            run, index = named
            name_or_path = run.weights(index)
        if self.config.engine.provider == "scripted":
            from ucoder.engines.scripted import load_script

            identity = digest(load_script(self.config.engine.script).model_dump_json(), length=64)
            return Model("scripted", Path("scripted"), identity, None, Origin.LOCAL, True)
        if self.config.engine.provider == "openai" and not Path(name_or_path).is_dir():
            # The server has the weights. What they are, it alone knows.
            return Model(name_or_path, Path(name_or_path), "", None, Origin.SERVER, True)
        return resolve(name_or_path, notify=self._progress.message)

    def engine(self, model: Model, exports: Path | None = None) -> Engine:
        """The engine for a model, not yet entered.

        Args:
            model: The model.
            exports: Where a converted form is kept; the model cache where None.
        """
        make = _ENGINES[self.config.engine.provider]
        return ResilientEngine(make(self.config.engine, model, exports, self._progress.message))

    def scheduler(self, model: Model, exports: Path | None = None) -> Scheduler:
        """What runs tasks on this machine or on a cluster, not yet entered; see `engine`."""
        if self.config.scale.provider == "ray":
            from ucoder.scale.ray import RayScheduler

            return RayScheduler(type(self), self.config, model, exports, self._progress)
        return self.local_scheduler(model, exports)

    def local_scheduler(self, model: Model, exports: Path | None = None) -> LocalScheduler:
        """One engine and one executor beside this process, not yet entered; see `engine`."""
        return LocalScheduler(self.engine(model, exports), self.executor(), self.config)

    def executor(self, needs: ExecutionRequirements | None = None) -> Executor:
        """The executor, not yet entered.

        Args:
            needs: What the programs of a benchmark need; the configuration's limits where None.

        Raises:
            SandboxUnavailable: Isolation cannot start here.
        """
        config = self.config.executor
        if needs is None:
            limits = Limits(
                call_timeout_s=config.call_timeout_s,
                program_timeout_s=config.program_timeout_s,
                memory_limit_mib=config.memory_limit_mib,
            )
            needs = ExecutionRequirements(limits, config.preload)
        return open_executor(config.provider, needs.limits, config.n_workers, preload=needs.preload)

    def require_packages(self) -> None:
        """Check that the packages of the engine and the scheduler are installed on this machine.

        Raises:
            MissingDependency: Some are not; the message has the install command.
        """
        if self.config.scale.provider == "ray":
            require("scale: ray", "ray", extra="ray")  # engines are on the cluster's machines
        elif needed := _PACKAGES.get(provider := self.config.engine.provider):
            extra = provider if provider in ("vllm", "openai") else "cpu"
            require(f"engine.provider={provider}", *needed, extra=extra)

    def compared_datasets(self) -> dict[str, Dataset]:
        """The benchmarks that the run's problems are compared with, by name; loaded once.

        The known answers, which come with ucoder, are always among them.

        Raises:
            BenchmarkError: Data are not available.
        """
        config = self.config.evaluation
        names = config.contamination.benchmarks
        names = config.benchmarks if names is None else names
        names = tuple(dict.fromkeys((*names, KNOWN_ANSWERS)))
        loaded = {one.benchmark.name: one.tasks.dataset for one in self._evaluations or ()}
        if self._compared is None:
            self._compared = {
                benchmark.name: loaded.get(benchmark.name)
                or benchmark.load(copy_of(benchmark, config.data))
                for benchmark in find_benchmarks(names, config.options())
            }
        return self._compared

    def evaluations(self) -> list[Evaluation]:
        """The benchmarks that the configuration names, loaded once and ready to be put to a model.

        Raises:
            BenchmarkError: Data are not available, or are named for no benchmark, or a benchmark
                has fewer tasks than `evaluation.n_tasks`.
        """
        if self._evaluations is None:
            self._evaluations = self._load_evaluations()
        return self._evaluations

    def _load_evaluations(self) -> list[Evaluation]:
        config = self.config.evaluation
        benchmarks = find_benchmarks(config.benchmarks, config.options())
        check_copies(config.data, benchmarks, (*NAMES, *(config.contamination.benchmarks or ())))
        return [
            Evaluation(
                tasks=choose_tasks(benchmark, config.n_tasks, copy_of(benchmark, config.data)),
                n=config.n,
                temperature=config.temperature,
                top_p=config.top_p,
                max_tokens=config.max_tokens,
                seed=self.config.seed,
                open_executor=self.executor,
                cache=default_cache_dir() / "evaluation",
                max_concurrency=self.config.max_concurrency,
            )
            for benchmark in benchmarks
        ]

    def trainer(self) -> Trainer:
        """The trainer, wherever it works."""
        if self.config.scale.provider == "ray":
            from ucoder.scale.training import RayTrainer

            return RayTrainer(type(self), self.config, self._progress)
        return self.local_trainer()

    def local_trainer(self) -> Trainer:
        """The trainer that works on this machine.

        Raises:
            MissingDependency: It needs packages that are not installed.
        """
        if self.config.consolidation.provider == "scripted":
            from ucoder.training.protocol import ScriptedTrainer

            return ScriptedTrainer()
        from ucoder.training.sft import TRLTrainer, require_packages

        require_packages(self.config.consolidation)
        return TRLTrainer()


def _openvino(config: EngineConfig, model: Model, exports: Path | None, notify: Notify) -> Engine:
    from ucoder.engines.openvino import OpenVINOEngine

    return OpenVINOEngine(
        openvino_export(model, parent=exports, notify=notify),
        is_chat=model.is_chat,
        max_sequences=config.max_sequences,
        cache_gib=config.cache_gib,
    )


def _transformers(
    config: EngineConfig, model: Model, exports: Path | None, notify: Notify
) -> Engine:
    from ucoder.engines.transformers import TransformersEngine
    from ucoder.engines.transformers_continuous import ContinuousTransformersEngine

    kind = ContinuousTransformersEngine if _is_continuous(config) else TransformersEngine
    return kind(
        model.path,
        is_chat=model.is_chat,
        device=config.device,
        precision=config.precision,
        max_sequences=config.max_sequences,
    )


def _is_continuous(config: EngineConfig) -> bool:
    if config.batching != "auto":
        return config.batching == "continuous"
    if config.device != "auto":
        return config.device.startswith("cuda")
    require("the transformers engine", "torch")
    import torch

    has_gpu: bool = torch.cuda.is_available()
    return has_gpu


def _vllm(config: EngineConfig, model: Model, exports: Path | None, notify: Notify) -> Engine:
    from ucoder.engines.vllm import VLLMEngine

    return VLLMEngine(
        model.path,
        is_chat=model.is_chat,
        precision=config.precision,
        max_sequences=config.max_sequences,
        cache_gib=config.cache_gib,
        gpus=config.vllm,
    )


def _openai(config: EngineConfig, model: Model, exports: Path | None, notify: Notify) -> Engine:
    from ucoder.engines.openai import OpenAIEngine

    checkpoint = None if model.origin is Origin.SERVER else model.path
    return OpenAIEngine(config.server, is_chat=model.is_chat, checkpoint=checkpoint)


def _scripted(config: EngineConfig, model: Model, exports: Path | None, notify: Notify) -> Engine:
    from ucoder.engines.scripted import ScriptedEngine, load_script

    return ScriptedEngine(load_script(config.script), is_chat=model.is_chat)


_ENGINES: Mapping[str, Callable[[EngineConfig, Model, Path | None, Notify], Engine]] = {
    "openvino": _openvino,
    "transformers": _transformers,
    "vllm": _vllm,
    "openai": _openai,
    "scripted": _scripted,
}

_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "openvino": ("torch", "transformers", "openvino_genai", "openvino_tokenizers", "optimum.intel"),
    "transformers": ("torch", "transformers"),
    "vllm": ("vllm",),
    "openai": ("openai",),
}
"""What must be installed for an engine; the scripted one needs nothing."""

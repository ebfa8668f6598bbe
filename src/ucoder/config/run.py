"""The configuration of a whole run: the sections, and the rules that hold across them."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ucoder.config.engine import EngineConfig
from ucoder.config.evaluation import EvaluationConfig
from ucoder.config.section import Section
from ucoder.config.stages import (
    KNOWN_ANSWERS,
    ExecutorConfig,
    InterfacesConfig,
    ProblemsConfig,
    RatingsConfig,
    ScaleConfig,
    SolutionsConfig,
    TestInputsConfig,
)
from ucoder.config.training import ConsolidationConfig


class RunConfig(Section):
    """A whole run."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Every request's seed is derived from this one (docs/design/determinism.md)."""
    model: str = "qwen2.5-coder-0.5b-instruct"
    """A catalog name, a Hugging Face model id, or a local path."""
    model_kind: Literal["auto", "chat", "base"] = "auto"
    """How the model is asked, and with which prompts it is trained: `chat` through its chat
    template, `base` with plain text that it continues. `auto`: as chat if it has a template, which
    many base models have as well; set `base` for those."""
    engine: EngineConfig = EngineConfig()
    executor: ExecutorConfig = ExecutorConfig()
    problems: ProblemsConfig = ProblemsConfig()
    ratings: RatingsConfig = RatingsConfig()
    interfaces: InterfacesConfig = InterfacesConfig()
    test_inputs: TestInputsConfig = TestInputsConfig()
    solutions: SolutionsConfig = SolutionsConfig()
    consolidation: ConsolidationConfig = ConsolidationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    scale: ScaleConfig = ScaleConfig()
    max_concurrency: Annotated[int, Field(ge=1, le=4096)] = 32
    """Tasks that run concurrently, such as problems in stage 5; with `scale: ray`, in each
    replica."""

    @property
    def n_models(self) -> int:
        """How many models a run has: M(0), and one more for each fine-tuning."""
        return 1 + (0 if self.consolidation.provider == "none" else self.consolidation.iterations)

    def is_solved_by(self, t: int) -> bool:
        """Whether M(t) samples solutions (stage 5), from which training pairs are chosen."""
        return t < self.consolidation.iterations

    def is_trained(self, t: int) -> bool:
        """Whether M(t) is fine-tuned; no model is where the run ends with its training pairs."""
        return t < self.n_models - 1

    @property
    def makes_pairs(self) -> bool:
        """Whether stage 6 makes training pairs: of known answers only if that is asked for."""
        is_known = self.problems.source == KNOWN_ANSWERS
        return not (is_known and self.evaluation.contamination.exclude)

    def with_absolute_paths(self, known_models: Container[str] = ()) -> Self:
        """The same, with paths that mean the same from every folder.

        Args:
            known_models: Names of models that are never paths, even if a folder has the same name.
        """
        values = _absolute(self.model_dump())
        folder, _, index = self.model.rpartition(":M")  # `RUN:M1`, a model of a run
        folder = folder if folder and index.isdigit() else self.model
        if self.model not in known_models and self.model and Path(folder).expanduser().exists():
            values["model"] = str(_absolute(Path(folder))) + self.model[len(folder) :]
        return type(self).model_validate(values)

    @field_validator("engine", "executor", "consolidation", "scale", mode="before")
    @classmethod
    def _provider_alone(cls, value: object) -> object:
        return {"provider": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _a_server_cannot_be_trained(self) -> Self:
        if self.engine.provider == "openai" and self.consolidation.provider == "trl":
            raise ValueError(
                "engine.provider=openai samples from a server, which keeps serving the same "
                "model; set consolidation.provider=none (and iterations=1) to write "
                "the training pairs, and train with another engine"
            )
        return self

    @model_validator(mode="after")
    def _an_oracle_needs_references(self) -> Self:
        if self.consolidation.pairs == "oracle" and self.problems.source != KNOWN_ANSWERS:
            raise ValueError(
                f"consolidation.pairs=oracle chooses by reference programs, which only the known "
                f"answers have; set problems.source={KNOWN_ANSWERS}, or other pairs: selected, "
                f"runnable or all"
            )
        return self

    @model_validator(mode="after")
    def _known_answers_are_not_trained_on(self) -> Self:
        if self.consolidation.provider != "none" and not self.makes_pairs:
            raise ValueError(
                f"problems.source={KNOWN_ANSWERS} are there to measure on, and a model that was "
                f"trained on them could not be measured on them any more; set "
                f"consolidation.provider=none (and iterations=1), or "
                f"evaluation.contamination.exclude=false to train on them all the same"
            )
        return self


def _absolute(value: Any) -> Any:
    """Plain values with their paths made absolute: those of files, and benchmarks' `.py` files."""
    if isinstance(value, dict):
        return {key: _absolute(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_absolute(part) for part in value)
    if isinstance(value, Path):
        return value.expanduser().absolute()
    if isinstance(value, str) and value.endswith(".py"):
        return str(_absolute(Path(value)))
    return value

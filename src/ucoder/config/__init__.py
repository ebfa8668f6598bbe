"""The configuration of a run: one frozen model a stage, every value with its range and meaning.

A configuration is a preset or a YAML file, then `key=value` overrides. Unknown keys are refused,
and every fault is reported at once, with the range that is allowed.
"""

from ucoder.config.engine import EngineConfig, ServerConfig, VLLMConfig
from ucoder.config.evaluation import ContaminationConfig, EvaluationConfig, LiveCodeBenchConfig
from ucoder.config.reading import apply_overrides, load_config, parse_config, preset_names
from ucoder.config.run import RunConfig
from ucoder.config.section import SamplingConfig, Section
from ucoder.config.stages import (
    DEFAULT_RHO,
    DEFAULT_TAU,
    FORECASTING,
    ExecutorConfig,
    InterfacesConfig,
    ProblemsConfig,
    PromptForm,
    RatingsConfig,
    ScaleConfig,
    SelectorName,
    SolutionsConfig,
    StoppingConfig,
    TestInputsConfig,
    TopicTreeConfig,
)
from ucoder.config.training import (
    ChooseRule,
    ConsolidationConfig,
    DifficultyConfig,
    DifficultyTarget,
    DpoConfig,
    ExamplesPolicy,
    LoraConfig,
)

__all__ = [
    "DEFAULT_RHO",
    "DEFAULT_TAU",
    "FORECASTING",
    "ChooseRule",
    "ConsolidationConfig",
    "ContaminationConfig",
    "DifficultyConfig",
    "DifficultyTarget",
    "DpoConfig",
    "EngineConfig",
    "EvaluationConfig",
    "ExamplesPolicy",
    "ExecutorConfig",
    "InterfacesConfig",
    "LiveCodeBenchConfig",
    "LoraConfig",
    "ProblemsConfig",
    "PromptForm",
    "RatingsConfig",
    "RunConfig",
    "SamplingConfig",
    "ScaleConfig",
    "Section",
    "SelectorName",
    "ServerConfig",
    "SolutionsConfig",
    "StoppingConfig",
    "TestInputsConfig",
    "TopicTreeConfig",
    "VLLMConfig",
    "apply_overrides",
    "load_config",
    "parse_config",
    "preset_names",
]

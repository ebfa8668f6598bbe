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
)
from ucoder.config.training import ConsolidationConfig, LoraConfig

__all__ = [
    "FORECASTING",
    "ConsolidationConfig",
    "ContaminationConfig",
    "EngineConfig",
    "EvaluationConfig",
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
    "VLLMConfig",
    "apply_overrides",
    "load_config",
    "parse_config",
    "preset_names",
]

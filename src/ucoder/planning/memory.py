"""GPU memory that training takes, where the model's shape is known without fetching it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ucoder.config import RunConfig
from ucoder.training.memory import ModelShape, training_memory

N_GPUS: Final = (1, 2, 4, 8)
"""What is told where the configuration leaves it open."""


def _shape(
    hidden: int, intermediate: int, key_value: int, layers: int, vocabulary: int, tables: int
) -> ModelShape:
    bare = ModelShape(0, hidden, intermediate, key_value, layers, vocabulary)
    n_parameters = layers * bare.layer_parameters + tables * bare.table_parameters
    return ModelShape(n_parameters, hidden, intermediate, key_value, layers, vocabulary)


KNOWN_SHAPES: Final = {
    "qwen2.5-coder-0.5b": _shape(896, 4864, 128, 24, 151_936, 1),
    "qwen2.5-coder-1.5b": _shape(1536, 8960, 256, 28, 151_936, 1),
    "qwen2.5-coder-3b": _shape(2048, 11_008, 256, 36, 151_936, 1),
    "qwen2.5-coder-7b": _shape(3584, 18_944, 512, 28, 152_064, 2),
    "qwen2.5-coder-14b": _shape(5120, 13_824, 1024, 48, 152_064, 2),
    "qwen2.5-coder-32b": _shape(5120, 27_648, 1024, 64, 152_064, 2),
}
"""The paper's family, from the models' published config.json."""


def shape_of(model: str) -> ModelShape | None:
    """From a local config.json, else from the table; None where neither knows the model."""
    try:
        return ModelShape.of(Path(model))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no local model, or no such decoder: the table may know its name
    return KNOWN_SHAPES.get(model.rsplit("/", 1)[-1].lower().removesuffix("-instruct"))


def training_bytes(config: RunConfig) -> dict[int, int]:
    """Bytes on each GPU by number of GPUs; empty where nothing is trained or the shape unknown."""
    training = config.consolidation
    shape = shape_of(config.model)
    if shape is None or training.provider != "trl" or not training.iterations:
        return {}
    counts = (training.n_processes,) if training.n_processes else N_GPUS
    return {n: training_memory(shape, training, n).total for n in counts}

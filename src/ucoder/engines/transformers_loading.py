"""What both transformers engines share: a checkpoint in memory, and out of it again."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from ucoder.errors import EngineError
from ucoder.runtime import hide_broken_torchvision, require


def load(path: Path, device: str, precision: str) -> tuple[Any, Any]:
    """Load a checkpoint.

    Args:
        path: Its folder.
        device: auto (a GPU where there is one), cpu, cuda, cuda:0 ...
        precision: bfloat16, float16 or float32.

    Returns:
        The model, on the device and in evaluation mode, and its tokenizer.

    Raises:
        MissingDependency: PyTorch or transformers is not installed.
        EngineError: The folder holds no model that transformers can load, or the device cannot
            hold it.
    """
    require("the transformers engine", "torch", "transformers")
    hide_broken_torchvision()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, precision))
        return model.to(device).eval(), tokenizer
    # torch reports a build without CUDA as an AssertionError.
    except (OSError, ValueError, RuntimeError, ImportError, AssertionError) as error:
        raise EngineError(f"transformers could not load {path}: {error}") from error


def end_tokens(model: Any) -> set[int]:
    """The tokens that end a completion; none for a model that names none."""
    end = model.generation_config.eos_token_id
    return {token for token in (end if isinstance(end, list) else [end]) if token is not None}


def give_back_memory() -> None:
    """Hand freed GPU memory back, once nothing refers to the model any more.

    PyTorch keeps what it freed for itself: another process, such as a trainer, would not get it.
    """
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

"""Real parts for every test: a tiny real checkpoint, and a small model that can talk."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from ucoder.models import Model, openvino_export, resolve

# `pytest --hypothesis-profile=thorough` looks for longer, where a module under test was changed.
# Two files are tested at a time, on a machine with other work: no deadline for one example.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
settings.register_profile("thorough", max_examples=2_000, deadline=None)

SLOW = (
    "documentation",  # every documented command
    "engines/test_conformance.py",  # real engines on real models
    "engines/test_openai.py",
    "engines/test_transformers.py",
    "execution/test_attacks.py",  # every attack on every sandbox
    "fault_tolerance",  # clusters, and runs that are killed again and again
    "models/test_model_conversion.py",
    "test_lost_completions.py",  # many runs against a server
    "test_wheel.py",  # installs packages from the index
    "training/test_ranks.py",  # several processes that train
    "training/test_sft.py",
)
"""Files and folders whose tests `make test` leaves out and `make test-all` runs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    for item in items:
        if any(item.path.is_relative_to(folder / place) for place in SLOW):
            item.add_marker(pytest.mark.slow)


MAKE_TINY = """
import sys
from pathlib import Path
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

folder = Path(sys.argv[1])
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
words = {token: number for number, token in enumerate([*alphabet, "<|end|>"])}
core = Tokenizer(models.BPE(words, []))
core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
core.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>",
    chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}",
)
torch.manual_seed(0)
config = Qwen2Config(
    vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
)
Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
tokenizer.save_pretrained(folder)
"""


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 with two layers, made in its own process (torch is slow to import)."""
    for module in ("torch", "transformers"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    folder = tmp_path_factory.mktemp("tiny") / "qwen2"
    subprocess.run([sys.executable, "-c", MAKE_TINY, str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def small_model() -> Model:
    """SmolLM2-135M-Instruct, from the user's cache or fetched into it."""
    return resolve("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def small_export(small_model: Model) -> Path:
    """Its OpenVINO int8 export, from the same cache."""
    return openvino_export(small_model)

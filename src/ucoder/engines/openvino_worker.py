"""The process that owns an OpenVINO pipeline; started by `ucoder.engines.openvino`.

One thread does everything: read what has arrived, step the batch, answer what is finished.

OpenVINO's scores are log-probabilities in the distribution that was drawn from: after temperature,
top-k and top-p. They are the raw ones only where none of the three changes anything; elsewhere the
raw ones would take a second pass, so NaN is answered.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

import numpy
import openvino
import openvino_genai as genai

from ucoder.engines.protocol import Completion, Request, cut_at_stop, prompt_tokens
from ucoder.engines.worker_process import completions_line, error_line, read_request
from ucoder.errors import RequestRefused
from ucoder.records import FinishReason
from ucoder.runtime import die_with_parent

_PREFIX_TOKENS = 64
"""Requests whose first tokens, this many, are equal share a stage's instructions."""

_LEAD_STEPS = 3
"""Steps after which a leader's prompt is computed: chunks of 512 tokens hold it in one or two."""


class OpenVINOWorker:
    """A pipeline and the requests in its batch; settings are the arguments of `OpenVINOEngine`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._is_chat = settings["is_chat"]
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = settings["cache_gib"]
        scheduler.max_num_seqs = settings["max_sequences"]
        scheduler.max_num_batched_tokens = max(512, 2 * settings["max_sequences"])
        scheduler.dynamic_split_fuse = True
        # The instructions of a stage are the same for every problem: computed once.
        scheduler.enable_prefix_caching = True
        properties = {"KV_CACHE_PRECISION": _cache_precision()}
        self._pipeline = genai.ContinuousBatchingPipeline(
            settings["path"], scheduler, "CPU", properties
        )
        self._tokenizer = self._pipeline.get_tokenizer()
        self._prompt_tokenizer = _load_tokenizer(settings["path"])
        self._running: dict[int, tuple[Request, Any]] = {}
        self._prefixes = _Prefixes()

    def serve(self) -> None:
        """Work until the other side closes its end."""
        _say(json.dumps({"ready": True}))
        inbox = _PolledInbox()
        while True:
            for message in inbox.take(wait=not self._running and not self._prefixes.held):
                self._accept(message)
            if inbox.closed:
                return
            for held in self._prefixes.ready():
                self._add(*held)
            if self._running:
                self._pipeline.step()
                self._answer_finished()

    def _accept(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            if running := self._running.pop(message["cancel"], None):
                running[1].cancel()
            self._prefixes.drop(message["cancel"])
            return
        number, request = message["number"], read_request(message["request"])
        try:
            tokens = prompt_tokens(self._prompt_tokenizer, request.prompt, self._is_chat)
        except (RequestRefused, RuntimeError, ValueError, TypeError) as error:
            _say(error_line(number, f"OpenVINO cannot take the prompt: {error}"))
            return
        ids = openvino.Tensor(numpy.array([tokens], dtype=numpy.int64))
        if not self._prefixes.hold(number, request, ids):
            self._add(number, request, ids)

    def _add(self, number: int, request: Request, ids: Any) -> None:
        try:
            handle = self._pipeline.add_request(number, ids, _config(request))
        except (RuntimeError, ValueError, TypeError) as error:
            _say(error_line(number, f"OpenVINO refused the request: {error}"))
        else:
            self._running[number] = (request, handle)

    def _answer_finished(self) -> None:
        for number, (request, handle) in list(self._running.items()):
            status = handle.get_status()
            if status == genai.GenerationStatus.RUNNING:
                continue
            del self._running[number]
            if status == genai.GenerationStatus.FINISHED:
                outputs = [self._completion(output, request) for output in handle.read_all()]
                _say(completions_line(number, outputs))
            else:
                error = (
                    f"OpenVINO ended a request as {status.name}: its prompt and {request.n} x "
                    f"{request.sampling.max_tokens} tokens do not fit the key-value cache; raise "
                    f"engine.cache_gib or lower max_tokens"
                )
                _say(error_line(number, error))

    def _completion(self, output: Any, request: Request) -> Completion:
        ids = list(output.generated_ids)
        stopped = output.finish_reason == genai.GenerationFinishReason.STOP
        text, stop = cut_at_stop(self._tokenizer.decode(ids), request.sampling.stop)
        return Completion(
            text,
            n_tokens=len(ids),
            finish_reason=FinishReason.STOP if stopped else FinishReason.LENGTH,
            sum_logprob=float(output.score) if request.sampling.is_raw else math.nan,
            stop=stop,
        )


def _load_tokenizer(folder: str) -> Any:
    """The export's tokenizer as transformers reads it, so that prompts are those of training.

    OpenVINO's own tokenizer and template engine are others, and may differ in rare cases. torch is
    presented as absent: tokenizers do not need it, and importing it takes seconds.
    """
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"  # that torch was not found
    absent: Any = None
    sys.modules["torch"] = absent
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


class _Prefixes:
    """Lets one request compute a new prefix before the others that share it join the batch.

    The prefix cache knows finished blocks only: fifty prompts that arrive together would each
    compute the same instructions.
    """

    def __init__(self) -> None:
        self.held: list[tuple[int, Request, Any]] = []
        self._steps_left: dict[bytes, int] = {}

    def hold(self, number: int, request: Request, ids: Any) -> bool:
        """Whether the request must wait for another one's prefix; if so, keep it until then."""
        prefix = ids.data[0, :_PREFIX_TOKENS].tobytes()
        if not self._steps_left.get(prefix):
            self._steps_left.setdefault(prefix, _LEAD_STEPS)
            return False
        self.held.append((number, request, ids))
        return True

    def ready(self) -> list[tuple[int, Request, Any]]:
        """The requests whose wait is over; called once a step."""
        leading = [prefix for prefix, left in self._steps_left.items() if left]
        for prefix in leading:
            self._steps_left[prefix] -= 1
        if not self.held or any(self._steps_left[prefix] for prefix in leading):
            return []
        released, self.held = self.held, []
        return released

    def drop(self, number: int) -> None:
        """Forget a cancelled request."""
        self.held = [held for held in self.held if held[0] != number]


class _PolledInbox:
    """Lines from standard input, read without waiting while there is work."""

    def __init__(self) -> None:
        self.closed = False
        self._rest = b""

    def take(self, wait: bool) -> Iterator[dict[str, Any]]:
        while select.select([0], [], [], None if wait else 0.0)[0]:
            chunk = os.read(0, 1 << 20)
            if not chunk:
                self.closed = True
                return
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)
                wait = False


def _cache_precision() -> str:
    """The 16-bit format that this processor computes with.

    The default 8-bit cache has to be unpacked for every token, which is slower on most processors
    and less exact. Those without bfloat16 instructions (AVX2 alone) refuse a bfloat16 cache.
    """
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f16"


def _config(request: Request) -> Any:
    sampling = request.sampling
    config = genai.GenerationConfig()
    config.max_new_tokens = sampling.max_tokens
    config.num_return_sequences = request.n
    config.rng_seed = request.seed
    config.apply_chat_template = False
    config.do_sample = True
    if sampling.is_greedy:
        config.top_k = 1  # OpenVINO's own greedy search takes a third longer
    else:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        if sampling.top_k:
            config.top_k = sampling.top_k
    if sampling.stop:
        config.stop_strings = set(sampling.stop)
        config.include_stop_str_in_output = True
    return config


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    die_with_parent()
    OpenVINOWorker(json.loads(sys.argv[1])).serve()

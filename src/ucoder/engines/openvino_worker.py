"""The process that owns an OpenVINO pipeline: requests in, completions out, a JSON object a line.

Started by `OpenVINOEngine`, which see. One thread does everything: read what has arrived, step
the batch, answer what is finished.

OpenVINO's scores are log-probabilities in the distribution that was drawn from: after temperature,
top-k and top-p. They are the raw ones only where none of the three changes anything; elsewhere the
raw ones are not to be had without a second pass, and NaN is answered.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

import openvino_genai as genai

from ucoder.engines.protocol import before_stop
from ucoder.runtime import die_with_parent

_PREFIX_TOKENS = 64
"""Requests that share so many first tokens share a stage's instructions."""

_LEAD_STEPS = 3
"""Steps after which a leader's prompt is computed: chunks of 512 tokens hold it in one or two."""


class OpenVINOWorker:
    """A pipeline and the requests in its batch.

    Args:
        settings: path, is_chat, max_sequences, cache_gib; see `OpenVINOEngine`.
    """

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
        self._running: dict[int, tuple[dict[str, Any], Any]] = {}
        self._prefixes = _Prefixes()

    def serve(self) -> None:
        """Work until the other side closes its end."""
        _say({"ready": True})
        inbox = _PolledInbox()
        while True:
            for message in inbox.take(wait=not self._running and not self._prefixes.held):
                self._accept(message)
            if inbox.closed:
                return
            for message, ids in self._prefixes.ready():
                self._add(message, ids)
            if self._running:
                self._pipeline.step()
                self._answer_finished()

    def _accept(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            if running := self._running.pop(message["cancel"], None):
                running[1].cancel()
            self._prefixes.drop(message["cancel"])
            return
        ids = self._encode(message)
        if not self._prefixes.hold(message, ids):
            self._add(message, ids)

    def _add(self, message: dict[str, Any], ids: Any) -> None:
        number = message["number"]
        try:
            handle = self._pipeline.add_request(number, ids, _config(message))
        except (RuntimeError, ValueError, TypeError) as error:
            _say({"number": number, "error": f"OpenVINO refused the request: {error}"})
        else:
            self._running[number] = (message, handle)

    def _encode(self, message: dict[str, Any]) -> Any:
        if self._is_chat:
            history = [{"role": "user", "content": message["user"]}]
            text = self._tokenizer.apply_chat_template(history, add_generation_prompt=True)
            text += message["prefill"]
        else:
            text = message["plain"]
        # The template has written the special tokens already; a base model's are added here.
        return self._tokenizer.encode(text, add_special_tokens=not self._is_chat).input_ids

    def _answer_finished(self) -> None:
        for number, (message, handle) in list(self._running.items()):
            status = handle.get_status()
            if status == genai.GenerationStatus.RUNNING:
                continue
            del self._running[number]
            if status == genai.GenerationStatus.FINISHED:
                outputs = [self._completion(output, message) for output in handle.read_all()]
                _say({"number": number, "completions": outputs})
            else:
                error = (
                    f"OpenVINO ended a request as {status.name}: its prompt and {message['n']} x "
                    f"{message['max_tokens']} tokens do not fit the key-value cache; raise "
                    f"engine.cache_gib or lower max_tokens"
                )
                _say({"number": number, "error": error})

    def _completion(self, output: Any, message: dict[str, Any]) -> dict[str, Any]:
        ids = list(output.generated_ids)
        stopped = output.finish_reason == genai.GenerationFinishReason.STOP
        text = self._tokenizer.decode(ids)
        cut = before_stop(text, message["stop"])
        return {
            "text": text if cut is None else cut,
            "n_tokens": len(ids),
            "finish": "stop" if stopped else "length",
            "sum_logprob": float(output.score) if _draws_raw(message) else math.nan,
        }


class _Prefixes:
    """Lets one request compute a new prefix before the others that share it join the batch.

    The prefix cache knows finished blocks only: fifty prompts that arrive together would each
    compute the same instructions.
    """

    def __init__(self) -> None:
        self.held: list[tuple[dict[str, Any], Any]] = []
        self._steps_left: dict[bytes, int] = {}

    def hold(self, message: dict[str, Any], ids: Any) -> bool:
        """Whether the request must wait for another one's prefix."""
        prefix = ids.data[0, :_PREFIX_TOKENS].tobytes()
        if prefix not in self._steps_left:
            self._steps_left[prefix] = _LEAD_STEPS
            return False
        if self._steps_left[prefix] == 0:
            return False
        self.held.append((message, ids))
        return True

    def ready(self) -> list[tuple[dict[str, Any], Any]]:
        """Those whose wait is over; called once a step."""
        leading = [prefix for prefix, left in self._steps_left.items() if left]
        for prefix in leading:
            self._steps_left[prefix] -= 1
        if not self.held or any(self._steps_left[prefix] for prefix in leading):
            return []
        released, self.held = self.held, []
        return released

    def drop(self, number: int) -> None:
        """Forget a cancelled request."""
        self.held = [held for held in self.held if held[0]["number"] != number]


class _PolledInbox:
    """Lines from standard input, read without ever waiting while there is work."""

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


def _config(message: dict[str, Any]) -> Any:
    config = genai.GenerationConfig()
    config.max_new_tokens = message["max_tokens"]
    config.num_return_sequences = message["n"]
    config.rng_seed = message["seed"]
    config.apply_chat_template = False
    config.do_sample = True
    if message["temperature"] > 0:
        config.temperature = message["temperature"]
        config.top_p = message["top_p"]
        if message["top_k"]:
            config.top_k = message["top_k"]
    else:
        config.top_k = 1  # greedy; OpenVINO's own greedy search takes a third longer
    if message["stop"]:
        config.stop_strings = set(message["stop"])
        config.include_stop_str_in_output = True
    return config


def _draws_raw(message: dict[str, Any]) -> bool:
    return message["temperature"] == 1 and message["top_p"] == 1 and not message["top_k"]


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve the model that the first argument describes."""
    die_with_parent()
    OpenVINOWorker(json.loads(sys.argv[1])).serve()


if __name__ == "__main__":
    main()

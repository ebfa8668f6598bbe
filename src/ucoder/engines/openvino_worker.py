"""The process that owns an OpenVINO pipeline: requests in, completions out, a JSON object a line.

Started by `OpenVINOEngine`, which see. One thread does everything: read what has arrived, step
the batch, answer what is finished. Log-probabilities are the sampler's raw ones: temperature 1,
before top-p.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import Any

import openvino_genai as genai

_PR_SET_PDEATHSIG = 1


class Worker:
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
        self._pipeline = genai.ContinuousBatchingPipeline(settings["path"], scheduler, "CPU")
        self._tokenizer = self._pipeline.get_tokenizer()
        self._running: dict[int, tuple[dict[str, Any], Any]] = {}

    def serve(self) -> None:
        """Work until the other side closes its end."""
        _say({"ready": True})
        inbox = _Inbox()
        while True:
            for message in inbox.take(wait=not self._running):
                self._accept(message)
            if inbox.closed:
                return
            if self._running:
                self._pipeline.step()
                self._answer_finished()

    def _accept(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            if running := self._running.pop(message["cancel"], None):
                running[1].cancel()
            return
        number = message["number"]
        try:
            handle = self._pipeline.add_request(number, self._encode(message), _config(message))
        except (RuntimeError, ValueError, TypeError) as error:
            _say({"number": number, "error": f"OpenVINO refused the request: {error}"})
        else:
            self._running[number] = (message, handle)

    def _encode(self, message: dict[str, Any]) -> Any:
        if self._is_chat:
            history = [{"role": "user", "content": message["user"]}]
            text = self._tokenizer.apply_chat_template(history, add_generation_prompt=True)
            text += message["begun"]
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
        return {
            "text": _cut(self._tokenizer.decode(ids), message["stop"]),
            "n_tokens": len(ids),
            "finish": "stop" if stopped else "length",
            "sum_logprob": float(output.score),
        }


class _Inbox:
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


def _cut(text: str, stop: list[str]) -> str:
    """The text before its first stop string."""
    ends = [at for at in (text.find(string) for string in stop) if at >= 0]
    return text[: min(ends)] if ends else text


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve the model that the first argument describes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody else would end us
    Worker(json.loads(sys.argv[1])).serve()


if __name__ == "__main__":
    main()

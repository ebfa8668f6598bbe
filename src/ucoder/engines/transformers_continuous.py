"""transformers with continuous batching: for a GPU machine that has only PyTorch.

Requests of many problems share every forward pass; their rows join the batch and leave it at any
step, so a finished row makes room at once. The loop runs in a thread of its own: PyTorch works
outside Python's global lock, so the event loop is not blocked.

Why not transformers' own `ContinuousBatchingManager` (read and tried in 5.5.4 on a CPU, read in
5.23.0): it has no stop strings and no seeds, its log-probabilities are those after temperature and
top-p, and in 5.5 all requests share one temperature. Adding these means changing its loop, which
was rebuilt between the two versions, so such an engine would work with one of them. Without
flash-attn, each of its queries also attends to the keys of every other request. The price of using
what `generate` is built on: the cache is padded to the longest row, and completions of one prompt
do not share it.

Seeds give each row its own random numbers, but the other rows of the batch change the rounding of
its matrix products, and with it, now and then, a token. So `honours_seeds` is False.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from queue import Empty, SimpleQueue
from random import Random
from typing import Any, Self

from ucoder.engines.protocol import Completion, Request, cut_at_stop, prompt_tokens
from ucoder.engines.transformers import (
    TransformersCheckpoint,
    decode,
    end_tokens,
    give_back_memory,
)
from ucoder.engines.transformers_batch import Draw, GenerationBatch, draw
from ucoder.errors import EngineError, RequestRefused
from ucoder.records import FinishReason
from ucoder.runtime import DEATH_S
from ucoder.seeds import derive_seed

_log = logging.getLogger(__name__)


class ContinuousTransformersEngine(TransformersCheckpoint):
    """Samples from a transformers checkpoint, prompts of many problems in one batch.

    `max_sequences` is halved, with a warning, whenever the GPU runs out of memory; requests in
    flight are then sampled again from their start.
    """

    _loop: _Loop | None = None

    async def __aenter__(self) -> Self:
        model, tokenizer = await self._load()
        # How transformers marks Mamba, Jamba, Qwen3-Next: their cache is more than keys and values.
        if getattr(model, "_is_stateful", False):
            raise EngineError(
                f"{self._path} is a {type(model).__name__}: its recurrent state cannot be joined "
                "and left row by row; set engine.batching=static"
            )
        self._loop = _Loop(model, tokenizer, self._is_chat, self._max_sequences)
        self._loop.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()
            await asyncio.to_thread(loop.join, DEATH_S)
        del loop
        give_back_memory()

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        if self._loop is None:
            raise EngineError("the transformers engine was not entered")
        return await asyncio.wrap_future(self._loop.submit(request))


@dataclass(eq=False, slots=True)
class _Job:
    """A request in flight; greedy ones need one row, whatever their n."""

    request: Request
    prompt: list[int]
    max_tokens: int
    answer: Future[list[Completion]]
    rows: list[_Row] = field(default_factory=list)

    def begin(self) -> list[_Row]:
        """Its rows from the start; what was drawn before is dropped."""
        request = self.request
        n = 1 if request.sampling.is_greedy else request.n
        seeds = (derive_seed(request.seed, "row", index) for index in range(n))
        self.rows = [_Row(self, Draw(request.sampling, Random(seed))) for seed in seeds]
        return self.rows


@dataclass(eq=False, slots=True)
class _Row:
    """One completion in flight."""

    job: _Job
    draw: Draw
    tokens: list[int] = field(default_factory=list)
    sum_logprob: float = 0.0
    completion: Completion | None = None


class _Loop(threading.Thread):
    """The thread that samples until it is stopped; nothing else touches the model."""

    def __init__(self, model: Any, tokenizer: Any, is_chat: bool, max_sequences: int) -> None:
        super().__init__(name="ucoder-transformers", daemon=True)
        self._model = model
        self._tokenizer = tokenizer
        self._is_chat = is_chat
        self._max_sequences = max_sequences
        self._ends = end_tokens(model)
        self._batch = GenerationBatch(model)
        self._running: list[_Row] = []
        self._waiting: deque[_Row] = deque()
        self._inbox: SimpleQueue[tuple[Request, Future[list[Completion]]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._ended = ""

    def submit(self, request: Request) -> Future[list[Completion]]:
        """Queue a request; cancelling its future drops it at the next step."""
        answer: Future[list[Completion]] = Future()
        with self._lock:
            if self._ended:
                answer.set_exception(EngineError(self._ended))
            else:
                self._inbox.put((request, answer))
        return answer

    def stop(self) -> None:
        """End after the current step; unfinished requests fail."""
        self._inbox.put(None)

    def run(self) -> None:
        """The thread; see `threading.Thread.run`."""
        import torch

        reason = "the transformers engine was left"
        try:
            with torch.inference_mode():
                while self._receive():
                    self._advance(torch.OutOfMemoryError)
        except Exception as error:
            _log.exception("the transformers engine broke")
            reason = f"the transformers engine broke: {error}"
        with self._lock:
            self._ended = reason
        while not self._inbox.empty():
            if (item := self._inbox.get()) is not None:
                _settle(item[1], EngineError(reason))
        for job in {row.job for row in (*self._running, *self._waiting)}:
            _settle(job.answer, EngineError(reason))
        del self._model, self._batch

    def _receive(self) -> bool:
        """Take new requests, waiting only if there is nothing to sample; False: stop."""
        while True:
            try:
                item = self._inbox.get(block=not (self._running or self._waiting))
            except Empty:
                return True
            if item is None:
                return False
            request, answer = item
            try:
                self._waiting += self._job(request, answer).begin()
            except Exception as error:  # a template or tokenizer that cannot take this prompt
                _settle(answer, RequestRefused(f"transformers cannot take the prompt: {error}"))

    def _job(self, request: Request, answer: Future[list[Completion]]) -> _Job:
        prompt = prompt_tokens(self._tokenizer, request.prompt, self._is_chat)
        config = self._model.config.get_text_config()
        context = getattr(config, "max_position_embeddings", None) or math.inf
        room = min(request.sampling.max_tokens, context - len(prompt))
        if not prompt or room < 1:
            raise RequestRefused(
                f"it has {len(prompt)} tokens, and the model takes 1 to {context - 1}; shorten it"
            )
        return _Job(request, prompt, int(room), answer)

    def _advance(self, out_of_memory: type[Exception]) -> None:
        """One step, and recovery from its errors."""
        try:
            self._drop_cancelled()
            self._admit()
            if rows := self._running:
                self._draw(rows, self._batch.step([row.tokens[-1] for row in rows]))
            return
        except out_of_memory as error:
            failure, is_memory = str(error), True
        except RuntimeError as error:
            failure, is_memory = str(error), False
        # Here, not above: the error's traceback holds on to the step's tensors.
        jobs = dict.fromkeys(row.job for row in self._running)
        self._running = []
        self._batch = GenerationBatch(self._model)
        give_back_memory()
        if not is_memory or self._max_sequences == 1:
            self._fail(jobs, f"transformers failed on a request: {failure}")
            return
        self._max_sequences //= 2
        _log.warning(
            "out of memory while sampling: going on with at most %d sequences a batch; "
            "set engine.max_sequences so to start with it (%s)",
            self._max_sequences,
            failure.splitlines()[0] if failure else "no message",
        )
        self._waiting = deque(row for row in self._waiting if row.job not in jobs)
        self._waiting.extendleft(reversed([row for job in jobs for row in job.begin()]))

    def _drop_cancelled(self) -> None:
        self._waiting = deque(row for row in self._waiting if not row.job.answer.done())
        self._keep([row for row in self._running if not row.job.answer.done()])

    def _admit(self) -> None:
        """Fill the batch up, once enough of it is free.

        Reading prompts stops all other rows for a step, so it is done for an eighth of the batch
        at a time.
        """
        free = self._max_sequences - len(self._running)
        if not self._waiting or free < min(len(self._waiting), max(1, self._max_sequences // 8)):
            return
        rows = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        self._running += rows  # before anything can fail, so that recovery knows them
        together = [list(group) for _, group in groupby(rows, key=lambda row: id(row.job))]
        logits = self._batch.join([group[0].job.prompt for group in together],
                                  [len(group) for group in together])  # fmt: skip
        self._draw(rows, logits)

    def _draw(self, rows: list[_Row], logits: Any) -> None:
        for row, token, logprob in zip(rows, *draw(logits, [r.draw for r in rows]), strict=True):
            row.tokens.append(token)
            row.sum_logprob += logprob
            if math.isnan(logprob):
                self._fail([row.job], "the model's logits are not numbers; try engine.precision="
                                      "bfloat16 or float32")  # fmt: skip
            row.completion = self._completed(row)
            if row.completion is not None and all(r.completion for r in row.job.rows):
                done = [r.completion for r in row.job.rows if r.completion is not None]
                _settle(row.job.answer, done * row.job.request.n if len(done) == 1 else done)
        self._keep([row for row in self._running if row.completion is None])

    def _keep(self, rows: list[_Row]) -> None:
        if len(rows) < len(self._running):
            places = {id(row): place for place, row in enumerate(self._running)}
            self._batch.keep([places[id(row)] for row in rows])
            self._running = rows

    def _completed(self, row: _Row) -> Completion | None:
        """The row's completion; None while it is unfinished."""
        stop = row.draw.sampling.stop
        ended = row.tokens[-1] in self._ends
        full = len(row.tokens) == row.job.max_tokens
        if not (ended or full or self._stops(row.tokens, stop)):
            return None
        written = decode(self._tokenizer, row.tokens[:-1] if ended else row.tokens)
        text, stopped = cut_at_stop(written, stop)
        if not (ended or full or stopped):
            return None
        reason = FinishReason.STOP if ended or stopped else FinishReason.LENGTH
        return Completion(text, len(row.tokens), reason, row.sum_logprob, stop=stopped)

    def _stops(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        """Whether the last few tokens hold a stop string, so that not all are decoded each step."""
        if not stop:
            return False
        # A visible token has at least one byte; the 8 more leave room for invisible ones.
        window = max(len(string.encode()) for string in stop) + 8
        return bool(cut_at_stop(decode(self._tokenizer, tokens[-window:]), stop)[1])

    def _fail(self, jobs: Iterable[_Job], reason: str) -> None:
        for job in jobs:
            _settle(job.answer, RequestRefused(reason))


def _settle(answer: Future[list[Completion]], result: list[Completion] | EngineError) -> None:
    """Hand out a result, unless one was handed out already or the request was cancelled."""
    if answer.done() or not answer.set_running_or_notify_cancel():
        return
    if isinstance(result, EngineError):
        answer.set_exception(result)
    else:
        answer.set_result(result)

"""transformers `generate`: the reference engine, on a CPU or a GPU.

One request at a time, one batch per request: finished rows cost time until the last one ends. It is
the reference because `generate` does all of the sampling; `transformers_continuous` is the fast
engine and shares the loading and the arguments.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from ucoder.engines.protocol import Completion, EngineInfo, Request, cut_at_stop, prompt_tokens
from ucoder.errors import EngineError, RequestRefused
from ucoder.records import FinishReason
from ucoder.runtime import require


class TransformersCheckpoint:
    """Arguments and loading, which both transformers engines share.

    Args:
        path: The checkpoint's folder.
        is_chat: Whether prompts go through the chat template; base models get plain prompts.
        device: auto (a GPU where there is one), cpu, cuda, cuda:0 ...
        precision: bfloat16, float16 or float32.
        max_sequences: Most rows of one forward pass.
    """

    honours_seeds = False
    """See `EngineInfo`."""

    def __init__(
        self,
        path: Path,
        *,
        is_chat: bool,
        device: str = "auto",
        precision: str = "bfloat16",
        max_sequences: int = 128,
    ) -> None:
        self._path = path
        self._is_chat = is_chat
        self._device = device
        self._precision = precision
        self._max_sequences = max_sequences

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        installed = version("transformers")
        return EngineInfo(
            "transformers", installed, self._precision, self.honours_seeds, self._is_chat
        )

    async def _load(self) -> tuple[Any, Any]:
        return await asyncio.to_thread(load, self._path, self._device, self._precision)


class TransformersEngine(TransformersCheckpoint):
    """Samples from a transformers checkpoint; larger requests than `max_sequences` are split."""

    honours_seeds = True
    _model: Any = None
    _tokenizer: Any = None

    async def __aenter__(self) -> Self:
        self._lock = asyncio.Lock()
        self._model, self._tokenizer = await self._load()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._model = self._tokenizer = None
        give_back_memory()

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        if self._model is None:
            raise EngineError("the transformers engine was not entered")
        async with self._lock:
            if self._model is None:
                raise EngineError("the transformers engine was left")
            stopped = threading.Event()
            work = asyncio.ensure_future(asyncio.to_thread(self._generate, request, stopped))
            try:
                return await asyncio.shield(work)
            except (RuntimeError, ValueError, TypeError) as error:
                raise RequestRefused(f"transformers failed on a request: {error}") from error
            finally:
                stopped.set()  # a cancelled request ends with its next token, before another begins
                await asyncio.wait([work])

    def _generate(self, request: Request, stopped: threading.Event) -> list[Completion]:
        import torch

        tokens = prompt_tokens(self._tokenizer, request.prompt, self._is_chat)
        prompt = torch.tensor([tokens], device=self._model.device)
        completions: list[Completion] = []
        cuda = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), torch.inference_mode():
            torch.manual_seed(request.seed)
            while len(completions) < request.n and not stopped.is_set():
                rows = min(self._max_sequences, request.n - len(completions))
                completions += self._batch(prompt.expand(rows, -1), request, stopped)
        return completions

    def _batch(self, prompts: Any, request: Request, stopped: threading.Event) -> list[Completion]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        def is_stopped(input_ids: Any, scores: Any, **_: Any) -> Any:
            return torch.full((len(prompts),), stopped.is_set(), device=input_ids.device)

        sampling = request.sampling
        ends = end_tokens(self._model)
        warm = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k")}
        # A config of our own: a checkpoint's may bring top-k or a repetition penalty.
        config = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=not sampling.is_greedy,
            eos_token_id=sorted(ends) or None,
            pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
            stop_strings=list(sampling.stop) or None,
            **({} if sampling.is_greedy else warm),
        )
        recorder = _Recorder()
        output = self._model.generate(
            input_ids=prompts,
            attention_mask=torch.ones_like(prompts),
            generation_config=config,
            logits_processor=LogitsProcessorList([recorder]),
            stopping_criteria=StoppingCriteriaList([is_stopped]),
            tokenizer=self._tokenizer,
        )
        logprobs = recorder.finish(output)  # (rows, generated tokens)
        return [
            self._complete(ids.tolist(), values.tolist(), ends, sampling.stop)
            for ids, values in zip(output[:, prompts.shape[1] :], logprobs, strict=True)
        ]

    def _complete(
        self, ids: list[int], logprobs: list[float], ends: set[int], stop: tuple[str, ...]
    ) -> Completion:
        """One row of a batch, cut where it ended: the rest of the row is padding."""
        pad = self._tokenizer.pad_token_id or self._tokenizer.eos_token_id
        at = next((i for i, token in enumerate(ids) if token in ends or token == pad), len(ids))
        text, stopped = cut_at_stop(decode(self._tokenizer, ids[:at]), stop)
        ended = at < len(ids) and not stopped  # by an end token, which was sampled and counts
        n_tokens = at + ended
        reason = FinishReason.STOP if stopped or ended else FinishReason.LENGTH
        return Completion(text, n_tokens, reason, float(sum(logprobs[:n_tokens])), stop=stopped)


class _Recorder:
    """A logits processor that keeps the raw log-probability of every token sampled.

    It runs before temperature and top-p, which `generate` appends to the caller's processors. Only
    one step's distribution is kept: the token drawn from it is known at the next step.
    """

    def __init__(self) -> None:
        self._last: Any = None
        self._chosen: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        if self._last is not None:
            self._chosen.append(self._last.gather(1, input_ids[:, -1:]))
        self._last = torch.log_softmax(scores.float(), dim=-1)
        return scores

    def finish(self, output: Any) -> Any:
        """(rows, steps): the log-probabilities of all tokens of the batch."""
        import torch

        return torch.cat([*self._chosen, self._last.gather(1, output[:, -1:])], dim=1)


def load(path: Path, device: str, precision: str) -> tuple[Any, Any]:
    """Load a checkpoint; see `TransformersCheckpoint` for the arguments.

    Returns:
        The model, on the device and in evaluation mode, and its tokenizer.

    Raises:
        MissingDependency: PyTorch or transformers is not installed.
        EngineError: transformers cannot load the folder, or the model does not fit the device.
    """
    require("the transformers engine", "torch", "transformers")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, precision))
        return model.to(device).eval(), tokenizer
    # torch reports a build without CUDA as an AssertionError.
    except (OSError, ValueError, RuntimeError, ImportError, AssertionError) as error:
        raise EngineError(f"transformers could not load {path}: {error}") from error


def end_tokens(model: Any) -> set[int]:
    """The tokens that end a completion; empty for a model that names none."""
    end = model.generation_config.eos_token_id
    return {token for token in (end if isinstance(end, list) else [end]) if token is not None}


def decode(tokenizer: Any, tokens: list[int]) -> str:
    """The text of sampled tokens, special ones left out and spaces as they are."""
    text: str = tokenizer.decode(
        tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text


def give_back_memory() -> None:
    """Return freed GPU memory to the system, once nothing refers to the model any more.

    PyTorch keeps what it freed for itself, so another process, such as a trainer, could not use it.
    """
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

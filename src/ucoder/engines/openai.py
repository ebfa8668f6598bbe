"""Any server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, LM Studio, TGI ...

What the server can do is found out when the engine is entered (`openai_probing`). What it lacks is
worked around or, where that is impossible, refused with the reason. Only a failed request is sent
again (`openai_client`); the completions of other requests are kept.

Log-probabilities are given where the server returns raw ones; see `Capabilities`. With stop
strings, some servers (llama.cpp) leave the tokens of the stop out of their list: then neither
`n_tokens` nor `sum_logprob` counts them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from ucoder.config import ServerConfig
from ucoder.engines.openai_probing import Prober
from ucoder.engines.openai_requests import (
    Capabilities,
    PrefillMode,
    ServedModel,
    ServerAnswer,
    ServerChoice,
    ServerToken,
    read_models,
)
from ucoder.engines.protocol import (
    Completion,
    EngineInfo,
    Request,
    SamplingParams,
    cut_at_stop,
    lost_completions,
)
from ucoder.errors import EngineError, RequestRefused
from ucoder.records import FinishReason
from ucoder.runtime import cancel, require
from ucoder.seeds import derive_seed

if TYPE_CHECKING:
    from ucoder.engines.openai_client import ServerClient

_log = logging.getLogger(__name__)

_VERSION_PAGES = (
    ("/version", "version", "vllm"),
    ("/get_server_info", "version", "sglang"),
    ("/api/version", "version", "ollama"),
    ("/info", "version", "tgi"),
    ("/props", "build_info", "llama.cpp"),
)
"""Where servers say which version they are: path, field, name."""


class OpenAIEngine:
    """Samples from a model behind a server.

    Args:
        server: Its address, the limits on requests, and what it calls the model.
        is_chat: Whether prompts go through a chat template.
        checkpoint: A folder with the model's tokenizer, so that prompts are rendered here: exact
            control of template and prefill. None: the server renders them.

    Raises:
        EngineError: The URL is invalid, or the key cannot be sent.
    """

    def __init__(
        self, server: ServerConfig, *, is_chat: bool, checkpoint: Path | None = None
    ) -> None:
        self._server = server
        self._url = _valid_url(server.url)
        _read_key(server.api_key_variable)
        self._checkpoint = checkpoint
        self._is_chat = is_chat
        self._exits = AsyncExitStack()
        self._version = "unknown"
        self._served = ""
        self._precision = "unknown"
        self._ready: tuple[ServedModel, Capabilities] | None = None

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        # A server batches requests that arrive together, also those of others, which changes the
        # rounding: it cannot promise to repeat an answer.
        return EngineInfo(
            "openai", self._version, self._precision, honours_seeds=False, is_chat=self._is_chat,
            served=self._served,
        )  # fmt: skip

    @property
    def capabilities(self) -> Capabilities:
        """What the server was found to do.

        Raises:
            EngineError: The engine is not entered.
        """
        return self._entered()[1]

    async def __aenter__(self) -> Self:
        require("the engine for servers", "openai", extra="openai")
        from ucoder.engines.openai_client import ServerClient

        client = ServerClient(self._url, _read_key(self._server.api_key_variable), self._server)
        async with AsyncExitStack() as exits:
            exits.push_async_callback(client.close)
            tokenizer = await asyncio.to_thread(self._load_tokenizer)
            client.http.is_probing = True
            served = ServedModel(client, await self._identify(client), tokenizer, self._is_chat)
            found = await Prober(served).find_out()
            client.http.is_probing = False
            self._exits = exits.pop_all()
        self._ready = (served, found)
        _log.info("%s (%s): %s", client.address, self._version, found)
        for loss in _losses(found):
            _log.warning("%s %s", client.address, loss)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._ready = None
        await self._exits.aclose()

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        served, found = self._entered()
        self.check(request.sampling)
        greedy = request.sampling.is_greedy
        # All greedy completions are the same, and some servers (vLLM) refuse to draw several.
        n = 1 if greedy else request.n
        parts = [min(found.max_n, n - start) for start in range(0, n, found.max_n)]
        tasks = [
            asyncio.create_task(_draw(request, served, found, n, number))
            for number, n in enumerate(parts)
        ]
        try:
            drawn = await asyncio.gather(*tasks)
        finally:
            await cancel(tasks)
        refusals = [part for part in drawn if isinstance(part, RequestRefused)]
        if len(refusals) == len(drawn):
            raise refusals[0]
        completions: list[Completion] = []
        for part, n in zip(drawn, parts, strict=True):
            if isinstance(part, RequestRefused):
                part = lost_completions(n, FinishReason.REQUEST_REFUSED, str(part))
            completions += part
        return completions * (request.n if greedy else 1)

    def check(self, sampling: SamplingParams) -> None:
        """Refuse sampling settings that the server does not support.

        Raises:
            EngineError: It does not; or the engine is not entered.
        """
        served, found = self._entered()
        if sampling.is_greedy and found.greedy is None:
            raise EngineError(
                f"{served.client.address} cannot sample greedily; set a temperature above 0"
            )
        if sampling.top_k and not found.top_k:
            raise EngineError(
                f"{served.client.address} ignores top_k={sampling.top_k}; set it to 0"
            )

    def _entered(self) -> tuple[ServedModel, Capabilities]:
        if self._ready is None:
            raise EngineError("the engine for OpenAI's protocol was not entered")
        return self._ready

    def _load_tokenizer(self) -> Any:
        if self._checkpoint is None:
            return None
        require("rendering prompts for a server", "transformers")
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self._checkpoint)
        except (OSError, ValueError, ImportError) as error:
            raise EngineError(f"{self._checkpoint} holds no tokenizer: {error}") from error

    async def _identify(self, client: ServerClient) -> str:
        """The model's name; also sets what `info` says, as far as the server tells."""
        try:
            models = await client.ask("/models", None, read_models)
        except RequestRefused as error:
            if self._server.model is None:
                raise EngineError(
                    f"{error}. Is engine.server.url complete (http://localhost:8000/v1)? A server "
                    f"that does not list its models needs engine.server.model."
                ) from error
            models = []
        names = [entry["id"] for entry in models]
        if self._server.model is None and len(names) != 1:
            raise EngineError(
                f"{client.address} serves {len(names)} models ({', '.join(names)[:500]}); "
                f"name one as engine.server.model"
            )
        name = names[0] if self._server.model is None else self._server.model
        self._served = name
        entry = next((entry for entry in models if entry["id"] == name), {})
        meta = entry.get("meta")  # of llama.cpp
        self._version = _short(entry.get("owned_by"))
        self._precision = _short(meta.get("ftype") if isinstance(meta, dict) else None)
        for path, field, server in _VERSION_PAGES:
            page = await client.look(path)
            if isinstance(page, dict) and isinstance(page.get(field), str):
                self._version = f"{server} {page[field][:80]}"
                break
        return name


def _short(word: Any) -> str:
    return word[:80] if isinstance(word, str) else "unknown"


def _valid_url(url: str | None) -> httpx.URL:
    try:
        address = httpx.URL(url or "")
    except (httpx.InvalidURL, TypeError) as error:
        raise EngineError(f"engine.server.url is not a valid URL: {error}") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise EngineError(
            f"engine.server.url={str(url)[:200]!r} is not a valid URL of a server; "
            f"give one such as http://localhost:8000/v1"
        )
    return address


def _read_key(variable: str) -> str | None:
    key = os.environ.get(variable, "").strip() or None
    if key is not None and not (key.isascii() and key.isprintable()):
        raise EngineError(
            f"the key in ${variable} holds characters that no key has, such as a line break; "
            f"set it again"
        )
    return key


async def _draw(
    request: Request, served: ServedModel, found: Capabilities, n: int, number: int
) -> list[Completion] | RequestRefused:
    """One part of a request's completions; a refusal is a result, so that other parts go on."""
    # Servers give seed, seed + 1 ... to the completions of a request (vLLM, llama.cpp): those
    # of neighbouring requests and parts must be far from each other.
    seed = derive_seed(request.seed, "server", number)
    try:
        answer = await served.ask(request.prompt, request.sampling, found, n=n, seed=seed)
    except RequestRefused as refusal:
        return refusal
    return [_completion(choice, answer, request, found) for choice in answer.choices]


def _completion(
    choice: ServerChoice, answer: ServerAnswer, request: Request, found: Capabilities
) -> Completion:
    text, reason, tokens, detail = (
        choice.text, choice.finish_reason, choice.tokens, choice.detail,
    )  # fmt: skip
    prefill = request.prompt.prefill if found.repeats_prefill else ""
    if not text.startswith(prefill) and not reason.lost:
        reason = FinishReason.NO_COMPLETION
        detail = f"it should start with {prefill!r}, and is {text[:200]!r}"
    text, stopped = cut_at_stop(text.removeprefix(prefill), request.sampling.stop)
    if stopped:
        reason = reason if reason.lost else FinishReason.STOP
        tokens = _up_to(tokens, text, request.sampling.stop)
    if reason is FinishReason.NO_COMPLETION:
        return Completion(text, len(tokens), reason, math.nan, detail)
    if tokens:
        n_tokens, sum_logprob = len(tokens), sum(token.logprob for token in tokens)
    else:  # a completion has at least one token, if only the one that ends it
        counted = answer.completion_tokens if len(answer.choices) == 1 else None
        n_tokens, sum_logprob = max(1, counted or 0), math.nan
    if not found.has_raw_logprobs(request.sampling):
        sum_logprob = math.nan
    return Completion(text, n_tokens, reason, sum_logprob, detail, stopped or None)


def _up_to(
    tokens: tuple[ServerToken, ...], text: str, stop: tuple[str, ...]
) -> tuple[ServerToken, ...]:
    """The tokens of a text and of the stop string after it, for servers that do not stop there."""
    written = ""
    for number, token in enumerate(tokens, 1):
        written += token.text
        if len(written) > len(text) and cut_at_stop(written, stop)[1]:
            return tokens[:number]
    return tokens


def _losses(found: Capabilities) -> list[str]:
    """What a user should know because it changes what is drawn."""
    is_rendered = found.prefill_mode is PrefillMode.RENDERED
    losses = {
        "accepts no settings beyond the protocol: a top-k or min-p of its own narrows the "
        "distribution, if it has one": not found.extras,
        "renders prompts by itself: its template may differ from the model's own": not is_rendered,
        "accepts no seeds: the same request gives other completions": not found.seeds,
        "returns no log-probabilities: they are NaN": not found.logprobs,
    }
    return [loss for loss, is_there in losses.items() if is_there]

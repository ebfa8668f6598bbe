"""A server behind the `openai` package, which sends, waits and tries again.

Added here is what the package lacks: a limit on requests in flight and per minute, a `Retry-After`
that holds back every request and not only the one that it answered, a bound on the size of an
answer, and another try after a malformed answer. Servers are untrusted: the key is blanked out of
every message, even where the server repeats it.

Import this module only where the package is known to be installed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar

import httpx
import openai
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from ucoder.config import ServerConfig
from ucoder.engines.openai_requests import Malformed
from ucoder.errors import EngineError, RequestRefused

T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 256 * 2**20
"""Longest answer that is read: 64 completions of 8,192 tokens with log-probabilities."""
_LONGEST_PAUSE_S = 600.0
"""Longest pause that a server gets by asking for seconds in `Retry-After`."""
_BUSY = frozenset({408, 409, 429, 503})
"""Statuses that say nothing about the request: it is sent again."""


class _PacedHTTP(openai.DefaultAsyncHttpxClient):
    """The package's HTTP client, with slots, a rate and bounded answers."""

    def __init__(self, n_slots: int, per_minute: int | None, sends_key: bool, trust_env: bool):
        super().__init__(follow_redirects=False, trust_env=trust_env)
        self.is_probing = False  # if so, two failures of a request are a refusal
        self._sends_key = sends_key
        self._slots = asyncio.Semaphore(n_slots)
        self._interval_s = 60.0 / per_minute if per_minute else 0.0
        self._next_at = 0.0  # when the next request may leave, in time.monotonic()

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request once, as soon as the limits allow, and read the whole answer."""
        # The package also sends the OpenAI account that its environment variables name.
        for name in ("OpenAI-Organization", "OpenAI-Project"):
            request.headers.pop(name, None)
        if not self._sends_key:
            request.headers.pop("Authorization", None)
        if is_retry := request.headers.get("x-stainless-retry-count", "0") != "0":
            _log.warning("asking for %s again", request.url.path)
        async with self._slots:
            at = max(self._next_at, time.monotonic())
            self._next_at = at + self._interval_s
            await asyncio.sleep(at - time.monotonic())
            response = await super().send(request, **{**options, "stream": True})
            try:
                content = await _read(response)
            finally:
                await response.aclose()
        headers = {"Location": response.headers.get("Location", "")}
        pause_s = _pause_s(response.headers.get("Retry-After"))
        self._next_at = max(self._next_at, time.monotonic() + pause_s)
        status = response.status_code
        if status == 501 or (status == 500 and self.is_probing and is_retry):
            headers["x-should-retry"] = "false"
        return type(response)(status, headers=headers, content=content, request=request)


class ServerClient:
    """Requests to one server.

    Args:
        url: Its address, up to and with the version; valid.
        key: Sent as bearer token; None: no key.
        config: The limits. Requests per minute are evenly spaced, and the timeout applies to each
            wait for more of an answer.
    """

    def __init__(self, url: httpx.URL, key: str | None, config: ServerConfig) -> None:
        # httpx's netloc leaves user and password out.
        self.address = f"{url.scheme}://{url.netloc.decode()}{url.path.rstrip('/')}"
        self._root = url.copy_with(path="/", query=None)
        self._key = key
        self._key_variable = config.api_key_variable
        self._max_retries = config.max_retries
        # A proxy named in the environment does not lead to this machine.
        self.http = _PacedHTTP(
            config.max_connections,
            config.requests_per_minute,
            sends_key=key is not None,
            trust_env=not _is_loopback(url.host),
        )
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",  # the package demands one; it is not sent
            base_url=str(url.copy_with(query=None)),
            default_query=dict(url.params),
            timeout=config.timeout_s,
            max_retries=config.max_retries,
            http_client=self.http,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def look(self, path: str) -> Any:
        """The JSON value of a page below the server's root; None: there is none. Tried once."""
        try:
            return self._json(await self._send(str(self._root.join(path)), None, max_retries=0))
        except EngineError:
            return None

    async def ask(self, path: str, body: dict[str, Any] | None, read: Callable[[Any], T]) -> T:
        """Send a request until it is answered, refused, or out of tries.

        Args:
            path: Below the address, such as `/completions`.
            body: Sent as JSON with POST; None: GET.
            read: Makes what the caller needs of the answer's JSON; raises `Malformed`.

        Raises:
            RequestRefused: The server will not serve this request, or was reached and gave no
                answer that can be read in all tries: the request may be the cause.
            EngineError: The server cannot be reached, is busy, or does not accept the key.
        """

        n_tries = 1 + min(self._max_retries, 1 if self.http.is_probing else self._max_retries)
        tries = AsyncRetrying(
            retry=retry_if_exception_type(Malformed),
            stop=stop_after_attempt(n_tries),
            wait=wait_random_exponential(multiplier=0.5, max=8.0),
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    return read(self._json(await self._send(path, body, self._max_retries)))
        except Malformed as error:
            why = self._clean(str(error))
        raise RequestRefused(why if self.http.is_probing else self._exhausted(path, n_tries, why))

    async def _send(self, path: str, body: dict[str, Any] | None, max_retries: int) -> str:
        """The text of a successful answer; the package tries again."""
        try:
            if body is not None:
                return await self._client.post(path, cast_to=str, body=body)
            return await self._client.get(path, cast_to=str, options={"max_retries": max_retries})
        except openai.APIStatusError as error:
            failure = self._refusal(path, max_retries + 1, error.response)
        except openai.APIConnectionError as error:  # includes timeouts
            cause = error.__cause__
            # By name: which httpx the package uses depends on its version.
            is_connected = type(cause).__name__ not in ("ConnectError", "ConnectTimeout")
            what = "ended the connection" if is_connected else "cannot be reached"
            why = f"{self.address} {what}: {cause or type(cause).__name__}"
            if isinstance(error, openai.APITimeoutError):
                why = "no answer within engine.server.timeout_s"
            failure = self._gave_up(path, max_retries + 1, self._clean(why), is_connected)
        except (openai.OpenAIError, UnicodeEncodeError) as error:  # too long, or lone surrogates
            failure = RequestRefused(self._clean(f"{self.address}: {error}"))
        raise failure  # not in the handlers: the package's error, attached there, holds the key

    def _refusal(self, path: str, n_tries: int, response: Any) -> EngineError:
        status = response.status_code
        said = f"{self.address} answered {status}: {self._shown(response.text)}"
        if status in (401, 403):
            sent = "was sent" if self._key else "is not set: no key was sent"
            # Some servers answer 403 to a prompt that they do not want to serve.
            error = EngineError if status == 401 or self.http.is_probing else RequestRefused
            return error(f"{said}. The key of ${self._key_variable} {sent}.")
        if 300 <= status < 400:
            to = self._clean(repr(response.headers["Location"])[:200])
            return EngineError(f"{said}. It redirects to {to}; give that as engine.server.url.")
        is_unable = status == 501 or (status == 500 and self.http.is_probing)
        if is_unable or (status < 500 and status not in _BUSY):
            return RequestRefused(said)
        return self._gave_up(path, n_tries, said, status not in _BUSY)

    def _gave_up(self, path: str, n_tries: int, why: str, is_own_fault: bool) -> EngineError:
        """The error after all tries; `is_own_fault`: the request may be what makes them fail."""
        error = RequestRefused if is_own_fault and not self.http.is_probing else EngineError
        return error(self._exhausted(path, n_tries, why))

    def _exhausted(self, path: str, n_tries: int, why: str) -> str:
        return f"no answer from {self.address}{path} after {n_tries} tries: {why}"

    def _json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Malformed(
                f"{self.address} answered {self._shown(text)}, which is invalid JSON ({error})"
            ) from None

    def _shown(self, text: str) -> str:
        """The start of an answer for a message: printable, on one line, without the key."""
        text = self._clean(text[:4000])
        return repr(text[:300]) if text else "nothing"

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


async def _read(response: Any) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise openai.OpenAIError(  # the one kind of error that the package passes on
                f"an answer has more than {MAX_ANSWER_BYTES >> 20} MiB; lower max_tokens, or ask "
                f"for fewer completions at a time"
            )
    return bytes(content)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _pause_s(retry_after: str | None) -> float:
    """The seconds that a `Retry-After` asks for; 0 for a date, which model servers do not send."""
    try:
        pause_s = float(retry_after or 0.0)
    except ValueError:
        return 0.0
    return min(max(pause_s, 0.0), _LONGEST_PAUSE_S) if math.isfinite(pause_s) else 0.0

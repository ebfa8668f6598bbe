"""HTTP to a server that may be busy, away or broken: one request in, one readable answer out.

A request is sent again, further and further apart and never in step with others, where that may
help: the connection failed, the server is overloaded or starting (408, 409, 429, 5xx), or the
answer was garbage. It is not where it cannot: what the server refused once it refuses again.
Whatever the server says is read as hostile: its answers are bounded in size, and the key never
stands in a message, even where the server repeats it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from itertools import count
from typing import Any, Self, TypeVar

import httpx

from ucoder.errors import EngineError

T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 256 * 2**20
"""Longest answer that is read: 64 completions of 8,192 tokens with log-probabilities."""
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
"""Between two tries; the wait doubles from the first to this one."""
_LONGEST_PAUSE_S = 600.0
"""Of what a server may ask for in `Retry-After`."""
_BUSY = frozenset({408, 409, 425, 429})


class Refused(EngineError):
    """The server understood the request and will not serve it (4xx, 501)."""


class Malformed(EngineError):
    """The server answered with something that is not what the protocol says."""


class _Passing(Exception):
    """A failure after which another try may succeed.

    Args:
        why: For the message.
        pause_s: That the server asks for.
        broken: It answered, but with a fault of its own or with garbage: another try helps less
            often than where it is busy or away.
    """

    def __init__(self, why: str, pause_s: float = 0.0, broken: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.pause_s = pause_s
        self.broken = broken


class Transport:
    """Requests to one server; an async context manager.

    Args:
        url: Its address, up to and with the version.
        key: Sent as bearer token; None: no key.
        key_variable: The environment variable that the key came from, for messages.
        max_connections: Requests on their way at a time.
        requests_per_minute: No more than so many are sent, evenly spaced; None: no limit.
        timeout_s: Longest wait for one answer.
        max_retries: Tries after the first.

    Raises:
        EngineError: The address is none, or the key cannot be sent.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        key_variable: str,
        max_connections: int,
        requests_per_minute: int | None,
        timeout_s: float,
        max_retries: int,
    ) -> None:
        self._base = _address(url)
        self._key = key
        self._key_variable = key_variable
        if key is not None and not (key.isascii() and key.isprintable()):
            raise EngineError(
                f"the key in ${key_variable} holds characters that no key has, such as a line "
                f"break; set it again"
            )
        self._max_connections = max_connections
        self._interval_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        self._next_at = 0.0  # when the next request may leave, in time.monotonic()
        self._exits = AsyncExitStack()

    @property
    def address(self) -> str:
        """Where the server is, without a password that the address may hold."""
        # httpx's netloc leaves user and password out.
        return f"{self._base.scheme}://{self._base.netloc.decode()}{self._base.path.rstrip('/')}"

    async def __aenter__(self) -> Self:
        self._slots = asyncio.Semaphore(self._max_connections)
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        client = httpx.AsyncClient(
            headers=headers,
            timeout=None,  # one deadline over the whole answer, below
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
            # A proxy of the environment does not lead to this machine.
            trust_env=not _is_loopback(self._base.host),
        )
        self._client = await self._exits.enter_async_context(client)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._exits.aclose()

    async def look(self, path: str) -> Any:
        """One try for a page beside the protocol's, from the server's root; None where none is.

        Args:
            path: From the server's root, such as `/props`.
        """
        try:
            return await self._once("GET", self._base.copy_with(path=path, query=None), None)
        except (_Passing, EngineError):
            return None

    async def get(self, path: str) -> Any:
        """The JSON value behind a path of the protocol; see `post`."""
        return await self._patiently("GET", path, None, lambda value: value, probing=True)

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        read: Callable[[Any], T],
        *,
        probing: bool = False,
    ) -> T:
        """Send a request until it is answered or there is no hope.

        Args:
            path: Below the address, such as `completions`.
            body: Sent as JSON.
            read: Makes of the answer's JSON what the caller needs; raises `Malformed`.
            probing: Whether the question is what the server can do: then an answer that is broken
                twice is a refusal, where otherwise it would be tried again.

        Raises:
            Refused: The server will not serve this request, now or later.
            EngineError: All tries failed, or the key is not accepted.
        """
        return await self._patiently("POST", path, body, read, probing=probing)

    async def _patiently(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        read: Callable[[Any], T],
        *,
        probing: bool,
    ) -> T:
        url = self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{path}")
        for tried in count():
            try:
                return read(await self._once(method, url, body))
            except Malformed as error:
                failure = _Passing(self._clean(str(error)), broken=True)
            except _Passing as error:
                failure = error
            if probing and failure.broken and tried:
                raise Refused(failure.why)
            if tried >= self._max_retries:
                raise EngineError(
                    f"no answer from {self.address}/{path} after {tried + 1} tries: {failure.why}"
                )
            wait_s = self._wait_s(tried, failure)
            _log.warning("%s; trying again in %.1f s", failure.why, wait_s)
            await asyncio.sleep(wait_s)
        raise AssertionError("count() ended")

    def _wait_s(self, tried: int, failure: _Passing) -> float:
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(tried, 20))
        # Requests that failed together must not come back together.
        backoff_s = longest * random.uniform(0.5, 1.0)
        # Asked to wait, everyone waits: the server counts requests, not those who send them.
        self._next_at = max(self._next_at, time.monotonic() + failure.pause_s)
        return max(backoff_s, failure.pause_s)

    async def _once(self, method: str, url: httpx.URL, body: dict[str, Any] | None) -> Any:
        async with self._slots:
            await self._turn()
            try:
                async with asyncio.timeout(self._timeout_s):
                    status, headers, content = await self._exchange(method, url, body)
            except TimeoutError as error:
                raise _Passing(
                    f"no answer within {self._timeout_s:g} s (engine.server.timeout_s)"
                ) from error
            except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
                raise EngineError(self._clean(f"cannot ask {self.address}: {error}")) from error
            except httpx.RequestError as error:
                why = str(error) or type(error).__name__
                raise _Passing(self._clean(f"{self.address} cannot be reached: {why}")) from error
        self._check(status, headers, content)
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Malformed(
                f"{self.address} answered {self._said(content)}, which is no JSON ({error})"
            ) from error

    async def _turn(self) -> None:
        """Wait for the moment at which the rate limit lets a request leave."""
        at = max(self._next_at, time.monotonic())
        self._next_at = at + self._interval_s
        await asyncio.sleep(at - time.monotonic())

    async def _exchange(
        self, method: str, url: httpx.URL, body: dict[str, Any] | None
    ) -> tuple[int, httpx.Headers, bytes]:
        content = bytearray()
        async with self._client.stream(method, url, json=body) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise EngineError(
                        f"{self.address} answered with more than {MAX_ANSWER_BYTES >> 20} MiB; "
                        f"lower max_tokens, or ask for fewer completions at a time"
                    )
        return response.status_code, response.headers, bytes(content)

    def _check(self, status: int, headers: httpx.Headers, content: bytes) -> None:
        if 200 <= status < 300:
            return
        said = f"{self.address} answered {status}: {self._said(content)}"
        if status in (401, 403):
            sent = "was sent" if self._key else "is not set: no key was sent"
            raise EngineError(f"{said}. The key of ${self._key_variable} {sent}.")
        if status in _BUSY or (status >= 500 and status != 501):
            pause_s = _pause_s(headers.get("Retry-After"))
            raise _Passing(said, pause_s, broken=status == 500)
        if 300 <= status < 400:
            to = self._clean(repr(headers.get("Location", ""))[:200])
            raise EngineError(f"{said}. It sends on to {to}; set engine.server.url to the end.")
        raise Refused(said)

    def _said(self, content: bytes) -> str:
        """The start of an answer, for a message: printable, in one line and without the key."""
        text = self._clean(content[:4000].decode("utf-8", "replace"))
        return repr(text[:300]) if text else "nothing"

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise EngineError(f"engine.server.url is no address: {error}") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise EngineError(
            f"engine.server.url={url[:200]!r} is no address of a server; "
            f"give one such as http://localhost:8000/v1"
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _pause_s(retry_after: str | None) -> float:
    """Seconds that a `Retry-After` asks for: a number or a date (RFC 9110, 10.2.3); else 0."""
    if retry_after is None:
        return 0.0
    try:
        pause_s = float(retry_after)
    except ValueError:
        try:
            until = parsedate_to_datetime(retry_after)
        except ValueError:
            return 0.0
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        pause_s = (until - datetime.now(UTC)).total_seconds()
    return min(max(pause_s, 0.0), _LONGEST_PAUSE_S) if math.isfinite(pause_s) else 0.0

"""A client of a SandboxFusion server, for FullStackBench's tasks in other languages than Python.

The server (github.com/bytedance/SandboxFusion) compiles and runs one program per request. What it
answers may come from the program that it ran, and the server may be anybody's, so an answer is
read up to a bound, parsed as plain JSON, and every field that is used is checked.

Limits: isolation is up to the server. Its default configuration (`isolation: none`) isolates
nothing: a program runs as the server's user, and can read and change what that user can. Nothing
in an answer tells how the server is configured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ucoder.errors import ConfigError

ATTEMPTS: Final = 4
"""How often one request is sent, the first time included, as long as a retry can help."""

_FIRST_PAUSE_S: Final = 0.25
_CONNECT_TIMEOUT_S: Final = 10.0
_QUEUE_TIMEOUT_S: Final = 60.0
"""How much longer than its program an answer may take, because a busy server queues requests."""

_MAX_ANSWER_BYTES: Final = 32 << 20
"""Longest answer that is read: the server keeps 1 MiB of each output, and JSON may need six bytes
for one."""

_MAX_REASON: Final = 300


class ServerFailed(Exception):
    """The server did not run the program; the message says what it answered instead."""


class _RetryableFailure(ServerFailed):
    """The connection failed, or the server is busy or broken at the moment."""


@dataclass(frozen=True, slots=True)
class ServerRun:
    """What became of a program that was compiled, where its language needs that, and run.

    Attributes:
        succeeded: Whether every step ended by itself with exit status 0.
        compiled: Whether the program compiled; True where its language has no compiler.
        timed_out: Whether the server ended a step because its time was over.
        errors: The end of what the step that failed wrote to stderr, or else to stdout, in ASCII.
    """

    succeeded: bool
    compiled: bool
    timed_out: bool
    errors: str


class SandboxFusionClient:
    """Runs programs on the server at one URL, over one connection per program."""

    def __init__(self, url: str) -> None:
        """Check the URL; nothing is sent yet.

        Args:
            url: The server's base, such as `http://localhost:8080`, without `/run_code`.

        Raises:
            ConfigError: It is not an HTTP URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"SandboxFusion's URL is {url!r}; it must be the base of a running server, such "
                "as http://localhost:8080"
            )
        # A URL may carry a password, and messages are kept.
        self._shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._endpoint = url.rstrip("/") + "/run_code"

    async def run(
        self,
        language: str,
        code: str,
        files: Mapping[str, str],
        compile_timeout_s: float,
        run_timeout_s: float,
    ) -> ServerRun:
        """Compile and run a program.

        Args:
            language: The server's name for it, such as `cpp`, `go_test` or `junit`.
            code: The program.
            files: Files beside it: base64 by name.
            compile_timeout_s: Seconds after which the server ends the compiler.
            run_timeout_s: Seconds after which it ends the program.

        Raises:
            ServerFailed: It did not run, after several attempts where a retry can help.
        """
        from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
        from tenacity.wait import wait_exponential

        body = json.dumps(
            {
                "code": code,
                "language": language,
                "compile_timeout": compile_timeout_s,
                "run_timeout": run_timeout_s,
                "files": dict(files),
            }
        ).encode()
        retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(_FIRST_PAUSE_S),
            retry=retry_if_exception_type(_RetryableFailure),
            reraise=True,
        )
        try:
            answer: bytes = await retrying(self._post, body, compile_timeout_s + run_timeout_s)
        except _RetryableFailure as last:
            raise ServerFailed(f"{self._shown} failed {ATTEMPTS} times; the last: {last}") from last
        return _read_run(answer)

    async def _post(self, body: bytes, timeout_s: float) -> bytes:
        """Send one request and return the answer's body.

        Raises:
            ServerFailed: The server refused, or its answer is too long.
        """
        import httpx

        timeout = httpx.Timeout(timeout_s + _QUEUE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
        # Compressed, a small answer could become a large one.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        data = bytearray()
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, headers=headers) as client,
                client.stream("POST", self._endpoint, content=body) as response,
            ):
                async for chunk in response.aiter_raw():
                    data += chunk
                    if len(data) > _MAX_ANSWER_BYTES:
                        raise ServerFailed(f"the answer is longer than {_MAX_ANSWER_BYTES} bytes")
        except httpx.TransportError as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            raise _RetryableFailure(reason) from error
        if response.status_code == 200:
            return bytes(data)
        text = _printable(data[:_MAX_REASON].decode("utf-8", "replace"))
        reason = f"HTTP status {response.status_code}: {text}".rstrip(": ")
        if response.status_code == 429 or response.status_code >= 500:
            raise _RetryableFailure(reason)
        raise ServerFailed(f"{self._shown} answered with {reason}")


def _read_run(data: bytes) -> ServerRun:
    """Check every field of an answer that is used."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ServerFailed(f"the answer is invalid JSON ({_printable(str(error))})") from None
    if type(answer) is not dict or not all(
        type(answer.get(step)) in (dict, type(None)) for step in ("compile_result", "run_result")
    ):
        raise ServerFailed("the answer is not SandboxFusion's; check the server's URL")
    status = answer.get("status")
    if status not in ("Success", "Failed"):
        raise ServerFailed(f"{_printable(str(status))}: {_printable(str(answer.get('message')))}")
    steps = [answer[step] for step in ("compile_result", "run_result") if answer.get(step)]
    codes = [_exit_status(step) for step in steps]
    if (status == "Success") is not (bool(codes) and set(codes) == {0}):
        raise ServerFailed(f"{status}, with the exit statuses {codes}")
    failed: dict[str, Any] = next(
        (step for step, code in zip(steps, codes, strict=True) if code != 0), {}
    )
    return ServerRun(
        succeeded=status == "Success",
        compiled=bool(answer.get("run_result")),
        timed_out=None in codes,
        errors=_printable(str(failed.get("stderr") or failed.get("stdout") or "")),
    )


def _exit_status(step: dict[str, Any]) -> int | None:
    """The exit status of a step; None where the server ended it because its time was over."""
    if step.get("status") == "TimeLimitExceeded":
        return None
    return_code = step.get("return_code")
    if step.get("status") != "Finished" or type(return_code) is not int:
        raise ServerFailed(f"a step that neither ended nor timed out: {_printable(str(step))}")
    return return_code


def _printable(text: str) -> str:
    """An untrusted text in ASCII, cut to its end, which says the most about an error."""
    text = text.strip()
    return ascii(text if len(text) <= _MAX_REASON else "..." + text[-_MAX_REASON:])[1:-1]

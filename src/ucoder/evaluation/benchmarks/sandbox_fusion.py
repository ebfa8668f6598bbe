"""A thin client of a SandboxFusion server, which runs FullStackBench's tasks in other languages.

The server (github.com/bytedance/SandboxFusion) compiles and runs one program per request. The
program may have written parts of the answer, so the answer is read up to a bound, parsed as plain
JSON, and every field that is used is checked.

Limits: isolation is up to the server. Its default configuration (`isolation: none`) isolates
nothing: a program runs as the server's user, and an answer does not say how a server is configured.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlsplit

from ucoder.errors import ConfigError
from ucoder.evaluation.benchmarks.autoeval import AutoEvalScript
from ucoder.execution.outcomes import CheckReport, Verdict

ATTEMPTS: Final = 4
"""How often one request is sent at most, the first time included."""

_FIRST_PAUSE_S: Final = 0.25
_CONNECT_TIMEOUT_S: Final = 10.0
_QUEUE_TIMEOUT_S: Final = 60.0
"""How much longer than its program an answer may take, because a busy server queues requests."""

_MAX_ANSWER_BYTES: Final = 32 << 20
"""The server keeps 1 MiB of each output, and JSON may need six bytes for one."""

_MAX_REASON: Final = 300


class _ServerFailed(Exception):
    """The server did not run the program; the message says what it answered instead."""


class _RetryableFailure(_ServerFailed):
    """The connection failed, or the server is busy or broken at the moment."""


def check_url(url: str) -> None:
    """Check the base URL of a server, such as `http://localhost:8080`; nothing is sent.

    Raises:
        ConfigError: It is not an HTTP URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"SandboxFusion's URL is {url!r}; it must be the base of a running server, such "
            "as http://localhost:8080"
        )


async def run_on_server(
    url: str, script: AutoEvalScript, timeout_s: float
) -> tuple[CheckReport, bool]:
    """Compile and run a script on a server, each within `timeout_s`.

    Returns:
        The report, and whether the script compiled (True where its language has no compiler). A
        server that does not run the script, after several attempts where a retry can help, is a
        failure of the sandbox and not of the program.
    """
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
    from tenacity.wait import wait_exponential

    # JSON can hold half a character (a lone surrogate) and a file cannot: the program's fault.
    code = script.code.encode("utf-8", "replace").decode()
    request = {
        "code": code, "language": script.language, "files": dict(script.files),
        "compile_timeout": timeout_s, "run_timeout": timeout_s,
    }  # fmt: skip
    body = json.dumps(request).encode()  # in ASCII: a name of a file may hold a surrogate as well
    retrying = AsyncRetrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(_FIRST_PAUSE_S),
        retry=retry_if_exception_type(_RetryableFailure),
        reraise=True,
    )
    parts = urlsplit(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without a password
    try:
        return _read_report(await retrying(_post, url, body, 2 * timeout_s))
    except _RetryableFailure as last:
        reason = f"{shown} failed {ATTEMPTS} times; the last: {last}"
    except _ServerFailed as error:
        reason = f"{shown}: {error}"
    return CheckReport(Verdict.SANDBOX_FAILED, f"the server: {reason}"), True


async def _post(url: str, body: bytes, timeout_s: float) -> bytes:
    """Send one request and return the answer's body."""
    import httpx

    timeout = httpx.Timeout(timeout_s + _QUEUE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    # Compressed, a small answer could become a large one.
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    data = bytearray()
    try:
        async with (
            httpx.AsyncClient(timeout=timeout, headers=headers) as client,
            client.stream("POST", url.rstrip("/") + "/run_code", content=body) as response,
        ):
            async for chunk in response.aiter_raw():
                data += chunk
                if len(data) > _MAX_ANSWER_BYTES:
                    raise _ServerFailed(f"the answer is longer than {_MAX_ANSWER_BYTES} bytes")
    except httpx.TransportError as error:
        raise _RetryableFailure(f"{type(error).__name__}: {error}".rstrip(": ")) from error
    if response.status_code == 200:
        return bytes(data)
    text = _printable(data[:_MAX_REASON].decode("utf-8", "replace"))
    retryable = response.status_code == 429 or response.status_code >= 500
    kind = _RetryableFailure if retryable else _ServerFailed
    raise kind(f"HTTP status {response.status_code}: {text}".rstrip(": "))


def _read_report(data: bytes) -> tuple[CheckReport, bool]:
    """Read an answer, and check every field of it that is used."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _ServerFailed(f"the answer is invalid JSON ({_printable(str(error))})") from None
    names, kinds = ("compile_result", "run_result"), (dict, type(None))
    if type(answer) is not dict or any(type(answer.get(name)) not in kinds for name in names):
        raise _ServerFailed("the answer is not SandboxFusion's; check the server's URL")
    status = answer.get("status")
    if status not in ("Success", "Failed"):
        raise _ServerFailed(f"{_printable(str(status))}: {_printable(str(answer.get('message')))}")
    steps = [answer[name] for name in names if answer.get(name)]
    codes = [_exit_status(step) for step in steps]
    if (status == "Success") is not (bool(codes) and set(codes) == {0}):
        raise _ServerFailed(f"{status}, with the exit statuses {codes}")
    compiled = bool(answer.get("run_result"))
    if status == "Success":
        return CheckReport(Verdict.PASSED), True
    if None in codes:
        return CheckReport(Verdict.TIMED_OUT, "" if compiled else "while it was compiled"), True
    failed: dict[str, Any] = next((step for step in steps if _exit_status(step) != 0), {})
    said = _printable(str(failed.get("stderr") or failed.get("stdout") or ""))
    return CheckReport(Verdict.FAILED, said), compiled


def _exit_status(step: dict[str, Any]) -> int | None:
    """The exit status of a step; None where the server ended it because its time was over."""
    if step.get("status") == "TimeLimitExceeded":
        return None
    return_code = step.get("return_code")
    if step.get("status") != "Finished" or type(return_code) is not int:
        raise _ServerFailed(f"a step that neither ended nor timed out: {_printable(str(step))}")
    return return_code


def _printable(text: str) -> str:
    """An untrusted text in ASCII, cut to its end, which says the most about an error."""
    text = text.strip()
    return ascii(text if len(text) <= _MAX_REASON else "..." + text[-_MAX_REASON:])[1:-1]

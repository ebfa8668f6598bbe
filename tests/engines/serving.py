"""A real HTTP server of OpenAI's protocol that answers from the scripted engine's script.

Its faults are those of one request at a time: `fault` sees a request's prompt and the answer that
it would get, and may put another one in its place.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ucoder.engines.protocol import Prompt, Request, SamplingParams
from ucoder.engines.scripted import ScriptedEngine, load_script

Answer = tuple[int, Any] | None
"""Status and JSON value; None: the connection is closed without an answer."""

Fault = Callable[[str, dict[str, Any]], Answer]


def no_fault(prompt: str, value: dict[str, Any]) -> Answer:
    """Every request is answered."""
    return 200, value


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fault: Fault = staticmethod(no_fault)

    def handle_error(self, *_: Any) -> None:
        """A client that left before its answer is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._say((200, {"data": [{"id": "served"}]}))
        else:
            self._say((404, {"error": "not here"}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._say((404, {"error": "not here"}))
            return
        user, *prefill = (message["content"] for message in body["messages"])
        self._say(self.server.fault(user, _answer(Prompt(user, "".join(prefill)), body)))

    def _say(self, answer: Answer) -> None:
        if answer is None:
            self.close_connection = True
            return
        status, value = answer
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _answer(prompt: Prompt, body: dict[str, Any]) -> dict[str, Any]:
    n, seed = body.get("n", 1), body.get("seed", 0)
    if "Count from 1 to 12" in prompt.user:
        texts = [" 7 8 9"] * n
    elif "Tell a story" in prompt.user:
        cold = body["temperature"] < 0.1 or body["top_p"] < 0.1 or body.get("top_k") == 1
        draw = random.Random(0 if cold else seed)
        texts = [" ".join(draw.choices(["ant", "bee", "cat", "dog"], k=12)) for _ in range(n)]
    else:
        texts = asyncio.run(_scripted(Request(prompt, n, _sampling(body), seed)))
    choices = []
    for text in texts:
        tokens = [{"token": f"{word} ", "logprob": -0.5} for word in text.split(" ")]
        message = {"role": "assistant", "content": text}
        choice = {"message": message, "finish_reason": "stop", "logprobs": {"content": tokens}}
        choices.append(choice)
    return {"choices": choices, "usage": {"completion_tokens": 12 * n}}


def _sampling(body: dict[str, Any]) -> SamplingParams:
    return SamplingParams(body["temperature"], body["top_p"], 4096, tuple(body.get("stop", ())))


async def _scripted(request: Request) -> list[str]:
    async with ScriptedEngine(load_script(None)) as engine:
        return [completion.text for completion in await engine.sample(request)]


@contextmanager
def serving(fault: Fault = no_fault) -> Iterator[str]:
    """The address of such a server, which lives as long as the context."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.fault = fault
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""The hub, played by a small server on this machine: answers, refuses, or keeps silent."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ucoder.models import hub

pytest.importorskip("huggingface_hub")

FILES = {
    "config.json": json.dumps({"architectures": ["LlamaForCausalLM"]}).encode(),
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights",
    "model.gguf": b"not wanted",
}
COMMIT = "0" * 40


class FakeHub(BaseHTTPRequestHandler):
    """As much of the hub as its client asks for: one model, `org/name`."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        status, headers, body = 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        listing = [
            {"type": "file", "path": n, "size": len(c), "oid": "1"} for n, c in FILES.items()
        ]
        if path == "/":
            status, headers = 200, {}
        elif path.startswith("/api/models/org/name/tree/"):
            status, headers, body = 200, {}, json.dumps(listing).encode()
        elif path.startswith("/api/models/org/name"):
            siblings = [{"rfilename": name} for name in FILES]
            told = {"id": "org/name", "sha": COMMIT, "siblings": siblings, "private": False}
            status, headers, body = 200, {}, json.dumps(told).encode()
        elif path.startswith("/org/name/resolve/"):
            body = FILES[path.rsplit("/", 1)[1]]
            tag = hashlib.sha256(body).hexdigest()
            status, headers = 200, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Address of a running fake hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ask(code: str, endpoint: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run code in a new process whose hub is `endpoint` (the client reads it at import)."""
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_HOME", str(home))
    for name in ("HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    program = f"from pathlib import Path\nfrom ucoder.models import hub, resolve\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_model_of_the_hub_is_fetched_without_its_other_formats_and_found_again_offline(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
c = resolve("org/name", Path({str(tmp_path / "cache")!r}), print)
print(c.origin, sorted(p.name for p in c.path.iterdir()))
"""
    said = ask(code, endpoint, tmp_path, monkeypatch)
    assert "hub ['config.json', 'model.safetensors', 'tokenizer.json']" in said
    said = ask(code, "http://127.0.0.1:9", tmp_path, monkeypatch)
    assert "using the copy fetched earlier" in said
    assert "hub ['config.json', 'model.safetensors', 'tokenizer.json']" in said


def test_one_file_is_fetched_into_the_folder_that_was_asked_for(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    code = f'print(hub.download_file("org/name", "model.gguf", Path({str(folder)!r})))'
    assert ask(code, endpoint, tmp_path, monkeypatch).strip() == str(folder / "model.gguf")
    assert (folder / "model.gguf").read_bytes() == b"not wanted"


def test_a_model_that_the_hub_does_not_have_is_unknown(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ask('resolve("org/other", Path("."))', endpoint, tmp_path, monkeypatch)
    assert "UnknownModel: org/other: no catalog entry, no local path" in said


def test_an_unreachable_hub_is_reported_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = 'resolve("org/name", Path("."))'
    said = ask(code, "http://127.0.0.1:9", tmp_path, monkeypatch)
    assert "NoSourceReachable: org/name: the Hugging Face hub cannot be reached" in said
    assert "ConnectError" in said


def test_a_silent_hub_is_given_up_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        start_s = time.monotonic()
        reason = hub.unreachable_reason(timeout_s=0.5)
        # Far below the system's own limits, with room for a busy machine.
        assert time.monotonic() - start_s < 8
    assert reason is not None and address in reason

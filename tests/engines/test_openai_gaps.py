"""The engine for OpenAI's protocol against what servers lack and how they fail.

The server here speaks real HTTP over real sockets; its language model is a table that a hash
fills, so that every probability is known exactly. `test_openai` has a server that people use.
"""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import random
import re
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.config import ServerConfig
from ucoder.engines import openai_client
from ucoder.engines.conformance import CHECKS, GREEDY, WARM, check_logprobs
from ucoder.engines.openai import OpenAIEngine
from ucoder.engines.openai_requests import Malformed, PrefillMode, read_answer, read_models
from ucoder.engines.protocol import Prompt
from ucoder.errors import EngineError

WORDS = [" ant", " bee", " cat", " dog", " eel", " fox", " gnu", " hen"]


@dataclass(frozen=True)
class Gaps:
    """What the server lacks; by default nothing."""

    completions: bool = True
    prompt_tokens: int = 0  # more than it was sent
    adds_start: bool = False  # a token before every text
    turns: str = "continues"  # or repeats, restarts
    fields: str = "known"  # those beyond the protocol; or ignored, refused
    zero_temperature: bool = True
    logprobs: str = "raw"  # or processed, tempered, none
    logprob_lists: str = "content"  # or tokens
    usage: bool = True
    max_n: int = 64
    refuses_n: bool = True  # or gives fewer
    seeds: str = "honoured"  # or refused, ignored, fixed
    stops: str = "honoured"  # or refused, ignored, kept in the text


@dataclass
class Parrot:
    """A real HTTP server over a language model of eight words."""

    gaps: Gaps
    models: list[str] = field(default_factory=lambda: ["parrot"])
    faults: list[bytes | None] = field(default_factory=list)
    """Sent instead of the next completions; None: nothing, ever."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    now: int = 0
    most: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            answer = await self._answer(reader)
            if answer is None:
                await reader.read()  # until the other side gives up
            else:
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side left
        finally:
            self.now -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ")[1]
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        raw = await reader.readexactly(int(length[1]) if length else 0)
        if key := re.search(r"authorization: Bearer (\S+)", head, re.IGNORECASE):
            self.keys.add(key[1])
        if path == "/v1/models":
            return reply(200, {"data": [{"id": name, "owned_by": "eli"} for name in self.models]})
        chats = path == "/v1/chat/completions"
        if not chats and not (path == "/v1/completions" and self.gaps.completions):
            return reply(404, {"error": f"no {path}"})
        body = json.loads(raw)
        self.requests.append(body)
        await asyncio.sleep(0.01)
        return self.faults.pop(0) if self.faults else self._complete(body, chats)

    def _complete(self, body: dict[str, Any], chats: bool) -> bytes:
        gaps = self.gaps
        for fault, is_there in (
            ("temperature must be positive", not (gaps.zero_temperature or body["temperature"])),
            ("unknown field top_k", gaps.fields == "refused" and "top_k" in body),
            ("unknown field seed", gaps.seeds == "refused" and "seed" in body),
            ("at most 4 stops", gaps.stops == "refused" and len(body.get("stop", ())) > 4),
            ("n is too large", gaps.refuses_n and body.get("n", 1) > gaps.max_n),
        ):
            if is_there:
                return reply(400, {"error": {"message": fault}})
        context, start = body.get("prompt", ""), ""
        for message in body.get("messages", ()):
            context += message["content"]
            if message["role"] == "assistant":
                start = message["content"] if gaps.turns == "repeats" else ""
                context += "<|end|>" if gaps.turns == "restarts" else ""
        seed = {"honoured": body.get("seed"), "fixed": 42}.get(gaps.seeds)
        rng = random.Random(seed)
        n = min(body.get("n", 1), gaps.max_n)
        drawn = [self._draw(context, body, rng) for _ in range(n)]
        n_added = gaps.prompt_tokens + gaps.adds_start
        usage = {
            "prompt_tokens": len(context.replace("<|end|>", "$").encode()) + n_added,
            "completion_tokens": sum(len(tokens) for _, tokens, _ in drawn),
        }
        choices = []
        for text, tokens, reason in drawn:
            choice: dict[str, Any] = {"text": text, "finish_reason": reason}
            if chats:
                choice = {"message": {"content": start + text}, "finish_reason": reason}
            if body.get("logprobs") and gaps.logprobs != "none":
                choice["logprobs"] = self._list(tokens)
            choices.append(choice)
        return reply(200, {"choices": choices} | ({"usage": usage} if gaps.usage else {}))

    def _list(self, tokens: list[tuple[str, float]]) -> dict[str, Any]:
        if self.gaps.logprob_lists == "content":
            return {"content": [{"token": t, "logprob": x, "bytes": None} for t, x in tokens]}
        texts, logprobs = [t for t, _ in tokens], [x for _, x in tokens]
        return {"tokens": texts, "token_logprobs": logprobs, "text_offset": []}

    def _draw(
        self, context: str, body: dict[str, Any], rng: random.Random
    ) -> tuple[str, list[tuple[str, float]], str]:
        gaps = self.gaps
        temperature = max(body["temperature"], 1e-3)
        top_k = body.get("top_k", -1) if gaps.fields == "known" else -1
        stops = body.get("stop", ()) if gaps.stops != "ignored" else ()
        text, tokens = "", []
        for _ in range(body["max_tokens"]):
            raw = distribution(context + text)
            warm = warmed(raw, temperature)
            kept = sorted(warm, key=lambda word: -warm[word])[: top_k if top_k > 0 else None]
            while len(kept) > 1 and sum(warm[w] for w in kept[:-1]) >= body["top_p"]:
                kept.pop()
            final = normalised({w: warm[w] for w in kept})
            word = rng.choices(list(final), list(final.values()))[0]
            text += word
            shown = {"processed": final, "tempered": warm}.get(gaps.logprobs, raw)
            tokens.append((word, math.log(shown[word])))
            for stop in (stop for stop in stops if stop in text):
                end = text.find(stop) + (len(stop) if gaps.stops == "kept" else 0)
                return text[:end], tokens, "stop"
        return text, tokens, "length"


def distribution(context: str) -> dict[str, float]:
    """Of the next word."""
    if context.endswith(" 5 6"):
        return {" 7": 1.0}
    numbers = sha256(context.removeprefix("<|end|>").encode()).digest()
    return normalised({w: math.exp(b / 64) for w, b in zip(WORDS, numbers, strict=False)})


def warmed(weights: dict[str, float], temperature: float) -> dict[str, float]:
    most = max(weights.values())  # divided by it, the likeliest does not vanish
    return normalised({w: (p / most) ** (1 / temperature) for w, p in weights.items()})


def normalised(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {word: weight / total for word, weight in weights.items()}


def parrot_score(prompt: Prompt, text: str) -> tuple[int, float]:
    """The exact log-probability of a text."""
    words, total = re.findall(r" \w+", text), 0.0
    for at, word in enumerate(words):
        context = prompt.user + prompt.prefill + "".join(words[:at])
        total += math.log(distribution(context)[word])
    return len(words), total


def reply(status: int, body: Any, headers: str = "") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(content)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode("latin-1") + content


OpenParrot = Callable[[Gaps], Awaitable[Parrot]]


@pytest.fixture
async def open_parrot() -> AsyncIterator[OpenParrot]:
    servers = []

    async def start(gaps: Gaps) -> Parrot:
        parrot = Parrot(gaps)
        server = await asyncio.start_server(parrot.serve, "127.0.0.1", 0)
        servers.append(server)
        parrot.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        return parrot

    yield start
    for server in servers:
        server.close()


def engine_of(parrot: Parrot, checkpoint: Path | None = None, **settings: Any) -> OpenAIEngine:
    is_chat = settings.pop("is_chat", True)
    server = ServerConfig(url=parrot.url, **{"max_retries": 4, "timeout_s": 30.0} | settings)
    return OpenAIEngine(server, is_chat=is_chat, checkpoint=checkpoint)


GAPS = {
    "nothing is missing": Gaps(),
    "no completions, so the server renders": Gaps(completions=False),
    "prompts in a template of its own": Gaps(prompt_tokens=9),
    "answers repeat the prefill": Gaps(completions=False, turns="repeats"),
    "extensions are ignored": Gaps(fields="ignored"),
    "extensions are refused": Gaps(fields="refused"),
    "temperature 0 is refused": Gaps(zero_temperature=False),
    "log-probabilities after top-p": Gaps(logprobs="processed"),
    "log-probabilities after temperature": Gaps(logprobs="tempered"),
    "no log-probabilities": Gaps(logprobs="none"),
    "the older form of log-probabilities": Gaps(logprob_lists="tokens", usage=False),
    "few completions a request": Gaps(max_n=2),
    "n is ignored": Gaps(max_n=1, refuses_n=False),
    "seeds are refused": Gaps(seeds="refused"),
    "seeds are ignored": Gaps(seeds="ignored"),
    "four stops at the most": Gaps(stops="refused"),
    "stops are ignored": Gaps(stops="ignored"),
    "stops are ignored, nothing is listed": Gaps(stops="ignored", logprobs="none"),
    "stops stay in the text": Gaps(stops="kept"),
}


@pytest.mark.parametrize("gaps", GAPS.values(), ids=GAPS)
async def test_the_engine_conforms_whatever_its_server_lacks(
    gaps: Gaps, open_parrot: OpenParrot, tiny_checkpoint: Path
) -> None:
    parrot = await open_parrot(gaps)
    async with engine_of(parrot, tiny_checkpoint) as engine:
        for check in CHECKS:
            await check(engine)
        if engine.capabilities.logprobs and engine.capabilities.top_k:
            assert await check_logprobs(engine, parrot_score, 1e-6)


async def test_probing_finds_every_gap_of_a_server(
    open_parrot: OpenParrot, tiny_checkpoint: Path
) -> None:
    async def found(checkpoint: Path | None = tiny_checkpoint, **gaps: Any) -> Any:
        async with engine_of(await open_parrot(Gaps(**gaps)), checkpoint) as engine:
            return engine.capabilities

    whole = await found()
    assert whole.prefill_mode is PrefillMode.RENDERED
    assert whole.max_n == 64
    assert whole.top_k and whole.logprobs and whole.raw_logprobs
    assert whole.seeds and whole.repeats_seeds and whole.max_stops == 16
    assert await found(logprob_lists="tokens") == whole
    assert await found(stops="kept") == whole
    assert await found(seeds="refused") == replace(whole, seeds=False, repeats_seeds=False)
    assert await found(seeds="ignored") == replace(whole, repeats_seeds=False)
    assert await found(stops="refused") == replace(whole, max_stops=4)
    assert await found(stops="ignored") == replace(whole, max_stops=0)
    assert await found(max_n=4) == replace(whole, max_n=4)
    assert await found(logprobs="processed") == replace(whole, raw_logprobs=False)
    assert await found(logprobs="tempered") == replace(whole, raw_logprobs=False)
    assert await found(fields="ignored") == replace(whole, top_k=False)
    for other in ({"prompt_tokens": 2}, {"completions": False}, {"checkpoint": None}):
        assert (await found(**other)).prefill_mode is PrefillMode.CONTINUED
    # Here nothing but the answer tells whether the prompt was left alone.
    assert await found(usage=False) == whole


async def test_a_token_that_the_server_adds_is_not_sent_twice(
    open_parrot: OpenParrot, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "begins")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"bos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    template = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    for gaps, start in ((Gaps(), "<|end|>"), (Gaps(adds_start=True), "")):
        parrot = await open_parrot(gaps)
        async with engine_of(parrot, folder) as engine:
            assert engine.capabilities.prefill_mode is PrefillMode.RENDERED
            await engine.sample(GREEDY)
        assert parrot.requests[-1]["prompt"] == start + GREEDY.prompt.user + GREEDY.prompt.prefill


@pytest.mark.parametrize(
    ("gaps", "why"),
    [
        (Gaps(completions=False, turns="restarts"), "does not go on with a prefill"),
        (Gaps(seeds="fixed"), "answers the same twice"),
        (Gaps(logprobs="none", usage=False), "cannot be counted"),
    ],
)
async def test_a_server_without_the_indispensable_is_refused_with_the_reason(
    gaps: Gaps, why: str, open_parrot: OpenParrot
) -> None:
    with pytest.raises(EngineError, match=why):
        async with engine_of(await open_parrot(gaps)):
            pass


async def test_a_base_model_needs_completions(open_parrot: OpenParrot) -> None:
    with pytest.raises(EngineError, match="/completions"):
        async with engine_of(await open_parrot(Gaps(completions=False)), is_chat=False):
            pass
    async with engine_of(await open_parrot(Gaps()), is_chat=False) as engine:
        assert await engine.sample(replace(WARM, prompt=Prompt("", plain="Once")))


async def test_settings_that_a_server_cannot_follow_are_refused(open_parrot: OpenParrot) -> None:
    gaps = Gaps(fields="ignored", zero_temperature=False)
    async with engine_of(await open_parrot(gaps)) as engine:
        with pytest.raises(EngineError, match="top_k=5"):
            await engine.sample(replace(WARM, sampling=replace(WARM.sampling, top_k=5)))
        with pytest.raises(EngineError, match="greedily"):
            await engine.sample(GREEDY)


async def test_one_of_several_models_must_be_named(open_parrot: OpenParrot) -> None:
    parrot = await open_parrot(Gaps())
    parrot.models = ["polly", "coco"]
    with pytest.raises(EngineError, match=r"polly, coco.*server\.model"):
        async with engine_of(parrot):
            pass
    async with engine_of(parrot, model="coco") as engine:
        assert engine.info.version == "eli"
    assert {request["model"] for request in parrot.requests} == {"coco"}


BUSY = {
    "busy": reply(503, {"error": "loading"}),
    "too many": reply(429, {"error": "slow down"}, "Retry-After: 0\r\n"),
    "broken": reply(500, b"oops"),
    "gone": b"",
    "half an answer": reply(200, {"choices": []})[:-5],
    "garbage": reply(200, b"<html>\xff"),
    "a bomb": reply(200, b"[" * 100_000),
    "an error as success": reply(200, {"error": "later"}),
    "no text": reply(200, {"choices": [{"finish_reason": "stop"}]}),
}


@pytest.mark.parametrize("fault", BUSY.values(), ids=BUSY)
async def test_a_failed_request_costs_a_try_and_nothing_else(
    fault: bytes, open_parrot: OpenParrot
) -> None:
    parrot = await open_parrot(Gaps(max_n=1))
    async with engine_of(parrot) as engine:
        whole = await engine.sample(WARM)
        parrot.requests.clear()
        parrot.faults += [fault, fault]
        assert await engine.sample(WARM) == whole
    assert len(parrot.requests) == WARM.n + 2


async def test_a_server_that_never_answers_is_asked_again(open_parrot: OpenParrot) -> None:
    parrot = await open_parrot(Gaps())
    async with engine_of(parrot, timeout_s=1.0) as engine:
        parrot.faults.append(None)
        assert len(await engine.sample(WARM)) == WARM.n


async def test_retry_after_is_waited_for(open_parrot: OpenParrot) -> None:
    parrot = await open_parrot(Gaps())
    async with engine_of(parrot) as engine:
        parrot.faults.append(reply(429, {}, "Retry-After: 2\r\n"))
        start = time.monotonic()
        await engine.sample(WARM)
        assert time.monotonic() - start >= 2.0


@pytest.mark.parametrize("asked", ["-1", "nan", "1e400", "soon", "Mon, 99 Foo 2026", "\xff"])
async def test_an_invalid_retry_after_is_ignored(asked: str, open_parrot: OpenParrot) -> None:
    parrot = await open_parrot(Gaps())
    async with engine_of(parrot) as engine:
        parrot.faults.append(reply(429, {}, f"Retry-After: {asked}\r\n"))
        assert await engine.sample(WARM)


async def test_a_refused_request_is_not_sent_again(open_parrot: OpenParrot) -> None:
    parrot = await open_parrot(Gaps())
    async with engine_of(parrot) as engine:
        parrot.requests.clear()
        parrot.faults.append(reply(400, {"error": "prompt is longer than the context"}))
        with pytest.raises(EngineError, match="longer than the context") as caught:
            await engine.sample(WARM)
        assert len(parrot.requests) == 1
        assert await engine.sample(WARM)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


async def test_a_server_that_stays_broken_is_an_error_that_quotes_it(
    open_parrot: OpenParrot,
) -> None:
    parrot = await open_parrot(Gaps())
    async with engine_of(parrot, max_retries=1) as engine:
        parrot.faults += [reply(200, b"<html>maintenance")] * 2
        with pytest.raises(EngineError, match=r"after 2 tries.*maintenance.*invalid JSON"):
            await engine.sample(WARM)


async def test_an_unreachable_or_invalid_address_is_an_error(open_parrot: OpenParrot) -> None:
    parrot = await open_parrot(Gaps())
    async with engine_of(parrot, max_retries=0) as engine:
        pass
    with pytest.raises(EngineError, match="not entered"):
        await engine.sample(WARM)
    parrot.url = "http://127.0.0.1:9/v1"  # the port of the discard protocol: closed
    with pytest.raises(EngineError, match="cannot be reached"):
        async with engine_of(parrot, max_retries=0):
            pass
    for url in ("localhost:8000", "ftp://a/v1", "http://", "http://a:port/v1"):
        with pytest.raises(EngineError, match="is not a valid URL"):
            OpenAIEngine(ServerConfig(url=url), is_chat=True)


async def test_an_endless_answer_is_cut_off(
    open_parrot: OpenParrot, monkeypatch: pytest.MonkeyPatch
) -> None:
    parrot = await open_parrot(Gaps())
    async with engine_of(parrot) as engine:
        monkeypatch.setattr(openai_client, "MAX_ANSWER_BYTES", 1 << 20)
        parrot.faults.append(reply(200, b" " * (2 << 20)))
        with pytest.raises(EngineError, match="more than 1 MiB"):
            await engine.sample(WARM)


async def test_the_key_is_sent_and_never_shown(
    open_parrot: OpenParrot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-very-secret"
    monkeypatch.setenv("PARROT_KEY", key)
    parrot = await open_parrot(Gaps())
    caplog.set_level("DEBUG", logger="ucoder")
    async with engine_of(parrot, api_key_variable="PARROT_KEY", max_retries=1) as engine:
        assert parrot.keys == {key}
        told = {"error": f"wrong key {key}"}
        for faults in ([reply(400, told)], [reply(401, told)], [reply(500, told)] * 2,
                       [reply(200, told)] * 2, [reply(302, told, f"Location: /{key}\r\n")],
                       [reply(200, f"it is {key}".encode())] * 2):  # fmt: skip
            parrot.faults += faults
            with pytest.raises(EngineError) as caught:
                await engine.sample(WARM)
            assert key not in str(caught.value)
            assert "***" in str(caught.value)
        parrot.faults.append(reply(401, {}))
        with pytest.raises(EngineError, match=r"\$PARROT_KEY"):
            await engine.sample(WARM)
    assert key not in caplog.text
    assert key not in repr(engine.__dict__)
    monkeypatch.setenv("PARROT_KEY", "two\nlines")
    with pytest.raises(EngineError, match=r"\$PARROT_KEY holds"):
        engine_of(parrot, api_key_variable="PARROT_KEY")


async def test_no_more_connections_and_requests_than_allowed(open_parrot: OpenParrot) -> None:
    parrot = await open_parrot(Gaps(max_n=1))
    async with engine_of(parrot, max_connections=3) as engine:
        await asyncio.gather(*(engine.sample(replace(WARM, n=8, seed=i)) for i in range(4)))
        assert parrot.most == 3
    async with engine_of(parrot, requests_per_minute=1200) as engine:
        start = time.monotonic()
        await engine.sample(replace(WARM, n=11))
        assert time.monotonic() - start >= 10 * 60 / 1200


FIELDS = ("text", "message", "content", "logprobs", "tokens", "token_logprobs", "token", "logprob",
          "finish_reason", "usage", "completion_tokens")  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=30,
)
CHOICE = st.fixed_dictionaries({"text": JSON, "finish_reason": st.sampled_from(["stop", "x", 1]),
                                "logprobs": JSON})  # fmt: skip


@given(JSON | st.fixed_dictionaries({"choices": st.lists(CHOICE | JSON, max_size=2),
                                     "usage": JSON, "data": JSON}))  # fmt: skip
def test_any_json_answer_is_read_or_malformed(value: Any) -> None:
    assert isinstance(read_models(value), list)
    try:
        answer = read_answer(value, 1)
    except Malformed as error:
        assert len(str(error)) < 2000
        return
    (choice,) = answer.choices
    choice.text.encode()
    assert all(math.isnan(t.logprob) or -1e9 < t.logprob <= 0 for t in choice.tokens)
    assert (answer.completion_tokens or 0) >= 0


def test_lone_surrogates_are_replaced() -> None:
    value = json.loads('{"choices": [{"text": "a\\ud800b", "finish_reason": "stop"}]}')
    assert read_answer(value, 1).choices[0].text == "a?b"

"""A scripted engine: deterministic answers from a YAML file, for tests and for trying a run out.

    rules:
      - when: ["Invent one new"]      # the prompt contains all of these
        answers: ["...", "..."]       # each completion draws one by the request's seed
    delay_s: 0.0                      # pretend that a request takes this long

The first rule that fits answers; if none fits, the answer is empty. Tokens are words;
log-probabilities follow from the answer's position, so that perplexity orders answers as the script
does. An answer that the prompt has begun, up to a stop string within it, is continued.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ucoder.config.reading import parse_yaml, read_yaml
from ucoder.engines.protocol import Completion, EngineInfo, Request, cut_at_stop, render_plain
from ucoder.errors import ConfigError, EngineError
from ucoder.records import FinishReason


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    when: tuple[str, ...]
    answers: Annotated[tuple[str, ...], Field(min_length=1)]


class Script(BaseModel):
    """What a scripted engine answers to which prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[_Rule, ...]
    delay_s: Annotated[float, Field(ge=0.0)] = 0.0


def load_script(path: Path | None) -> Script:
    """Read a script, by default the one that ships with the package.

    Raises:
        ConfigError: The file is missing or is not a script.
    """
    try:
        if path is not None:
            return Script.model_validate(read_yaml(path))
        shipped = resources.files("ucoder.engines") / "scripted.yaml"
        return Script.model_validate(parse_yaml(shipped.read_text("utf-8"), "scripted.yaml"))
    except (ConfigError, ValidationError) as error:
        raise ConfigError(f"engine.script={path} is not a valid script: {error}") from None


class ScriptedEngine:
    """Answers from a script; see the module.

    Args:
        script: What it answers.
        is_chat: Whether it passes for a chat model.
    """

    def __init__(self, script: Script, *, is_chat: bool = True) -> None:
        self._script = script
        self._is_chat = is_chat
        self._running = False

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return EngineInfo("scripted", "1", "none", honours_seeds=True, is_chat=self._is_chat)

    async def __aenter__(self) -> Self:
        self._running = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._running = False

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`."""
        if not self._running:
            raise EngineError("the scripted engine was not entered")
        await asyncio.sleep(self._script.delay_s)
        prompt = render_plain(request.prompt)
        fitting = (r.answers for r in self._script.rules if all(w in prompt for w in r.when))
        answers = next(fitting, ("",))
        stop = request.sampling.stop
        begun = {at: n for at, one in enumerate(answers) if (n := _n_begun(one, prompt, stop))}
        positions = list(begun) or range(len(answers))
        draw = random.Random(request.seed).randrange
        greedy = request.sampling.is_greedy
        picks = [positions[0 if greedy else draw(len(positions))] for _ in range(request.n)]
        return [_complete(answers[pick][begun.get(pick, 0) :], pick, request) for pick in picks]


def _n_begun(answer: str, prompt: str, stop: Iterable[str]) -> int:
    """Characters of an answer that the prompt ends with: up to a stop string in it, or none."""
    ends = (found.end() for string in stop for found in re.finditer(re.escape(string), answer))
    return max((end for end in ends if prompt.endswith(answer[:end])), default=0)


def _complete(answer: str, position: int, request: Request) -> Completion:
    words = answer.split(" ")
    limit = request.sampling.max_tokens
    cut = len(words) > limit
    text, stopped = cut_at_stop(" ".join(words[:limit]), request.sampling.stop)
    n_tokens = len(text.split(" "))
    reason = FinishReason.LENGTH if cut and not stopped else FinishReason.STOP
    return Completion(text, n_tokens, reason, -0.1 * (position + 1) * n_tokens, stop=stopped)

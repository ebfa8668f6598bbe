"""An engine around another: a request that cannot be served costs its completions, not the run.

Whether a failure is the request's own or concerns every request (another model, a key that is no
longer valid, a setting that the engine does not take) cannot be read off a server's words: what one
answers with 400, another answers with 403 or 500. It is found out instead, by a control request
with a harmless prompt. Where that is served, only the refused request's completions are lost.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Self

from ucoder.engines.protocol import (
    Completion,
    Engine,
    EngineInfo,
    Prompt,
    Request,
    SamplingParams,
    lost_completions,
)
from ucoder.errors import EngineError, RequestRefused
from ucoder.records import FinishReason

_log = logging.getLogger(__name__)

_CONTROL = Prompt("Tell a story about an animal that you make up.", "Once upon a time, in a")
_N_WARNINGS = 5
"""Refusals that are told in full; further ones are counted in the records alone."""


class ResilientEngine:
    """Samples from another engine; see `Engine` and the module.

    Args:
        engine: The engine, not yet entered.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._served: set[tuple[int, SamplingParams]] = set()
        self._failure: EngineError | None = None
        self._controlling = asyncio.Lock()
        self._n_refused = 0

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return self.engine.info

    async def __aenter__(self) -> Self:
        await self.engine.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.engine.__aexit__(*exc)

    async def sample(self, request: Request) -> list[Completion]:
        """See `Engine.sample`; a refused request gives n lost completions.

        Raises:
            EngineError: The engine broke, or refuses a harmless request as well.
        """
        try:
            completions = await self.engine.sample(request)
        except RequestRefused as refusal:
            async with self._controlling:
                await self._control(request, refusal)
            self._n_refused += 1
            level = logging.WARNING if self._n_refused <= _N_WARNINGS else logging.DEBUG
            _log.log(level, "%d completions are lost, and work goes on: %s", request.n, refusal)
            return lost_completions(request.n, FinishReason.REQUEST_REFUSED, str(refusal))
        self._served.add((request.n, request.sampling))
        return completions

    async def _control(self, request: Request, refusal: RequestRefused) -> None:
        """Ask the same of a harmless prompt: for one token where these settings were served before.

        Raises:
            EngineError: It is refused as well.
        """
        if self._failure is not None:
            raise self._failure
        control = replace(request, prompt=_CONTROL)
        if (request.n, request.sampling) in self._served:
            control = replace(control, n=1, sampling=replace(request.sampling, max_tokens=1))
        try:
            await self.engine.sample(control)
        except RequestRefused as again:
            self._failure = EngineError(
                f"{refusal}. This concerns every request: one with another prompt was not served "
                f"either ({again})"
            )
            raise self._failure from again
        self._served.add((request.n, request.sampling))

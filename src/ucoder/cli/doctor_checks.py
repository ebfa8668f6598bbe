"""`ucoder doctor` and `ucoder doctor execution`: what a run needs, and what the sandbox holds.

Each part is checked by using it: the engine samples, the sandbox runs and is attacked.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ucoder.components import Components
from ucoder.config import RunConfig
from ucoder.engines.protocol import Prompt, Request, SamplingParams
from ucoder.errors import UcoderError
from ucoder.execution.outcomes import OutcomeKind
from ucoder.execution.providers import open_executor
from ucoder.models import default_cache_dir, load_catalog
from ucoder.models.artifacts import checkpoint_folder
from ucoder.runtime import require, start_process

if TYPE_CHECKING:  # importing it reads every attack
    from ucoder.execution.conformance import AttackResult

MIN_MEMORY_GIB = 8.0
MIN_DISK_GIB = 8.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        check: What was checked, such as `sandbox`.
        ok: Whether it works.
        detail: What was seen; where it does not work, why, and what to do.
    """

    check: str
    ok: bool
    detail: str


async def print_checkup(as_json: bool, out: Console) -> bool:
    """Check every part, print the results, and return whether every part works."""
    results = [await _check(name, check) for name, check in _CHECKS.items()]
    if as_json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        print_results(results, out)
    return all(result.ok for result in results)


def print_results(results: Sequence[CheckResult], out: Console) -> None:
    """Print a row for each check."""
    table = _table("ucoder doctor", "check")
    for result in results:
        mark = Text("ok", "green") if result.ok else Text("no", "red")
        table.add_row(result.check, mark, result.detail)
    out.print(table)


async def _check(name: str, check: Callable[[], Awaitable[str]]) -> CheckResult:
    try:
        return CheckResult(name, True, await check())
    except UcoderError as error:
        return CheckResult(name, False, str(error))


async def _sandbox() -> str:
    program = "import socket\ndef f(x):\n    socket.create_connection(('127.0.0.1', x), 1)\n"
    honest = "def f(x):\n    return x + 1\n"
    start = time.monotonic()
    async with open_executor("bubblewrap", n_workers=1) as executor:
        good = await executor.call(honest, "f", ["(1,)"])
        bad = await executor.call(program, "f", ["(9,)"])
    seconds = time.monotonic() - start
    if good.outcomes[0].text != "2" or bad.outcomes[0].kind is OutcomeKind.RETURNED:
        raise UcoderError(f"programs do not run as they should: {good}, {bad}")
    return f"bubblewrap runs programs, without a network ({seconds:.1f} s with start-up)"


async def _engine() -> str:
    require("sampling with OpenVINO", "openvino_genai", "optimum.intel", "openvino_tokenizers")
    if not _is_cached():
        import openvino_genai

        return f"openvino-genai {openvino_genai.__version__} loads; no model to sample from yet"
    components = Components(RunConfig.model_validate({"engine": {"cache_gib": 1.0}}))
    start = time.monotonic()
    async with components.engine(components.model(load_catalog().default)) as engine:
        loaded = time.monotonic()
        request = Request(
            Prompt("Count to ten."), 16, SamplingParams(max_tokens=16, top_k=64), seed=0
        )
        completions = await engine.sample(request)
    rate = sum(c.n_tokens for c in completions) / (time.monotonic() - loaded)
    return (
        f"OpenVINO samples, {rate:.0f} tokens/s at a batch of 16, loads in {loaded - start:.0f} s"
    )


async def _trainer() -> str:
    require("training", "torch", "trl", "peft", "datasets", extra="train")
    code = (
        "import torch, datasets, peft; from trl import SFTTrainer; "
        "print('GPU' if torch.cuda.is_available() else 'CPU')"
    )
    process = await start_process(
        sys.executable, "-c", code,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, errors = await process.communicate()
    if process.returncode != 0:
        raise UcoderError(f"the trainer does not load: {errors.decode().strip().splitlines()[-1]}")
    return f"trl {version('trl')} loads, for a {said.decode().strip()}"


async def _benchmark() -> str:
    from ucoder.evaluation.registry import find_benchmark

    dataset = find_benchmark("humaneval").load(None)
    return f"{dataset.source}: {len(dataset.tasks)} tasks"


def _is_cached() -> bool:
    entry = load_catalog().models[load_catalog().default]
    return checkpoint_folder(entry.sha256, default_cache_dir()).is_dir()


async def _model() -> str:
    name = load_catalog().default
    if not _is_cached():
        size = load_catalog().models[name].bytes / 1e6
        return f"{name} is not in {default_cache_dir()} yet; the first run fetches {size:.0f} MB"
    return f"{name} is at {Components(RunConfig()).model(name).path}"


async def _memory() -> str:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if total < MIN_MEMORY_GIB:
        raise UcoderError(f"{total:.1f} GiB; the demo needs {MIN_MEMORY_GIB:.0f} GiB")
    return f"{total:.1f} GiB, {os.cpu_count()} cores"


async def _disk() -> str:
    cache = default_cache_dir()
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    for place in (folder, Path.cwd()):
        free = shutil.disk_usage(place).free / 2**30
        if free < MIN_DISK_GIB:
            raise UcoderError(f"{free:.1f} GiB free at {place}; {MIN_DISK_GIB:.0f} GiB are needed")
    return f"{free:.1f} GiB free; models are cached in {cache}"


_CHECKS: dict[str, Callable[[], Awaitable[str]]] = {
    "sandbox": _sandbox,
    "engine": _engine,
    "trainer": _trainer,
    "benchmark": _benchmark,
    "model cache": _model,
    "memory": _memory,
    "disk": _disk,
}


async def print_conformance(provider: str, full: bool, as_json: bool, out: Console) -> bool:
    """Attack a provider, print which properties hold, and return whether all that it claims do.

    Args:
        provider: A provider's name, or `auto`.
        full: Run all attacks instead of the short version.
        as_json: Print JSON, one object for each attack.
        out: Where the table goes.

    Raises:
        SandboxUnavailable: The provider cannot start here.
        ConfigError: The provider is unknown.
    """
    from ucoder.execution.conformance import ATTACKS, LIMITS, run_conformance

    attacks = [attack for attack in ATTACKS if full or attack.quick]
    async with open_executor(provider, LIMITS, n_workers=1) as executor:
        chosen = executor.name
        results = await run_conformance(executor, attacks)
    if as_json:
        records = [
            {"provider": chosen, **asdict(result), "property": result.property.title}
            for result in results
        ]
        print(json.dumps(records, indent=2))
    else:
        out.print(_conformance_table(chosen, results, full))
        by_auto = " (chosen by auto)" if provider != chosen else ""
        out.print(f"provider: {chosen}{by_auto}")
    return all(result.held is not False for result in results)


def _conformance_table(provider: str, results: Sequence[AttackResult], full: bool) -> Table:
    kind = "all attacks" if full else "the short version; --full runs all"
    table = _table(f"what {provider} holds here: {kind}", "property")
    for property in dict.fromkeys(result.property for result in results):
        own = [result for result in results if result.property is property]
        table.add_row(property.title, *_row(own))
    return table


def _table(title: str, subject: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in (subject, "result", "what was seen"):
        table.add_column(name, overflow="fold")
    return table


def _row(results: Sequence[AttackResult]) -> tuple[Text, str]:
    failures = [result for result in results if result.held is False]
    if failures:
        seen = "\n".join(f"{result.attack}: {result.why}" for result in failures)
        return Text("does not hold", "red"), seen
    if all(result.held is None for result in results):
        return Text("not claimed", "yellow"), "not attacked, because nothing would stop it"
    names = ", ".join(result.attack for result in results)
    return Text("holds", "green"), f"{len(results)} held: {names}"

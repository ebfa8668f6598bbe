"""Tokens per second of the default CPU engine and of transformers `generate`, side by side.

Same checkpoint, same prompts (stage 5 on four problems, 16 candidates each), same sampling
settings, in turn, several times: machines drift, so the ratio of each turn counts and the median
is printed last as `ratio=X`. Both run bfloat16 arithmetic; OpenVINO keeps its weights in int8.

    make bench-engine
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from ucoder.engines.openvino import OpenVINOEngine
from ucoder.engines.protocol import Engine, Prompt, Request, SamplingParams
from ucoder.engines.transformers import TransformersEngine
from ucoder.models import load_catalog, openvino_export, resolve
from ucoder.stages.prompts.forms import FENCE
from ucoder.stages.solutions import STOP

TURNS = 3
N = 16
TASKS = (
    "the sum of the decimal digits of n: `def digit_sum(n: int) -> int`",
    "the words of a sentence in reverse order: `def reverse_words(sentence: str) -> str`",
    "all prime factors of n in ascending order: `def prime_factors(n: int) -> list`",
    "whether the brackets of a text are balanced: `def is_balanced(text: str) -> bool`",
)
# As stage 5 draws by default: both engines give raw log-probabilities with it.
SAMPLING = SamplingParams(temperature=1.0, top_p=1.0, max_tokens=64, stop=STOP)


def requests(turn: int) -> list[Request]:
    """The turn's requests: the same for both engines."""
    ask = "Write a Python function that returns {}. Answer with one Python code block only."
    prompts = [Prompt(ask.format(task), FENCE) for task in TASKS]
    return [Request(p, N, SAMPLING, seed=100 * turn + i) for i, p in enumerate(prompts)]


async def rate(engine: Engine, turn: int) -> float:
    """Tokens per second of one turn."""
    start = time.perf_counter()
    answers = await asyncio.gather(*map(engine.sample, requests(turn)))
    seconds = time.perf_counter() - start
    return sum(c.n_tokens for answer in answers for c in answer) / seconds


async def main() -> None:
    """Measure and print."""
    model = resolve(load_catalog().default, notify=lambda text: print(text, file=sys.stderr))
    default = OpenVINOEngine(openvino_export(model), is_chat=model.is_chat)
    reference = TransformersEngine(model.path, is_chat=model.is_chat, device="cpu")
    ratios = []
    print(
        f"{model.name}: {len(TASKS)} prompts x {N} completions, up to {SAMPLING.max_tokens} tokens"
    )
    async with default, reference:
        for engine in (default, reference):  # the first requests compile and fill caches
            await engine.sample(Request(Prompt("Hello."), 2, SamplingParams(max_tokens=8), seed=0))
        for turn in range(TURNS):
            ours, theirs = await rate(default, turn), await rate(reference, turn)
            ratios.append(ours / theirs)
            print(
                f"turn {turn}: openvino {ours:6.1f} tokens/s, transformers {theirs:6.1f} tokens/s, "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"ratio={statistics.median(ratios):.2f}")


if __name__ == "__main__":
    asyncio.run(main())

"""Tokens per second of transformers with continuous batching and of plain `generate`.

The same process, checkpoint, device, precision, prompts and sampling settings; in turn, several
times: machines drift, so the ratio of each turn counts and the median is printed last as `ratio=X`.
`generate` takes one request at a time (its n completions are one batch), the continuous engine all
of them at once.

    python benchmarks/batching.py
    python benchmarks/batching.py --device cuda --model qwen2.5-coder-0.5b-instruct --prompts 128
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time

from ucoder.engines.protocol import Engine, Prompt, Request, SamplingParams
from ucoder.engines.transformers import TransformersEngine
from ucoder.engines.transformers_continuous import ContinuousTransformersEngine
from ucoder.models import resolve
from ucoder.stages.prompts.forms import FENCE
from ucoder.stages.solutions import STOP

VERBS = ("sum", "largest", "smallest", "product", "median", "count of the even", "average",
         "last", "first", "most frequent", "sorted", "distinct", "reversed", "negative",
         "count of the odd", "longest run of equal")  # fmt: skip
ASK = (
    "Write a Python function `solve(values: list, start: int)` that returns the {} of the values "
    "from position {} on. Answer with one Python code block only."
)


def requests(args: argparse.Namespace, turn: int) -> list[Request]:
    """The turn's requests: the same for both engines, drawn as stage 5 draws by default."""
    sampling = SamplingParams(temperature=1.0, top_p=1.0, max_tokens=args.max_tokens, stop=STOP)
    asks = [ASK.format(VERBS[i % len(VERBS)], i // len(VERBS)) for i in range(args.prompts)]
    return [
        Request(Prompt(ask, FENCE), args.n, sampling, seed=100_000 * turn + i)
        for i, ask in enumerate(asks)
    ]


async def rate(engine: Engine, asked: list[Request]) -> float:
    """Tokens per second of one turn."""
    start = time.perf_counter()
    answers = await asyncio.gather(*map(engine.sample, asked))
    seconds = time.perf_counter() - start
    return sum(c.n_tokens for answer in answers for c in answer) / seconds


async def measure(args: argparse.Namespace) -> None:
    """Measure and print."""
    model = resolve(args.model, notify=lambda text: print(text, file=sys.stderr))
    static = TransformersEngine(
        model.path,
        is_chat=model.is_chat,
        device=args.device,
        precision=args.precision,
        max_sequences=args.max_sequences,
    )
    continuous = ContinuousTransformersEngine(
        model.path,
        is_chat=model.is_chat,
        device=args.device,
        precision=args.precision,
        max_sequences=args.max_sequences,
    )
    print(
        f"{model.name}, {args.precision}, device {args.device}: {args.prompts} prompts x {args.n} "
        f"completions of up to {args.max_tokens} tokens, {args.max_sequences} sequences a batch"
    )
    ratios = []
    async with static, continuous:
        for engine in (static, continuous):  # the first requests fill caches
            await engine.sample(Request(Prompt("Hello."), 2, SamplingParams(max_tokens=8), seed=0))
        for turn in range(args.turns):
            asked = requests(args, turn)
            plain, batched = await rate(static, asked), await rate(continuous, asked)
            ratios.append(batched / plain)
            print(
                f"turn {turn}: continuous {batched:7.1f} tokens/s, generate {plain:7.1f} tokens/s, "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"ratio={statistics.median(ratios):.2f}")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a name or a folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--n", type=int, default=4, help="completions of each prompt")
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--max-sequences", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()

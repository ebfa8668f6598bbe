"""Documented commands that are not run as they stand: what is added to them, or why they stay.

Keys are commands as the pages have them, without comments and line breaks.
"""

from __future__ import annotations

from typing import Final

SCRIPTED: Final = (
    "engine.provider=scripted consolidation.provider=scripted consolidation.iterations=1 "
    "problems.n=2 test_inputs.n=8 solutions.n=20 evaluation.n_tasks=2"
)
"""A run of seconds, by the scripted engine and trainer."""
_PAPER = f"{SCRIPTED} 'evaluation.benchmarks=[humaneval]' scale=local"
_MODEL: Final = "--engine scripted"

APPENDED: Final = {
    "ucoder run demo": SCRIPTED,
    "ucoder run demo problems.n=100 solutions.n=32": SCRIPTED,
    "ucoder run demo problems.n=100 solutions.n=64 'solutions.stopping={max_regret: 0.01}'": (
        SCRIPTED
    ),
    "ucoder run demo solutions.min_probability=0.8 solutions.n=64 "
    "'solutions.stopping={max_regret: 0.01}'": SCRIPTED,
    "ucoder run demo solutions.selector=agreement solutions.min_probability=0.8": SCRIPTED,
    "ucoder run demo solutions.n=128 solutions.selector=agreement "
    "'solutions.stopping={max_regret: 0.01, min_candidates: 16}'": SCRIPTED,
    "ucoder run demo engine=transformers problems.n=400 solutions.n=64 consolidation.iterations=2 "
    "evaluation.n_tasks=null -o runs/gpu": SCRIPTED,
    # Sampled from a server of OpenAI's protocol, which answers by the scripted engine.
    "ucoder run demo engine=openai engine.server.url=http://localhost:8000/v1 "
    "consolidation.provider=none solutions.n=32": (
        "problems.n=2 test_inputs.n=8 solutions.n=8 evaluation.n_tasks=2"
    ),
    "ucoder run paper-7b": _PAPER,
    "ucoder run paper-7b model=/models/my-code-model engine.vllm.tensor_parallel=2": _PAPER,
    "ucoder run paper-7b scale=ray scale.gpus_per_replica=1 scale.cpus_per_replica=12 "
    "scale.training_gpus=8 -o /shared/runs/paper-7b": _PAPER,
    # Of eight inputs a problem, those of the scripted model are too few for a probability of 0.8.
    "ucoder run examples/gpu.yaml -o runs/gpu": f"{SCRIPTED} solutions.inputs=all",
    "ucoder run examples/laptop.yaml -o runs/laptop": SCRIPTED,
    "ucoder doctor rates -o h100.yaml": (
        "--set engine.provider=transformers --set engine.max_sequences=16 "
        "--set model=runs/tiny/checkpoints/iteration-0"
    ),
    "ucoder eval MODEL -b humaneval+ -b mbpp+": _MODEL,
    "ucoder eval my/model -b interview.py": _MODEL,
    "ucoder eval qwen2.5-coder-0.5b-instruct -b humaneval+ -b mbpp+ -o results/base": _MODEL,
    "ucoder eval runs/mine/checkpoints/iteration-0 -b humaneval+ -b mbpp+ -o results/tuned": _MODEL,
    "ucoder eval qwen2.5-coder-0.5b-instruct -b bigcodebench-complete-hard "
    "-b bigcodebench-instruct-hard -o results/base-bigcodebench": _MODEL,
    "make bench-streaming": 'ARGS="--problems 40 --timed 2"',
    "python benchmarks/intervals.py": "--trials 10",
    "python benchmarks/execution.py --flat 10000": "--flat 20",
    "python benchmarks/draw_samples.py known-answers FILE.jsonl --n 32": (
        "--n 2 --tasks 2 --set engine.provider=scripted"
    ),
    "python benchmarks/draw_samples.py humaneval FILE.jsonl": (
        "--n 2 --tasks 2 --set engine.provider=scripted"
    ),
}
"""What is added, so that neither a large model nor many minutes are needed."""

_INDEX: Final = "installs packages from an index"
_INSTALLS: Final = "installs what it compares with from an index"
_MODEL_NEEDED: Final = "measures the speed of a real model"
_RECURSIVE: Final = "runs this test, too"
_NAMED: Final = "is named in a sentence, without the arguments that it needs"
_MINUTES: Final = "runs thousands of programs for minutes; the tests of studies use two tasks"
_OTHER: Final = "another project's program, which need not be installed here"

NOT_RUN: Final = {
    'make bench-calibration DATA=known-answers ARGS="--judge samples.jsonl.gz"': _MINUTES,
    "make bench-calibration DATA=known-answers": _MINUTES,
    "make bench-selection DATA=known-answers": _MINUTES,
    "ucoder study selection known-answers": _MINUTES,
    "ucoder study coverage known-answers": _MINUTES,
    "python benchmarks/invalid_inputs.py known-answers": _MINUTES,
    "ucoder study selection benchmarks/known-answers-bodies.jsonl.gz": _MINUTES,
    "make check": "CI runs it before the tests",
    "make test": _RECURSIVE,
    "make test-all": _RECURSIVE,
    "make test-vllm": _INDEX,
    "make wheel": "isolates its build, which needs an index; tests/test_wheel.py builds the same",
    "/usr/bin/time -v make demo": "`make demo` is run without it",
    ".venv/bin/pre-commit install": "changes the repository's hooks",
    'pip install "ucoder[cpu,train,eval,report]"': _INDEX,
    'pip install "ucoder[bigcodebench]" "pandas<3" "matplotlib<3.10"': _INDEX,
    'pip install "ucoder[train]" "ucoder[vllm]"': _INDEX,
    'pip install "ucoder[ray]"': _INDEX,
    'pip install "ucoder[openai]"': _INDEX,
    'pip install "ucoder[study]"': _INDEX,
    'pip install "ucoder[deepspeed]"': _INDEX,
    "make bench-engine": _MODEL_NEEDED,
    "make bench-overlap": _MODEL_NEEDED,
    "python benchmarks/batching.py --device cuda --model qwen2.5-coder-0.5b-instruct "
    "--prompts 128": _MODEL_NEEDED,
    "make bench-execution": _INSTALLS,
    "make bench-evaluation": _INSTALLS,
    "make bench-evaluation SAMPLES=results/base": _INSTALLS,
    "make bench-verdicts": _INSTALLS,
    "make bench-verdicts-bigcodebench": _INSTALLS,
    "make bench-calibration": _NAMED,
    "make bench-duplicates": _NAMED,
    'make bench-scale FOLDER=/tmp/scale ARGS="--tokens-per-s 50000"': (
        "takes half an hour on a cluster of four nodes"
    ),
    "ucoder eval": _NAMED,
    "ucoder run": _NAMED,
    "ucoder status --json": _NAMED,
    "ucoder study selection --json": _NAMED,
    "UCODER_CACHE=$(mktemp -d) /usr/bin/time -v python -c "
    '"from ucoder.models import load_catalog, openvino_export, resolve; '
    'openvino_export(resolve(load_catalog().default))"': "downloads and converts a large model",
    "ray start --head": _OTHER,
    "ray start --address=HOST:6379": _OTHER,
    "tensorboard --logdir RUN/metrics": "serves until it is stopped",
    "vllm serve RUN/checkpoints/iteration-0 --served-model-name my-coder": _OTHER,
    "python -m vllm.entrypoints.openai.api_server --model RUN/checkpoints/iteration-0": _OTHER,
    "python llama.cpp/convert_hf_to_gguf.py RUN/checkpoints/iteration-0 --outtype q8_0 "
    "--outfile my-coder.gguf": _OTHER,
    "llama-server -m my-coder.gguf": _OTHER,
}
"""Why a command is not run. Its options and settings are checked by tests/test_docs.py."""

REPLACED: Final = {
    '["problems.n=10", "solutions.n=8"]': f"{SCRIPTED.split()}",
    # An executor of the reader's, in a function of the reader's; two attacks instead of all.
    "async with MyExecutor(LIMITS) as executor:\n    results = await run_conformance(executor, "
    "ATTACKS,": (
        "import asyncio\nfrom ucoder.execution import open_executor\n\n\n"
        "async def main():\n  async with open_executor('auto', LIMITS) as executor:\n"
        "    results = await run_conformance(executor, ATTACKS[:2],"
    ),
}
"""What stands in the place of a part of a Python snippet."""

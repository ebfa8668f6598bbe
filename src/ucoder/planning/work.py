"""What a run does and leaves: attempts, tokens, programs, examples, answers and bytes, by stage.

`estimate` is the whole calculation in plain arithmetic, with one number for each assumption. What
the configuration fixes is exact (n candidates a problem); what the model decides is assumed (how
long they are).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ucoder.config import RunConfig
from ucoder.evaluation.benchmarks.livecodebench_files import files_of
from ucoder.evaluation.registry import find_benchmarks
from ucoder.given import load_given
from ucoder.inputs.distinguishing import MAX_PROGRAMS
from ucoder.models import load_catalog
from ucoder.planning.assumptions import DISTINCT_EXPONENT, N_TASKS, SHAPES, End, Range
from ucoder.stages.solutions import ROUND_SIZE
from ucoder.training.memory import ModelShape, training_memory

N_GPUS: Final = (1, 2, 4, 8)
"""Numbers of GPUs to give the memory for, where the configuration leaves it open."""
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z])")


def estimate(config: RunConfig, a: Mapping[str, float], end: End) -> dict[str, Any]:
    """One of the three cases, from the assumptions `a` at that end.

    Returns:
        `problems` accepted; `decided`, those with enough test inputs for stage 5; by stage, the
        fields of `ucoder.planning.plan.StageWork`; by table, its bytes; the number of `files`.
    """
    n, most = config.problems.n, config.problems.max_attempts
    passes = config.consolidation.iterations
    problems = min(n, most * a["accepted"])
    attempts = min(most, n / a["attempts_accepted"])
    given = load_given(config.problems)
    if given is not None:
        usable = sum(one.refusal is None for one in given.problems)
        problems, attempts = float(min(n, usable)), 0.0
    ratings = min(attempts, problems * max(1, a["ratings_per_problem"]))
    interfaces = min(ratings, problems * max(1, a["interfaces_per_problem"]))
    decided = problems * a["usable"]
    stages, tables, answered = {}, {}, 0.0
    for stage, units, row, n_completions in (
        ("problems", attempts, "problem_tokens", 1),
        ("ratings", ratings, "rating_tokens", config.ratings.n),
        ("interfaces", interfaces, "interface_tokens", 1),
        ("test_inputs", problems, "input_tokens", config.test_inputs.n_completions),
    ):
        tokens = min(a[row], getattr(config, stage).sampling.max_tokens)
        prompt = a[f"prompt_tokens.{stage}"]
        stages[stage] = _sampled(units, units * n_completions * tokens, units * prompt)
    tables["attempts"] = attempts * a["bytes.attempt"]
    tables["suites"] = problems * a["bytes.suite"]
    if passes:
        shards = decided * passes
        solutions = stages["solutions"] = _solutions(config, a, decided)
        examples = stages["consolidation"] = _consolidation(config, a, decided)
        a_candidate, a_call = a["bytes.candidate"], a["bytes.call"]
        tables["candidates"] = shards * a["bytes.candidates"] + solutions["units"] * a_candidate
        tables["executions"] = shards * a["bytes.executions"] + solutions["calls"] * a_call
        tables["selections"] = shards * a["bytes.selection"]
        tables["examples"] = examples["units"] * a["bytes.example"]
    if asked := _asked(config, a, end):
        models, samples = n_models(config), config.evaluation.n
        answered = models * sum(tasks for tasks, _ in asked)
        tokens = models * samples * sum(tasks * tokens for tasks, tokens in asked)
        prompts = answered * a["prompt_tokens.evaluation"]
        stages["evaluation"] = _sampled(answered * samples, tokens, prompts)
        tables["answers and scores"] = answered * a["bytes.answer"]  # of one task, all samples
    files = attempts + problems + (3 + config.solutions.greedy) * decided * passes + 2 * answered
    return {"problems": problems, "decided": decided, "stages": stages, "tables": tables,
            "files": files}  # fmt: skip


def _sampled(units: float, sampled_tokens: float, prompt_tokens: float) -> dict[str, float]:
    return {"units": units, "sampled_tokens": sampled_tokens, "prompt_tokens": prompt_tokens}


def _solutions(config: RunConfig, a: Mapping[str, float], decided: float) -> dict[str, float]:
    wanted, solved = config.solutions, decided * config.consolidation.iterations
    least = least_candidates(config)
    candidates = least + a["drawn"] * (wanted.n - least)
    distinct = min(1.0, a["distinct"] * (candidates / ROUND_SIZE) ** DISTINCT_EXPONENT)
    inputs, probes = a["filled"] * config.test_inputs.n, 0.0
    if wanted.distinguishing_inputs:
        inputs += a["extended"] * a["distinguishing_inputs"]
        # The first round runs again on extended suites, and the search runs a few programs.
        again = a["extended"] * a["distinct"] * min(wanted.n, ROUND_SIZE)
        probes = decided * (again + MAX_PROGRAMS)
    tokens = min(a["solution_tokens"], wanted.sampling.max_tokens)
    prompts = solved * math.ceil(candidates / ROUND_SIZE) * a["prompt_tokens.solutions"]
    programs = solved * candidates * distinct
    # A greedy answer is one sequence more, with a prompt of its own.
    sampled = solved * (candidates + wanted.greedy) * tokens
    prompts += solved * wanted.greedy * a["prompt_tokens.solutions"]
    work = _sampled(solved * candidates, sampled, prompts)
    return {**work, "programs": programs, "calls": programs * inputs, "probes": probes}


def _consolidation(config: RunConfig, a: Mapping[str, float], decided: float) -> dict[str, float]:
    training, examples = config.consolidation, decided * a["selected"]
    if training.provider != "trl":
        return {"units": examples * training.iterations}
    steps = math.ceil(math.ceil(examples / training.batch_size) * training.epochs)
    tokens = examples * min(a["example_tokens"], training.max_length) * training.epochs
    times = training.iterations
    return {"units": examples * times, "steps": steps * times, "trained_tokens": tokens * times}


def _asked(config: RunConfig, a: Mapping[str, float], end: End) -> list[tuple[float, float]]:
    """What every model is asked: tasks, and tokens of an answer, of each set of prompts."""
    wanted = config.evaluation
    known = [name for name in wanted.benchmarks if not name.endswith(".py")]
    # Benchmarks that share their prompts share their answers too.
    found = {one.prompts: one for one in find_benchmarks(known, wanted.options())}
    asked = []
    for prompts, one in found.items():
        tokens = a.get(f"answer_tokens.{prompts}", a["answer_tokens"])
        longest = wanted.max_tokens or one.max_tokens
        asked.append((_tasks(config, one.name, end), min(tokens, longest)))
    if wanted.n_tasks is not None:
        own = (wanted.n_tasks, min(a["answer_tokens"], wanted.max_tokens or math.inf))
        asked += [own] * (len(wanted.benchmarks) - len(known))
    return asked


def _tasks(config: RunConfig, benchmark: str, end: End) -> float:
    wanted, dates = config.evaluation, config.evaluation.livecodebench
    if wanted.n_tasks is not None:
        return wanted.n_tasks
    if benchmark != "livecodebench":
        return N_TASKS[benchmark.removesuffix("+")]
    n = sum(N_TASKS[file] for file in files_of(dates.release))
    is_whole = dates.start is None and dates.end is None
    # Only the data say how many contests lie between two days.
    return n if is_whole else n * {"low": 0.0, "likely": 0.5, "high": 1.0}[end]


def uncounted(config: RunConfig) -> tuple[str, ...]:
    """What cannot be counted before the run, in sentences."""
    return tuple(
        f"{name} is not counted: its tasks are known only once it is loaded; evaluation.n_tasks "
        f"would say how many are asked"
        for name in config.evaluation.benchmarks
        if name.endswith(".py") and config.evaluation.n_tasks is None
    )


def least_candidates(config: RunConfig) -> int:
    """Candidates that every problem gets: n, or the whole rounds before sampling may stop."""
    n, stopping = config.solutions.n, config.solutions.stopping
    least = n if stopping is None else stopping.min_candidates
    return min(n, math.ceil(least / ROUND_SIZE) * ROUND_SIZE)


def n_models(config: RunConfig) -> int:
    """M0 and what each iteration makes of it."""
    training = config.consolidation
    return 1 if training.provider == "none" else training.iterations + 1


def checkpoint_bytes(config: RunConfig) -> Range | None:
    """Bytes of the trained models; None where the model's size is not known."""
    training, n = config.consolidation, parameters_of(config.model)
    if training.provider != "trl" or not training.iterations:
        return Range.exactly(0)
    # OpenVINO keeps its own form, 8 bits a weight, beside the checkpoint.
    weight = (4 if training.save_precision == "float32" else 2) + (
        config.engine.provider == "openvino"
    )
    each = training.iterations * weight
    return n and Range(n.low * each, n.likely * each, n.high * each)


def parameters_of(model: str) -> Range | None:
    """How many parameters a model has: from the catalog, or from its name; None where neither says.

    Names round: a "7B" model has 6.7 to 7.6 billion.
    """
    if entry := load_catalog().models.get(model):
        return Range.within(entry.parameters, 1.05)
    for number, unit in reversed(_SIZE.findall(model.rsplit("/", 1)[-1])):
        named = float(number) * (1e9 if unit in "bB" else 1e6)
        return Range(0.9 * named, named, 1.3 * named)
    return None


def training_bytes(config: RunConfig) -> dict[int, int]:
    """Bytes on each GPU by number of GPUs; empty where nothing is trained or the shape unknown."""
    training, shape = config.consolidation, shape_of(config.model)
    if shape is None or training.provider != "trl" or not training.iterations:
        return {}
    counts = (training.n_processes,) if training.n_processes else N_GPUS
    return {n: training_memory(shape, training, n).total for n in counts}


def shape_of(model: str) -> ModelShape | None:
    """From a local config.json, or by the name of one of the paper's models; None elsewhere."""
    try:
        return ModelShape.of(Path(model))
    except (OSError, ValueError, KeyError, TypeError):  # not a local model, or not such a decoder
        row = SHAPES.get(model.rsplit("/", 1)[-1].lower().removesuffix("-instruct"))
    if row is None:
        return None
    *sizes, tables = row
    bare = ModelShape(0, *sizes)
    n_parameters = bare.n_layers * bare.layer_parameters + tables * bare.table_parameters
    return ModelShape(n_parameters, *sizes)

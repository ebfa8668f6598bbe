"""Whole runs against a server that fails at single requests: they go on and count what is lost."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ucoder import Run, load_config, run_pipeline, summarise
from ucoder.cli.viewing import findings
from ucoder.errors import EngineError
from ucoder.records import LOST, Reason

from .engines.serving import Answer, Fault, no_fault, serving
from .fault_tolerance.comparison import shards, tables

STAGES = {
    "problems": "Invent one new Python",
    "ratings": "Rate the quality",
    "interfaces": "Write the interface",
    "test_inputs": "test cases",
    "solutions": "Write a Python function that solves",
}


def new_run(path: Path, url: str, *overrides: str) -> Run:
    settings = [
        "engine.provider=openai", f"engine.server.url={url}", "engine.server.max_retries=0",
        "problems.n=4", "solutions.n=8", "test_inputs.n=10", "evaluation.benchmarks=[]",
        "consolidation.provider=none", "consolidation.iterations=1", "executor.n_workers=2",
    ]  # fmt: skip
    return Run.create(path, load_config("scripted", [*settings, *overrides]))


def faulty(prompt: str, value: dict[str, Any]) -> Answer:
    """Every third prompt of a stage has one of nine faults, always the same one."""
    if not any(words in prompt for words in STAGES.values()):
        return 200, value  # the probes at the start
    number = int(sha256(prompt.encode()).hexdigest(), 16)
    if number % 3:
        return 200, value
    choice = value["choices"][0]
    match number // 3 % 9:
        case 0:
            return 400, {"error": {"message": "maximum context length is 4096 tokens"}}
        case 1:
            return 403, {"error": {"message": "flagged by moderation"}}
        case 2:
            choice |= {"finish_reason": "content_filter", "message": {"content": None}}
        case 3:
            choice["finish_reason"] = "abort"
        case 4:
            choice["finish_reason"] = None
        case 5:
            choice |= {"finish_reason": "tool_calls", "message": {"content": None}}
        case 6:
            choice["message"]["content"] = {"not": "a text"}
            value["choices"] *= 2
        case 7:
            choice["logprobs"]["content"][0]["logprob"] = -3.4e38
        case 8:
            return None
    return 200, value


async def test_faults_of_single_requests_cost_their_completions_at_every_stage_and_no_run(
    tmp_path: Path,
) -> None:
    with serving(faulty) as url:
        run = new_run(tmp_path / "run", url, "problems.max_attempts=80", "problems.n=6")
        await run_pipeline(run)
        before = shards(run.path)
        await run_pipeline(Run.open(run.path))  # finished: nothing is asked again
        assert shards(run.path) == before
    summary = summarise(run)
    assert summary.problem_space.n_attempts == 80 and summary.problem_space.n_accepted > 1
    rejected = [a for a in run.attempts.rows() if a.reason in LOST]
    assert {reason for a in rejected if (reason := a.reason)} >= {
        Reason.REQUEST_REFUSED, Reason.CONTENT_FILTER, Reason.UNFINISHED,
    }  # fmt: skip
    assert all(attempt.problem is None and attempt.detail for attempt in rejected)
    lost = Counter(str(c.reason) for c in run.candidates(0).rows() if c.reason in LOST)
    lost += Counter(str(attempt.reason) for attempt in rejected)
    for suite in run.suites.rows():
        lost += Counter({str(c.reason): c.count for c in suite.refused if c.reason in LOST})
    (said,) = [line for line in findings(summary) if "lost" in line]
    assert said.startswith(f"{sum(lost.values())} completions were lost: ")
    in_words = {reason.replace("_", " "): n for reason, n in lost.items()}
    assert all(f"{n} {reason}" in said for reason, n in in_words.items())
    ends = [json.loads(line) for line in (run.path / "journal.jsonl").read_text().splitlines()]
    told = {entry["stage"]: entry.get("lost", 0) for entry in ends if entry["event"] == "end"}
    assert told["problems"] == len(rejected)


@pytest.mark.parametrize("stage", STAGES)
async def test_a_stage_whose_every_completion_is_filtered_is_finished_and_resuming_stays_there(
    tmp_path: Path, stage: str
) -> None:
    def filtered(prompt: str, value: dict[str, Any]) -> Answer:
        if STAGES[stage] in prompt:
            for choice in value["choices"]:
                choice |= {"finish_reason": "content_filter", "message": {"content": None}}
        return 200, value

    with serving(filtered) as url:
        run = new_run(tmp_path / "run", url, "problems.max_attempts=4", "problems.n=1")
        for _ in range(2):
            with pytest.raises(Exception, match=r"no problem|nothing to train on"):
                await run_pipeline(Run.open(run.path))
    summary = summarise(run)
    found: dict[str, Any] = dict(summary.problem_space.rejected)
    found["test_inputs"] = summary.input_space.given_up
    found["solutions"] = next((i.without_program for i in summary.iterations), {})
    assert found[stage]["content_filter"] > 0


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("stage", ["ratings", "solutions"])
async def test_a_fault_of_every_request_ends_the_run_and_resuming_gives_the_same_records(
    tmp_path: Path, stage: str, status: int
) -> None:
    served, is_broken = 0, True

    def breaking(prompt: str, value: dict[str, Any]) -> Answer:
        nonlocal served
        served += STAGES[stage] in prompt
        if is_broken and served > 1:
            return status, {"error": {"message": "not any more"}}
        return 200, value

    with serving(no_fault) as url:
        undisturbed = new_run(tmp_path / "a", url)
        await run_pipeline(undisturbed)
    with serving(breaking) as url:
        run = new_run(tmp_path / "b", url)
        with pytest.raises(EngineError, match=f"{status}.*not any more"):
            await run_pipeline(run)
        is_broken = False
        await run_pipeline(Run.open(run.path))
    assert tables(run.path) == tables(undisturbed.path)


FAULTS_OF_TASKS: dict[str, Fault] = {
    "filtered": lambda prompt, value: (
        200,
        {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
        if "def truncate_number" in prompt
        else value,
    ),
    "too long": lambda prompt, value: (
        (400, {"error": "too long"}) if "def truncate_number" in prompt else (200, value)
    ),
    "aborted": lambda prompt, value: (
        200,
        {"choices": [{"message": {"content": "def truncate_number("}, "finish_reason": "abort"}]}
        if "def truncate_number" in prompt
        else value,
    ),
}


@pytest.mark.parametrize("fault", FAULTS_OF_TASKS.values(), ids=FAULTS_OF_TASKS)
async def test_a_benchmark_task_whose_completion_is_lost_was_not_run_and_is_not_a_failure(
    tmp_path: Path, fault: Fault
) -> None:
    benchmark = ["evaluation.benchmarks=[humaneval]", "evaluation.n_tasks=164"]
    with serving(fault) as url:
        run = new_run(tmp_path / "run", url, "problems.n=1", *benchmark)
        await run_pipeline(run)
    scores = {score.task_id: score for score in run.scores("humaneval", 0).rows()}
    lost = scores["HumanEval/2"]
    assert (lost.passed, str(lost.reason)) == (None, "no_completion") and lost.detail
    (score, *_) = summarise(run).scores
    assert (score.n_tasks, score.n_run, score.not_run) == (164, 163, {"no_completion": 1})

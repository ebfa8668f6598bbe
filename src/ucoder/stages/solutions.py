"""Stage 5: the solution space of a problem: sample, run, cluster, select (figure 2).

Candidates are drawn in rounds. A round's programs go to the executor as soon as they are there,
while the engine works on the next round and on other problems, so sampling and execution overlap.
Programs that are the same but for their looks run once.

What a candidate is: the definitions of the code block that the model wrote. Top-level calls,
asserts and `if __name__` blocks, with which models like to show their function off, are left out:
they print, and they would be learnt.
"""

from __future__ import annotations

import ast
import asyncio
import re
from dataclasses import dataclass

from ucoder.config import SolutionsConfig
from ucoder.consensus.selection import Ballot, rule_of, select
from ucoder.engines.protocol import Completion, Engine, Prompt, Request
from ucoder.execution.duplicates import program_key
from ucoder.execution.protocol import Executor
from ucoder.records import (
    Candidate,
    Execution,
    FinishReason,
    Problem,
    Reason,
    TestSuite,
    digest,
)
from ucoder.seeds import derive_seed
from ucoder.stages._text import MAX_CHARS, Refusal, parse_module
from ucoder.stages.prompts import fill, sampling_of

BEGUN = "```python\n"
STOP = ("\n```",)
ROUND_SIZE = 16
"""Candidates a request. Part of a run's identity: each round has a seed of its own."""

_BLOCK = re.compile(r"```[^\n`]{0,20}\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pool:
    """A problem's candidates, their executions and the ballot."""

    candidates: tuple[Candidate, ...]
    executions: tuple[Execution, ...]
    ballot: Ballot


async def probe_solutions(
    problem: Problem,
    suite: TestSuite,
    engine: Engine,
    executor: Executor,
    config: SolutionsConfig,
    run_seed: int,
    iteration: int,
) -> Pool:
    """Sample up to n candidates, run them, and select one."""
    candidates: list[Candidate] = []
    running: dict[str, asyncio.Task[Execution]] = {}
    inputs = [test_input.arguments for test_input in suite.inputs]
    try:
        for round_ in range(-(-config.n // ROUND_SIZE)):
            request = _request(problem, config, run_seed, iteration, round_)
            for completion in await engine.sample(request):
                candidate = make_candidate(problem, iteration, len(candidates), completion)
                candidates.append(candidate)
                if candidate.reason is None and candidate.program_id not in running:
                    running[candidate.program_id] = asyncio.create_task(
                        _execute(candidate, problem, inputs, executor)
                    )
        executions = {key: await task for key, task in running.items()}
    finally:
        for task in running.values():
            task.cancel()  # no effect on those that are done
    rule = rule_of(config)
    ballot = select(problem.id, iteration, candidates, executions, suite.inputs, rule)
    return Pool(tuple(candidates), tuple(executions.values()), ballot)


def solution_prompt(problem: Problem) -> Prompt:
    """What stage 5 asks; stage 6 trains on the same words."""
    skeleton = f"```python\n{problem.interface.source}```"
    return Prompt(fill("solution", statement=problem.statement, skeleton=skeleton), BEGUN)


def make_candidate(
    problem: Problem, iteration: int, index: int, completion: Completion
) -> Candidate:
    """The record of one completion, with its program or the reason why there is none."""
    code: str | Refusal
    if completion.finish_reason is FinishReason.LENGTH:
        code = Refusal(Reason.TRUNCATED, "cut at max_tokens")
    else:
        code = extract_program(BEGUN + completion.text, problem.interface.name)
    refused = isinstance(code, Refusal)
    program = "" if isinstance(code, Refusal) else code
    return Candidate(
        id=digest(problem.id, iteration, index),
        problem_id=problem.id,
        iteration=iteration,
        index=index,
        completion=completion.text,
        program=program,
        program_id="" if refused else program_key(program)[:16],
        n_tokens=completion.n_tokens,
        sum_logprob=completion.sum_logprob,
        finish_reason=completion.finish_reason,
        reason=code.reason if isinstance(code, Refusal) else None,
    )


def extract_program(text: str, entry_point: str) -> str | Refusal:
    """The program in an answer; any text at all may come.

    Args:
        text: The answer, with or without fences.
        entry_point: The function that it must define at top level.

    Returns:
        Imports, assignments and definitions, in the model's own formatting.
    """
    # As the parser counts lines: then its line numbers are those of split("\n").
    text = text[:MAX_CHARS].replace("\r\n", "\n").replace("\r", "\n")
    blocks = [match.group(1) for match in _BLOCK.finditer(text)]
    if not blocks:
        blocks = [text.replace("```python", "").replace("```", "")]
    if not any(block.strip() for block in blocks):
        return Refusal(Reason.NO_CODE, "the answer is empty")
    modules = [(block, parse_module(block)) for block in blocks]
    parsed = [(block, module) for block, module in modules if module is not None]
    if not parsed:
        return Refusal(Reason.DOES_NOT_PARSE, "no block of the answer is Python")
    for block, module in parsed:
        if _defines(module, entry_point):
            return _definitions_only(block, module)
    return Refusal(Reason.MISSING_ENTRY_POINT, f"no {entry_point} at top level")


def _defines(module: ast.Module, name: str) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in module.body)


def _definitions_only(source: str, module: ast.Module) -> str:
    """The source without the statements that only show a function off."""
    dropped: set[int] = set()
    kept: set[int] = set()
    for node in module.body:
        span = range(_first_line(node), (node.end_lineno or node.lineno) + 1)
        (dropped if _shows_off(node) else kept).update(span)
    # What comes after the last definition can only be a comment on what was dropped.
    lines = enumerate(source.split("\n")[: max(kept)], 1)
    # A line that holds both kinds, such as `x = 1; print(x)`, stays.
    text = "\n".join(line for number, line in lines if number in kept or number not in dropped)
    return text.strip() + "\n"


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _shows_off(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If) and isinstance(node.test, ast.Compare):
        left = node.test.left
        return isinstance(left, ast.Name) and left.id == "__name__"
    return False


def _request(
    problem: Problem, config: SolutionsConfig, run_seed: int, iteration: int, round_: int
) -> Request:
    n = min(ROUND_SIZE, config.n - round_ * ROUND_SIZE)
    seed = derive_seed(run_seed, "solutions", iteration, problem.id, round_)
    return Request(solution_prompt(problem), n, sampling_of(config.sampling, STOP), seed)


async def _execute(
    candidate: Candidate, problem: Problem, inputs: list[str], executor: Executor
) -> Execution:
    report = await executor.call(candidate.program, problem.interface.name, inputs)
    return Execution(
        problem_id=problem.id,
        iteration=candidate.iteration,
        program_id=candidate.program_id,
        status=report.status,
        detail=report.detail,
        outcomes=report.outcomes,
        cpu_s=report.cpu_s,
        wall_s=report.wall_s,
    )

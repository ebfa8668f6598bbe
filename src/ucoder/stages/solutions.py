"""Stage 5: the solution space of a problem: sample, run, cluster, select (figure 2).

Candidates are drawn in rounds. A round's programs go to the executor as soon as they are there,
while the engine works on the next round and on other problems, so sampling and execution overlap.
Programs that are the same but for their looks run once.

With `solutions.stopping` a problem waits after each round until its programs have run, and is
finished as soon as more candidates could hardly make the choice better. The rounds of other
problems keep the engine's batch full meanwhile: `max_concurrency` says how many there are.

With `solutions.distinguishing_inputs` the first round is followed by a search for inputs that tell
apart what agrees so far. They join the problem's suite, once and for all iterations.

What a candidate is: the definitions of the code block that the model wrote. Top-level calls,
asserts and `if __name__` blocks, with which models like to show their function off, are left out:
they print, and they would be learnt.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ucoder.config import SolutionsConfig, StoppingConfig
from ucoder.consensus.selection import Ballot, n_wanted_by, rule_of, select
from ucoder.engines.protocol import Completion, Engine, Prompt, Request
from ucoder.execution.duplicates import program_key
from ucoder.execution.protocol import Executor
from ucoder.inputs.distinguishing import has_distinguishing_inputs, seek_inputs
from ucoder.inputs.text import MAX_CHARS, Refusal, parse_module
from ucoder.programs import Executions
from ucoder.records import (
    Candidate,
    Execution,
    FinishReason,
    Problem,
    Reason,
    Selection,
    TestSuite,
    digest,
)
from ucoder.seeds import derive_seed
from ucoder.stages.prompts import fill, sampling_of

PREFILL = "```python\n"
STOP = ("\n```",)
ROUND_SIZE = 16
"""Candidates a request. Part of a run's identity: each round has a seed of its own."""

_BLOCK = re.compile(r"```[^\n`]{0,20}\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pool:
    """A problem's candidates, their executions and the ballot.

    Attributes:
        suite: The inputs that every execution is on: those given, or more where some were found
            that separate.
        candidates: In the order of sampling.
        executions: One a distinct program.
        ballot: What the rule makes of them.
    """

    suite: TestSuite
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
    """Sample up to n candidates, run them, and select one.

    Inputs that separate are sought in iteration 0 alone, for a suite that holds none: what a later
    iteration added would be missing in the executions of those before it.
    """
    candidates: list[Candidate] = []
    running = Executions(problem, suite.inputs, executor)

    def ballot_on(executions: Mapping[str, Execution]) -> Ballot:
        return select(
            problem.id, iteration, candidates, executions, suite.inputs,
            rule_of(config), n_wanted_by(config),
        )  # fmt: skip

    requests = [
        request_of(problem, config, run_seed, iteration, round_)
        for round_ in range(-(-config.n // ROUND_SIZE))
    ]
    rounds = _Rounds(engine, requests, ahead=config.stopping is None)
    try:
        for round_ in range(len(requests)):
            for completion in await rounds.take(round_):
                candidates.append(make_candidate(problem, iteration, len(candidates), completion))
                running.begin(candidates[-1])
            if (
                config.distinguishing_inputs
                and iteration == round_ == 0
                and not has_distinguishing_inputs(suite)
            ):
                suite = await _with_distinguishing_inputs(
                    problem, suite, candidates, running, executor, config, run_seed
                )
            if config.stopping and len(candidates) < config.n:
                ballot = ballot_on(await running.results())
                if may_stop(ballot.selection, config.stopping):
                    break
        executions = await running.results()
    finally:
        rounds.cancel()
        running.cancel()
    return Pool(suite, tuple(candidates), tuple(executions.values()), ballot_on(executions))


class _Rounds:
    """Completions by rounds; the next one is asked for before this one is read.

    Reading sixteen programs takes a while, in which the engine would have one request less. Not
    where a round may turn out to be the last: what is sampled then would be for nothing.
    """

    def __init__(self, engine: Engine, requests: Sequence[Request], ahead: bool) -> None:
        self._engine = engine
        self._requests = requests
        self._ahead = ahead
        self._asked: dict[int, asyncio.Task[list[Completion]]] = {}

    async def take(self, round_: int) -> list[Completion]:
        completions = await self._ask(round_)
        del self._asked[round_]
        if self._ahead and round_ + 1 < len(self._requests):
            self._ask(round_ + 1)
        return completions

    def _ask(self, round_: int) -> asyncio.Task[list[Completion]]:
        if round_ not in self._asked:
            asking = self._engine.sample(self._requests[round_])
            self._asked[round_] = asyncio.create_task(asking)
        return self._asked[round_]

    def cancel(self) -> None:
        """Give up what was asked for."""
        for task in self._asked.values():
            task.cancel()


def may_stop(selection: Selection, stopping: StoppingConfig) -> bool:
    """Whether the candidates so far will do.

    Not as long as the selector's own demands (the paper's tau) leave nobody to choose: more
    candidates may meet them, and the regret of a choice that was not made says nothing.
    """
    is_choice = selection.reason in (None, Reason.LOW_PROBABILITY)
    enough = selection.n_candidates >= stopping.min_candidates
    return is_choice and enough and selection.regret <= stopping.max_regret  # NaN: no


async def _with_distinguishing_inputs(
    problem: Problem,
    suite: TestSuite,
    candidates: Sequence[Candidate],
    running: Executions,
    executor: Executor,
    config: SolutionsConfig,
    run_seed: int,
) -> TestSuite:
    """The suite with what separates the programs so far, which then run on all of it."""
    new = await seek_inputs(
        problem, suite, candidates, await running.results(), executor,
        n=config.distinguishing_inputs,
        min_support=config.min_input_support,
        seed=derive_seed(run_seed, "separation", problem.id),
    )  # fmt: skip
    if new:
        suite = replace(suite, inputs=suite.inputs + new)
        running.begin_again(suite.inputs)
    return suite


def solution_prompt(problem: Problem) -> Prompt:
    """What stage 5 asks; stage 6 trains on the same words."""
    skeleton = f"```python\n{problem.interface.source}```"
    return Prompt(fill("solution", statement=problem.statement, skeleton=skeleton), PREFILL)


def make_candidate(
    problem: Problem, iteration: int, index: int, completion: Completion
) -> Candidate:
    """The record of one completion, with its program or the reason why there is none."""
    code: str | Refusal
    if completion.finish_reason is FinishReason.LENGTH:
        code = Refusal(Reason.TRUNCATED, "cut at max_tokens")
    else:
        code = extract_program(PREFILL + completion.text, problem.interface.name)
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
        (dropped if is_demo_code(node) else kept).update(span)
    # What comes after the last definition can only be a comment on what was dropped.
    lines = enumerate(source.split("\n")[: max(kept)], 1)
    # A line that holds both kinds, such as `x = 1; print(x)`, stays.
    text = "\n".join(line for number, line in lines if number in kept or number not in dropped)
    return text.strip() + "\n"


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def is_demo_code(node: ast.stmt) -> bool:
    """Whether a top-level statement only demonstrates the function: calls, asserts, `__main__`."""
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If) and isinstance(node.test, ast.Compare):
        left = node.test.left
        return isinstance(left, ast.Name) and left.id == "__name__"
    return False


def request_of(
    problem: Problem, config: SolutionsConfig, run_seed: int, iteration: int, round_: int
) -> Request:
    """The candidates of one round, as the engine is asked for them."""
    n = min(ROUND_SIZE, config.n - round_ * ROUND_SIZE)
    seed = derive_seed(run_seed, "solutions", iteration, problem.id, round_)
    return Request(solution_prompt(problem), n, sampling_of(config.sampling, STOP), seed)

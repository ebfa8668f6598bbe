"""Stage 5: the solution space of a problem (figure 2).

Candidates are sampled in rounds and executed; distinguishing inputs are searched for; sampling
stops or continues; one candidate is selected.

A round's programs go to the executor as soon as they are sampled, while the engine works on the
next round and on other problems, so sampling and execution overlap. Programs that differ only in
layout, comments or docstrings run once.

With `solutions.stopping` a problem waits after each round until its programs have run, and ends as
soon as more candidates could hardly improve the choice (`ucoder.consensus.stopping`). The rounds of
other problems keep the engine's batch full meanwhile: up to `max_concurrency` problems at once.

With `solutions.prefill` of "signature" the model writes the body alone, and a program is the
prefill with what was written after it.

With `solutions.distinguishing_inputs` the first round is followed by a search for inputs on which
programs differ that agree so far. They join the problem's suite, once and for all iterations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from ucoder.config import SolutionsConfig, StoppingConfig
from ucoder.consensus.selection import Ballot, n_wanted_by, rule_of, select
from ucoder.engines.continuing import sample_whole
from ucoder.engines.protocol import Completion, Engine, Request, SamplingParams
from ucoder.execution.duplicates import program_key
from ucoder.execution.protocol import Executor
from ucoder.inputs.distinguishing import has_distinguishing_inputs, seek_inputs
from ucoder.inputs.text import Refusal
from ucoder.programs import Executions, extract_program
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
from ucoder.stages.prompts import sampling_of
from ucoder.stages.prompts.forms import FENCE, solution_prompt
from ucoder.texts import ends_in_string, ends_in_thinking

STOP = ("\n```",)
ROUND_SIZE = 16
"""Candidates a request. Part of a run's identity: each round has its own seed."""


@dataclass(frozen=True, slots=True)
class SolutionPool:
    """A problem's candidates, their executions and the ballot.

    Attributes:
        suite: The inputs of every execution: the suite that was given, or a longer one where
            distinguishing inputs were found.
        candidates: In the order of sampling.
        executions: One a distinct program, the greedy answer's among them.
        ballot: The selection, and everything that it rests on.
        greedy: The answer at temperature 0, which does not vote; None where it is not asked for.
    """

    suite: TestSuite
    candidates: tuple[Candidate, ...]
    executions: tuple[Execution, ...]
    ballot: Ballot
    greedy: Candidate | None


async def probe_solutions(
    problem: Problem,
    suite: TestSuite,
    engine: Engine,
    executor: Executor,
    config: SolutionsConfig,
    run_seed: int,
    iteration: int,
) -> SolutionPool:
    """Sample up to n candidates, run them, and select one.

    Distinguishing inputs are searched for in iteration 0 only, and only for a suite that has none:
    inputs added by a later iteration would be missing in the executions of earlier ones.

    Raises:
        EngineError: The engine failed.
        SandboxClosed: The executor was shut down.
    """
    candidates: list[Candidate] = []
    greedy: Candidate | None = None
    running = Executions(problem, suite.inputs, executor)

    def vote(executions: Mapping[str, Execution]) -> Ballot:
        return select(
            problem.id, iteration, candidates, executions, suite.inputs,
            rule_of(config), n_wanted_by(config),
        )  # fmt: skip

    n_rounds = -(-config.n // ROUND_SIZE)
    requests = [request_of(problem, config, run_seed, iteration, at) for at in range(n_rounds)]
    prefill = requests[0].prompt.prefill
    is_search_due = bool(config.distinguishing_inputs) and iteration == 0
    try:
        async with aclosing(_rounds(engine, requests, ahead=config.stopping is None)) as rounds:
            async for completions in rounds:
                for completion in completions:
                    candidate = make_candidate(
                        problem, iteration, len(candidates), completion, prefill
                    )
                    candidates.append(candidate)
                    running.start(candidate)
                if is_search_due and not has_distinguishing_inputs(suite):
                    suite = await _extended(problem, suite, candidates, running, config, run_seed)
                is_search_due = False
                if config.stopping and len(candidates) < config.n:
                    ballot = vote(await running.results())
                    if may_stop(ballot.selection, config.stopping):
                        break
        if config.greedy:
            greedy = await _greedy_answer(problem, engine, config, run_seed, iteration)
            running.start(greedy)
        executions = await running.results()
    finally:
        running.cancel()
    return SolutionPool(
        suite, tuple(candidates), tuple(executions.values()), vote(executions), greedy
    )


async def _rounds(
    engine: Engine, requests: Sequence[Request], *, ahead: bool
) -> AsyncGenerator[list[Completion]]:
    """The completions of each request, in order.

    Args:
        engine: What samples.
        requests: One a round.
        ahead: Whether a round is requested before the one before it is handed out. Parsing sixteen
            programs takes a while, during which the engine would have one request less; but where
            any round may be the last, the completions requested ahead would be wasted.
    """
    sampling: asyncio.Task[list[Completion]] | None = None
    try:
        for at, request in enumerate(requests):
            sampling = sampling or asyncio.create_task(_sample(engine, request))
            completions, sampling = await sampling, None
            if ahead and at + 1 < len(requests):
                sampling = asyncio.create_task(_sample(engine, requests[at + 1]))
            yield completions
    finally:
        if sampling is not None:
            sampling.cancel()


async def _sample(engine: Engine, request: Request) -> list[Completion]:
    def is_early(text: str, stop: str) -> bool:
        # A fence within a string, or in a thinking section, was taken for the block's end.
        begun = request.prompt.prefill + text
        return ends_in_string(begun + stop[:1]) or ends_in_thinking(begun)

    return await sample_whole(engine, request, is_early)


async def _greedy_answer(
    problem: Problem, engine: Engine, config: SolutionsConfig, run_seed: int, iteration: int
) -> Candidate:
    """The model's answer at temperature 0, as a record."""
    request = greedy_request(problem, config, run_seed, iteration)
    (completion,) = await _sample(engine, request)
    answer = make_candidate(problem, iteration, 0, completion, request.prompt.prefill)
    return replace(answer, id=digest(problem.id, iteration, "greedy"))


def request_of(
    problem: Problem, config: SolutionsConfig, run_seed: int, iteration: int, round_: int
) -> Request:
    """The request for the candidates of one round."""
    n = min(ROUND_SIZE, config.n - round_ * ROUND_SIZE)
    seed = derive_seed(run_seed, "solutions", iteration, problem.id, round_)
    prompt = solution_prompt(problem, config, run_seed)
    return Request(prompt, n, sampling_of(config.sampling, STOP), seed)


def greedy_request(
    problem: Problem, config: SolutionsConfig, run_seed: int, iteration: int
) -> Request:
    """The request for the answer at temperature 0, with the prompt of the candidates."""
    seed = derive_seed(run_seed, "greedy", iteration, problem.id)
    return Request(solution_prompt(problem, config, run_seed), 1, greedy_sampling(config), seed)


def greedy_sampling(config: SolutionsConfig) -> SamplingParams:
    """How the greedy answer is drawn."""
    return SamplingParams(0.0, 1.0, config.sampling.max_tokens, STOP)


def make_candidate(
    problem: Problem, iteration: int, index: int, completion: Completion, prefill: str = FENCE
) -> Candidate:
    """The record of one completion, with its program or the reason why there is none.

    Args:
        problem: What was asked.
        iteration: t, of the model M(t) that wrote the completion.
        index: Its position among the problem's candidates.
        completion: What was sampled.
        prefill: What it continues.
    """
    interface = problem.interface
    code: str | Refusal
    if lost := completion.finish_reason.lost:
        code = Refusal(lost, completion.detail)
    elif completion.finish_reason is FinishReason.LENGTH:
        code = Refusal(Reason.TRUNCATED, "cut at max_tokens")
    else:
        code = extract_program(
            prefill + completion.text, interface.name, interface.source,
            begun=prefill.removeprefix(FENCE),
        )  # fmt: skip
    program, reason = ("", code.reason) if isinstance(code, Refusal) else (code, None)
    return Candidate(
        id=digest(problem.id, iteration, index),
        problem_id=problem.id,
        iteration=iteration,
        index=index,
        completion=completion.text,
        program=program,
        program_id=program_key(program)[:16] if reason is None else "",
        n_tokens=completion.n_tokens,
        sum_logprob=completion.sum_logprob,
        finish_reason=completion.finish_reason,
        reason=reason,
    )


async def _extended(
    problem: Problem,
    suite: TestSuite,
    candidates: Sequence[Candidate],
    running: Executions,
    config: SolutionsConfig,
    run_seed: int,
) -> TestSuite:
    """The suite with the distinguishing inputs found; if there are any, all programs run again."""
    new = await seek_inputs(
        suite, candidates, await running.results(), running.probe,
        n=config.distinguishing_inputs,
        min_support=config.min_input_support,
        seed=derive_seed(run_seed, "separation", problem.id),
    )  # fmt: skip
    if new:
        suite = replace(suite, inputs=suite.inputs + new)
        running.restart(suite.inputs)
    return suite


def may_stop(selection: Selection, stopping: StoppingConfig) -> bool:
    """Whether the candidates so far are enough.

    Never while no candidate meets the selector's own conditions (the paper's tau): further
    candidates may meet them, and the regret of a choice that was not made is undefined.
    """
    is_choice = selection.reason in (None, Reason.LOW_PROBABILITY)
    enough = selection.n_candidates >= stopping.min_candidates
    return is_choice and enough and selection.regret <= stopping.max_regret  # False where NaN

"""Stage 5 samples in rounds, stops early where more candidates would hardly help, and at n."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from ucoder.config import FORECASTING, SolutionsConfig, parse_config
from ucoder.consensus.explanation import explain
from ucoder.consensus.selectors import SELECTORS, Rule
from ucoder.consensus.votes import votes_of
from ucoder.engines.protocol import Completion, Request
from ucoder.engines.scripted import Script, ScriptedEngine
from ucoder.errors import ConfigError
from ucoder.records import Prediction, Reason, Selection, TestSuite
from ucoder.stages.solutions import SolutionPool, probe_solutions

AGREED = ["def magnitude(x):\n    return abs(x)\n"]
SCATTERED = [f"def magnitude(x):\n    return x + {k}\n" for k in range(1000)]
STOPPING = {"max_regret": 0.02}


def config(**values: Any) -> SolutionsConfig:
    return SolutionsConfig.model_validate({"n": 40, "tau": 6, **values})


@pytest.fixture
def probe(problem, suite, engine_of, executor):
    default = suite

    async def run(
        answers: list[str], values: SolutionsConfig, seed: int = 0, suite: TestSuite = default
    ) -> SolutionPool:
        engine = await engine_of(answers)
        return await probe_solutions(problem, suite, engine, executor, values, seed, iteration=0)

    return run


@pytest.fixture
def predicted(suite: TestSuite) -> TestSuite:
    predictions = (Prediction("1", 1),)
    return replace(suite, inputs=tuple(replace(i, predictions=predictions) for i in suite.inputs))


@pytest.mark.parametrize("selector", FORECASTING)
async def test_sampling_stops_after_one_round_where_all_candidates_agree(
    probe, predicted, selector
) -> None:
    pool = await probe(AGREED, config(selector=selector, stopping=STOPPING), suite=predicted)
    selection = pool.ballot.selection
    assert (len(pool.candidates), selection.n_candidates, selection.n_wanted) == (16, 16, 40)
    assert 0.0 <= selection.regret <= 0.02
    assert selection.candidate_id is not None


async def test_candidates_without_consensus_are_sampled_up_to_n_and_no_further(probe) -> None:
    pool = await probe(SCATTERED, config(stopping={"max_regret": 1.0}))
    assert [c.index for c in pool.candidates] == list(range(40))
    selection = pool.ballot.selection
    assert (selection.reason, selection.n_wanted) == (Reason.NO_CONSENSUS, 40)


async def test_sampling_goes_on_while_the_regret_is_above_max_regret(probe) -> None:
    even = [AGREED[0], "def magnitude(x):\n    return x * x\n"]
    sure = config(stopping={"max_regret": 0.0}, tau=1)
    unsure = config(stopping={"max_regret": 1.0}, tau=1)
    assert len((await probe(even, sure)).candidates) > 16
    assert len((await probe(even, unsure)).candidates) == 16


async def test_sampling_never_stops_before_min_candidates(probe) -> None:
    stopping = {**STOPPING, "min_candidates": 17}
    assert len((await probe(AGREED, config(stopping=stopping))).candidates) == 32


async def test_candidates_of_an_early_stop_are_a_prefix_of_the_full_sample(probe) -> None:
    even = [*AGREED, "def magnitude(x):\n    return x * x\n"]
    some = await probe(even, config(stopping={"max_regret": 1.0}, tau=1), seed=5)
    everything = await probe(even, config(tau=1), seed=5)
    assert len(some.candidates) < len(everything.candidates) == 40
    assert some.candidates == everything.candidates[: len(some.candidates)]


async def test_without_stopping_the_regret_is_undefined(probe) -> None:
    selection = (await probe(AGREED, config())).ballot.selection
    assert (selection.n_candidates, selection.n_wanted) == (40, 40)
    assert math.isnan(selection.regret)
    assert not any("Stopped" in line for line in explain(selection, Rule()))


async def test_the_explanation_of_an_early_stop_gives_the_regret(probe) -> None:
    selection: Selection = (await probe(AGREED, config(stopping=STOPPING))).ballot.selection
    (line,) = [line for line in explain(selection, Rule()) if line.startswith("Stopped")]
    assert "after 16 of 40 candidates" in line
    assert f"by {selection.regret:.3f} in expectation" in line


async def test_FORECASTING_lists_exactly_the_selectors_that_forecast(probe, suite) -> None:
    pool: SolutionPool = await probe([*AGREED, *SCATTERED[:2]], config())
    votes = votes_of(pool.candidates, {e.program_id: e for e in pool.executions}, suite.inputs)
    can = [name for name, rank in SELECTORS.items() if rank(votes, Rule(name)).forecast]
    assert tuple(can) == FORECASTING


@pytest.mark.parametrize("selector", sorted(set(SELECTORS) - set(FORECASTING)))
def test_stopping_is_refused_for_a_selector_that_cannot_forecast(selector: str) -> None:
    with pytest.raises(ConfigError, match=f"stopping needs a selector.*{selector} cannot"):
        parse_config({"solutions": {"selector": selector, "stopping": {}}})


def test_stopping_with_min_candidates_of_n_or_more_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"min_candidates=16 leaves nothing of n=12"):
        parse_config({"solutions": {"n": 12, "stopping": {}}})


BODY = "    return abs(x)\n"
FENCED = {
    "docstring": f'def magnitude(x):\n    """Doc:\n```\nmagnitude(-1)\n```\n    """\n{BODY}',
    "constant": f"MARK = '''\n```\n'''\n\n\ndef magnitude(x):\n{BODY}",
    "two": f"MARKS = ('''\n```python\n''', '''\n```\n''')\n\n\ndef magnitude(x):\n{BODY}",
}


@pytest.mark.parametrize("program", FENCED.values(), ids=FENCED)
async def test_a_program_with_a_fence_in_a_string_is_sampled_to_its_end(probe, program) -> None:
    pool = await probe([f"{program}```\nIt works."], config(n=16))
    assert {candidate.program for candidate in pool.candidates} == {program}
    assert {candidate.completion for candidate in pool.candidates} == {program.rstrip()}
    assert pool.ballot.selection.candidate_id is not None


BODY_ONLY = {"prefill": "signature", "n": 16}


async def test_with_a_signature_as_prefill_the_model_writes_the_body_alone(probe, problem) -> None:
    pool = await probe([BODY], config(**BODY_ONLY))
    assert {candidate.completion for candidate in pool.candidates} == {BODY}
    assert {candidate.program for candidate in pool.candidates} == {problem.interface.source + BODY}
    # f(r) is over what was sampled: the body's words.
    assert {c.n_tokens for c in pool.candidates} == {len(BODY.split(" "))}
    assert pool.ballot.selection.candidate_id is not None


async def test_a_body_with_a_fence_in_a_string_is_sampled_to_its_end(probe, problem) -> None:
    body = f"    mark = '''\n```\n'''\n{BODY}"
    pool = await probe([f"{body}```\nIt works."], config(**BODY_ONLY))
    assert {candidate.program for candidate in pool.candidates} == {problem.interface.source + body}


async def test_empty_bodies_have_no_vote(probe) -> None:
    pool = await probe(["", BODY], config(**BODY_ONLY))
    empty = [candidate for candidate in pool.candidates if not candidate.completion]
    assert empty and {candidate.reason for candidate in empty} == {Reason.NO_CODE}
    assert pool.ballot.selection.n_reliable == 16 - len(empty)


LONELY = "def magnitude(x):\n    return x * x\n"
REWORDED = "def magnitude(x):\n    return  abs(x)  # the same program\n"


class WithGreedy(ScriptedEngine):
    """Gives one answer at temperature 0, and draws one of the others at any other."""

    def __init__(self, answers: list[str], greedy: str) -> None:
        rule = {"when": (), "answers": answers}
        super().__init__(Script.model_validate({"rules": [rule]}))
        self._greedy = greedy
        self.asked: list[Request] = []

    async def sample(self, request: Request) -> list[Completion]:
        self.asked.append(request)
        completions = await super().sample(request)
        if not request.sampling.is_greedy:
            return completions
        return [replace(one, text=self._greedy) for one in completions]


@pytest.fixture
def probe_with_greedy(problem, suite, executor):
    async def run(answers: list[str], cold: str, **values: Any) -> SolutionPool:
        asks = {"n": 16, "greedy": True, **values}
        async with WithGreedy(answers, cold) as engine:
            pool = await probe_solutions(
                problem, suite, engine, executor, config(**asks), 0, iteration=0
            )
        greedy = [request for request in engine.asked if request.sampling.is_greedy]
        assert [request.n for request in greedy] == [1] * asks["greedy"]
        assert all(request.prompt == engine.asked[0].prompt for request in greedy)
        return pool

    return run


async def test_the_greedy_answer_is_run_on_the_suite_and_does_not_vote(
    probe_with_greedy, suite
) -> None:
    pool = await probe_with_greedy(AGREED, LONELY)
    assert pool.greedy and (pool.greedy.index, pool.greedy.program) == (0, LONELY)
    (execution,) = [e for e in pool.executions if e.program_id == pool.greedy.program_id]
    assert [outcome.text for outcome in execution.outcomes] == ["1", "4", "9", "49"]
    assert len(pool.executions) == 2
    # Everything else is as without it.
    without = await probe_with_greedy(AGREED, LONELY, greedy=False)
    assert without.greedy is None
    assert without.candidates == pool.candidates
    assert repr(without.ballot) == repr(pool.ballot)  # its undefined numbers are NaN
    assert pool.ballot.selection.n_programs == 1
    assert pool.greedy.id not in {candidate.id for candidate in pool.candidates}


async def test_a_greedy_answer_that_a_candidate_gave_as_well_is_run_once(probe_with_greedy) -> None:
    pool = await probe_with_greedy(AGREED, REWORDED)
    (execution,) = pool.executions
    assert pool.greedy and pool.greedy.program_id == execution.program_id


async def test_a_greedy_answer_without_a_program_is_kept_with_its_reason(probe_with_greedy) -> None:
    pool = await probe_with_greedy(AGREED, "I cannot.")
    assert pool.greedy and pool.greedy.reason is Reason.DOES_NOT_PARSE
    assert len(pool.executions) == 1


async def test_the_greedy_answer_is_run_on_the_distinguishing_inputs_too(
    probe_with_greedy, suite
) -> None:
    naive = "def magnitude(x):\n    return x\n"
    pool = await probe_with_greedy([*AGREED, naive], LONELY, distinguishing_inputs=32)
    assert len(pool.suite.inputs) > len(suite.inputs) and len(pool.executions) == 3
    assert {len(e.outcomes) for e in pool.executions} == {len(pool.suite.inputs)}

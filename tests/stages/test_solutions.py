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

"""Stage 5 samples in rounds, stops where more would hardly help, and never beyond n."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ucoder.config import FORECASTING, SolutionsConfig, parse_config
from ucoder.consensus.explanation import explain
from ucoder.consensus.selectors import SELECTORS, Rule
from ucoder.consensus.votes import votes_of
from ucoder.errors import ConfigError
from ucoder.records import Reason, Selection
from ucoder.stages.solutions import Pool, probe_solutions

AGREED = ["def magnitude(x):\n    return abs(x)\n"]
SCATTERED = [f"def magnitude(x):\n    return x + {k}\n" for k in range(1000)]
STOPPING = {"max_regret": 0.02}


def config(**values: Any) -> SolutionsConfig:
    return SolutionsConfig.model_validate({"n": 40, "tau": 6, **values})


@pytest.fixture
def probe(problem, suite, engine_of, executor):
    async def run(answers: list[str], values: SolutionsConfig, seed: int = 0) -> Pool:
        engine = await engine_of(answers)
        return await probe_solutions(problem, suite, engine, executor, values, seed, iteration=0)

    return run


@pytest.mark.parametrize("selector", FORECASTING)
async def test_sampling_stops_after_one_round_where_all_agree(probe, selector) -> None:
    pool = await probe(AGREED, config(selector=selector, stopping=STOPPING))
    selection = pool.ballot.selection
    assert (len(pool.candidates), selection.n_candidates, selection.n_wanted) == (16, 16, 40)
    assert 0.0 <= selection.regret <= 0.02
    assert selection.candidate_id is not None


async def test_scattered_candidates_are_sampled_to_n_and_not_beyond(probe) -> None:
    pool = await probe(SCATTERED, config(stopping={"max_regret": 1.0}))
    assert [c.index for c in pool.candidates] == list(range(40))
    selection = pool.ballot.selection
    assert (selection.reason, selection.n_wanted) == (Reason.NO_CONSENSUS, 40)


async def test_a_regret_that_is_too_high_goes_on_sampling(probe) -> None:
    even = [AGREED[0], "def magnitude(x):\n    return x * x\n"]
    sure = config(stopping={"max_regret": 0.0}, tau=1)
    unsure = config(stopping={"max_regret": 1.0}, tau=1)
    assert len((await probe(even, sure)).candidates) > 16
    assert len((await probe(even, unsure)).candidates) == 16


async def test_no_stop_before_min_candidates(probe) -> None:
    stopping = {**STOPPING, "min_candidates": 17}
    assert len((await probe(AGREED, config(stopping=stopping))).candidates) == 32


async def test_what_was_sampled_is_the_start_of_what_n_would_have_sampled(probe) -> None:
    even = [*AGREED, "def magnitude(x):\n    return x * x\n"]
    some = await probe(even, config(stopping={"max_regret": 1.0}, tau=1), seed=5)
    everything = await probe(even, config(tau=1), seed=5)
    assert len(some.candidates) < len(everything.candidates) == 40
    assert some.candidates == everything.candidates[: len(some.candidates)]


async def test_without_stopping_nothing_is_forecast(probe) -> None:
    selection = (await probe(AGREED, config())).ballot.selection
    assert (selection.n_candidates, selection.n_wanted) == (40, 40)
    assert math.isnan(selection.regret)
    assert not any("Stopped" in line for line in explain(selection))


async def test_the_explanation_says_what_stopping_gave_up(probe) -> None:
    selection: Selection = (await probe(AGREED, config(stopping=STOPPING))).ballot.selection
    (line,) = [line for line in explain(selection) if line.startswith("Stopped")]
    assert "after 16 of 40 candidates" in line
    assert f"by {selection.regret:.3f} in expectation" in line


async def test_the_list_of_selectors_that_forecast_is_that_of_the_code(probe, suite) -> None:
    pool: Pool = await probe([*AGREED, *SCATTERED[:2]], config())
    votes = votes_of(pool.candidates, {e.program_id: e for e in pool.executions}, suite.inputs)
    can = [name for name, rank in SELECTORS.items() if rank(votes, Rule(name)).forecast]
    assert tuple(can) == FORECASTING


@pytest.mark.parametrize("selector", sorted(set(SELECTORS) - set(FORECASTING)))
def test_stopping_is_refused_for_a_selector_that_cannot_forecast(selector: str) -> None:
    with pytest.raises(ConfigError, match=f"stopping needs a selector.*{selector} cannot"):
        parse_config({"solutions": {"selector": selector, "stopping": {}}})


def test_stopping_that_could_save_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"min_candidates=16 leaves nothing of n=12"):
        parse_config({"solutions": {"n": 12, "stopping": {}}})

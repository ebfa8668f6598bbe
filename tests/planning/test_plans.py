"""Plans before a run: arithmetic by hand, ranges in order, and what is unknown stays unknown."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.config import RunConfig, load_config, parse_config, preset_names
from ucoder.errors import ConfigError
from ucoder.planning.assumptions import FIGURES, MEASURED, Assumptions, Range, total
from ucoder.planning.plan import Plan, duration_in_words, make_plan
from ucoder.planning.rates import Rates, read_rates, write_rates
from ucoder.planning.work import parameters_of, shape_of

RATES = Rates(
    hardware="a machine",
    sampled_tokens_per_s=Range(800, 1000, 1200),
    programs_per_s=Range.exactly(10),
    training_tokens_per_s=Range.exactly(50),
)


def small(**changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "problems": {"n": 100, "max_attempts": 1000},
        "solutions": {"n": 32, "tau": 2},
        "consolidation": {"iterations": 2, "epochs": 3, "batch_size": 16, "micro_batch_size": 4},
        "evaluation": {"benchmarks": ["humaneval+", "humaneval"], "n_tasks": 10},
    }
    for name, value in changes.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return parse_config(values)


def certain() -> Assumptions:
    """Assumptions without any doubt: half of the attempts succeed, everything has 10 tokens."""
    tokens = [name for name in MEASURED.rows if "_tokens" in name]
    known = dict.fromkeys(tokens, 10.0) | {
        "accepted": 0.5,
        "ratings_per_problem": 1.0,
        "interfaces_per_problem": 1.0,
        "usable": 1.0,
        "filled": 1.0,
        "drawn": 0.5,
        "distinct": 0.5,
        "extended": 0.0,
        "selected": 0.25,
    }
    assert set(known) == set(MEASURED.rows)
    return Assumptions("nowhere", {name: Range.exactly(value) for name, value in known.items()})


def stage(plan: Plan, name: str) -> Any:
    work = plan.expected.stage(name)
    assert work is not None
    return work


def ranges_in(value: object) -> list[dict[str, float]]:
    if isinstance(value, dict):
        if set(value) == {"low", "likely", "high"}:
            return [value]
        return [one for item in value.values() for one in ranges_in(item)]
    return [one for item in value for one in ranges_in(item)] if isinstance(value, list) else []


def test_a_small_plan_by_hand() -> None:
    plan = make_plan(small(), [RATES], assumed=certain())
    assert stage(plan, "problems").units.likely == 200
    assert stage(plan, "test_inputs").sampled_tokens.likely == 100 * 4 * 10
    solutions = stage(plan, "solutions")
    assert solutions.units.likely == 100 * 32 * 2
    assert solutions.sampled_tokens.likely == 100 * 32 * 2 * 10
    assert solutions.prompt_tokens.likely == 100 * 2 * 2 * FIGURES["prompt_tokens.solutions"].likely
    assert solutions.programs.likely == pytest.approx(6400 * 0.5 * 2**-0.12)
    assert solutions.calls.likely == pytest.approx(solutions.programs.likely * 100)
    training = stage(plan, "consolidation")
    assert training.units.likely == 25 * 2
    assert training.steps.likely == 2 * 3 * 2  # 25 examples are two batches of 16
    assert training.trained_tokens.likely == 25 * 10 * 3 * 2
    # HumanEval+ gives HumanEval's score as well: ten tasks of three models, once.
    assert stage(plan, "evaluation").units.likely == 30
    seconds = plan.forecasts[0].seconds
    assert seconds["problems"] is not None and seconds["consolidation"] is not None
    assert seconds["problems"].likely == pytest.approx((200 + 100 + 100) * 10 / 1000)
    assert seconds["consolidation"].likely == pytest.approx(1500 / 50)


def test_generation_and_execution_overlap_so_the_slower_one_counts() -> None:
    config = small()
    work = stage(make_plan(config, assumed=certain()), "solutions")
    for programs_per_s in (1.0, 1000.0):
        rates = RATES.model_copy(update={"programs_per_s": Range.exactly(programs_per_s)})
        (one,) = make_plan(config, [rates], assumed=certain()).forecasts
        expected = max(work.sampled_tokens.likely / 1000, work.programs.likely / programs_per_s)
        assert one.seconds["solutions"] is not None
        assert one.seconds["solutions"].likely == pytest.approx(expected)


def test_replicas_share_sampling_and_executing_but_not_training() -> None:
    one, four = (make_plan(small(), [RATES], replicas=n).forecasts[0].seconds for n in (1, 4))
    for name in ("problems", "test_inputs", "solutions", "evaluation"):
        assert four[name].likely == pytest.approx(one[name].likely / 4)  # type: ignore[union-attr]
    assert four["consolidation"] == one["consolidation"]


def test_a_small_batch_is_slower_by_what_was_measured() -> None:
    """One sequence 100 tokens a second, 100 of them 1000: a step takes 9.09 ms + 0.91 ms each."""
    rates = RATES.model_copy(
        update={"batch": 100, "alone_tokens_per_s": Range.exactly(100),
                "sampled_tokens_per_s": Range.exactly(1000)}
    )  # fmt: skip
    config = small(test_inputs={"n_completions": 1}, max_concurrency=10)
    (one,) = make_plan(config, [rates], assumed=certain()).forecasts
    step_s = 1 / 110 + 10 / 1100
    tail_s = 0.7 * config.test_inputs.sampling.max_tokens / 100
    assert one.seconds["test_inputs"] is not None
    assert one.seconds["test_inputs"].likely == pytest.approx(1000 / (10 / step_s) + tail_s)


def test_the_papers_run_has_as_many_candidates_as_the_paper_says() -> None:
    candidates = stage(make_plan(load_config("paper-7b")), "solutions").units
    assert candidates.high == pytest.approx(16_867 * 128 * 7)
    assert make_plan(load_config("paper-7b")).expected.problems == Range.exactly(16_867)


@pytest.mark.parametrize("preset", preset_names())
def test_every_presets_ranges_are_in_order(preset: str) -> None:
    told = json.loads(json.dumps(make_plan(load_config(preset), [RATES]).to_dict(),
                                 allow_nan=False))  # fmt: skip
    found = ranges_in(told)
    assert len(found) > 40
    assert all(0 <= one["low"] <= one["likely"] <= one["high"] for one in found)


@given(st.integers(1, 4000), st.integers(1, 80), st.booleans(), st.integers(0, 64))
def test_more_candidates_never_cost_fewer_tokens_programs_or_bytes(
    n: int, more: int, stops: bool, tried: int
) -> None:
    def plan(n: int) -> Plan:
        stopping = {"min_candidates": 16} if stops and n > 16 else None
        values = {"n": n, "tau": 1, "distinguishing_inputs": tried, "stopping": stopping}
        return make_plan(small(solutions=values), [RATES])

    if stops:
        n += 16
    fewer, larger = plan(n), plan(n + more)
    for name in ("units", "sampled_tokens", "prompt_tokens", "programs", "calls"):
        before, after = (getattr(stage(one, "solutions"), name) for one in (fewer, larger))
        for end in ("low", "likely", "high"):
            assert getattr(after, end) >= getattr(before, end) * (1 - 1e-9)
    assert larger.disk.total.likely >= fewer.disk.total.likely


def test_stopping_saves_what_may_be_saved_and_no_more() -> None:
    config = small(solutions={"n": 128, "stopping": {"min_candidates": 20}})
    units = stage(make_plan(config, assumed=certain()), "solutions").units
    least = 32  # two rounds of 16 hold the 20
    assert units.likely == pytest.approx(100 * 2 * (least + 0.5 * (128 - least)), rel=0.01)
    assert units.high <= 100 * 2 * 128


def test_attempts_end_with_max_attempts() -> None:
    config = small(problems={"n": 100, "max_attempts": 60})
    plan = make_plan(config, assumed=certain())
    assert stage(plan, "problems").units == Range.exactly(60)
    assert plan.expected.problems.likely == 30


def test_several_ratings_a_problem_take_as_many_times_the_tokens() -> None:
    one, four = (
        stage(make_plan(small(ratings=rated), assumed=certain()), "ratings")
        for rated in ({"n": 1}, {"n": 4, "sampling": {"temperature": 1.0}})
    )
    assert four.units == one.units
    assert four.sampled_tokens.likely == 4 * one.sampled_tokens.likely


def test_without_training_there_is_one_model_and_no_checkpoint() -> None:
    config = small(consolidation={"provider": "none", "iterations": 1})
    plan = make_plan(config, [RATES])
    assert stage(plan, "evaluation").units.likely == 10
    assert stage(plan, "consolidation").trained_tokens.high == 0
    assert plan.disk.checkpoints == Range.exactly(0)


def test_a_benchmark_of_ones_own_is_counted_only_where_its_size_is_said() -> None:
    own = {"benchmarks": ["mine.py"], "n_tasks": None}
    plan = make_plan(small(evaluation=own))
    assert plan.expected.stage("evaluation") is None
    assert "mine.py is not counted" in plan.expected.notes[0]
    told = make_plan(small(evaluation={**own, "n_tasks": 7}))
    assert stage(told, "evaluation").units.likely == 7 * 3


def test_unknown_rates_leave_hours_unknown_and_say_how_to_get_them() -> None:
    none = make_plan(small())
    assert none.forecasts == ()
    assert "ucoder doctor rates" in none.sentences()[0]
    (one,) = make_plan(
        small(), [Rates(hardware="half known", sampled_tokens_per_s=Range.exactly(100))]
    ).forecasts
    assert one.unknown == ("solutions", "consolidation")
    assert one.missing == ("programs_per_s", "training_tokens_per_s")
    said = " ".join(make_plan(small(), [one.rates]).sentences())
    assert "--programs-per-s" in said and "whose time is unknown" in said


def test_rates_come_back_from_their_file(tmp_path: Path) -> None:
    write_rates(RATES, tmp_path / "deep" / "rates.yaml")
    assert read_rates(tmp_path / "deep" / "rates.yaml") == RATES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hardware: x\nsampled_tokens_per_s: fast\nfoo: 1\n", ("sampled_tokens_per_s", "foo")),
        ("hardware: x\nprograms_per_s: 0\n", ("programs_per_s", "write null")),
        ("hardware: x\nprograms_per_s: {low: 3, likely: 2, high: 4}\n", ("in this order",)),
        ("hardware: x\nalone_tokens_per_s: 3\n", ("batch",)),
        ("programs_per_s: 3\n", ("hardware",)),
        ("[1, 2]", ("holds no rates",)),
        ("a: [", ("not valid YAML",)),
    ],
)
def test_a_bad_rates_file_says_everything_that_is_wrong(
    tmp_path: Path, text: str, said: tuple[str, ...]
) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_rates(path)
    assert all(word in str(caught.value) for word in (*said, str(path)))


def test_a_rates_file_that_is_not_there_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="doctor rates -o"):
        read_rates(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("Qwen/Qwen2.5-Coder-7B", 7000),
        ("my/model-0.5b-instruct", 500),
        ("SmolLM2-135M", 135),
    ],
)
def test_a_models_name_says_its_size(name: str, millions: int) -> None:
    parameters = parameters_of(name)
    assert parameters is not None
    assert parameters.holds(millions * 1e6)


def test_memory_for_training_is_told_where_the_models_shape_is_known(tiny_checkpoint: Path) -> None:
    plan = make_plan(load_config("paper-7b"))
    on_one, *_, on_eight = plan.training_bytes.values()
    shape = shape_of("Qwen/Qwen2.5-Coder-7B-Instruct")
    assert shape is not None and shape.n_parameters == pytest.approx(7.6e9, rel=0.01)
    assert on_one > 16 * 7.6e9 > on_eight  # float32 weights, gradients and AdamW's two moments
    assert make_plan(small(model="my/model-7b")).training_bytes == {}
    local = make_plan(small(model=str(tiny_checkpoint), consolidation={"n_processes": 2}))
    assert list(local.training_bytes) == [2]


def test_a_name_without_a_size_leaves_the_checkpoints_unknown() -> None:
    assert make_plan(small(model="my/model")).disk.checkpoints is None


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (Range(9 * 3600, 14 * 3600, 22 * 3600), "about 14 hours (9.0 to 22)"),
        (Range(40, 80, 100), "about 80 seconds (40 to 100)"),
        (Range(2 * 86400, 3 * 86400, 9 * 86400), "about 3.0 days (2.0 to 9.0)"),
    ],
)
def test_durations_are_said_in_the_unit_that_fits(span: Range, said: str) -> None:
    assert duration_in_words(span) == said


@pytest.mark.parametrize("ends", [(2, 1, 3), (-1, 0, 1), (1, 2, math.inf), (math.nan, 1, 2)])
def test_a_range_with_ends_out_of_order_is_refused(ends: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="in this order"):
        Range(*ends)


def test_a_range_holds_its_ends_and_nothing_outside() -> None:
    assert Range(1, 2, 3).holds(1) and Range(1, 2, 3).holds(3)
    assert not Range(1, 2, 3).holds(3.1)
    assert total([Range(1, 2, 3), Range(10, 20, 30), Range.exactly(0)]) == Range(11, 22, 33)

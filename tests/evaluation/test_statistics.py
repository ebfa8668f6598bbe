"""Estimates and comparisons against values computed by hand or by trying every case."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.errors import InvalidArgument
from ucoder.evaluation import comparison
from ucoder.evaluation.comparison import (
    Trials,
    difference_interval,
    holm,
    paired_test,
    sign_flip_test,
)
from ucoder.evaluation.statistics import (
    bootstrap_interval,
    mean_interval,
    pass_at_k,
    require_samples,
    sign_test,
    wilson,
)

COUNTS = st.integers(0, 60)


def test_wilson_interval_against_values_computed_by_hand() -> None:
    half = wilson(5, 10)
    assert half.value == 0.5
    assert half.low == pytest.approx(0.2366, abs=1e-4)
    assert half.high == pytest.approx(0.7634, abs=1e-4)
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == pytest.approx(1.0)
    assert math.isnan(wilson(0, 0).value)


def test_sign_test_against_values_computed_by_hand() -> None:
    assert sign_test(0, 0) == 1.0
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(3, 3) == 1.0
    assert sign_test(1, 8) == pytest.approx(2 * (1 + 9) / 512)
    assert 0.0 < sign_test(1000, 1140) < 0.01  # 2**2140 is too large for a float


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_passing_sample(n: int) -> None:
    for c in range(n + 1):
        samples = [at < c for at in range(n)]
        for k in range(1, n + 1):
            subsets = list(combinations(samples, k))
            share = sum(any(subset) for subset in subsets) / len(subsets)
            assert pass_at_k(n, c, k) == pytest.approx(share)


def test_pass_at_k_is_defined_for_many_samples() -> None:
    assert pass_at_k(2000, 1, 1000) == pytest.approx(0.5)
    assert pass_at_k(200, 0, 100) == 0.0


@given(st.integers(1, 200), st.data())
def test_pass_at_k_grows_with_k_and_is_a_share(n: int, data: st.DataObject) -> None:
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    assert 0.0 <= pass_at_k(n, c, 1) <= pass_at_k(n, c, k) <= 1.0
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)


def test_fewer_samples_than_k_are_refused_with_the_reason() -> None:
    with pytest.raises(
        InvalidArgument, match="n=3 samples is less than k=10: pass@10 is undefined"
    ):
        pass_at_k(3, 1, 10)
    with pytest.raises(InvalidArgument, match="k=0"):
        pass_at_k(3, 1, 0)
    with pytest.raises(ValueError, match="c=4"):
        pass_at_k(3, 4, 1)


EDGES = [[0.0] * 16, [1.0] * 11, [0.0], [0.0] * 15 + [0.2], [1.0] * 163 + [0.95]]


@pytest.mark.parametrize("rates", EDGES, ids=lambda rates: f"{len(rates)}-tasks-at-{rates[0]:.0%}")
def test_an_interval_of_rates_at_the_edge_has_a_width_and_holds_the_rate(
    rates: list[float],
) -> None:
    found = mean_interval(rates)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    assert found.high - found.low > 0.5 / len(rates)


@given(COUNTS, st.integers(1, 60))
def test_with_one_sample_a_task_the_interval_of_the_mean_is_wilsons(passed: int, n: int) -> None:
    verdicts = [1.0] * min(passed, n) + [0.0] * (n - min(passed, n))
    found, share = mean_interval(verdicts), wilson(min(passed, n), n)
    assert found.low == pytest.approx(share.low, abs=1e-9)
    assert found.high == pytest.approx(share.high, abs=1e-9)


def test_samples_that_agree_within_tasks_count_as_one() -> None:
    # 40 tasks of 5 equal verdicts are 40 trials, not 200
    assert mean_interval([1.0, 0.0] * 20).low == pytest.approx(wilson(20, 40).low)


def test_samples_that_differ_within_tasks_make_the_interval_narrower() -> None:
    found, alike = mean_interval([0.4, 0.6] * 20), mean_interval([0.0, 1.0] * 20)
    assert found.high - found.low < 0.6 * (alike.high - alike.low)


@pytest.mark.parametrize(("a", "b"), [(0.8, 1.2), (0.02, 0.98), (3.0, 0.1), (20.0, 20.0)])
@pytest.mark.parametrize("n", [11, 80])
def test_the_interval_of_several_samples_a_task_covers_the_rate_as_often_as_it_says(
    a: float, b: float, n: int
) -> None:
    # 5 samples a task of unequal difficulty, with the mean a / (a + b)
    random = np.random.default_rng(7)
    rates = random.binomial(5, random.beta(a, b, size=(400, n))) / 5
    found = [mean_interval(row) for row in rates]
    assert sum(one.low <= a / (a + b) <= one.high for one in found) >= 0.93 * 400


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_the_interval_of_differences_holds_them_and_turns_round(values: list[float]) -> None:
    found, turned = mean_interval(values, low=-1.0), mean_interval([-v for v in values], low=-1.0)
    assert -1.0 <= found.low <= found.value <= found.high <= 1.0 and found.low < found.high
    assert (-turned.high, -turned.low) == (pytest.approx(found.low), pytest.approx(found.high))


def test_values_outside_their_bounds_have_no_interval() -> None:
    assert mean_interval([math.nan]).n == 0 and math.isnan(mean_interval([]).low)
    assert mean_interval([0.5, math.nan]).n == 1
    with pytest.raises(ValueError, match=r"give 0\.0 to 1\.0"):
        mean_interval([0.5, 1.5])


def test_where_no_task_changed_the_interval_of_several_samples_has_a_width() -> None:
    for passed in (0, 2, 4):
        pair = paired_test([Trials(passed, 4)] * 12, [Trials(passed, 4)] * 12)
        assert -0.3 < pair.low < pair.difference == 0 < pair.high < 0.3 and pair.p == 1.0


@pytest.mark.parametrize(
    ("n_samples", "ks", "named"),
    [
        ({"A": 2, "B": 1}, (1, 2), "B"),
        ({"A": 9, "B/1": 10}, (10,), "A"),
        ({"only": 0}, (1,), "only"),
    ],
)
def test_a_task_with_fewer_samples_than_k_is_named(
    n_samples: dict[str, int], ks: tuple[int, ...], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"undefined for the task {named};"):
        require_samples(n_samples, ks)
    require_samples({name: max(ks) for name in n_samples}, ks)


def test_the_bootstrap_repeats_itself_and_stays_in_the_range_of_its_values() -> None:
    values = [0.0, 0.2, 1.0, 0.6]
    found = bootstrap_interval(values, seed=3, n_resamples=700)
    assert found == bootstrap_interval(values, seed=3, n_resamples=700)
    assert found != bootstrap_interval(values, seed=4, n_resamples=700)
    assert 0.0 <= found.low < found.value < found.high <= 1.0


def brute_force(differences: list[Fraction]) -> float:
    observed = abs(sum(differences))
    signs = list(product((1, -1), repeat=len(differences)))
    reached = sum(
        abs(sum(s * d for s, d in zip(choice, differences, strict=True))) >= observed
        for choice in signs
    )
    return reached / len(signs)


@given(st.lists(st.fractions(-1, 1, max_denominator=6), max_size=8))
def test_the_permutation_test_counts_every_choice_of_signs(differences: list[Fraction]) -> None:
    assert sign_flip_test(differences) == pytest.approx(brute_force(differences))


@given(COUNTS, COUNTS)
def test_with_one_sample_a_task_the_permutation_test_is_mcnemars(better: int, worse: int) -> None:
    differences = [Fraction(1)] * better + [Fraction(-1)] * worse + [Fraction(0)] * 3
    assert sign_flip_test(differences) == pytest.approx(sign_test(better, worse))


def test_where_signs_are_drawn_p_is_near_the_counted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = [Fraction(at % 7 - 2, 10) for at in range(60)]
    counted = sign_flip_test(differences)
    monkeypatch.setattr(comparison, "_MAX_CELLS", 0)
    drawn = sign_flip_test(differences)
    # 20,000 draws: four standard errors
    assert abs(drawn - counted) <= 4 * math.sqrt(counted * (1 - counted) / 20_000) + 1 / 20_000
    assert drawn == sign_flip_test(differences)


def test_steps_too_fine_to_count_are_drawn_and_p_is_never_zero() -> None:
    differences = [Fraction(1, n) for n in range(50, 1000)]
    assert sign_flip_test(differences) == pytest.approx(1 / 20_001)


def test_the_permutation_test_is_wrong_about_equal_models_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    found = 0
    for _ in range(300):
        difficulty = random.beta(0.8, 1.2, size=30)
        then, now = (random.binomial(4, difficulty) for _ in range(2))
        found += sign_flip_test([Fraction(int(d), 4) for d in now - then]) < 0.05
    assert 5 <= found <= 27  # 15 expected


def test_newcombes_interval_against_the_example_of_his_paper() -> None:
    # 36 both, 12 only the one, 2 only the other, none neither: 0.20 (0.0569, 0.3404)
    low, high = difference_interval(both=36, better=12, worse=2, neither=0)
    assert (low, high) == (pytest.approx(0.0569, abs=1e-4), pytest.approx(0.3404, abs=1e-4))


def test_where_no_task_changed_the_interval_of_the_difference_has_a_width() -> None:
    low, high = difference_interval(both=10, better=0, worse=0, neither=10)
    assert -0.25 < low < 0 < high < 0.25


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_the_interval_holds_the_difference_and_turns_round_with_the_models(
    both: int, better: int, worse: int, neither: int
) -> None:
    n = both + better + worse + neither
    low, high = difference_interval(both, better, worse, neither)
    if n == 0:
        assert math.isnan(low) and math.isnan(high)
        return
    assert -1.0 <= low <= (better - worse) / n + 1e-12
    assert (better - worse) / n - 1e-12 <= high <= 1.0
    turned = difference_interval(both, worse, better, neither)
    assert (-turned[1], -turned[0]) == (pytest.approx(low), pytest.approx(high))


def test_the_interval_of_a_difference_covers_it_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(9)
    covered = 0
    for _ in range(500):  # the models differ by 0.1, and agree on most tasks
        both, better, worse, neither = random.multinomial(60, (0.35, 0.2, 0.1, 0.35))
        low, high = difference_interval(int(both), int(better), int(worse), int(neither))
        covered += low <= 0.1 <= high
    assert 460 <= covered <= 492


def test_one_sample_a_task_is_compared_by_mcnemar_and_newcombe() -> None:
    first = [Trials(1, 1)] * 38 + [Trials(0, 1)] * 12
    second = [Trials(1, 1)] * 36 + [Trials(0, 1)] * 2 + [Trials(1, 1)] * 12
    test = paired_test(first, second)
    assert (test.n, test.better, test.worse, test.difference) == (50, 12, 2, pytest.approx(0.2))
    assert test.p == sign_test(12, 2)
    assert (test.low, test.high) == difference_interval(36, 12, 2, 0)


def test_unequal_numbers_of_samples_are_compared_by_their_rates() -> None:
    # 1/2 - 1/3 = 1/6 and 1 - 1/4 = 3/4: of 4 choices of signs the 2 that agree reach 11/12
    test = paired_test([Trials(1, 3), Trials(1, 4)], [Trials(1, 2), Trials(4, 4)])
    assert test.p == 0.5
    assert test.difference == pytest.approx(11 / 24)
    found = mean_interval([1 / 6, 3 / 4], low=-1.0)
    assert (test.low, test.high) == (found.low, found.high)


def test_models_of_other_tasks_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_test([Trials(1, 1)], [])
    assert math.isnan(paired_test([], []).p)


def test_holms_correction_by_hand() -> None:
    # sorted 0.01, 0.02, 0.04 times 3, 2, 1, never falling
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    corrected = holm([0.02, math.nan])
    assert corrected[0] == 0.02 and math.isnan(corrected[1])


@given(st.lists(st.floats(0, 1), max_size=30))
def test_corrected_p_values_keep_their_order_and_are_not_smaller(values: list[float]) -> None:
    corrected = holm(values)
    assert all(p <= q <= 1.0 for p, q in zip(values, corrected, strict=True))
    assert [corrected[at] for at in np.argsort(values, kind="stable")] == sorted(corrected)

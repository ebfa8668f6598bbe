"""Ranges: what their arithmetic promises, by hand and on anything at all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucoder.planning.ranges import NOTHING, Range, total


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    low, likely, high = sorted(draw(st.lists(st.floats(1e-6, 1e12), min_size=3, max_size=3)))
    return Range(low, likely, high)


def test_relative_errors_of_factors_add_in_quadrature() -> None:
    product = Range(1, 2, 4) * Range(5, 10, 20)
    factor = 2 ** math.sqrt(2)
    assert product.likely == 20
    assert product.low == pytest.approx(20 / factor)
    assert product.high == pytest.approx(20 * factor)


def test_a_quotient_is_large_where_its_divisor_is_small() -> None:
    quotient = Range.exactly(12) / Range(2, 3, 6)
    assert (quotient.low, quotient.likely, quotient.high) == pytest.approx((2, 4, 6))


def test_ends_of_a_sum_add() -> None:
    assert total([Range(1, 2, 3), Range(10, 20, 30), NOTHING]) == Range(11, 22, 33)


def test_what_is_exact_stays_exact() -> None:
    product = Range.exactly(3) * 7 / 2
    assert product == Range.exactly(10.5)
    assert not product.holds(10.6)


def test_the_low_end_may_be_nothing_at_all() -> None:
    product = Range(0, 1, 2) * Range.exactly(5)
    assert (product.low, product.likely, product.high) == pytest.approx((0, 5, 10))


@pytest.mark.parametrize("ends", [(2, 1, 3), (-1, 0, 1), (1, 2, math.inf), (math.nan, 1, 2)])
def test_ends_out_of_order_are_refused(ends: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="in this order"):
        Range(*ends)


@given(ranges(), ranges())
def test_every_result_is_a_range_around_that_of_the_likely_values(one: Range, other: Range) -> None:
    assert (one * other).likely == one.likely * other.likely
    assert (one / other).likely == one.likely / other.likely
    for result in (one * other, one / other, one + other, one.at_most(other), one.at_least(other)):
        assert result.low <= result.likely <= result.high


@given(ranges(), ranges())
def test_a_product_is_no_wider_than_its_ends_would_make_it(one: Range, other: Range) -> None:
    product = one * other
    assert product.low >= one.low * other.low * (1 - 1e-9)
    assert product.high <= one.high * other.high * (1 + 1e-9)
